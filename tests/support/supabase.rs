//! A hosted Supabase in this process: one project with state, reached by the paths of the Management
//! API. Every exchange is held against the published document where `ORCA_SPEC_DIR` has it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::branches::Branches;
use super::contract::{Contract, Exchange};

pub(crate) const REFERENCE: &str = "abcdefghijklmnopqrst";
pub(crate) const TOKEN: &str = "sbp_0123456789abcdef0123456789abcdef01234567";

/// Answers a query with the text of its one cell.
type Ask = Box<dyn Fn(&str) -> String + Send>;

/// What the project is, for a test to change.
pub(crate) struct State {
    pub(crate) status: &'static str,
    /// Services that are not healthy.
    pub(crate) services: BTreeMap<&'static str, &'static str>,
    pub(crate) pitr: bool,
    /// When backups were taken, and how each ended.
    pub(crate) backups: Vec<(String, &'static str)>,
    /// Name, kind, when it was made.
    pub(crate) keys: Vec<(&'static str, &'static str, Option<String>)>,
    /// Restore points by name, and how often each is still pending when it is asked for.
    pub(crate) points: BTreeMap<String, u32>,
    /// So many of the next calls are over the limit, which ends after so many seconds.
    pub(crate) limited: (u32, u64),
    /// So many of the next answers are lost on their way, after the work is done.
    pub(crate) lost: u32,
    /// So many of the next calls fail there.
    pub(crate) broken: u32,
    /// Refuses what the plan does not have.
    pub(crate) small_plan: bool,
    pub(crate) ask: Option<Ask>,
    pub(crate) branches: Branches,
    /// Method and path of every call.
    pub(crate) asked: Vec<String>,
    /// What departs from the document.
    faults: Vec<String>,
}

pub(crate) struct Supabase {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Supabase {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State {
            status: "ACTIVE_HEALTHY",
            services: BTreeMap::new(),
            pitr: false,
            backups: Vec::new(),
            keys: Vec::new(),
            points: BTreeMap::new(),
            limited: (0, 0),
            lost: 0,
            broken: 0,
            small_plan: false,
            ask: None,
            branches: Branches::default(),
            asked: Vec::new(),
            faults: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        // The thread ends with the test's process.
        thread::spawn(move || {
            let contract = Contract::published("supabase");
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &shared, contract.as_ref());
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supabase {
    fn drop(&mut self) {
        let faults = std::mem::take(&mut self.state().faults);
        assert!(faults.is_empty() || thread::panicking(), "off the contract: {faults:#?}");
    }
}

struct Asked {
    method: String,
    path: String,
    query: String,
    token: String,
    body: Vec<u8>,
}

fn serve(
    mut stream: TcpStream,
    shared: &Mutex<State>,
    contract: Option<&Contract>,
) -> std::io::Result<()> {
    let Some(asked) = read(&stream)? else { return Ok(()) };
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push(format!("{} {}", asked.method, asked.path));
    let (status, answer, head) = answered(&mut state, &asked);
    let text = answer.to_string();
    if let Some(contract) = contract {
        let exchange = Exchange {
            method: &asked.method,
            path: &asked.path,
            query: &asked.query,
            body: &asked.body,
            status,
            answer: text.as_bytes(),
        };
        let faults = contract.faults(&exchange);
        // The document declares no 400, 402 or 404 for most operations, no 500 for some, and for
        // branches neither 403 nor 429; answers have them all the same.
        let undeclared = [400, 402, 403, 404, 429, 500].contains(&status);
        let known = |fault: &String| !undeclared || !fault.contains("status");
        state.faults.extend(faults.into_iter().filter(known));
    }
    if state.lost > 0 && asked.method == "POST" {
        state.lost -= 1;
        return Ok(());
    }
    drop(state);
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n{head}\r\n{text}",
        text.len()
    )
}

/// Before anything is done: the token, the limit, a bad day.
fn stopped(state: &mut State, asked: &Asked) -> Option<(u16, Value, String)> {
    let said =
        |status: u16, message: &str| Some((status, json!({ "message": message }), String::new()));
    if asked.token != format!("Bearer {TOKEN}") {
        return said(401, "Unauthorized");
    }
    if state.limited.0 > 0 {
        state.limited.0 -= 1;
        let head = format!(
            "X-RateLimit-Limit: 120\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {}\r\n",
            state.limited.1
        );
        return Some((429, json!({ "message": "ThrottlerException: Too Many Requests" }), head));
    }
    if state.broken > 0 {
        state.broken -= 1;
        return said(500, "Failed");
    }
    None
}

fn answered(state: &mut State, asked: &Asked) -> (u16, Value, String) {
    let said = |status: u16, message: &str| (status, json!({ "message": message }), String::new());
    if let Some(answer) = stopped(state, asked) {
        return answer;
    }
    let call = (asked.method.as_str(), asked.path.as_str());
    if let Some((status, answer)) = state.branches.answered(call, REFERENCE, &asked.body) {
        return (status, answer, String::new());
    }
    let Some(rest) = asked.path.strip_prefix(&format!("/v1/projects/{REFERENCE}")) else {
        return said(403, "Your account does not have the necessary privileges");
    };
    let pairs: Vec<(&str, &str)> =
        asked.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let (status, answer) = match (asked.method.as_str(), rest) {
        ("GET", "") => (200, project(state)),
        ("GET", "/health") => {
            let asked = pairs.iter().filter(|(name, _)| *name == "services");
            let services = asked.map(|(_, name)| {
                let status = state.services.get(name).copied().unwrap_or("ACTIVE_HEALTHY");
                json!({"name": name, "healthy": status == "ACTIVE_HEALTHY", "status": status})
            });
            (200, services.collect())
        }
        ("GET", "/database/backups") => (200, backups(state)),
        ("GET", "/api-keys") => {
            let keys = state.keys.iter().enumerate();
            let keys = keys.map(|(id, (name, kind, at))| {
                json!({"id": id.to_string(), "name": name, "type": kind, "api_key": "shown····",
                    "inserted_at": at})
            });
            (200, keys.collect())
        }
        ("GET", "/database/backups/restore-point") => {
            let name = pairs.iter().find(|(name, _)| *name == "name").map_or("", |(_, v)| v);
            let Some(pending) = state.points.get_mut(name) else {
                return said(404, "No restore point of that name");
            };
            let status = if *pending > 0 { "PENDING" } else { "AVAILABLE" };
            *pending = pending.saturating_sub(1);
            (200, json!({"name": name, "status": status, "completed_on": null}))
        }
        ("POST", "/database/backups/restore-point") => {
            if state.small_plan {
                return said(402, "Restore points need the Pro plan");
            }
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let name = body["name"].as_str().unwrap_or_default().to_owned();
            state.points.insert(name.clone(), 2);
            (201, json!({"name": name, "status": "PENDING", "completed_on": null}))
        }
        ("POST", "/database/query/read-only") => {
            let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
            let sql = body["query"].as_str().unwrap_or_default();
            let cell = state.ask.as_ref().map(|ask| ask(sql)).unwrap_or_default();
            (201, json!([{ "answer": cell }]))
        }
        _ => return said(404, "Cannot find it"),
    };
    (status, answer, String::new())
}

fn project(state: &State) -> Value {
    json!({
        "id": REFERENCE, "ref": REFERENCE, "organization_id": "tsrqponmlkjihgfedcba",
        "organization_slug": "tsrqponmlkjihgfedcba", "name": "shop", "region": "eu-west-1",
        "created_at": "2025-01-01T00:00:00Z", "status": state.status,
        "database": {"host": format!("db.{REFERENCE}.supabase.co"), "version": "17.4.1.043",
            "postgres_engine": "17", "release_channel": "ga"}
    })
}

fn backups(state: &State) -> Value {
    let list = state.backups.iter().enumerate();
    let list = list.map(|(id, (at, status))| {
        json!({"id": id, "is_physical_backup": false, "status": status, "inserted_at": at})
    });
    json!({
        "region": "eu-west-1", "walg_enabled": true, "pitr_enabled": state.pitr,
        "backups": list.collect::<Value>(), "physical_backup_data": {}
    })
}

fn read(stream: &TcpStream) -> std::io::Result<Option<Asked>> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (mut length, mut token) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => value.trim().clone_into(&mut token),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Ok(Some(Asked { method, path, query, token, body }))
}
