//! Shadow databases on branches: sweeps what earlier runs left, says what a branch costs, makes one,
//! waits for it, takes away what it began with, and lets it go at the end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::keeper::{Keeper, Kept};
use super::names::{Found, found, new_name};
use super::ports::{Branch, Connects, Login, NotConnected};
use super::readiness::{Next, next};
use crate::base::clock::{self, Clock, Entropy};
use crate::base::digest::Digest;
use crate::base::limits;
use crate::base::units::Micros;
use crate::db::hosted::ports::HostedError;
use crate::db::shadow::ports::{Database, NoShadow, NoShadowKind, Row, Shadow, Shadows, SqlError};
use crate::db::shadow::supabase;

/// First wait between two looks, and the longest: some limits allow 120 calls a minute.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// The same thing is said again after so long.
const SAY_AGAIN: Duration = Duration::from_secs(30);

/// Where shadow databases on branches come from. One run makes one branch.
pub(crate) struct BranchShadows {
    pub(crate) keeper: Keeper,
    pub(crate) connects: Box<dyn Connects>,
    /// A branch may take so long to become ready.
    pub(crate) patience: Duration,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) opened: AtomicBool,
}

#[async_trait]
impl Shadows for BranchShadows {
    async fn open(&self, _states: &[Digest]) -> Result<Box<dyn Shadow>, NoShadow> {
        if self.opened.swap(true, Ordering::SeqCst) {
            let text = "the branch of this run was given up, and a run makes one".to_owned();
            return Err(not_ready(text));
        }
        self.sweep().await?;
        let branches = &self.keeper.branches;
        let parent = branches.parent().await?;
        let name = new_name(&self.entropy);
        self.say(&format!(
            "creates the preview branch {name} of project {}: it costs money, billed by the hour, \
             and is deleted at the end of this run; it is usually ready in a minute or two, and \
             given up after {}",
            branches.project(),
            in_words(self.patience)
        ));
        let kept = self.keeper.keep(name, parent.engine).await?;
        match self.ready(&kept.branch, &parent.host).await {
            Ok(shadow) => Ok(Box::new(OnBranch { shadow, kept })),
            Err(error) => {
                kept.end().await;
                Err(error)
            }
        }
    }

    fn patience(&self) -> Duration {
        self.patience + limits::BRANCH_LOST + limits::BRANCH_CONNECT + limits::BRANCH_DELETE
    }
}

impl BranchShadows {
    fn say(&self, text: &str) {
        self.keeper.listener.say(text);
    }

    /// Deletes what runs left that were killed. Says what it leaves alone.
    async fn sweep(&self) -> Result<(), NoShadow> {
        let branches = &self.keeper.branches;
        for branch in branches.list().await? {
            let name = &branch.name;
            match found(&branch, branches.project(), self.clock.now()) {
                Found::Foreign => {}
                Found::Young(age) => self.say(&format!(
                    "leaves the preview branch {name} alone: it is {} old, so another run may be \
                     using it",
                    in_words(age)
                )),
                Found::Stale(age) => {
                    self.say(&format!(
                        "deletes the preview branch {name}, which a run left behind {} ago",
                        in_words(age)
                    ));
                    self.keeper.delete(&branch).await;
                }
            }
        }
        Ok(())
    }

    /// Waits for the branch and for its database, and empties it.
    async fn ready(&self, branch: &Branch, parent: &str) -> Result<Box<dyn Shadow>, NoShadow> {
        let started = clock::monotonic();
        let login = self.login(branch, started).await?;
        let shadow = self.connection(branch, login, parent).await?;
        let emptied = supabase::empty(shadow.as_ref()).await;
        match emptied {
            Ok(None) => Ok(shadow),
            Ok(Some(left)) => {
                let text = format!("the branch cannot be emptied of what production has: {left}");
                Err(NoShadow {
                    kind: NoShadowKind::Unusable,
                    text,
                    next: vec!["leave --hosted-branch out: a local Postgres is empty".to_owned()],
                })
            }
            Err(error) => {
                let text = format!("the branch cannot be emptied of what production has: {error}");
                Err(NoShadow { kind: NoShadowKind::Unusable, text, next: vec![again()] })
            }
        }
    }

