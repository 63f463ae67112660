//! `db.project`: whether a hosted project is fit for a release: it serves, it can be brought back,
//! and its keys are not old.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, judgement};
use super::ports::{Backups, Hosted, HostedError, Key, Project, Service};
use crate::base::clock::{Clock, Timestamp};
use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Judgement, Unit, Verdict};

const RULE: &str = "the project serves, it can be brought back, and its keys are not old";

/// The project, asked once.
pub(crate) struct ProjectCheck {
    /// Or why it cannot be asked.
    pub(crate) hosted: Result<Arc<dyn Hosted>, Unseen>,
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Seen {
    /// When, in microseconds since 1970: ages are counted up to then.
    pub(crate) at: Timestamp,
    pub(crate) project: Project,
    pub(crate) services: Vec<Service>,
    pub(crate) backups: Backups,
    pub(crate) keys: Vec<Key>,
}

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// How old the newest backup may be, unless any moment can be brought back.
    pub(crate) age_max: Micros,
    /// Whether it must be possible to bring it back to any moment.
    pub(crate) any_moment: bool,
    pub(crate) key_age_max: Option<Micros>,
}

impl Check for ProjectCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.project", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.project").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let hosted = self.hosted.as_ref().map_err(Clone::clone)?;
        Ok(look(hosted.as_ref(), self.clock.now()).await?)
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        let well = format!("the project serves, and {}", backup_in_words(seen));
        judgement(findings(policy, seen), well, RULE)
    }
}

/// Asks for everything at once.
pub(crate) async fn look(hosted: &dyn Hosted, at: Timestamp) -> Result<Seen, HostedError> {
    let (project, services, backups, keys) =
        tokio::try_join!(hosted.project(), hosted.services(), hosted.backups(), hosted.keys())?;
    Ok(Seen { at, project, services, backups, keys })
}

/// What the project could be brought back to.
pub(crate) fn backup_in_words(seen: &Seen) -> String {
    match (seen.backups.any_moment, newest_age(&seen.backups, seen.at)) {
        (true, _) => "any moment can be brought back".to_owned(),
        (false, Some(age)) => format!("the newest backup is {age} old"),
        (false, None) => "there is no backup".to_owned(),
    }
}

/// Everything that is wrong, the worst first.
pub(crate) fn findings(policy: &Policy, seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    if seen.project.status != "ACTIVE_HEALTHY" {
        let text = format!("the project is {}", seen.project.status);
        found.push(finding("project", Verdict::Fail, text, "see it in the dashboard"));
    }
    if seen.services.is_empty() {
        let text = "no service told how it is".to_owned();
        found.push(finding("services", Verdict::Inconclusive, text, "run it again"));
    }
    for service in seen.services.iter().filter(|s| s.status != "ACTIVE_HEALTHY") {
        let why = service.error.as_deref().map(|e| format!(": {e}")).unwrap_or_default();
        let verdict =
            if service.status == "COMING_UP" { Verdict::Inconclusive } else { Verdict::Fail };
        let text = format!("the service {} is {}{why}", service.name, service.status);
        let key = format!("service:{}", service.name);
        found.push(finding(&key, verdict, text, "see https://status.supabase.com"));
    }
    found.extend(backup(policy, seen));
    if let Some(limit) = policy.key_age_max {
        found.extend(seen.keys.iter().filter_map(|key| old(key, limit, seen.at)));
    }
    found.sort_by_key(|f| std::cmp::Reverse(f.verdict));
    found
}

/// How old the newest backup is; none where there is none, or none tells when it was taken.
pub(crate) fn newest_age(backups: &Backups, now: Timestamp) -> Option<Micros> {
    let complete = backups.list.iter().filter(|b| b.status == "COMPLETED");
    let taken = complete.filter_map(|b| Timestamp::parse_rfc3339(&b.taken_at).ok());
    let moment = backups.latest_moment_secs;
    let moment = moment.map(|secs| Timestamp::from_us(secs.saturating_mul(1_000_000)));
    let newest = taken.chain(moment).max()?;
    Some(Micros(u64::try_from(now.since_us(newest)).unwrap_or_default()))
}

fn backup(policy: &Policy, seen: &Seen) -> Option<Finding> {
    let backups = &seen.backups;
    let next = "orca db backup takes one; orca db restore-point NAME marks a moment";
    if policy.any_moment && !backups.any_moment {
        let text = "point-in-time recovery is off".to_owned();
        return Some(finding("pitr", Verdict::Fail, text, "switch it on in the project's add-ons"));
    }
    // Where nothing is written nothing is shipped: the newest moment may be old then.
    if backups.any_moment {
        return None;
    }
    let complete = backups.list.iter().any(|b| b.status == "COMPLETED");
    match newest_age(backups, seen.at) {
        None if complete => {
            let text = "no backup tells when it was taken".to_owned();
            Some(finding("backup", Verdict::Inconclusive, text, next))
        }
        None => Some(finding("backup", Verdict::Fail, "there is no backup".to_owned(), next)),
        Some(age) if age > policy.age_max => {
            let text = format!("the newest backup is {age} old, and may be {}", policy.age_max);
            Some(aged(finding("backup", Verdict::Fail, text, next), age))
        }
        Some(_) => None,
    }
}

