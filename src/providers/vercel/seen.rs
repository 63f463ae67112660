//! What Vercel's answers together mean: who serves, who gets how much, what changed since. Pure.
//!
//! Three things are asked: the rolling release, the deployment behind the production domain, and
//! the project's last request to move that domain. A release that is complete has made its canary
//! the production deployment; for the run that brought it there it stays the canary, at everything,
//! because the old base is where going back leads.

use super::answers::{AliasRequest, Rolling, RollingState};
use crate::base::units::Weight;

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) rolling: Option<Rolling>,
    /// The deployment behind the production domain.
    pub(super) domain: String,
    pub(super) last: Option<AliasRequest>,
    /// The whole project is closed for users.
    pub(super) is_paused: bool,
}

/// The canary that this run has made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    pub(super) canary: String,
    pub(super) base: String,
    /// Whether it was raised above nothing.
    pub(super) begun: bool,
}

/// Who gets what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) base: String,
    pub(super) canary: Option<String>,
    pub(super) weight: Weight,
}

/// A move of the domains that is not over, or not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsettled {
    UnderWay,
    /// The production domain leads there, and others do not.
    Failed,
}

impl Seen {
    pub(super) fn active(&self) -> Option<&Rolling> {
        self.rolling.as_ref().filter(|rolling| rolling.state == RollingState::Active)
    }

    /// What served before the release that has users: one under way, or one that is complete and
    /// that the domain leads to.
    pub(super) fn base_of_release(&self) -> Option<String> {
        if self.active().is_some() {
            return Some(self.split(None).base);
        }
        Some(self.completed()?.current_deployment.as_ref()?.id.clone())
    }

    /// The release that made its canary what the domain leads to.
    fn completed(&self) -> Option<&Rolling> {
        self.rolling.as_ref().filter(|rolling| {
            rolling.state == RollingState::Complete
                && rolling.canary_deployment.as_ref().is_some_and(|side| side.id == self.domain)
        })
    }

    /// Grows with every release and every move of the domain, in milliseconds.
    pub(super) fn generation(&self) -> u64 {
        let rolling = self.rolling.as_ref().map_or(0, |rolling| rolling.updated_at);
        let moved = self.last.as_ref().map_or(0, |last| last.requested_at);
        u64::try_from(rolling.max(moved)).unwrap_or(0)
    }

    pub(super) fn split(&self, staged: Option<&Staged>) -> Split {
        if let Some(active) = self.active() {
            let percent = active.active_stage.as_ref().map_or(0, |stage| stage.target_percentage);
            let base = active.current_deployment.as_ref().map_or(&self.domain, |side| &side.id);
            return Split {
                base: base.clone(),
                canary: active.canary_deployment.as_ref().map(|side| side.id.clone()),
                weight: Weight::from_basis_points(u32::from(percent) * 100).unwrap_or(Weight::FULL),
            };
        }
        match staged {
            Some(ours) if ours.begun && self.domain == ours.canary => Split {
                base: ours.base.clone(),
                canary: Some(ours.canary.clone()),
                weight: Weight::FULL,
            },
            Some(ours) if !ours.begun => Split {
                base: self.domain.clone(),
                canary: Some(ours.canary.clone()),
                weight: Weight::ZERO,
            },
            _ => Split { base: self.domain.clone(), canary: None, weight: Weight::ZERO },
        }
    }

    /// Whether the domain leads to `deployment`, and to nothing else.
    pub(super) fn is_all_on(&self, deployment: &str) -> bool {
        let moves = self.last.as_ref().is_some_and(AliasRequest::is_under_way);
        self.active().is_none() && self.domain == deployment && !moves
    }

    /// The same of every domain of the project, as far as the last move tells.
    pub(super) fn is_whole_on(&self, deployment: &str) -> bool {
        self.is_all_on(deployment) && self.unsettled(deployment).is_none()
    }

    /// Whether somebody went back, and nothing was released since.
    pub(super) fn went_back(&self) -> bool {
        self.last.as_ref().is_some_and(|last| {
            let released = self.rolling.as_ref().filter(|r| r.state != RollingState::Aborted);
            last.kind == "rollback"
                && last.to_deployment_id == self.domain
                && released.is_none_or(|rolling| rolling.started_at < last.requested_at)
        })
    }

