//! What the judged gates of a watch come to. Pure.
//!
//! What a source said when it first answered was there before the release could have made it: only
//! what comes up after that is a breach. Stable is a release of which a source of users said so.

use std::collections::BTreeSet;

use crate::base::ids::CheckId;
use crate::gate::ruling::{CheckRecord, RulingRecord};
use crate::gate::verdict::Verdict;

/// Checks that look at what users get.
const USERS: [&str; 2] = ["watch.users", "slo.budget"];

/// What a watch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Users go back.
    Breach(String),
    /// Users were seen to do well.
    Quiet(String),
    Undecided(String),
}

/// What the sources blamed when they first answered, as long as they still do.
#[derive(Debug, Default)]
pub(crate) struct Before {
    answered: BTreeSet<CheckId>,
    blamed: BTreeSet<(CheckId, String)>,
}

impl Before {
    /// Hears what the sources say now; the first failure that was not there before.
    pub(crate) fn hear<'a>(
        &mut self,
        said: impl IntoIterator<Item = &'a RulingRecord>,
    ) -> Option<String> {
        let checks = said.into_iter().flat_map(|record| &record.checks);
        let new: Vec<String> =
            checks.filter(|check| check.required).filter_map(|c| self.new_in(c)).collect();
        new.into_iter().next()
    }

    fn new_in(&mut self, check: &CheckRecord) -> Option<String> {
        if matches!(check.counted, Verdict::Inconclusive | Verdict::NotApplicable) {
            return None;
        }
        let failed = check.counted == Verdict::Fail;
        let findings = check.judgement.findings.iter().filter(|_| failed);
        let of = |fingerprint: &String| (check.check.clone(), fingerprint.clone());
        let now: BTreeSet<_> = findings.clone().map(|f| of(&f.fingerprint)).collect();
        if self.answered.insert(check.check.clone()) {
            self.blamed.extend(now);
            return None;
        }
        let new = findings.clone().find(|f| !self.blamed.contains(&of(&f.fingerprint)));
        let headline = new.map(|finding| finding.title.clone());
        // What a source no longer blames and blames again is new.
        self.blamed.retain(|known| known.0 != check.check || now.contains(known));
        headline
    }

    /// What everything together comes to at the end: `own` of the platform and of the version
    /// itself, `sources` besides.
    pub(crate) fn outcome(
        &mut self,
        own: Option<&RulingRecord>,
        sources: &[&RulingRecord],
    ) -> Outcome {
        if let Some(failed) = own.filter(|record| record.verdict == Verdict::Fail) {
            return Outcome::Breach(failed.headline.clone());
        }
        if let Some(headline) = self.hear(sources.iter().copied()) {
            return Outcome::Breach(headline);
        }
        let all = || own.into_iter().chain(sources.iter().copied());
        let Some(worst) = all().max_by_key(|record| record.verdict) else {
            return Outcome::Undecided("nothing looked at users".to_owned());
        };
        let headline = worst.headline.clone();
        match worst.verdict {
            Verdict::Fail => Outcome::Undecided(format!("{headline}; so it was before the watch")),
            Verdict::Inconclusive => Outcome::Undecided(headline),
            _ if all().any(says_users_do_well) => Outcome::Quiet(headline),
            _ => Outcome::Undecided(format!("no source says that users do well: {headline}")),
        }
    }
}

