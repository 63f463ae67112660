//! Whether a branch can be used, from what Supabase says of it. Pure.
//!
//! Its project is healthy before Supabase has done with it: a run then brings in what production has.
//! A run that broke off does no more, and what it made is taken away anyway.

use std::time::Duration;

use super::ports::{Look, Step};
use crate::base::limits;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// For this.
    Wait(String),
    Use,
    /// It will never be ready.
    GiveUp(String),
}

/// `healthy_for` is how long its project has been seen healthy without a break.
pub(crate) fn next(look: &Look, healthy_for: Duration) -> Next {
    match look.status.as_str() {
        "ACTIVE_HEALTHY" => after_health(look, healthy_for),
        "INIT_FAILED" | "RESTORE_FAILED" | "PAUSE_FAILED" | "REMOVED" | "GOING_DOWN" => {
            Next::GiveUp(format!("it is {}", look.status))
        }
        status => Next::Wait(format!("it is {status}")),
    }
}

fn after_health(look: &Look, healthy_for: Duration) -> Next {
    let runs = look.runs.as_deref().unwrap_or_default();
    if let Some(step) = runs.iter().find_map(|run| working(run)) {
        return Next::Wait(format!("it is {}; Supabase is at '{step}'", look.status));
    }
    // A run begins a moment after its project, or is not told of at all.
    if runs.is_empty() && healthy_for < limits::BRANCH_SETTLES {
        return Next::Wait(format!("it is {}; whether Supabase is done is not said", look.status));
    }
    match look.login {
        Some(_) => Next::Use,
        None => Next::Wait(format!("it is {}; its password is not told", look.status)),
    }
}

/// The step that a run is at; none once all ended, or one broke off.
fn working(run: &[Step]) -> Option<&str> {
    let is = |step: &&Step, statuses: &[&str]| statuses.contains(&step.status.as_str());
    let busy = run.iter().find(|s| is(s, &["RUNNING", "RESTARTING", "PAUSED", "REMOVING"]));
    let broken = run.iter().any(|s| is(&s, &["DEAD"]));
    let waiting = run.iter().find(|s| is(s, &["CREATED"])).filter(|_| !broken);
    busy.or(waiting).map(|step| step.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redact::Secret;
    use crate::db::branch::ports::Login;
    use crate::db::hosted::ports::HostedError;

    fn untold() -> HostedError {
        HostedError::Denied { what: "runs".into(), status: 403, message: "no".into() }
    }

    fn look(status: &str, runs: Option<&[&[(&str, &str)]]>) -> Look {
        let step =
            |(name, status): &(&str, &str)| Step { name: (*name).into(), status: (*status).into() };
        let runs = runs.map(|runs| runs.iter().map(|r| r.iter().map(step).collect()).collect());
        let runs = runs.ok_or_else(untold);
        let login = Login {
            host: "h".into(),
            port: 5432,
            user: "postgres".into(),
            password: Secret::new("p"),
        };
        Look { status: status.to_owned(), runs, login: Some(login) }
    }

    #[test]
    fn a_branch_is_used_when_it_is_healthy_and_supabase_is_done() {
        let done: &[&[(&str, &str)]] = &[&[("clone", "EXITED"), ("migrate", "EXITED")]];
        let at_work: &[&[(&str, &str)]] = &[&[("clone", "EXITED"), ("migrate", "RUNNING")]];
        let begins: &[&[(&str, &str)]] = &[&[("clone", "CREATED"), ("migrate", "CREATED")]];
        let broke: &[&[(&str, &str)]] = &[&[("migrate", "DEAD"), ("seed", "CREATED")]];
        let one_goes_on: &[&[(&str, &str)]] = &[&[("migrate", "DEAD")], &[("seed", "RUNNING")]];
        let (none, settled) = (Duration::ZERO, limits::BRANCH_SETTLES);
        let almost = settled.saturating_sub(Duration::from_micros(1));
        let waits = |text: &str| Next::Wait(text.to_owned());
        for (status, runs, healthy_for, expected) in [
            ("COMING_UP", Some(begins), none, waits("it is COMING_UP")),
            ("UNKNOWN", None, none, waits("it is UNKNOWN")),
            ("INACTIVE", None, none, waits("it is INACTIVE")),
            ("INIT_FAILED", Some(done), none, Next::GiveUp("it is INIT_FAILED".into())),
            ("REMOVED", None, settled, Next::GiveUp("it is REMOVED".into())),
            ("ACTIVE_HEALTHY", Some(done), none, Next::Use),
            ("ACTIVE_HEALTHY", Some(broke), none, Next::Use),
            (
                "ACTIVE_HEALTHY",
                Some(at_work),
                settled,
                waits("it is ACTIVE_HEALTHY; Supabase is at 'migrate'"),
            ),
            (
                "ACTIVE_HEALTHY",
                Some(begins),
                settled,
                waits("it is ACTIVE_HEALTHY; Supabase is at 'clone'"),
            ),
            (
                "ACTIVE_HEALTHY",
                Some(one_goes_on),
                settled,
                waits("it is ACTIVE_HEALTHY; Supabase is at 'seed'"),
            ),
            ("ACTIVE_HEALTHY", Some(&[]), settled, Next::Use),
            ("ACTIVE_HEALTHY", None, settled, Next::Use),
            (
                "ACTIVE_HEALTHY",
                Some(&[]),
                almost,
                waits("it is ACTIVE_HEALTHY; whether Supabase is done is not said"),
            ),
            (
                "ACTIVE_HEALTHY",
                None,
                almost,
                waits("it is ACTIVE_HEALTHY; whether Supabase is done is not said"),
            ),
        ] {
            let look = look(status, runs);
            assert_eq!(next(&look, healthy_for), expected, "{look:?} {healthy_for:?}");
        }
        let silent = Look { login: None, ..look("ACTIVE_HEALTHY", Some(done)) };
        assert_eq!(next(&silent, settled), waits("it is ACTIVE_HEALTHY; its password is not told"));
    }
}
