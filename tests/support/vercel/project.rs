//! The project: its deployments, who serves the domain, what the plan allows, what was asked last.

use super::checks::Checks;
use super::metrics::Metrics;
use super::releases::Rolling;

/// What the plan says about rolling releases, and about going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    Enterprise,
    /// Rolling releases, and every slot taken by other projects.
    ProWithoutSlot,
    /// No rolling releases; back only to the deployment just before.
    Hobby,
}

/// How a deployment answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behaviour {
    /// One request in so many fails; none when 0.
    pub(crate) fails_one_in: u64,
    pub(crate) latency_ms: u64,
    /// Says nothing of itself at `/version`.
    pub(crate) nameless: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    /// Without a scheme.
    pub(crate) url: String,
    pub(crate) commit: String,
    pub(crate) target: Option<&'static str>,
    pub(crate) created_ms: i64,
    /// When its build ends.
    pub(crate) ready_ms: i64,
    pub(crate) build_fails: bool,
    pub(crate) canceled: bool,
    /// Has it been the production deployment?
    pub(crate) has_served: bool,
    pub(crate) behaviour: Behaviour,
    /// Requests of pages, however they came.
    pub(crate) pages: u64,
    /// What its creator wrote beside it.
    pub(crate) marks: serde_json::Map<String, serde_json::Value>,
}

/// `lastAliasRequest`.
#[derive(Debug, Clone)]
pub(crate) struct AliasRequest {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) kind: &'static str,
    pub(crate) requested_ms: i64,
    pub(crate) done_ms: i64,
    pub(crate) fails: bool,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Project {
    pub(crate) plan: Plan,
    pub(crate) domain: String,
    pub(crate) deployments: Vec<Deployment>,
    /// Who serves the domain.
    pub(crate) production: String,
    /// Who served it before.
    pub(crate) before: Option<String>,
    /// Whether a push to the production branch reaches users by itself.
    pub(crate) auto_assigns: bool,
    /// Nobody is served.
    pub(crate) paused: bool,
    /// It is so for Vercel, and the edges do not know it yet.
    pub(crate) pause_is_late: bool,
    /// What a rollback switched off, and a promotion switches on again.
    assigned_before: bool,
    pub(crate) rolling: Rolling,
    pub(crate) last: Option<AliasRequest>,
    /// How long moving the domain takes.
    pub(crate) moving_ms: i64,
    pub(crate) build_ms: i64,
    /// Going back is accepted and fails afterwards.
    pub(crate) moving_fails: bool,
    /// What fails has moved the production domain all the same, and not the others.
    pub(crate) moves_partly: bool,
    /// The builds that are begun from here on fail.
    pub(crate) builds_fail: bool,
    /// What is deployed from here on answers like this.
    pub(crate) builds_behave: Behaviour,
    /// Whether the source is known to the project.
    pub(crate) is_linked: bool,
    /// Deployments answer only who knows [`super::BYPASS`].
    pub(crate) is_protected: bool,
    /// Environment variables as they were created.
    pub(crate) variables: Vec<serde_json::Value>,
    pub(super) variable_ids: u64,
    pub(crate) checks: Checks,
    pub(crate) metrics: Metrics,
    /// Ids and addresses of deployments to come.
    pub(super) spare: Vec<(String, String)>,
    numbers: u64,
}

/// A refusal: status, code, message.
pub(crate) type Refusal = (u16, &'static str, String);

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("a date of this age")
}

impl Project {
    pub(super) fn new() -> Self {
        Self {
            plan: Plan::Enterprise,
            domain: String::new(),
            deployments: Vec::new(),
            production: String::new(),
            before: None,
            auto_assigns: false,
            paused: false,
            pause_is_late: false,
            assigned_before: false,
            rolling: Rolling::default(),
            last: None,
            moving_ms: 40,
            build_ms: 0,
            moving_fails: false,
            moves_partly: false,
            builds_fail: false,
            builds_behave: Behaviour::default(),
            is_linked: true,
            is_protected: false,
            variables: Vec::new(),
            variable_ids: 0,
            checks: Checks::default(),
            metrics: Metrics::default(),
            spare: Vec::new(),
            numbers: 0,
        }
    }

    pub(super) fn next_id(&mut self) -> String {
        self.numbers += 1;
        format!("dpl_{:024}", self.numbers)
    }

    pub(super) fn deploy(
        &mut self,
        id: &str,
        url: &str,
        target: Option<&'static str>,
        commit: &str,
    ) {
        let now = now_ms();
        self.deployments.push(Deployment {
            id: id.to_owned(),
            url: url.to_owned(),
            commit: commit.to_owned(),
            target,
            created_ms: now,
            ready_ms: now + self.build_ms,
            build_fails: self.builds_fail,
            canceled: false,
            has_served: false,
            behaviour: self.builds_behave,
            pages: 0,
            marks: serde_json::Map::new(),
        });
    }

