//! `--force CHECK --finding F --worst V --until T --reason R`: what every verb that judges takes.

use crate::base::clock::Timestamp;
use crate::base::ids::{CheckId, CommitId};
use crate::base::units::Micros;
use crate::base::yaml;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::{CHECKS, Code};
use crate::cli::failure::Failure;
use crate::gate::waiver::{Role, Waiver, WaiverError};
use crate::verbs::ship::Ship;
use crate::verbs::waive::{Asked, Reach, WaiveError, waive};

const ALL: [&str; 4] = ["finding", "worst", "until", "reason"];

/// One finding that somebody tolerates for a time.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Force {
    /// Tolerate one finding of this check; a decision that the ledger keeps with who and why
    #[arg(id = "force", long = "force", value_name = "CHECK", requires_all = ALL, help_heading = "Waiver")]
    check: Option<String>,

    /// The finding, by the fingerprint that the gate shows
    #[arg(long, value_name = "FINGERPRINT", requires = "force", help_heading = "Waiver")]
    finding: Option<String>,

    /// The worst value tolerated, such as 900ms, 2% or an integer; a worse one closes the gate
    #[arg(long, value_name = "VALUE", requires = "force", help_heading = "Waiver")]
    worst: Option<String>,

    /// Until when: a time like 2026-11-30T12:00:00Z, a day, or a duration like 24h
    #[arg(long, value_name = "TIME", requires = "force", help_heading = "Waiver")]
    until: Option<String>,

    /// Why
    #[arg(long, value_name = "TEXT", requires = "force", help_heading = "Waiver")]
    reason: Option<String>,

    /// As whom: engineering, product or ops [default: `ORCA_ROLE`; else engineering, in CI ci]
    #[arg(long, value_name = "ROLE", requires = "force", help_heading = "Waiver")]
    role: Option<Role>,
}

impl Force {
    pub(crate) const fn is_given(&self) -> bool {
        self.check.is_some()
    }

    /// Writes the waiver, where one was asked for, about `commit`.
    pub(crate) async fn write(
        &self,
        ship: &Ship,
        commit: &CommitId,
        context: &Context,
    ) -> Result<Option<Waiver>, Failure> {
        let Some(asked) = self.asked(context)? else { return Ok(None) };
        let waiver = waive(ship, commit, asked).await?;
        let signed = if ship.signer.is_some() { "" } else { " (unsigned: the role is a claim)" };
        context.say(format!("{} of {}: {}{signed}", waiver.finding, waiver.check, waiver.told()));
        Ok(Some(waiver))
    }

    fn asked(&self, context: &Context) -> Result<Option<Asked>, Failure> {
        let (Some(check), Some(finding), Some(worst), Some(until), Some(reason)) =
            (&self.check, &self.finding, &self.worst, &self.until, &self.reason)
        else {
            return Ok(None);
        };
        let now = context.clock.now();
        let until = parse_until(until, now).map_err(usage)?;
        let asked = Asked {
            check: CheckId::new(check.clone()).map_err(|error| usage(error.to_string()))?,
            finding: finding.clone(),
            worst: worst.clone(),
            until,
            reason: reason.clone(),
            by: context.env.actor(),
            role: role(self.role, context)?,
            reach: Reach::Everything,
        };
        refuse_unknown(&asked, now)?;
        Ok(Some(asked))
    }
}

/// The role given, that of the environment, or the likely one: a CI job is `ci`, and may not waive.
pub(crate) fn role(given: Option<Role>, context: &Context) -> Result<Role, Failure> {
    match (given, context.env.get("ORCA_ROLE")) {
        (Some(role), _) => Ok(role),
        (None, Some(text)) => {
            text.parse().map_err(|error: String| usage(format!("ORCA_ROLE: {error}")))
        }
        (None, None) if context.env.is_ci() => Ok(Role::Ci),
        (None, None) => Ok(Role::Engineering),
    }
}

/// A time, a day (its beginning in UTC), or a duration from now.
pub(crate) fn parse_until(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(span) = text.parse::<Micros>() {
        return Ok(now.plus(span.duration()));
    }
    Timestamp::parse_written(text).map_err(|error| format!("{error}, or a span such as 24h"))
}

/// A check that does not exist finds nothing. One that can never be waived is told so later.
fn refuse_unknown(asked: &Asked, now: Timestamp) -> Result<(), Failure> {
    let names = || CHECKS.iter().map(|(id, _)| *id);
    let never = Waiver {
        id: crate::base::ids::OrcaId::new("wa_asked").expect("a constant id"),
        check: asked.check.clone(),
        finding: asked.finding.clone(),
        worst: 0,
        until: asked.until,
        reason: asked.reason.clone(),
        by: asked.by.clone(),
        role: asked.role,
        only: None,
    };
    let is_never = matches!(never.validate(now), Err(WaiverError::Never(_)));
    if is_never || names().any(|id| id == asked.check.as_str()) {
        return Ok(());
    }
    let failure = usage(format!("there is no check {}", asked.check));
    Err(match yaml::nearest_name(asked.check.as_str(), names()) {
        Some(name) => failure.hint(format!("did you mean {name}?")),
        None => failure.hint("orca explain lists the checks"),
    })
}

fn usage(text: String) -> Failure {
    Failure::new(Code::WaiverRefused, Exit::Usage, text)
}

impl From<WaiveError> for Failure {
    fn from(error: WaiveError) -> Self {
        let text = error.to_string();
        match error {
            WaiveError::Book(error) => error.into(),
            WaiveError::Worst { .. } => usage(text),
            WaiveError::Waiver(why) => match why {
                WaiverError::Never(_) | WaiverError::NeverFinding(_) => {
                    Self::new(Code::WaiverRefused, Exit::Closed, text)
                        .hint("mend it: only another commit or artifact helps")
                }
                WaiverError::Role => Self::new(Code::WaiverRefused, Exit::Closed, text)
                    .hint("--role engineering, product or ops, as a person"),
                WaiverError::NoReason => usage(text).hint("--reason \"why this is tolerable\""),
                WaiverError::Ended(_) => usage(text).hint("--until 24h, or a time to come"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_durations() {
        let now = Timestamp::parse_rfc3339("2026-11-21T04:00:00Z").unwrap();
        for (text, until) in [
            ("24h", "2026-11-22T04:00:00Z"),
            ("2026-11-30T12:00:00Z", "2026-11-30T12:00:00Z"),
            ("2026-11-30", "2026-11-30T00:00:00Z"),
        ] {
            assert_eq!(parse_until(text, now).unwrap().rfc3339(), until);
        }
        for bad in ["tomorrow", "24", "2026-13-01"] {
            assert!(parse_until(bad, now).unwrap_err().contains(bad));
        }
    }
}
