//! Preview branches of the fake Supabase: they come up over several looks, are worked on, and are
//! deleted. Their database is whichever the test names.

use serde_json::{Value, json};

/// Of one branch.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) name: String,
    /// Of its own project.
    pub(crate) reference: String,
    pub(crate) is_default: bool,
    pub(crate) persistent: bool,
    pub(crate) made_at: String,
    /// How often it was looked at.
    pub(crate) looks: u32,
}

impl Branch {
    /// One that is there before a run; `letter` makes its reference.
    pub(crate) fn old(name: &str, letter: char, made_at: &str) -> Self {
        Self {
            name: name.to_owned(),
            reference: letter.to_string().repeat(20),
            is_default: false,
            persistent: false,
            made_at: made_at.to_owned(),
            looks: 0,
        }
    }
}

/// All of them, and how the platform behaves, for a test to change.
pub(crate) struct Branches {
    pub(crate) list: Vec<Branch>,
    /// Bodies of calls that make one.
    pub(crate) made: Vec<Value>,
    /// Where the database of each is, as what user and with what password.
    pub(crate) login: (String, u16, String, String),
    /// Port of the pooler, where there is one.
    pub(crate) pooler: Option<u16>,
    /// Looks until the project is healthy; after as many again Supabase is done with it.
    pub(crate) looks_until_healthy: u32,
    /// What a project is that never becomes healthy.
    pub(crate) never: Option<&'static str>,
    /// Makes none, for this reason.
    pub(crate) refused: Option<(u16, &'static str)>,
    /// So many of the next deletions fail there.
    pub(crate) undeletable: u32,
    /// So many of the next deletions do not find it yet.
    pub(crate) unfound: u32,
}

impl Default for Branches {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            made: Vec::new(),
            login: ("127.0.0.1".to_owned(), 1, "postgres".to_owned(), "unset".to_owned()),
            pooler: None,
            looks_until_healthy: 1,
            never: None,
            refused: None,
            undeletable: 0,
            unfound: 0,
        }
    }
}

impl Branches {
    /// The answer to a call about branches of `project`; none where it is about something else.
    pub(crate) fn answered(
        &mut self,
        (method, path): (&str, &str),
        project: &str,
        body: &[u8],
    ) -> Option<(u16, Value)> {
        let said = |status: u16, message: &str| Some((status, json!({ "message": message })));
        if let Some(reference) = path.strip_prefix("/v1/branches/") {
            let found = self.list.iter().position(|b| b.reference == reference);
            let Some(at) = found else { return said(404, "Branch not found") };
            return match method {
                "GET" => Some((200, self.detail(at))),
                "DELETE" if self.undeletable > 0 => {
                    self.undeletable -= 1;
                    said(500, "Failed to delete database branch")
                }
                "DELETE" if self.unfound > 0 => {
                    self.unfound -= 1;
                    said(404, "Branch not found")
                }
                "DELETE" => {
                    self.list.remove(at);
                    Some((200, json!({ "message": "ok" })))
                }
                _ => said(404, "Cannot find it"),
            };
        }
        let (reference, rest) = path.strip_prefix("/v1/projects/")?.split_once('/')?;
        match (method, rest) {
            ("GET", "branches") if reference == project => {
                Some((200, self.list.iter().map(|b| listed(b, project)).collect()))
            }
            ("POST", "branches") if reference == project => Some(self.make(project, body)),
            ("GET", "config/database/pooler") => Some((200, self.poolers(reference))),
            ("GET", "actions") => {
                let found = self.list.iter().find(|b| b.reference == reference);
                match found {
                    Some(branch) => Some((200, json!([self.run(branch)]))),
                    None => said(404, "Project not found"),
                }
            }
            _ => None,
        }
    }

    fn make(&mut self, project: &str, body: &[u8]) -> (u16, Value) {
        if let Some((status, why)) = self.refused {
            return (status, json!({ "message": why }));
        }
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = body["branch_name"].as_str().unwrap_or_default().to_owned();
        if self.list.iter().any(|b| b.name == name) {
            return (400, json!({ "message": "A branch of that name exists" }));
        }
        let letter = char::from(b'b' + u8::try_from(self.made.len()).expect("few"));
        self.made.push(body);
        self.list.push(Branch::old(&name, letter, "2026-01-05T09:00:00.123Z"));
        (201, listed(self.list.last().expect("it was pushed"), project))
    }

    fn detail(&mut self, at: usize) -> Value {
        let (host, port, user, password) = self.login.clone();
        let until_healthy = self.looks_until_healthy;
        let never = self.never;
        let branch = &mut self.list[at];
        branch.looks += 1;
        let status = match never {
            Some(status) => status,
            None if branch.looks <= until_healthy => "COMING_UP",
            None => "ACTIVE_HEALTHY",
        };
        json!({
            "ref": branch.reference, "postgres_version": "17.4.1.043", "postgres_engine": "17",
            "release_channel": "ga", "status": status, "db_host": host, "db_port": port,
            "db_user": user, "db_pass": password, "jwt_secret": "a-secret-that-signs-tokens"
        })
    }

    fn poolers(&self, reference: &str) -> Value {
        let user = format!("postgres.{reference}");
        let pooler = |port: u16| {
            json!({
                "identifier": reference, "database_type": "PRIMARY", "is_using_scram_auth": true,
                "db_user": user, "db_host": "127.0.0.1", "db_port": port, "db_name": "postgres",
                "connection_string": "", "connectionString": "", "default_pool_size": 15,
                "max_client_conn": 200, "pool_mode": "session"
            })
        };
        self.pooler.map(pooler).into_iter().collect()
    }

    fn run(&self, branch: &Branch) -> Value {
        let done = branch.looks > 2 * self.looks_until_healthy;
        let at = "2026-01-05T09:00:01Z";
        let step = |name: &str, status: &str| json!({"name": name, "status": status, "created_at": at, "updated_at": at});
        let last = if done { "EXITED" } else { "RUNNING" };
        json!({
            "id": "run_01", "branch_id": id(branch), "workdir": null, "check_run_id": null,
            "created_at": at, "updated_at": at,
            "run_steps": [step("clone", "EXITED"), step("migrate", last)]
        })
    }
}

fn id(branch: &Branch) -> String {
    let letter = u32::from(branch.reference.chars().next().unwrap_or('a'));
    format!("00000000-0000-4000-8000-{letter:012x}")
}

fn listed(branch: &Branch, project: &str) -> Value {
    json!({
        "id": id(branch), "name": branch.name, "project_ref": branch.reference,
        "parent_project_ref": project, "is_default": branch.is_default,
        "persistent": branch.persistent, "status": "MIGRATIONS_PASSED",
        "created_at": branch.made_at, "updated_at": branch.made_at, "with_data": false
    })
}
