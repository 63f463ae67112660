//! A stateful Vercel on loopback: its API on one port, the production domain on another, and every
//! deployment on its own, all answered over HTTP. Requests and answers of the API are held against
//! the published contract where `ORCA_SPEC_DIR` names one; the fake refuses to be dropped in peace
//! when one departed from it.
//!
//! What Vercel does was never seen live here; the fake does what its documents and its own client
//! say. `docs/guides/vercel.md` lists what that leaves open.

mod api;
mod builds;
mod checks;
mod documents;
mod faults;
mod metrics;
mod project;
mod releases;
mod server;
mod shop;
mod variables;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use faults::{Fault, Kind};
pub(crate) use metrics::Told;
pub(crate) use project::{Behaviour, Plan, Project};
pub(crate) use releases::Phase;
pub(crate) use shop::Shop;

pub(crate) const TOKEN: &str = "token-of-the-fake-vercel";
pub(crate) const TEAM: &str = "team_shop";
/// Opens protected deployments.
pub(crate) const BYPASS: &str = "bypass-of-the-fake-vercel";
/// How many deployments can be built by the API.
const SPARE: usize = 6;
pub(crate) const PROJECT: &str = "prj_shop";

/// A call that the API got, and what it answered; nothing when the answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `POST /v1/projects/prj_shop/rollback/dpl_1`.
    pub(crate) line: String,
    pub(crate) status: Option<u16>,
    pub(crate) at: Instant,
}

/// A deployment as the test knows it.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) id: String,
    /// With its scheme.
    pub(crate) url: String,
    pub(crate) commit: String,
}

pub(crate) struct VercelFake {
    shared: Arc<server::Shared>,
    runtime: tokio::runtime::Runtime,
    /// Where the API is, and where users come in.
    pub(crate) api: String,
    pub(crate) front: String,
}

impl VercelFake {
    /// A project whose first production deployment is `commit`.
    pub(crate) fn start(commit: &str) -> (Self, Deployed) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(server::Shared::new());
        let api = runtime.block_on(server::serve_api(&shared));
        let front = runtime.block_on(server::serve_front(&shared));
        front.trim_start_matches("http://").clone_into(&mut shared.lock().domain);
        for _ in 0..SPARE {
            let id = shared.lock().next_id();
            let address = runtime.block_on(server::serve_deployment(&shared, &id));
            shared.lock().spare.push((id, address));
        }
        let fake = Self { shared, runtime, api, front };
        let base = fake.deploy(commit);
        fake.change(|project| project.served(&base.id));
        (fake, base)
    }

    /// A production deployment that is built and never served.
    pub(crate) fn deploy(&self, commit: &str) -> Deployed {
        self.deploy_to(Some("production"), commit)
    }

    /// A preview, where `target` is nothing.
    pub(crate) fn deploy_to(&self, target: Option<&'static str>, commit: &str) -> Deployed {
        let id = self.change(Project::next_id);
        let address = self.runtime.block_on(server::serve_deployment(&self.shared, &id));
        self.change(|project| project.deploy(&id, &address, target, commit));
        Deployed { id, url: format!("http://{address}"), commit: commit.to_owned() }
    }

    /// Looks at the project, or changes it as a person in the dashboard would.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Project) -> T) -> T {
        change(&mut self.shared.lock())
    }

    pub(crate) fn behave(&self, id: &str, behaviour: Behaviour) {
        self.change(|project| project.deployment(id).expect("it is known").behaviour = behaviour);
    }

    /// From now on, until its count is used up.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// The API works again.
    pub(crate) fn no_faults(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every call of the API takes this long.
    pub(crate) fn latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// The calls of the API so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that may have changed something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let lines = self.asked().into_iter().map(|asked| asked.line);
        lines.filter(|line| !line.starts_with("GET ")).collect()
    }
}

impl Drop for VercelFake {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let departures = Mutex::lock(&self.shared.departures).expect("nobody panicked");
        assert!(departures.is_empty(), "against the contract:\n{}", departures.join("\n"));
    }
}
