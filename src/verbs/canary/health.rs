//! Asks the new version by itself whether it is well, seldom: it is a request too. A platform that
//! does not say where the version is asked says nothing about the version. Whoever waits for the
//! answers looks at nothing else meanwhile: all is asked at once, and a signal ends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::clock;
use crate::base::units::Micros;
use crate::rollout::health::{CRITICAL_TRIES, HealthCheck, HealthPolicy, HealthSeen, breach};
use crate::rollout::machine::Event;
use crate::rollout::ports::{Arm, Door, Platform};
use crate::rollout::triggers::Triggers;
use crate::verbs::ports::Ask;

/// How often it is asked, at most.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Between two tries of a critical path.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What one version answered, and since when it has not.
#[derive(Debug, Default)]
pub(crate) struct Health {
    door: Option<Door>,
    asked: Option<Instant>,
    sick_since: Option<Instant>,
    seen: HealthSeen,
}

/// Who is asked, and who would share a failure with it.
pub(crate) struct Asked<'a> {
    pub(crate) platform: &'a dyn Platform,
    pub(crate) ask: &'a Arc<dyn Ask>,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) arm: Arm,
    /// Asked too before anything is blamed; nobody where there is no other version.
    pub(crate) other: Option<Arm>,
}

fn policy(triggers: &Triggers) -> HealthPolicy {
    HealthPolicy {
        unhealthy_for: triggers.unhealthy_for,
        health: triggers.health_path().to_owned(),
        critical: triggers.critical.clone(),
    }
}

impl Health {
    /// What was seen, as a check.
    pub(crate) fn check(&self, triggers: &Triggers) -> HealthCheck {
        HealthCheck { policy: policy(triggers), seen: self.seen.clone() }
    }

    /// Asks when it is time; a breach once a trigger says so.
    pub(crate) async fn look(&mut self, asked: Asked<'_>, triggers: &Triggers) -> Option<Event> {
        if !triggers.asks() || !self.is_due(asked.platform, triggers) {
            return None;
        }
        tokio::select! {
            biased;
            () = asked.cancel.cancelled() => None,
            event = self.ask(&asked, triggers) => event,
        }
    }

    async fn ask(&mut self, asked: &Asked<'_>, triggers: &Triggers) -> Option<Event> {
        let now = clock::monotonic();
        self.asked = Some(now);
        let door = match self.door.clone() {
            Some(door) => door,
            None => self.door.insert(asked.platform.door(asked.arm).await.ok()?).clone(),
        };
        self.seen.asked += 1;
        let well = async {
            triggers.unhealthy_for?;
            Some(is_well(&**asked.ask, &door, triggers.health_path()).await)
        };
        let (well, failed) =
            tokio::join!(well, first_failing(asked.ask, &door, &triggers.critical));
        if let Some(well) = well {
            self.note(now, well.err());
        }
        if failed.is_some() {
            self.seen.failed = failed;
        }
        let (headline, _) = breach(&policy(triggers), &self.seen)?;
        self.seen.base_too = fails_too(asked, &self.seen, triggers).await;
        let shared = "both versions fail when they are asked".to_owned();
        let both_arms_breach = self.seen.base_too.then_some(shared);
        if self.seen.base_too {
            // Asked again as long as it holds: what both share may come back.
            self.seen.failed = None;
        }
        Some(Event::HardLimit { headline, both_arms_breach })
    }

    fn is_due(&self, platform: &dyn Platform, triggers: &Triggers) -> bool {
        let quarter = triggers.unhealthy_for.map_or(ASK_EVERY, |limit| limit.duration() / 4);
        let every = ASK_EVERY.min(quarter).max(platform.look_every());
        self.asked.is_none_or(|at| clock::since(at) >= every)
    }

    fn note(&mut self, now: Instant, why: Option<String>) {
        let Some(why) = why else {
            (self.sick_since, self.seen.unhealthy) = (None, None);
            return;
        };
        let since = *self.sick_since.get_or_insert(now);
        let span = Micros(u64::try_from((now - since).as_micros()).unwrap_or(u64::MAX));
        self.seen.unhealthy = Some((span, why));
    }
}