    async fn login(&self, branch: &Branch, started: Instant) -> Result<Login, NoShadow> {
        let (mut said, mut healthy) = (None::<(String, Instant)>, None::<Instant>);
        let mut denied = false;
        let [mut pause, longest] = LOOK_AGAIN;
        loop {
            let now = clock::monotonic();
            let waits = match self.keeper.branches.look(branch).await {
                Ok(look) => {
                    if let Err(error @ HostedError::Denied { .. }) = &look.runs
                        && !std::mem::replace(&mut denied, true)
                    {
                        self.say(&unsaid(error));
                    }
                    healthy = healthy.or(Some(now)).filter(|_| look.status == "ACTIVE_HEALTHY");
                    match next(&look, healthy.map(clock::since).unwrap_or_default()) {
                        Next::Wait(why) => why,
                        Next::GiveUp(why) => {
                            let text = format!("the branch {} cannot be used: {why}", branch.name);
                            return Err(not_ready(text));
                        }
                        Next::Use => match look.login {
                            Some(login) => return Ok(login),
                            None => "its password is not told".to_owned(),
                        },
                    }
                }
                Err(error @ HostedError::Denied { .. }) => return Err(error.into()),
                // It may be too new to be found, or the platform busy; the wait has an end.
                Err(error) => error.to_string(),
            };
            if clock::since(started) >= self.patience {
                let (name, patience) = (&branch.name, in_words(self.patience));
                let text = format!("the branch {name} was not ready within {patience}: {waits}");
                return Err(not_ready(text));
            }
            let is_new =
                |(text, at): &(String, Instant)| *text != waits || clock::since(*at) >= SAY_AGAIN;
            if said.as_ref().is_none_or(is_new) {
                let waited = in_words(clock::since(started));
                self.say(&format!("waits for {}, {waited} so far: {waits}", branch.name));
                said = Some((waits, now));
            }
            let left = self.patience.saturating_sub(clock::since(started));
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 3 / 2).min(longest);
        }
    }

    /// Its name may not be known yet, or its server not be up; and direct connections reach it by
    /// IPv6 only, so the project's pooler is tried in turn.
    async fn connection(
        &self,
        branch: &Branch,
        login: Login,
        parent: &str,
    ) -> Result<Box<dyn Shadow>, NoShadow> {
        // Not what is left of it: a branch that was ready late has its time to be reached, too.
        let (begun, time) = (clock::monotonic(), limits::BRANCH_CONNECT.min(self.patience));
        let (mut ways, mut again) = (vec![login], false);
        loop {
            let mut whys = Vec::new();
            for way in &ways {
                if leads_to_parent(way, parent, self.keeper.branches.project()) {
                    return Err(of_parent(branch));
                }
                match self.connects.connect(way).await {
                    Ok(shadow) => return Ok(shadow),
                    Err(NotConnected::Never(error)) => return Err(error),
                    Err(NotConnected::Yet(why)) => whys.push(format!("{}: {why}", way.host)),
                }
            }
            if again && clock::since(begun) >= time {
                return Err(no_way(&whys.join("; ")));
            }
            if let [direct] = ways.as_slice() {
                // Not told is not there: the direct one is tried on.
                let detour = self.keeper.branches.detour(branch, direct).await;
                ways.extend(detour.ok().flatten());
            }
            again = true;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The server of the project itself: by its host, or by its reference in a host or in the user of a
/// pooler.
fn leads_to_parent(way: &Login, parent: &str, project: &str) -> bool {
    let names = |text: &str| text.to_ascii_lowercase().contains(project);
    way.host.eq_ignore_ascii_case(parent) || names(&way.host) || names(&way.user)
}

fn of_parent(branch: &Branch) -> NoShadow {
    let text = format!("the branch {} is said to be on the host of its project", branch.name);
    NoShadow {
        kind: NoShadowKind::IsTheTarget,
        text,
        next: vec!["leave --hosted-branch out, and tell Supabase".to_owned()],
    }
}

fn no_way(why: &str) -> NoShadow {
    NoShadow {
        kind: NoShadowKind::Unreachable,
        text: format!("the database of the branch does not answer: {why}"),
        next: vec![
            "run it where IPv6 works, or buy the project's IPv4 add-on; and see whether network \
             restrictions of the project let this machine in"
                .to_owned(),
        ],
    }
}

/// The database, and the branch that it is on.
struct OnBranch {
    shadow: Box<dyn Shadow>,
    kept: Kept,
}

#[async_trait]
impl Database for OnBranch {
    async fn run(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        self.shadow.run(sql).await
    }

    async fn copy_in(&self, sql: &str, rows: &str) -> Result<(), SqlError> {
        self.shadow.copy_in(sql, rows).await
    }
}

#[async_trait]
impl Shadow for OnBranch {
    fn version(&self) -> &str {
        self.shadow.version()
    }

    fn major(&self) -> u32 {
        self.shadow.major()
    }

    fn is_supabase(&self) -> bool {
        true
    }

    fn kept(&self) -> Option<(usize, &str)> {
        None
    }

    /// The next run has another branch.
    async fn keep(&self, _state: &Digest, _note: &str) {}

    async fn close(self: Box<Self>) {
        let Self { shadow, kept } = *self;
        shadow.close().await;
        kept.end().await;
    }
}

impl From<HostedError> for NoShadow {
    fn from(error: HostedError) -> Self {
        let kind = match error {
            HostedError::Denied { .. } => NoShadowKind::Denied,
            HostedError::Limited { .. } => NoShadowKind::Limited,
            HostedError::Refused { .. } => NoShadowKind::Refused,
            HostedError::Unavailable(_) | HostedError::Unreadable { .. } => {
                NoShadowKind::Unanswered
            }
        };
        let without =
            "without --hosted-branch (hosted_branch in orca.yaml) a local Postgres is used";
        Self { kind, text: error.to_string(), next: vec![error.next(), without.to_owned()] }
    }
}

/// Nobody tells when the branch has what production has, so it is given more time.
fn unsaid(error: &HostedError) -> String {
    let secs = limits::BRANCH_SETTLES.as_secs();
    format!(
        "what Supabase does on the branch is not told, so it is let alone for {secs} s: {error}"
    )
}

fn not_ready(text: String) -> NoShadow {
    NoShadow { kind: NoShadowKind::NotReady, text, next: vec![again()] }
}

fn again() -> String {
    "run it again; see https://status.supabase.com; without --hosted-branch a local Postgres is used"
        .to_owned()
}

/// Whole seconds are enough.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        0 => "0 s".to_owned(),
        secs => Micros::from_secs(secs).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::base::redact::Secret;
    use crate::db::branch::ports::{Branches, Listener, Look, Parent};

    const PROJECT: &str = "abcdefghijklmnopqrst";

    /// A platform that tells of one branch, which no connection reaches.
    #[derive(Default)]
    struct Platform {
        looks: Mutex<Vec<Look>>,
        detour: Option<Login>,
        said: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Branches for Platform {
        fn project(&self) -> &'static str {
            PROJECT
        }

        async fn parent(&self) -> Result<Parent, HostedError> {
            unreachable!("it is known already")
        }

        async fn list(&self) -> Result<Vec<Branch>, HostedError> {
            unreachable!("nothing is swept")
        }

        async fn create(&self, _: &str, _: &str) -> Result<Branch, HostedError> {
            unreachable!("it is made already")
        }

        async fn look(&self, _: &Branch) -> Result<Look, HostedError> {
            Ok(self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(0))
        }

        async fn detour(&self, _: &Branch, _: &Login) -> Result<Option<Login>, HostedError> {
            Ok(self.detour.clone())
        }

        async fn delete(&self, _: &Branch) -> Result<(), HostedError> {
            unreachable!("it is not this test's")
        }

        fn delete_by_hand(&self, _: &Branch) -> String {
            String::new()
        }

        fn find_by_hand(&self) -> String {
            String::new()
        }
    }

    #[async_trait]
    impl Connects for Arc<Platform> {
        async fn connect(&self, login: &Login) -> Result<Box<dyn Shadow>, NotConnected> {
            self.say(&login.user);
            Err(NotConnected::Yet("no route".to_owned()))
        }
    }

    impl Listener for Platform {
        fn say(&self, text: &str) {
            self.said.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }

        fn left_behind(&self, text: &str, _: &str) {
            self.say(text);
        }
    }

    /// Ones that have no time at all.
    fn shadows(platform: &Arc<Platform>, patience: Duration) -> BranchShadows {
        let (branches, listener) = (Arc::clone(platform), Arc::clone(platform));
        BranchShadows {
            keeper: Keeper { branches, listener, tasks: TaskTracker::new() },
            connects: Box::new(Arc::clone(platform)),
            patience,
            clock: Clock::System,
            entropy: Entropy::seeded(7),
            opened: AtomicBool::new(false),
        }
    }

    fn branch() -> Branch {
        Branch {
            name: "orca-shadow-00a1b2c3d4e5".to_owned(),
            reference: "b".repeat(20),
            parent: PROJECT.to_owned(),
            is_default: false,
            persistent: false,
            made_at: String::new(),
        }
    }

    fn login(host: &str, user: &str) -> Login {
        let (host, user) = (host.to_owned(), user.to_owned());
        Login { host, port: 5432, user, password: Secret::new("hunter22") }
    }

    async fn connected(direct: Login, detour: Option<Login>) -> (NoShadow, Vec<String>) {
        let platform = Arc::new(Platform { detour, ..Platform::default() });
        let shadows = shadows(&platform, Duration::ZERO);
        let error = shadows.connection(&branch(), direct, "db.example.com").await.err().unwrap();
        let tried = platform.said.lock().unwrap().clone();
        (error, tried)
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_is_tried_however_late_it_is() {
        let (direct, pooler) = (login("own.example.com", "a"), login("pool.example.com", "b"));
        let (error, tried) = connected(direct, Some(pooler)).await;
        assert_eq!(error.kind, NoShadowKind::Unreachable);
        assert_eq!(tried, ["a", "a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_leads_to_the_project_itself_is_never_connected_to() {
        let own = || login("own.example.com", "postgres");
        for (number, way) in [
            login("db.example.com", "postgres"),
            login("DB.example.com", "postgres"),
            login(&format!("db.{PROJECT}.supabase.co"), "postgres"),
            login(&format!("DB.{}.supabase.co", PROJECT.to_uppercase()), "postgres"),
            login("pool.example.com", &format!("postgres.{PROJECT}")),
        ]
        .into_iter()
        .enumerate()
        {
            let (error, tried) = connected(way.clone(), None).await;
            assert_eq!((error.kind, tried.len()), (NoShadowKind::IsTheTarget, 0), "{number}");
            let (error, tried) = connected(own(), Some(way)).await;
            assert_eq!(error.kind, NoShadowKind::IsTheTarget, "{number}");
            assert!(tried.iter().all(|user| user == "postgres"), "{number}: {tried:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn that_nothing_is_told_of_work_is_said_once() {
        let denied = HostedError::Denied { what: "runs".into(), status: 403, message: "no".into() };
        let look = |status: &str| Look {
            status: status.to_owned(),
            runs: Err(denied.clone()),
            login: None,
        };
        let platform = Arc::new(Platform::default());
        *platform.looks.lock().unwrap() =
            vec![look("COMING_UP"), look("COMING_UP"), look("INIT_FAILED")];
        let shadows = shadows(&platform, Duration::from_mins(10));
        let error = shadows.login(&branch(), clock::monotonic()).await.err().unwrap();
        assert_eq!(error.kind, NoShadowKind::NotReady);
        let said = platform.said.lock().unwrap().clone();
        let told = said.iter().filter(|text| text.contains("(403)")).count();
        assert_eq!(told, 1, "{said:?}");
    }
}
