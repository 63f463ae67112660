//! Preview branches. What changes something is sent once; a branch is named by the reference of its own
//! project, and never is the address of a project built where all of its branches would be meant.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::client::{Management, parsed};
use crate::base::redact::Secret;
use crate::db::branch::ports::{Branch, Branches, Login, Look, Parent, Step};
use crate::db::hosted::ports::HostedError;
use crate::providers::http::Call;

/// The port at which poolers keep a connection for a whole session.
const SESSIONS: u16 = 5432;

#[derive(Deserialize)]
struct BranchAnswer {
    name: String,
    project_ref: String,
    parent_project_ref: String,
    is_default: bool,
    persistent: bool,
    created_at: String,
}

/// Its key for signing tokens is in the answer too, and is not read.
#[derive(Deserialize)]
struct DetailAnswer {
    #[serde(rename = "ref")]
    reference: String,
    status: String,
    db_host: String,
    db_port: u16,
    db_user: Option<String>,
    db_pass: Option<String>,
}

#[derive(Deserialize)]
struct PoolerAnswer {
    database_type: String,
    db_user: String,
    db_host: String,
    db_port: u16,
    pool_mode: String,
}

#[derive(Deserialize)]
struct RunAnswer {
    run_steps: Vec<StepAnswer>,
}

#[derive(Deserialize)]
struct StepAnswer {
    name: String,
    status: String,
}

#[derive(Deserialize)]
struct ParentAnswer {
    database: ParentDatabase,
}

#[derive(Deserialize)]
struct ParentDatabase {
    host: String,
    postgres_engine: String,
}

impl From<BranchAnswer> for Branch {
    fn from(answer: BranchAnswer) -> Self {
        Self {
            name: answer.name,
            reference: answer.project_ref,
            parent: answer.parent_project_ref,
            is_default: answer.is_default,
            persistent: answer.persistent,
            made_at: answer.created_at,
        }
    }
}

#[async_trait]
impl Branches for Management {
    fn project(&self) -> &str {
        &self.reference
    }

    async fn parent(&self) -> Result<Parent, HostedError> {
        let ParentAnswer { database } = self.get("the project", "").await?;
        Ok(Parent { host: database.host, engine: database.postgres_engine })
    }

    async fn list(&self) -> Result<Vec<Branch>, HostedError> {
        let found: Vec<BranchAnswer> = self.get("branches", "/branches").await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    async fn create(&self, name: &str, engine: &str) -> Result<Branch, HostedError> {
        let what = "a preview branch";
        let mut body = json!({ "branch_name": name, "with_data": false, "persistent": false });
        // Others are not asked for by name; then it is as Supabase chooses.
        if ["15", "17", "17-oriole"].contains(&engine) {
            body["postgres_engine"] = engine.into();
        }
        let call = Call::post(self.path("/branches"), body.to_string().into_bytes());
        let answer = self.once(what, call).await?;
        parsed::<BranchAnswer>(what, &answer).map(Into::into)
    }

    async fn look(&self, branch: &Branch) -> Result<Look, HostedError> {
        let what = "a preview branch";
        let call = Call::get(self.branch_url(branch));
        let seen: DetailAnswer = self.read(what, call).await?;
        if seen.reference != branch.reference {
            let why = format!("{} was asked for, and {} told", branch.reference, seen.reference);
            return Err(HostedError::Unreadable { what: what.to_owned(), why });
        }
        let login = seen.db_user.zip(seen.db_pass).map(|(user, password)| {
            let password = Secret::new(password);
            self.redactor.learn(&password);
            Login { host: seen.db_host, port: seen.db_port, user, password }
        });
        // What works on a branch is asked of the branch's own project; not every token may.
        let runs = format!("{}/v1/projects/{}/actions", self.url, branch.reference);
        let runs: Result<Vec<RunAnswer>, _> = self.read("runs", Call::get(runs)).await;
        let step = |step: StepAnswer| Step { name: step.name, status: step.status };
        let steps = |run: RunAnswer| run.run_steps.into_iter().map(step).collect();
        let runs = runs.map(|runs| runs.into_iter().map(steps).collect());
        Ok(Look { status: seen.status, runs, login })
    }

    async fn detour(&self, branch: &Branch, login: &Login) -> Result<Option<Login>, HostedError> {
        let url = format!("{}/v1/projects/{}/config/database/pooler", self.url, branch.reference);
        let poolers: Vec<PoolerAnswer> = self.read("the pooler", Call::get(url)).await?;
        Ok(poolers.into_iter().find_map(|pooler| session_of(pooler, branch, login)))
    }

    async fn delete(&self, branch: &Branch) -> Result<(), HostedError> {
        // At once, and also when this server failed before: it costs money while it is there.
        let url = format!("{}?force=true", self.branch_url(branch));
        let call = Call { method: http::Method::DELETE, urgent: true, ..Call::get(url) };
        self.once("deleting a preview branch", call).await.map(drop)
    }

    fn delete_by_hand(&self, branch: &Branch) -> String {
        let url = self.branch_url(branch);
        format!("curl -X DELETE -H \"Authorization: Bearer $SUPABASE_ACCESS_TOKEN\" {url}")
    }

    fn find_by_hand(&self) -> String {
        let url = self.path("/branches");
        format!("curl -H \"Authorization: Bearer $SUPABASE_ACCESS_TOKEN\" {url}")
    }
}

/// A pooler serves many projects at one address; the user says which.
fn session_of(pooler: PoolerAnswer, branch: &Branch, login: &Login) -> Option<Login> {
    let of_branch = pooler.db_user.ends_with(&format!(".{}", branch.reference));
    if pooler.database_type != "PRIMARY" || !of_branch {
        return None;
    }
    // Where it is told for single transactions, sessions are at the usual port.
    let port = if pooler.pool_mode == "session" { pooler.db_port } else { SESSIONS };
    let (host, user) = (pooler.db_host, pooler.db_user);
    Some(Login { host, port, user, password: login.password.clone() })
}

impl Management {
    fn branch_url(&self, branch: &Branch) -> String {
        format!("{}/v1/branches/{}", self.url, branch.reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_leads_to_the_branch_or_is_not_used() {
        let branch = Branch {
            name: "orca-shadow-00a1b2c3d4e5".to_owned(),
            reference: "b".repeat(20),
            parent: "a".repeat(20),
            is_default: false,
            persistent: false,
            made_at: String::new(),
        };
        let login = Login {
            host: "db.example.com".to_owned(),
            port: 1,
            user: "postgres".to_owned(),
            password: Secret::new("hunter22"),
        };
        let own = format!("postgres.{}", "b".repeat(20));
        let parents = format!("postgres.{}", "a".repeat(20));
        for (kind, user, mode, port) in [
            ("PRIMARY", own.as_str(), "transaction", Some(5432)),
            ("PRIMARY", &own, "session", Some(6000)),
            ("READ_REPLICA", &own, "session", None),
            ("PRIMARY", &parents, "session", None),
            ("PRIMARY", "postgres", "session", None),
        ] {
            let pooler = PoolerAnswer {
                database_type: kind.to_owned(),
                db_user: user.to_owned(),
                db_host: "pooler.example.com".to_owned(),
                db_port: 6000,
                pool_mode: mode.to_owned(),
            };
            let way = session_of(pooler, &branch, &login);
            assert_eq!(way.as_ref().map(|way| way.port), port, "{kind} {user} {mode}");
            if let Some(way) = way {
                assert_eq!((way.user.as_str(), way.host.as_str()), (user, "pooler.example.com"));
                assert_eq!(way.password, login.password);
            }
        }
    }
}
