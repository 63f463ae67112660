//! The life of one branch, in a task of its own: it is made, and deleted when whoever holds it lets
//! go, by ending or by being dropped. A run that is stopped in the middle, even of the call that
//! makes it, leaves nothing as long as this task is waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::names::is_ours;
use super::ports::{Branch, Branches, Listener};
use crate::base::limits;
use crate::db::hosted::ports::HostedError;

/// Waits before each look for a branch whose making was not answered: about a minute.
const LOOKS: [Duration; 9] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(7),
    Duration::from_secs(10),
    Duration::from_secs(15),
    Duration::from_secs(20),
];
/// Waits before each try to delete.
const DELETES: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

/// Who does it, who hears of it, and who waits for its end.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) branches: Arc<dyn Branches>,
    pub(crate) listener: Arc<dyn Listener>,
    /// The run does not end before these do.
    pub(crate) tasks: TaskTracker,
}

/// A branch that is there until this goes.
pub(crate) struct Kept {
    pub(crate) branch: Branch,
    hold: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Kept {
    /// Deletes it, and waits until it is deleted or that was given up.
    pub(crate) async fn end(self) {
        drop(self.hold);
        // The task says how it ended; here only its end matters.
        let _ = self.ended.await;
    }
}

impl Keeper {
    /// Makes a branch of that name.
    pub(crate) async fn keep(&self, name: String, engine: String) -> Result<Kept, HostedError> {
        let (born, birth) = oneshot::channel();
        let (hold, let_go) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let keeper = self.clone();
        self.tasks.spawn(async move {
            let made = keeper.make(&name, &engine).await;
            let branch = made.as_ref().ok().cloned();
            // Nobody waits for it any more where the run was stopped; then it is let go already.
            let _ = born.send(made);
            if let Some(branch) = branch {
                let _ = let_go.await;
                keeper.delete(&branch).await;
            }
            let _ = end.send(());
        });
        let branch = birth.await.unwrap_or_else(|_| {
            Err(HostedError::Unavailable("the run ended before the branch was made".to_owned()))
        })?;
        Ok(Kept { branch, hold, ended })
    }

    /// Makes it once. What may have happened is looked for by its name.
    async fn make(&self, name: &str, engine: &str) -> Result<Branch, HostedError> {
        let made = match self.branches.create(name, engine).await {
            Err(HostedError::Unavailable(why) | HostedError::Unreadable { why, .. }) => {
                self.lost(name, why).await?
            }
            other => other?,
        };
        if made.name == name && is_ours(&made, self.branches.project()) {
            return Ok(made);
        }
        // Deleting what is not surely this run's own is for a person.
        let why = format!("it is not {name} of this project as it was asked for: {made:?}");
        self.may_exist(name, &why);
        Err(HostedError::Unreadable { what: "a new branch".to_owned(), why })
    }

    async fn lost(&self, name: &str, why: String) -> Result<Branch, HostedError> {
        self.listener.say(&format!("no answer that says whether {name} was made; looks for it"));
        let mut last = "no list of branches was answered".to_owned();
        let looking = async {
            for wait in LOOKS {
                tokio::time::sleep(wait).await;
                match self.branches.list().await {
                    Ok(listed) => {
                        let found = listed.into_iter().find(|branch| branch.name == name);
                        if found.is_some() {
                            return found;
                        }
                        "the list of branches has none of that name".clone_into(&mut last);
                    }
                    Err(error) => last = format!("branches could not be listed: {error}"),
                }
            }
            None
        };
        let found = tokio::time::timeout(limits::BRANCH_LOST, looking).await;
        found.ok().flatten().ok_or_else(|| {
            let why = format!("{why}; {last}");
            self.may_exist(name, &why);
            HostedError::Unavailable(why)
        })
    }

    /// Nobody deletes it before a later run does, where it is there at all.
    fn may_exist(&self, name: &str, why: &str) {
        let project = self.branches.project();
        let text = format!(
            "the preview branch {name} of project {project} may exist, and costs money while it \
             does: {why}"
        );
        let look = self.branches.find_by_hand();
        self.listener.left_behind(&text, &format!("see whether it is there: {look}"));
    }

    /// Deletes it, with some patience; says loudly where that fails.
    pub(crate) async fn delete(&self, branch: &Branch) {
        let name = &branch.name;
        let deleting = tokio::time::timeout(limits::BRANCH_DELETE, self.try_to_delete(branch));
        let why = match deleting.await {
            Ok(Ok(())) => return self.listener.say(&format!("deleted the preview branch {name}")),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done within {} s", limits::BRANCH_DELETE.as_secs()),
        };
        let project = self.branches.project();
        let text = format!(
            "the preview branch {name} of project {project} could not be deleted, and costs money \
             until it is: {why}"
        );
        let command = self.branches.delete_by_hand(branch);
        self.listener.left_behind(&text, &format!("delete it now: {command}"));
    }