/// Whether a source of users passed, or a person answered for what it found.
fn says_users_do_well(record: &RulingRecord) -> bool {
    let users = |check: &&CheckRecord| check.required && USERS.contains(&check.check.as_str());
    record.checks.iter().filter(users).any(|check| match check.counted {
        Verdict::Pass => true,
        Verdict::Waived => !check.waivers.is_empty(),
        Verdict::NotApplicable | Verdict::Inconclusive | Verdict::Fail => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Entropy, Timestamp};
    use crate::base::digest::Digest;
    use crate::base::ids::{CommitId, Environment, OrcaId};
    use crate::gate::ruling::{Mode, Subject};
    use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

    /// A gate of one check, which counts so and blames this.
    fn gate(check: &str, counted: Verdict, blames: &[&str]) -> RulingRecord {
        let finding = |name: &&str| Finding {
            fingerprint: (*name).to_owned(),
            title: format!("{name} is wrong"),
            place: None,
            value: 1,
            unit: Unit::Count,
            next: String::new(),
        };
        let judgement = Judgement {
            findings: blames.iter().map(finding).collect(),
            ..Judgement::inconclusive(Cause::NoData, check, "v1")
        };
        let record = CheckRecord {
            check: CheckId::new(check).unwrap(),
            rule: check.to_owned(),
            rule_version: 1,
            required: true,
            judgement,
            policy: Digest::of(b"policy"),
            exhibit: Digest::of(b"exhibit"),
            observed_at: Timestamp::from_us(1),
            max_age_us: 1,
            waivers: Vec::new(),
            counted,
        };
        let subject = Subject {
            commit: CommitId::new("4".repeat(40)).unwrap(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        };
        RulingRecord {
            gate: check.to_owned(),
            subject,
            mode: Mode::Enforce,
            checks: vec![record],
            verdict: counted,
            cause: None,
            headline: format!("{check}: {counted}"),
        }
    }

    fn budget(counted: Verdict, blames: &[&str]) -> RulingRecord {
        gate("slo.budget", counted, blames)
    }

    /// A budget that was spent before blames nobody; what comes up later does, and so does what was
    /// mended and comes back.
    #[test]
    fn only_what_comes_up_during_the_watch_is_a_breach() {
        use Verdict::{Fail, Inconclusive, Pass, Waived};
        type Said = (Verdict, &'static [&'static str], Option<&'static str>);
        let spent = (Fail, &["spent"] as &[_], None);
        let cases: [(&str, Vec<Said>); 6] = [
            ("spent before", vec![spent, spent, (Inconclusive, &[], None), spent]),
            ("spent now", vec![(Pass, &[], None), (Fail, &["spent"], Some("spent is wrong"))]),
            ("burns besides", vec![spent, (Fail, &["spent", "burn"], Some("burn is wrong"))]),
            (
                "mended, and again",
                vec![spent, (Pass, &[], None), (Fail, &["spent"], Some("spent is wrong"))],
            ),
            (
                "worse than was waived",
                vec![(Waived, &["spent"], None), (Fail, &["spent"], Some("spent is wrong"))],
            ),
            ("nobody answered at first", vec![(Inconclusive, &[], None), spent, spent]),
        ];
        for (what, said) in cases {
            let mut before = Before::default();
            for (number, (counted, blames, expected)) in said.into_iter().enumerate() {
                let heard = before.hear([&budget(counted, blames)]);
                assert_eq!(heard.as_deref(), expected, "{what}, {number}");
            }
        }
    }

    #[test]
    fn only_a_source_of_users_makes_it_stable() {
        use Verdict::{Fail, Inconclusive, NotApplicable, Pass, Waived};
        let users = |counted| gate("watch.users", counted, &[]);
        let health = |counted| gate("canary.health", counted, &[]);
        let mut answered_for = budget(Waived, &["spent"]);
        answered_for.checks[0].waivers = vec![OrcaId::generate("wa", &Entropy::seeded(1))];
        for (what, own, sources, expected) in [
            ("users pass", Some(users(Pass)), vec![], "quiet"),
            ("users and budget", Some(users(Pass)), vec![budget(Pass, &[])], "quiet"),
            ("the budget alone", None, vec![budget(Pass, &[])], "quiet"),
            ("a waived budget", None, vec![answered_for], "quiet"),
            ("an observed budget", None, vec![budget(Waived, &[])], "undecided"),
            (
                "no budget but well",
                Some(health(Pass)),
                vec![budget(NotApplicable, &[])],
                "undecided",
            ),
            ("nobody asked", None, vec![], "undecided"),
            ("users undecided", Some(users(Inconclusive)), vec![budget(Pass, &[])], "undecided"),
            ("users fail", Some(users(Fail)), vec![budget(Pass, &[])], "breach"),
            ("spent before", Some(users(Pass)), vec![budget(Fail, &["spent"])], "undecided"),
        ] {
            let sources: Vec<&RulingRecord> = sources.iter().collect();
            let outcome = match Before::default().outcome(own.as_ref(), &sources) {
                Outcome::Breach(_) => "breach",
                Outcome::Quiet(_) => "quiet",
                Outcome::Undecided(_) => "undecided",
            };
            assert_eq!(outcome, expected, "{what}");
        }
    }
}