    /// By id or by address.
    pub(crate) fn deployment(&mut self, named: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|d| d.id == named || d.url == named)
    }

    pub(crate) fn known(&self, named: &str) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.id == named || d.url == named)
    }

    /// Makes it the production deployment, at once.
    pub(crate) fn served(&mut self, id: &str) {
        if self.production != id {
            let before = std::mem::replace(&mut self.production, id.to_owned());
            self.before = Some(before).filter(|before| !before.is_empty());
        }
        self.deployment(id).expect("a deployment of this project").has_served = true;
    }

    /// Whether moving the domain has got anywhere.
    pub(crate) fn settle(&mut self) {
        let Some(last) = self.last.clone() else { return };
        let moves = !last.fails || self.moves_partly;
        if moves && now_ms() >= last.done_ms && self.production != last.to {
            let is_newest = self.rolling.completed_ms.is_none_or(|at| at <= last.requested_ms);
            if is_newest {
                self.served(&last.to);
            }
        }
    }

    fn request(&mut self, to: &str, kind: &'static str) {
        let now = now_ms();
        // Two requests within one millisecond are still two.
        let requested_ms = self.last.as_ref().map_or(now, |last| now.max(last.requested_ms + 1));
        self.last = Some(AliasRequest {
            from: self.production.clone(),
            to: to.to_owned(),
            kind,
            requested_ms,
            done_ms: requested_ms + self.moving_ms,
            fails: self.moving_fails,
        });
    }

    /// Instant rollback: `id` is where to.
    pub(crate) fn roll_back(&mut self, id: &str) -> Result<(), Refusal> {
        self.settle();
        let to = self.known(id).ok_or((403, "forbidden", "Not authorized".to_owned()))?.clone();
        let active = self.rolling.is_active();
        if !to.has_served && !self.rolling.concerns(id) {
            return Err((422, "not_rollback_candidate", format!("{id} never was in production")));
        }
        let beyond = self.before.as_deref() != Some(id) && self.production != id;
        if self.plan == Plan::Hobby && beyond {
            let text = "the plan allows only the previous production deployment".to_owned();
            return Err((402, "rollback_not_allowed", text));
        }
        if !active && self.production == id {
            return Err((409, "already_current", format!("{id} is the current deployment")));
        }
        if active {
            self.rolling.abort();
        }
        self.assigned_before |= self.auto_assigns;
        self.auto_assigns = false;
        self.request(id, "rollback");
        Ok(())
    }

    /// Blocks what serves, or opens it; the assignment of domains goes with it.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.auto_assigns = !paused;
    }

    /// Promotes. The answer is whether it waits behind a rolling release.
    pub(crate) fn promote(&mut self, id: &str) -> Result<bool, Refusal> {
        self.settle();
        let to = self.known(id).ok_or((403, "forbidden", "Not authorized".to_owned()))?.clone();
        if to.target != Some("production") {
            return Err((400, "bad_request", "a preview is built again to be promoted".to_owned()));
        }
        if self.rolling.is_active() {
            self.rolling.queue(id);
            return Ok(true);
        }
        if self.production == id {
            return Err((409, "already_current", format!("{id} is the current deployment")));
        }
        if self.rolling.enabled() {
            self.start(id)?;
            return Ok(false);
        }
        self.auto_assigns |= std::mem::take(&mut self.assigned_before);
        self.request(id, "promote");
        Ok(false)
    }

    /// Begins a rolling release; of the same canary it changes nothing.
    pub(crate) fn start(&mut self, id: &str) -> Result<(), Refusal> {
        self.settle();
        if self.plan != Plan::Enterprise {
            return Err((403, "plan_not_supported", "not on this plan".to_owned()));
        }
        let to = self.known(id).ok_or((404, "not_found", "no such deployment".to_owned()))?;
        if to.target != Some("production") || to.ready_ms > now_ms() || to.build_fails {
            return Err((422, "invalid_deployment", format!("{id} cannot be released")));
        }
        let production = self.production.clone();
        self.rolling.start(&production, id)
    }

    /// Who answers a visitor of bucket 0 to 99.
    pub(crate) fn serves(&mut self, bucket: u32) -> String {
        self.settle();
        match self.rolling.split() {
            Some((canary, percent)) if bucket < percent => canary.to_owned(),
            _ => self.production.clone(),
        }
    }
}
