//! `db.history`: whether the migrations that databases already have are still what they were, and
//! whether the new ones will run after them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::area::closed;
use super::project::{Edit, Project};
use super::room::Room;
use crate::base::digest::Digest;
use crate::base::ids::CheckId;
use crate::db::shadow::advice::advice;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

const RULE: &str = "migrations that were applied stay as they are, and new ones come after them";

/// The files here against those of the release before and of the target.
pub(crate) struct HistoryCheck {
    pub(crate) room: Arc<Room>,
    pub(crate) policy: Policy,
}

/// With what is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// The commit, tag or branch before this release.
    pub(crate) base: Option<String>,
    /// Whether there must be migrations.
    pub(crate) required: bool,
}

/// The files, and what became of those that were applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) since: String,
    pub(crate) files: Vec<FileSeen>,
    pub(crate) edited: Vec<Edit>,
    /// Files of the base that are gone.
    pub(crate) removed: Vec<String>,
    /// Versions of the target that no file here has.
    pub(crate) unknown: Vec<String>,
    /// Files that the target lacks, and its newest version, which is later.
    pub(crate) late: Option<(Vec<String>, String)>,
    pub(crate) uncommitted: Vec<String>,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSeen {
    pub(crate) file: String,
    pub(crate) sha256: Digest,
    pub(crate) new: bool,
}

impl Check for HistoryCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.history", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.history").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let project = self.room.project().await?;
        Ok(look(&project))
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        judge(policy, seen)
    }
}

fn look(project: &Project) -> Seen {
    let (old, new) = project.split();
    let seen = |new| {
        move |source: &crate::db::sql::source::Source| FileSeen {
            file: source.path.clone(),
            sha256: Digest::of(source.text.as_bytes()),
            new,
        }
    };
    Seen {
        since: project.since(),
        files: old.iter().map(seen(false)).chain(new.iter().map(seen(true))).collect(),
        edited: project.edited(),
        removed: project.removed(),
        unknown: project.unknown(),
        late: project.late(),
        uncommitted: project.uncommitted.clone(),
    }
}

fn judge(policy: &Policy, seen: &Seen) -> Judgement {
    let open = findings(seen);
    if let Some(first) = open.first() {
        let more = if open.len() > 1 { format!(" (1 of {})", open.len()) } else { String::new() };
        return closed(format!("{}{more}", first.title), RULE, open);
    }
    if let [file, ..] = seen.uncommitted.as_slice() {
        let text = format!("{file} is not committed: a ruling is about a commit");
        return Judgement::inconclusive(Cause::Unobserved, text, RULE)
            .with_next("commit it, then run the gate again")
            .with_next("orca db shadow looks at files that are not committed");
    }
    let new = seen.files.iter().filter(|f| f.new).count();
    match seen.files.len() {
        0 if policy.required => {
            let text = "the configuration asks for migrations, and there is none";
            Judgement::inconclusive(Cause::NoData, text, RULE)
                .with_next("bring supabase/migrations back")
        }
        0 => Judgement::not_applicable("there is no migration", RULE),
        all => Judgement::pass(
            format!("{} old migrations are unchanged; {new} are new {}", all - new, seen.since),
            RULE,
        ),
    }
}

fn findings(seen: &Seen) -> Vec<Finding> {
    let edited = seen.edited.iter().map(|edit| {
        let text = format!("{} was edited after {} had it", edit.file, edit.since);
        finding("history.edited", &edit.file, Some(&edit.file), text)
    });
    let removed = seen.removed.iter().map(|file| {
        finding("history.removed", file, None, format!("{file} is gone, and databases have it"))
    });
    let unknown = seen.unknown.iter().map(|version| {
        let text = format!("the target has version {version}, which no file here has");
        finding("history.unknown", version, None, text)
    });
    let late = seen.late.iter().flat_map(|(files, newest)| {
        files.iter().map(move |file| {
            let text = format!("{file} comes before {newest}, which the target has");
            finding("history.late", file, Some(file), text)
        })
    });
    edited.chain(removed).chain(unknown).chain(late).collect()
}

fn finding(id: &str, subject: &str, file: Option<&String>, title: String) -> Finding {
    Finding {
        fingerprint: format!("{id}:{subject}"),
        title,
        place: file.map(|file| format!("{file}:1")),
        value: 1,
        unit: Unit::Count,
        next: advice(id).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    fn seen(files: usize) -> Seen {
        let file = FileSeen { file: "m/1_a.sql".into(), sha256: Digest::of(b""), new: true };
        Seen { files: vec![file; files], since: "since v1".into(), ..Seen::default() }
    }

    #[test]
    fn what_was_applied_stays_as_it_is() {
        let policy = |required| Policy { base: None, required };
        let file = || vec!["m/1_a.sql".to_owned()];
        let edit = Edit { file: "m/1_a.sql".into(), since: "v1".into() };
        for (required, seen, verdict) in [
            (false, seen(0), Verdict::NotApplicable),
            (true, seen(0), Verdict::Inconclusive),
            (false, seen(2), Verdict::Pass),
            (false, Seen { edited: vec![edit], ..seen(2) }, Verdict::Fail),
            (false, Seen { removed: file(), ..seen(0) }, Verdict::Fail),
            (false, Seen { unknown: vec!["2".into()], ..seen(1) }, Verdict::Fail),
            (false, Seen { late: Some((file(), "9".into())), ..seen(1) }, Verdict::Fail),
            (false, Seen { uncommitted: file(), ..seen(1) }, Verdict::Inconclusive),
        ] {
            assert_eq!(judge(&policy(required), &seen).verdict, verdict, "{seen:?}");
        }
    }
}
