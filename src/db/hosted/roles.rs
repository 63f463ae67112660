//! `db.roles`: no role may more than its work needs: those that the API logs in as least of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, judgement};
use super::ports::Catalog;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Judgement, Verdict};

const RULE: &str = "no role may more than its work needs";

/// The question; its answer is [`Answer`].
pub(crate) const QUESTION: &str = include_str!("roles.sql");

/// The roles of a database.
pub(crate) struct RolesCheck {
    /// Or why it cannot be asked.
    pub(crate) catalog: Result<Arc<dyn Catalog>, Unseen>,
    pub(crate) policy: Policy,
}

/// Roles that are meant to be strong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) allow: BTreeSet<String>,
}

impl Check for RolesCheck {
    type Policy = Policy;
    type Seen = Answer;

    const RULE: RuleId = RuleId { name: "db.roles", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.roles").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, _look: &Look) -> Result<Answer, Unseen> {
        let catalog = self.catalog.as_ref().map_err(Clone::clone)?;
        let text = catalog.answer(QUESTION).await?;
        read(&text).map_err(|why| Unseen::new(Cause::Unobserved, why, "run it again"))
    }

    fn judge(policy: &Policy, seen: &Answer) -> Judgement {
        match seen.roles.len() {
            0 => Judgement::inconclusive(Cause::NoData, "no role was listed", RULE)
                .with_next("run it again"),
            all => {
                let well = format!("none of {all} roles may more than it needs");
                judgement(findings(seen, &policy.allow), well, RULE)
            }
        }
    }
}

/// Reads what the database answered to the question.
pub(crate) fn read(text: &str) -> Result<Answer, String> {
    serde_json::from_str(text).map_err(|error| format!("the roles cannot be read: {error}"))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) public_creates: bool,
    pub(crate) roles: Vec<Role>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are what Postgres keeps of a role")]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) superuser: bool,
    pub(crate) login: bool,
    pub(crate) inherit: bool,
    pub(crate) bypass_rls: bool,
    pub(crate) makes_roles: bool,
    pub(crate) makes_databases: bool,
    pub(crate) replication: bool,
    /// Whether it may make objects in `public`.
    pub(crate) creates: bool,
    pub(crate) member_of: Vec<String>,
}

/// Whom a request without a login, and one with a login, runs as.
const CLIENTS: [&str; 2] = ["anon", "authenticated"];
/// Whom the API logs in as; it changes to another role for each request.
const DOOR: &str = "authenticator";
/// Roles of Postgres that reach beyond the database, or past every policy.
const STRONG: [&str; 5] = [
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_read_all_data",
    "pg_write_all_data",
];

/// What the platform itself made.
fn is_platform(name: &str) -> bool {
    name.starts_with("supabase_")
        || name.starts_with("pgsodium_")
        || name.starts_with("cli_login_")
        || ["postgres", "service_role", "pgbouncer", "dashboard_user", "pgtle_admin"]
            .contains(&name)
}

/// Everything that somebody may and should not.
pub(crate) fn findings(answer: &Answer, allowed: &BTreeSet<String>) -> Vec<Finding> {
    let by_name: BTreeMap<&str, &Role> =
        answer.roles.iter().map(|r| (r.name.as_str(), r)).collect();
    let mut found = Vec::new();
    if answer.public_creates {
        let text = "everybody may make objects in the schema public, and so trap others".to_owned();
        found.push(finding("public", text, "revoke create on schema public from public"));
    }
    for role in &answer.roles {
        let name = role.name.as_str();
        let own = !is_platform(name) && !name.starts_with("pg_");
        if allowed.contains(&role.name) || !own {
            continue;
        }
        let client = CLIENTS.contains(&name);
        if !client && name != DOOR && !role.login {
            continue;
        }
        found.extend(attributes(role, client));
        let may = reached(role, &by_name);
        // The door holds keys it does not use by itself, as long as it does not inherit.
        if let Some(strong) = may.filter(|_| name != DOOR || role.inherit) {
            let text = format!("the role {name} is a member of {strong}");
            let next = if name == DOOR {
                "alter role authenticator noinherit".to_owned()
            } else {
                format!("revoke {strong} from {name}")
            };
            found.push(finding(&format!("{name}:{strong}"), text, &next));
        }
    }
    found
}