    async fn try_to_delete(&self, branch: &Branch) -> Result<(), HostedError> {
        let mut last = Ok(());
        for wait in DELETES {
            let limited = match &last {
                Err(HostedError::Limited { secs }) => Duration::from_secs(*secs),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(wait.max(limited)).await;
            last = match self.branches.delete(branch).await {
                // Gone, or too new to be found: only a list can tell.
                Err(unfound @ HostedError::Refused { status: 404, .. }) => {
                    self.gone(branch, unfound).await
                }
                other => other,
            };
            if matches!(last, Ok(()) | Err(HostedError::Denied { .. })) {
                break;
            }
        }
        last
    }

    /// Deleted, where no list has it any more.
    async fn gone(&self, branch: &Branch, unfound: HostedError) -> Result<(), HostedError> {
        let listed = self.branches.list().await?;
        let is_it = |b: &Branch| b.name == branch.name || b.reference == branch.reference;
        if listed.iter().any(is_it) { Err(unfound) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use async_trait::async_trait;

    use super::*;
    use crate::db::branch::ports::{Login, Look, Parent};

    const PROJECT: &str = "abcdefghijklmnopqrst";
    const NAME: &str = "orca-shadow-00a1b2c3d4e5";

    /// A platform whose answers take a second; what it is asked and what is said stands in one list.
    #[derive(Default)]
    struct World {
        there: Vec<Branch>,
        /// So many answers to making one are lost.
        lost: u32,
        /// It is not even made then.
        stillborn: bool,
        /// It is made otherwise than it was asked for.
        persistent: bool,
        /// So many of the next lists fail.
        unlisted: u32,
        /// Errors of the next deletions.
        failing: Vec<HostedError>,
        log: Vec<String>,
    }

    #[derive(Default)]
    struct Platform(Mutex<World>);

    impl Platform {
        fn world(&self) -> MutexGuard<'_, World> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn log(&self, text: impl Into<String>) {
            self.world().log.push(text.into());
        }
    }

    #[async_trait]
    impl Branches for Platform {
        fn project(&self) -> &'static str {
            PROJECT
        }

        async fn parent(&self) -> Result<Parent, HostedError> {
            unreachable!("a keeper knows it already")
        }

        async fn list(&self) -> Result<Vec<Branch>, HostedError> {
            self.log("list");
            let mut world = self.world();
            if world.unlisted > 0 {
                world.unlisted -= 1;
                return Err(HostedError::Unavailable("busy".to_owned()));
            }
            drop(world);
            Ok(self.world().there.clone())
        }

        async fn create(&self, name: &str, _engine: &str) -> Result<Branch, HostedError> {
            self.log("create");
            let branch = Branch {
                name: name.to_owned(),
                reference: "b".repeat(20),
                parent: PROJECT.to_owned(),
                is_default: false,
                persistent: self.world().persistent,
                made_at: "2026-01-05T06:00:00Z".to_owned(),
            };
            if !self.world().stillborn {
                self.world().there.push(branch.clone());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.world().lost > 0 {
                self.world().lost -= 1;
                return Err(HostedError::Unavailable("the line is cut".to_owned()));
            }
            Ok(branch)
        }

        async fn look(&self, _branch: &Branch) -> Result<Look, HostedError> {
            unreachable!("a keeper does not look")
        }

        async fn detour(&self, _: &Branch, _: &Login) -> Result<Option<Login>, HostedError> {
            unreachable!("a keeper does not connect")
        }

        async fn delete(&self, branch: &Branch) -> Result<(), HostedError> {
            self.log("delete");
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut world = self.world();
            if !world.failing.is_empty() {
                return Err(world.failing.remove(0));
            }
            world.there.retain(|other| other != branch);
            Ok(())
        }

        fn delete_by_hand(&self, branch: &Branch) -> String {
            format!("away with {}", branch.reference)
        }

        fn find_by_hand(&self) -> String {
            "list them".to_owned()
        }
    }

    impl Listener for Platform {
        fn say(&self, text: &str) {
            self.log(text);
        }

        fn left_behind(&self, text: &str, way_out: &str) {
            self.log(format!("LEFT: {text}: {way_out}"));
        }
    }

    fn keeper(change: impl FnOnce(&mut World)) -> (Keeper, Arc<Platform>) {
        let platform = Arc::new(Platform::default());
        change(&mut platform.world());
        let (branches, listener) = (Arc::clone(&platform), Arc::clone(&platform));
        (Keeper { branches, listener, tasks: TaskTracker::new() }, platform)
    }

    async fn keep(keeper: &Keeper) -> Result<Kept, HostedError> {
        keeper.keep(NAME.to_owned(), "17".to_owned()).await
    }

    async fn all_ends(keeper: &Keeper) {
        keeper.tasks.close();
        keeper.tasks.wait().await;
    }

    const DELETED: &str = "deleted the preview branch orca-shadow-00a1b2c3d4e5";

    #[tokio::test(start_paused = true)]
    async fn it_is_there_until_it_is_let_go() {
        let (keeper, platform) = keeper(|_| {});
        let kept = keep(&keeper).await.unwrap();
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert_eq!(platform.world().there.len(), 1);
        kept.end().await;
        assert_eq!(platform.world().log, ["create", "delete", DELETED]);
        // A holder that is dropped, as a signal drops it, does the same.
        drop(keep(&keeper).await.unwrap());
        all_ends(&keeper).await;
        assert!(platform.world().there.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_stopped_while_it_is_made_leaves_nothing() {
        for lost in [0, 1] {
            let (keeper, platform) = keeper(|world| world.lost = lost);
            let stopped = tokio::time::timeout(Duration::from_millis(500), keep(&keeper)).await;
            assert!(stopped.is_err());
            all_ends(&keeper).await;
            assert!(platform.world().there.is_empty());
            assert_eq!(platform.world().log.last().map(String::as_str), Some(DELETED));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_made_is_looked_for_and_never_made_twice() {
        let (found, platform) = keeper(|world| world.lost = 1);
        found.keep(NAME.to_owned(), "17".to_owned()).await.unwrap().end().await;
        assert_eq!(platform.world().log.iter().filter(|l| *l == "create").count(), 1);
        // Lists that fail say nothing, and it is late in the first that does not.
        let (late, platform) = keeper(|world| (world.lost, world.unlisted) = (1, 8));
        keep(&late).await.unwrap().end().await;
        assert!(platform.world().there.is_empty());
    }

    /// What is changed, why nothing is found, and after how many lists.
    type Case = (fn(&mut World), &'static str, usize);

    #[tokio::test(start_paused = true)]
    async fn what_is_not_found_may_exist_and_is_told() {
        let cases: [Case; 3] = [
            (|w| (w.lost, w.stillborn) = (1, true), "the list of branches has none of that", 9),
            (|w| (w.lost, w.unlisted) = (1, u32::MAX), "branches could not be listed", 9),
            (|w| w.persistent = true, "persistent: true", 0),
        ];
        for (change, why, lists) in cases {
            let (keeper, platform) = keeper(change);
            let error = keep(&keeper).await.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(why), "{error}");
            let log = platform.world().log.clone();
            assert_eq!(log.iter().filter(|l| *l == "create").count(), 1);
            assert_eq!(log.iter().filter(|l| *l == "list").count(), lists);
            let told = log.last().cloned().unwrap_or_default();
            for part in ["LEFT:", NAME, "may exist", why, ": list them"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            // Nobody waits for a run that is stopped; it is told all the same.
            let (keeper, platform) = self::keeper(change);
            drop(tokio::time::timeout(Duration::from_millis(500), keep(&keeper)).await);
            all_ends(&keeper).await;
            assert_eq!(platform.world().log.last(), Some(&told));
            assert!(!log.contains(&"delete".to_owned()), "{log:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deleting_is_tried_again_and_a_failure_is_told_with_the_way_out() {
        let down = || HostedError::Unavailable("down".to_owned());
        let limited = || HostedError::Limited { secs: 30 };
        let unfound =
            || HostedError::Refused { what: "it".into(), status: 404, message: "none".into() };
        let denied =
            || HostedError::Denied { what: "it".into(), status: 401, message: "no".into() };
        for (failing, deletions, left) in [
            (vec![down(), limited()], 3, false),
            (vec![down(), down(), down(), down(), down()], 5, true),
            (vec![denied()], 1, true),
            // It is in the list still.
            (vec![unfound(), unfound()], 3, false),
            (vec![unfound(); 5], 5, true),
            // Longer than anybody waits.
            (vec![HostedError::Limited { secs: 3600 }], 1, true),
        ] {
            let (keeper, platform) = keeper(|world| world.failing.clone_from(&failing));
            keep(&keeper).await.unwrap().end().await;
            let log = platform.world().log.clone();
            assert_eq!(log.iter().filter(|l| *l == "delete").count(), deletions, "{log:?}");
            let told = log.last().cloned().unwrap_or_default();
            let way_out = format!("away with {}", "b".repeat(20));
            assert_eq!(told.starts_with("LEFT:") && told.ends_with(&way_out), left, "{told}");
        }
        // Not found, and in no list: somebody else deleted it.
        let (keeper, platform) = keeper(|world| world.failing = vec![unfound()]);
        let kept = keep(&keeper).await.unwrap();
        platform.world().there.clear();
        kept.end().await;
        assert_eq!(platform.world().log, ["create", "delete", "list", DELETED]);
    }
}
