//! Rolling releases: a template, and at most one release that is under way.

use super::project::{Project, Refusal, now_ms};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Active,
    Complete,
    Aborted,
}

/// One release.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    pub(crate) base: String,
    pub(crate) canary: String,
    pub(crate) stages: Vec<u32>,
    /// Index of the active stage.
    pub(crate) stage: usize,
    pub(crate) phase: Phase,
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) queued: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Rolling {
    /// The template's percentages; nothing while rolling releases are off.
    pub(crate) template: Option<Vec<u32>>,
    pub(crate) newest: Option<Release>,
    /// When a release made its canary the production deployment.
    pub(super) completed_ms: Option<i64>,
}

impl Rolling {
    pub(crate) fn enabled(&self) -> bool {
        self.template.is_some()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.newest.as_ref().is_some_and(|release| release.phase == Phase::Active)
    }

    /// The canary's share while a release is under way.
    pub(crate) fn percent(&self) -> u32 {
        self.split().map_or(0, |(_, percent)| percent)
    }

    /// Whether `id` is one of the two of the newest release.
    pub(super) fn concerns(&self, id: &str) -> bool {
        self.newest.as_ref().is_some_and(|release| release.base == id || release.canary == id)
    }

    /// Who gets how many of 100 buckets, while a release is under way.
    pub(super) fn split(&self) -> Option<(&str, u32)> {
        let release = self.newest.as_ref().filter(|release| release.phase == Phase::Active)?;
        Some((&release.canary, release.stages[release.stage]))
    }

    pub(super) fn start(&mut self, base: &str, canary: &str) -> Result<(), Refusal> {
        if self.is_active() {
            let same = self.newest.as_ref().is_some_and(|release| release.canary == canary);
            let text = "another rolling release is active".to_owned();
            return if same { Ok(()) } else { Err((409, "conflict", text)) };
        }
        let disabled = || (400, "bad_request", "rolling releases are off".to_owned());
        let stages = self.template.clone().ok_or_else(disabled)?;
        let now = now_ms();
        self.newest = Some(Release {
            base: base.to_owned(),
            canary: canary.to_owned(),
            stages,
            stage: 0,
            phase: Phase::Active,
            started_ms: now,
            updated_ms: now,
            queued: None,
        });
        Ok(())
    }

    pub(super) fn abort(&mut self) {
        self.end(Phase::Aborted);
    }

    pub(super) fn queue(&mut self, id: &str) {
        if let Some(release) = &mut self.newest {
            release.queued = Some(id.to_owned());
        }
    }

    fn end(&mut self, phase: Phase) {
        if let Some(release) = &mut self.newest {
            release.phase = phase;
            release.updated_ms = now_ms().max(release.updated_ms + 1);
        }
    }
}

impl Project {
    /// `approve-stage`: only the next stage, of the release and from the stage that are named.
    pub(crate) fn approve(
        &mut self,
        canary: &str,
        next: u64,
        from: Option<u64>,
    ) -> Result<(), Refusal> {
        let no_such = || (404, "not_found", "no rolling release is active".to_owned());
        let release = self.rolling.newest.as_mut().filter(|r| r.phase == Phase::Active);
        let release = release.ok_or_else(no_such)?;
        let active = u64::try_from(release.stage).expect("a few stages");
        if release.canary != canary {
            return Err((400, "bad_request", "another canary is being released".to_owned()));
        }
        if from.is_some_and(|from| from != active) || next != active + 1 {
            return Err((400, "bad_request", format!("stage {active} is active")));
        }
        if usize::try_from(next).is_ok_and(|next| next >= release.stages.len()) {
            return Err((400, "bad_request", format!("there is no stage {next}")));
        }
        release.stage += 1;
        release.updated_ms = now_ms().max(release.updated_ms + 1);
        if release.stages[release.stage] == 100 {
            let canary = release.canary.clone();
            return self.complete(&canary);
        }
        Ok(())
    }

    /// `complete`: everybody is on the canary, which becomes the production deployment.
    pub(crate) fn complete(&mut self, canary: &str) -> Result<(), Refusal> {
        let active = self.rolling.newest.as_ref().filter(|r| r.phase == Phase::Active);
        if active.is_none_or(|release| release.canary != canary) {
            return Err((404, "not_found", "no such rolling release is active".to_owned()));
        }
        self.rolling.end(Phase::Complete);
        self.rolling.completed_ms = self.rolling.newest.as_ref().map(|r| r.updated_ms);
        let canary = canary.to_owned();
        self.served(&canary);
        Ok(())
    }
}