fn attributes(role: &Role, client: bool) -> Vec<Finding> {
    let name = &role.name;
    let mut found = Vec::new();
    for (has, word, may) in [
        (role.superuser, "superuser", "is a superuser"),
        (role.bypass_rls, "bypassrls", "passes row level security"),
        (role.makes_roles, "createrole", "may make roles"),
        (role.makes_databases && client, "createdb", "may make databases"),
        (role.replication, "replication", "may copy the whole server"),
    ] {
        if has {
            let text = format!("the role {name} {may}");
            let next = format!("alter role {name} no{word}");
            found.push(finding(&format!("{name}:{word}"), text, &next));
        }
    }
    if client && role.creates {
        let text = format!("the role {name} may make objects in the schema public");
        let next = format!("revoke create on schema public from {name}");
        found.push(finding(&format!("{name}:create"), text, &next));
    }
    found
}

/// The first strong role that this one is a member of, directly or through others.
fn reached<'a>(role: &'a Role, all: &BTreeMap<&str, &'a Role>) -> Option<&'a str> {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<&'a str> = role.member_of.iter().map(String::as_str).collect();
    while let Some(name) = waiting.pop() {
        if !seen.insert(name) {
            continue;
        }
        let of = all.get(name);
        let strong = STRONG.contains(&name) || of.is_some_and(|r| r.superuser || r.bypass_rls);
        if strong {
            return Some(name);
        }
        waiting.extend(of.into_iter().flat_map(|r| r.member_of.iter().map(String::as_str)));
    }
    None
}

fn finding(key: &str, message: String, next: &str) -> Finding {
    Finding::new(format!("db.roles:{key}"), Verdict::Fail, message, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role { name: name.into(), ..Role::default() }
    }

    fn answer() -> Answer {
        let door = Role {
            login: true,
            member_of: vec!["anon".into(), "service_role".into()],
            ..role(DOOR)
        };
        let service = Role { bypass_rls: true, ..role("service_role") };
        let admin = Role { superuser: true, login: true, ..role("supabase_admin") };
        let web = Role { login: true, inherit: true, makes_databases: true, ..role("web") };
        let group = Role { superuser: true, ..role("staff") };
        Answer {
            public_creates: false,
            roles: vec![role("anon"), role("authenticated"), door, service, admin, web, group],
        }
    }

    type Change = fn(&mut Answer);

    #[test]
    fn each_excess_is_one_finding() {
        assert_eq!(findings(&answer(), &BTreeSet::new()), []);
        let cases: [(&str, Change); 10] = [
            ("public", |a| a.public_creates = true),
            ("anon:superuser", |a| a.roles[0].superuser = true),
            ("anon:createdb", |a| a.roles[0].makes_databases = true),
            ("authenticated:bypassrls", |a| a.roles[1].bypass_rls = true),
            ("authenticated:create", |a| a.roles[1].creates = true),
            ("anon:service_role", |a| a.roles[0].member_of.push("service_role".into())),
            ("authenticator:service_role", |a| a.roles[2].inherit = true),
            ("web:replication", |a| a.roles[5].replication = true),
            ("web:staff", |a| a.roles[5].member_of.push("staff".into())),
            ("web:pg_read_all_data", |a| a.roles[5].member_of.push("pg_read_all_data".into())),
        ];
        for (key, change) in cases {
            let mut seen = answer();
            change(&mut seen);
            let found = findings(&seen, &BTreeSet::new());
            let keys: Vec<&str> = found.iter().map(|f| f.key.as_str()).collect();
            assert_eq!(keys, [format!("db.roles:{key}")]);
        }
        let mut seen = answer();
        seen.roles[5].superuser = true;
        assert_eq!(findings(&seen, &["web".to_owned()].into()), []);
    }

    #[test]
    fn no_roles_are_no_data_and_an_excess_closes() {
        let none = Answer { public_creates: false, roles: vec![] };
        let open = Answer { public_creates: true, ..answer() };
        let policy = Policy::default();
        for (seen, verdict) in
            [(none, Verdict::Inconclusive), (answer(), Verdict::Pass), (open, Verdict::Fail)]
        {
            assert_eq!(RolesCheck::judge(&policy, &seen).verdict, verdict);
        }
    }

    #[test]
    fn circles_end() {
        let mut seen = answer();
        seen.roles[0].member_of.push("authenticated".into());
        seen.roles[1].member_of.push("anon".into());
        assert_eq!(findings(&seen, &BTreeSet::new()), []);
    }
}