    /// What served before, where these answers say so.
    pub(super) fn before(&self) -> Option<String> {
        let by_release = self.completed().and_then(|rolling| {
            Some((rolling.updated_at, rolling.current_deployment.as_ref()?.id.clone()))
        });
        let promoted = self.last.as_ref().filter(|last| {
            last.kind == "promote"
                && last.job_status == "succeeded"
                && last.to_deployment_id == self.domain
        });
        let by_promotion =
            promoted.map(|last| (last.requested_at, last.from_deployment_id.clone()));
        by_release.into_iter().chain(by_promotion).max_by_key(|(at, _)| *at).map(|(_, id)| id)
    }

    /// Who was asked to serve after `since`, when that is another than `wanted`: a person, usually.
    pub(super) fn moved_elsewhere(&self, wanted: &str, since: i64) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.requested_at > since && last.to_deployment_id != wanted)
    }

    /// Whether going back to `wanted` was asked for after `since`.
    pub(super) fn is_asked_for(&self, wanted: &str, since: i64) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.requested_at > since
                && last.to_deployment_id == wanted
                && last.job_status != "failed"
        })
    }

    /// Whether moving the domain to `wanted`, asked for after `since`, failed.
    pub(super) fn has_failed(&self, wanted: &str, since: i64) -> bool {
        self.last.as_ref().is_some_and(|last| {
            last.requested_at > since
                && last.to_deployment_id == wanted
                && last.job_status == "failed"
        })
    }

    /// Whether the last move, to `deployment`, leaves open who has users. One that failed and left the
    /// production domain where it was may be asked for again.
    pub(super) fn unsettled(&self, deployment: &str) -> Option<Unsettled> {
        let last = self.last.as_ref().filter(|last| last.to_deployment_id == deployment)?;
        match last.job_status.as_str() {
            _ if last.is_under_way() => Some(Unsettled::UnderWay),
            "failed" if self.domain == deployment => Some(Unsettled::Failed),
            _ => None,
        }
    }

    /// Whether a release of `canary` is under way.
    pub(super) fn rolls(&self, canary: &str) -> bool {
        let side = self.active().and_then(|active| active.canary_deployment.as_ref());
        side.is_some_and(|side| side.id == canary)
    }

    pub(super) fn last_requested(&self) -> i64 {
        self.last.as_ref().map_or(0, |last| last.requested_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::{ActiveStage, Side};
    use super::*;

    fn rolling(state: RollingState, percent: u16) -> Rolling {
        let side = |id: &str| Some(Side { id: id.to_owned() });
        let stage = ActiveStage { index: 1, target_percentage: percent };
        Rolling {
            state,
            active_stage: Some(stage).filter(|_| state == RollingState::Active),
            stages: Vec::new(),
            current_deployment: side("base"),
            canary_deployment: side("new"),
            started_at: 100,
            updated_at: 200,
        }
    }

    fn request(kind: &str, to: &str, status: &str, at: i64) -> AliasRequest {
        AliasRequest {
            from_deployment_id: "older".to_owned(),
            to_deployment_id: to.to_owned(),
            job_status: status.to_owned(),
            requested_at: at,
            kind: kind.to_owned(),
        }
    }

    fn seen(rolling: Option<Rolling>, domain: &str, last: Option<AliasRequest>) -> Seen {
        Seen { rolling, domain: domain.to_owned(), last, is_paused: false }
    }

    #[test]
    fn who_gets_what_is_read_from_all_answers_together() {
        use RollingState::{Aborted, Active, Complete};
        let ours =
            |begun| Some(Staged { canary: "new".to_owned(), base: "base".to_owned(), begun });
        for (rolling, domain, staged, expected) in [
            (None, "base", None, ("base", None, 0)),
            (None, "base", ours(false), ("base", Some("new"), 0)),
            (Some(rolling(Active, 5)), "base", None, ("base", Some("new"), 500)),
            (Some(rolling(Active, 100)), "base", ours(true), ("base", Some("new"), 10_000)),
            (Some(rolling(Complete, 0)), "new", ours(true), ("base", Some("new"), 10_000)),
            (Some(rolling(Complete, 0)), "new", None, ("new", None, 0)),
            (Some(rolling(Aborted, 0)), "base", ours(true), ("base", None, 0)),
            (Some(rolling(Complete, 0)), "other", ours(true), ("other", None, 0)),
        ] {
            let split = seen(rolling, domain, None).split(staged.as_ref());
            let found = (
                split.base.as_str(),
                split.canary.as_deref(),
                u32::from(split.weight.basis_points()),
            );
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn going_back_is_told_from_what_was_released_after_it() {
        use RollingState::{Aborted, Complete};
        let back = |at| Some(request("rollback", "base", "succeeded", at));
        assert!(seen(None, "base", back(150)).went_back());
        assert!(seen(Some(rolling(Aborted, 0)), "base", back(150)).went_back());
        assert!(!seen(Some(rolling(Complete, 0)), "base", back(50)).went_back());
        assert!(!seen(None, "other", back(150)).went_back());
        assert!(!seen(None, "base", Some(request("promote", "base", "succeeded", 9))).went_back());
    }

    #[test]
    fn what_served_before_is_the_newest_that_the_answers_name() {
        use RollingState::{Aborted, Complete};
        let promoted = |at| Some(request("promote", "new", "succeeded", at));
        let before = |rolling, last| seen(rolling, "new", last).before();
        assert_eq!(before(Some(rolling(Complete, 0)), None).as_deref(), Some("base"));
        assert_eq!(before(None, promoted(1)).as_deref(), Some("older"));
        assert_eq!(before(Some(rolling(Complete, 0)), promoted(300)).as_deref(), Some("older"));
        assert_eq!(before(Some(rolling(Complete, 0)), promoted(50)).as_deref(), Some("base"));
        assert_eq!(before(Some(rolling(Aborted, 0)), None), None);
    }

    #[test]
    fn the_base_of_a_release_is_known_until_it_is_aborted() {
        use RollingState::{Aborted, Active, Complete};
        for (state, domain, expected) in [
            (Active, "base", Some("base")),
            (Complete, "new", Some("base")),
            (Complete, "other", None),
            (Aborted, "base", None),
        ] {
            let found = seen(Some(rolling(state, 5)), domain, None).base_of_release();
            assert_eq!(found.as_deref(), expected, "{state:?} {domain}");
        }
        assert_eq!(seen(None, "base", None).base_of_release(), None);
    }

    #[test]
    fn arrival_needs_the_domain_no_release_and_no_move_under_way() {
        use RollingState::{Aborted, Active};
        let back = |status| Some(request("rollback", "base", status, 300));
        assert!(seen(Some(rolling(Aborted, 0)), "base", back("succeeded")).is_all_on("base"));
        assert!(!seen(Some(rolling(Active, 5)), "base", back("succeeded")).is_all_on("base"));
        assert!(!seen(None, "base", back("pending")).is_all_on("base"));
        assert!(!seen(None, "new", back("succeeded")).is_all_on("base"));
        let mine = seen(None, "new", back("failed"));
        assert!(mine.has_failed("base", 200) && !mine.has_failed("base", 300));
        assert!(seen(Some(rolling(Active, 5)), "base", None).rolls("new"));
        assert!(!seen(Some(rolling(Aborted, 5)), "base", None).rolls("new"));
        assert!(!mine.is_asked_for("base", 200), "a failed move is asked for again");
        assert!(seen(None, "new", back("pending")).is_asked_for("base", 200));
        assert!(!seen(None, "new", back("pending")).is_asked_for("base", 300));
        let human = seen(None, "new", Some(request("promote", "new", "succeeded", 400)));
        assert!(human.moved_elsewhere("base", 300) && !human.moved_elsewhere("base", 400));
        assert_eq!((human.generation(), mine.generation()), (400, 300));
    }

    #[test]
    fn a_move_that_is_not_over_or_not_whole_is_unsettled() {
        for (domain, to, status, expected) in [
            ("new", "new", "succeeded", None),
            ("new", "new", "skipped", None),
            ("new", "new", "failed", Some(Unsettled::Failed)),
            ("new", "new", "pending", Some(Unsettled::UnderWay)),
            ("base", "new", "in-progress", Some(Unsettled::UnderWay)),
            ("base", "new", "failed", None),
            ("new", "base", "failed", None),
            ("new", "base", "pending", None),
        ] {
            let last = Some(request("promote", to, status, 1));
            let found = seen(None, domain, last).unsettled("new");
            assert_eq!(found, expected, "{domain} {to} {status}");
        }
        assert_eq!(seen(None, "new", None).unsettled("new"), None);
        // All the domain's answers look like an arrival, and the move failed for others.
        let partly = seen(None, "new", Some(request("promote", "new", "failed", 300)));
        assert!(partly.has_failed("new", 200) && partly.is_all_on("new"));
        assert!(!partly.is_whole_on("new") && seen(None, "new", None).is_whole_on("new"));
    }
}
