//! The plan of a candidate's tag, from one look at the repository. Pure.
//! Either problems, each with its exact fix, or the actions still to do: what is done already is
//! not done again, so a run after a crash ends where an undisturbed one does.

use super::ports::{Head, Tag, Upstream};
use crate::base::ids::CommitId;

/// The repository as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) head: Head,
    pub(crate) shallow: bool,
    pub(crate) dirty: Vec<String>,
    pub(crate) upstream: Upstream,
    pub(crate) local_tags: Vec<Tag>,
    pub(crate) remote_tags: Vec<Tag>,
    /// HEAD is the release's own commit, made by an earlier run ([`commit_message`]).
    pub(crate) own_commit: bool,
}

/// What the candidate needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) tag: String,
    pub(crate) remote: String,
    /// Files whose wanted bytes differ from HEAD's; empty once HEAD says the version.
    pub(crate) files: Vec<String>,
}

/// Why no tag can be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) text: String,
    /// The command that repairs it.
    pub(crate) fix: String,
}

/// One thing still to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Write { path: String },
    Commit { paths: Vec<String> },
    Tag { name: String },
    Push { remote: String, branch: String, tag: String },
}

/// The message of the release's own commit; HEAD's subject tells whether it is there already.
pub(crate) fn commit_message(version: &str) -> String {
    format!("chore(release): {version}")
}

/// Decides what is to be done.
pub(crate) fn plan(look: &Look, wanted: &Wanted) -> Result<Vec<Action>, Vec<Problem>> {
    let problems = problems(look, wanted);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut actions: Vec<Action> =
        wanted.files.iter().map(|path| Action::Write { path: path.clone() }).collect();
    if !wanted.files.is_empty() {
        actions.push(Action::Commit { paths: wanted.files.clone() });
    }
    if find(&look.local_tags, &wanted.tag).is_none() {
        actions.push(Action::Tag { name: wanted.tag.clone() });
    }
    let tag_there = find(&look.remote_tags, &wanted.tag).is_some();
    let branch_there = matches!(look.upstream, Upstream::At { ahead: 0, .. });
    let pushed = tag_there && branch_there && wanted.files.is_empty();
    if let (false, false, Some(branch)) =
        (pushed, look.upstream == Upstream::NoRemote, &look.head.branch)
    {
        let (remote, tag) = (wanted.remote.clone(), wanted.tag.clone());
        actions.push(Action::Push { remote, branch: branch.clone(), tag });
    }
    Ok(actions)
}

fn problems(look: &Look, wanted: &Wanted) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |text: String, fix: String| problems.push(Problem { text, fix });
    if look.head.branch.is_none() {
        add("HEAD is detached: a tag needs a branch to push".into(), "git switch main".into());
    }
    if look.shallow {
        let fix = "git fetch --unshallow --tags (in GitHub Actions: fetch-depth: 0)";
        add("the clone is shallow: the last release may not be in it".into(), fix.into());
    }
    let foreign: Vec<&str> =
        look.dirty.iter().filter(|p| !wanted.files.contains(p)).map(String::as_str).collect();
    if !foreign.is_empty() {
        let shown = foreign.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        add(
            format!("{} files differ from HEAD: {shown}", foreign.len()),
            "git stash push, or commit them".into(),
        );
    }
    if let Some(problem) = unpushed(look, wanted) {
        problems.push(problem);
    }
    problems.extend(tag_elsewhere(look, wanted));
    problems
}

/// The tag stands where this candidate does not, here or on the remote: one problem, one fix.
fn tag_elsewhere(look: &Look, wanted: &Wanted) -> Option<Problem> {
    let at = |tags: &[Tag]| find(tags, &wanted.tag).map(|tag| tag.commit.clone());
    let (here, there) = (at(&look.local_tags), at(&look.remote_tags));
    let (head, remote, tag) = (&look.head.commit, &wanted.remote, &wanted.tag);
    let is_head = |commit: &Option<CommitId>| commit.as_ref().is_none_or(|c| c == head);
    if is_head(&here) && is_head(&there) {
        if (here.is_none() && there.is_none()) || wanted.files.is_empty() {
            return None;
        }
        return Some(Problem {
            text: format!(
                "tag {tag} stands at HEAD ({}) already, whose {} does not say that version: orca \
                 did not make it",
                head.short(),
                wanted.files.join(", ")
            ),
            fix: format!("git tag --delete {tag}, if nobody uses it; else commit the next fix"),
        });
    }
    let fetch = format!("git fetch {remote} --tags, then run again: it takes the next number");
    let fix = match (&here, &there) {
        (Some(a), Some(b)) if a != b => format!("git tag --delete {tag} && {fetch}"),
        _ => fetch,
    };
    let place = |commit: Option<CommitId>, place: &str| {
        commit.map(|commit| {
            let short = commit.short();
            if commit == *head {
                format!("at HEAD ({short}) {place}")
            } else {
                format!("at {short} {place}")
            }
        })
    };
    let places = match (here, there) {
        (Some(here), Some(there)) if here == there => {
            format!("at {} here and on {remote}; HEAD is {}", here.short(), head.short())
        }
        (here, there) => {
            let both = [place(here, "here"), place(there, &format!("on {remote}"))];
            let places: Vec<String> = both.into_iter().flatten().collect();
            let shown = places.join(", and ");
            if shown.contains("HEAD") {
                shown
            } else {
                format!("{shown}; HEAD is {}", head.short())
            }
        }
    };
    Some(Problem { text: format!("tag {tag} stands {places}"), fix })
}