/// A publishable key is no secret.
fn old(key: &Key, limit: Micros, now: Timestamp) -> Option<Finding> {
    if key.kind.as_deref() == Some("publishable") {
        return None;
    }
    let next = "make a new key, use it everywhere, then delete the old one";
    let id = format!("key:{}", key.name);
    match key.made_at.as_deref().map(Timestamp::parse_rfc3339) {
        None | Some(Err(_)) => {
            let text = format!("nobody tells how old the key {} is", key.name);
            Some(finding(&id, Verdict::Inconclusive, text, "a new secret key tells its age"))
        }
        Some(Ok(at)) => {
            let age = Micros(u64::try_from(now.since_us(at)).unwrap_or_default());
            let text = format!("the key {} is {age} old, and may be {limit}", key.name);
            (age > limit).then(|| aged(finding(&id, Verdict::Fail, text, next), age))
        }
    }
}

fn finding(key: &str, verdict: Verdict, message: String, next: &str) -> Finding {
    Finding::new(format!("db.project:{key}"), verdict, message, next)
}

/// A waiver of an age says how old is tolerated.
fn aged(found: Finding, age: Micros) -> Finding {
    Finding { value: age.as_i64(), unit: Unit::Microseconds, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::hosted::ports::Backup;

    const DAY: u64 = 86_400_000_000;

    fn seen() -> Seen {
        Seen {
            at: Timestamp::parse_rfc3339("2026-01-02T00:00:00.5Z").unwrap(),
            project: Project { status: "ACTIVE_HEALTHY".into(), version: "17.4".into() },
            services: vec![Service {
                name: "db".into(),
                status: "ACTIVE_HEALTHY".into(),
                error: None,
            }],
            backups: Backups {
                any_moment: false,
                list: vec![Backup {
                    id: 1,
                    status: "COMPLETED".into(),
                    taken_at: "2026-01-01T00:00:00.5Z".into(),
                    physical: false,
                }],
                latest_moment_secs: None,
            },
            keys: vec![Key {
                name: "server".into(),
                kind: Some("secret".into()),
                made_at: Some("2026-01-01T00:00:00Z".into()),
            }],
        }
    }

    fn policy() -> Policy {
        Policy { age_max: Micros(DAY), any_moment: false, key_age_max: Some(Micros(90 * DAY)) }
    }

    type Change = fn(&mut Seen, &mut Policy);

    #[test]
    fn every_limit_on_both_sides() {
        assert_eq!(findings(&policy(), &seen()), []);
        let cases: [(&str, Verdict, Change); 11] = [
            ("project", Verdict::Fail, |s, _| s.project.status = "PAUSING".into()),
            ("service:db", Verdict::Fail, |s, _| s.services[0].status = "UNHEALTHY".into()),
            ("service:db", Verdict::Inconclusive, |s, _| s.services[0].status = "COMING_UP".into()),
            ("services", Verdict::Inconclusive, |s, _| s.services.clear()),
            ("backup", Verdict::Fail, |_, p| p.age_max = Micros(DAY - 1)),
            ("backup", Verdict::Fail, |s, _| s.backups.list[0].status = "FAILED".into()),
            ("backup", Verdict::Fail, |s, _| s.backups.list.clear()),
            ("backup", Verdict::Inconclusive, |s, _| s.backups.list[0].taken_at = "?".into()),
            ("pitr", Verdict::Fail, |_, p| p.any_moment = true),
            ("key:server", Verdict::Fail, |_, p| p.key_age_max = Some(Micros(DAY))),
            ("key:server", Verdict::Inconclusive, |s, _| s.keys[0].made_at = None),
        ];
        for (key, verdict, change) in cases {
            let (mut seen, mut policy) = (seen(), policy());
            change(&mut seen, &mut policy);
            let found = findings(&policy, &seen);
            assert_eq!(found.len(), 1, "{key}: {found:?}");
            assert_eq!(
                (found[0].key.as_str(), found[0].verdict),
                (&*format!("db.project:{key}"), verdict)
            );
        }
    }

    #[test]
    fn any_moment_has_no_age_and_public_keys_have_none() {
        let mut idle = seen();
        idle.backups = Backups { any_moment: true, list: vec![], latest_moment_secs: Some(0) };
        idle.keys[0].kind = Some("publishable".into());
        idle.keys[0].made_at = None;
        assert_eq!(findings(&Policy { any_moment: true, ..policy() }, &idle), []);
        assert!(newest_age(&idle.backups, idle.at).is_some_and(|age| age > Micros(DAY)));
    }
}