async fn is_well(ask: &dyn Ask, door: &Door, path: &str) -> Result<(), String> {
    match ask.get(door, path).await {
        Ok(status) if status < 500 => Ok(()),
        Ok(status) => Err(format!("{path} answers {status}")),
        Err(why) => Err(why),
    }
}

/// The first critical path that fails every time, and how; the others are not waited for then.
async fn first_failing(
    ask: &Arc<dyn Ask>,
    door: &Door,
    paths: &[String],
) -> Option<(String, String)> {
    let mut running = JoinSet::new();
    for path in paths.iter().cloned() {
        let (ask, door) = (Arc::clone(ask), door.clone());
        running.spawn(async move {
            let why = fails(&*ask, &door, &path).await?;
            Some((path, why))
        });
    }
    while let Some(ended) = running.join_next().await {
        match ended.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(Some(failed)) => return Some(failed),
            // A panic is a bug in orca, and nothing about the version.
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Ok(None) | Err(Err(_)) => {}
        }
    }
    None
}

/// Why a critical path fails every time, where it does.
async fn fails(ask: &dyn Ask, door: &Door, path: &str) -> Option<String> {
    let mut last = String::new();
    for number in 0..CRITICAL_TRIES {
        if number > 0 {
            tokio::time::sleep(TRY_AGAIN).await;
        }
        last = match ask.get(door, path).await {
            Ok(status) if status < 400 => return None,
            Ok(status) => format!("it answers {status}"),
            Err(why) => why,
        };
    }
    Some(last)
}

/// Whether the other version fails in the same way: one try, users wait for this.
async fn fails_too(asked: &Asked<'_>, seen: &HealthSeen, triggers: &Triggers) -> bool {
    let Some(other) = asked.other else { return false };
    let Ok(door) = asked.platform.door(other).await else { return false };
    match &seen.failed {
        Some((path, _)) => asked.ask.get(&door, path).await.map_or(true, |status| status >= 400),
        None => is_well(&**asked.ask, &door, triggers.health_path()).await.is_err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::stand_in::doors;

    /// Answers after a second; nothing where it is told to.
    struct Slow {
        down: &'static [&'static str],
    }

    #[async_trait::async_trait]
    impl Ask for Slow {
        async fn get(&self, _: &Door, path: &str) -> Result<u16, String> {
            if path == "/never" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.down.contains(&path) { Err("no answer".to_owned()) } else { Ok(200) }
        }
    }

    fn asked<'a>(
        platform: &'a dyn Platform,
        ask: &'a Arc<dyn Ask>,
        cancel: &'a CancellationToken,
    ) -> Asked<'a> {
        Asked { platform, ask, cancel, arm: Arm::Canary, other: None }
    }

    fn critical(paths: &[&str]) -> Triggers {
        let critical = paths.iter().map(|path| (*path).to_owned()).collect();
        Triggers { critical, ..Triggers::default() }
    }

    /// Three paths of which nobody answers take as long as one, and one that fails is enough.
    #[tokio::test(start_paused = true)]
    async fn paths_are_asked_side_by_side() {
        for (paths, down, secs, failed) in [
            (["/a", "/b", "/c"], &["/a", "/b", "/c"] as &[_], 4, true),
            (["/a", "/b", "/c"], &["/c"], 4, true),
            (["/never", "/b", "/c"], &["/b"], 4, true),
            (["/a", "/b", "/c"], &[], 1, false),
        ] {
            let ask: Arc<dyn Ask> = Arc::new(Slow { down });
            let (platform, cancel) = (doors(), CancellationToken::new());
            let begun = tokio::time::Instant::now();
            let event =
                Health::default().look(asked(&platform, &ask, &cancel), &critical(&paths)).await;
            assert_eq!(event.is_some_and(|event| event.is_breach()), failed, "{paths:?}");
            assert_eq!(begun.elapsed().as_secs(), secs, "{paths:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_does_not_wait_for_an_answer() {
        let ask: Arc<dyn Ask> = Arc::new(Slow { down: &[] });
        let (platform, cancel) = (doors(), CancellationToken::new());
        let stop = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            cancel.cancel();
        };
        let mut health = Health::default();
        let triggers = critical(&["/never"]);
        let (event, ()) =
            tokio::join!(health.look(asked(&platform, &ask, &cancel), &triggers), stop);
        assert_eq!(event, None);
    }
}