/// Commits that only this clone has. The release's own commit may be ahead by one.
fn unpushed(look: &Look, wanted: &Wanted) -> Option<Problem> {
    let branch = look.head.branch.as_ref()?;
    let remote = &wanted.remote;
    match &look.upstream {
        Upstream::NoBranch => Some(Problem {
            text: format!("branch {branch} is not on {remote}"),
            fix: format!("git push -u {remote} {branch}"),
        }),
        Upstream::At { behind, .. } if *behind > 0 => Some(Problem {
            text: format!("{remote}/{branch} has {behind} commits that are not here"),
            fix: format!("git pull --ff-only {remote} {branch}"),
        }),
        Upstream::At { ahead, .. } if *ahead > usize::from(look.own_commit) => Some(Problem {
            text: format!("{ahead} commits of {branch} are not on {remote}"),
            fix: format!("git push {remote} {branch}"),
        }),
        _ => None,
    }
}

fn find<'a>(tags: &'a [Tag], name: &str) -> Option<&'a Tag> {
    tags.iter().find(|t| t.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::conventional::tests::commit;
    use super::*;

    fn ready() -> (Look, Wanted) {
        let head = commit(7, "fix: a").id;
        let look = Look {
            head: Head { commit: head.clone(), branch: Some("main".into()) },
            shallow: false,
            dirty: vec![],
            upstream: Upstream::At { commit: head, ahead: 0, behind: 0 },
            local_tags: vec![],
            remote_tags: vec![],
            own_commit: false,
        };
        let (tag, remote) = ("v1.2.1-rc.1".into(), "origin".into());
        (look, Wanted { tag, remote, files: vec!["CHANGELOG.md".into()] })
    }

    fn kinds(actions: &[Action]) -> String {
        let kind = |a: &Action| match a {
            Action::Write { .. } => 'w',
            Action::Commit { .. } => 'c',
            Action::Tag { .. } => 't',
            Action::Push { .. } => 'p',
        };
        actions.iter().map(kind).collect()
    }

    /// After a kill behind each action the rest is planned, and at the end nothing.
    #[test]
    fn converges_after_every_action() {
        let (mut look, mut wanted) = ready();
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "wctp");
        look.dirty = vec!["CHANGELOG.md".into()];
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "wctp");
        (look.dirty, wanted.files, look.own_commit) = (vec![], vec![], true);
        look.upstream = Upstream::At { commit: commit(6, "x").id, ahead: 1, behind: 0 };
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "tp");
        let tag = Tag { name: wanted.tag.clone(), commit: look.head.commit.clone() };
        look.local_tags = vec![tag.clone()];
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "p");
        look.remote_tags = vec![tag];
        look.upstream = Upstream::At { commit: look.head.commit.clone(), ahead: 0, behind: 0 };
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "");
        look.upstream = Upstream::NoRemote;
        assert_eq!(kinds(&plan(&look, &wanted).unwrap()), "");
    }

    #[test]
    fn every_problem_has_its_fix() {
        type Spoil = fn(&mut Look);
        let cases: [(Spoil, &str, &str); 7] = [
            (|l| l.head.branch = None, "detached", "git switch"),
            (|l| l.shallow = true, "shallow", "--unshallow"),
            (|l| l.dirty = vec!["a.rs".into()], "a.rs", "git stash"),
            (|l| l.upstream = Upstream::NoBranch, "not on origin", "git push -u origin main"),
            (
                |l| l.upstream = Upstream::At { commit: commit(1, "x").id, ahead: 1, behind: 0 },
                "1 commits of main",
                "git push origin main",
            ),
            (
                |l| l.upstream = Upstream::At { commit: commit(1, "x").id, ahead: 0, behind: 2 },
                "2 commits that are not here",
                "git pull --ff-only",
            ),
            (
                |l| {
                    let name = "v1.2.1-rc.1".into();
                    l.remote_tags = vec![Tag { name, commit: commit(1, "x").id }];
                },
                "on origin; HEAD is",
                "git fetch origin --tags",
            ),
        ];
        for (spoil, text, fix) in cases {
            let (mut look, wanted) = ready();
            spoil(&mut look);
            let problems = plan(&look, &wanted).unwrap_err();
            assert!(
                problems[0].text.contains(text) && problems[0].fix.contains(fix),
                "{problems:?}"
            );
        }
    }
}
