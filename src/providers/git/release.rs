//! The repository that a release needs: read through libgit2, changed through the user's own `git`
//! so that their keys, hooks, credentials and proxies apply.

use std::path::PathBuf;

use crate::base::clock::Timestamp;
use crate::base::ids::CommitId;
use crate::base::redact::Redactor;
use crate::base::{atomic_file, limits};
use crate::providers::git::command::{Git, GitError};
use crate::release::ports::{
    Commit, Head, Pushed, Repository, RepositoryError, Signing, Tag, Upstream,
};

/// A repository on disk.
pub(crate) struct GitRepository {
    git: Git,
    objects: git2::Repository,
    top: PathBuf,
    /// Commit messages end up in tags, changelogs and notes.
    redactor: Redactor,
}

impl GitRepository {
    /// Opens the repository that holds `folder`.
    pub(crate) fn open(
        folder: &std::path::Path,
        redactor: Redactor,
    ) -> Result<Self, RepositoryError> {
        let objects = git2::Repository::discover(folder).map_err(|e| RepositoryError {
            action: format!("open a git repository in {}", folder.display()),
            detail: e.message().to_owned(),
            next: "run orca inside a git work tree (git init makes one)".to_owned(),
        })?;
        let top = objects.workdir().unwrap_or_else(|| objects.path()).to_path_buf();
        Ok(Self { git: Git::in_folder(&top), objects, top, redactor })
    }

    /// The commit that `revision` names: a branch, a tag, an id.
    pub(crate) fn resolve(&self, revision: &str) -> Result<CommitId, RepositoryError> {
        let found = self.objects.revparse_single(revision).and_then(|o| o.peel_to_commit());
        let found = found.map_err(|error| RepositoryError {
            action: format!("find the commit '{revision}'"),
            detail: error.message().to_owned(),
            next: "git fetch --tags brings what is missing".to_owned(),
        })?;
        id(found.id())
    }

    fn remote_exists(&self, remote: &str) -> bool {
        self.objects.find_remote(remote).is_ok()
    }

    fn ahead_behind(&self, head: &CommitId, other: &CommitId) -> Option<(usize, usize)> {
        self.objects.graph_ahead_behind(oid(head).ok()?, oid(other).ok()?).ok()
    }
}

impl Repository for GitRepository {
    fn head(&self) -> Result<Head, RepositoryError> {
        let read = failed(
            "read HEAD",
            "git commit --allow-empty -m \"chore: start\" makes a first commit",
        );
        let head = self.objects.head().map_err(&read)?;
        let commit = id(head.peel_to_commit().map_err(&read)?.id())?;
        let branch = head.is_branch().then(|| head.shorthand().ok().map(str::to_owned)).flatten();
        Ok(Head { commit, branch })
    }

    fn is_shallow(&self) -> Result<bool, RepositoryError> {
        Ok(self.objects.is_shallow())
    }

    fn dirty_paths(&self) -> Result<Vec<String>, RepositoryError> {
        let args = ["status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"];
        let output = self.git.run(&args, limits::GIT_LOCAL).map_err(ran("read the status"))?;
        let paths = output.stdout.split(|b| *b == 0).filter_map(|entry| entry.get(3..));
        Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
    }

    fn is_committed(&self, path: &str) -> Result<bool, RepositoryError> {
        let read = failed(
            "read HEAD",
            "git commit --allow-empty -m \"chore: start\" makes a first commit",
        );
        let tree = self.objects.head().and_then(|head| head.peel_to_tree()).map_err(&read)?;
        Ok(tree.get_path(std::path::Path::new(path)).is_ok())
    }

    fn file_at(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let read = failed("read a file of an earlier commit", "git fetch --tags --unshallow");
        let tree = self.objects.find_commit(oid(commit)?).and_then(|c| c.tree()).map_err(&read)?;
        let found = match tree.get_path(std::path::Path::new(path)) {
            Ok(found) => found,
            Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        let blob = self.objects.find_blob(found.id()).map_err(&read)?;
        let size = u64::try_from(blob.size()).unwrap_or(u64::MAX);
        if size > limits::INPUT_FILE_BYTES_MAX {
            return Err(RepositoryError {
                action: format!("read {path} at {}", commit.short()),
                detail: format!("larger than {} bytes", limits::INPUT_FILE_BYTES_MAX),
                next: "see what that commit put there".to_owned(),
            });
        }
        Ok(Some(blob.content().to_vec()))
    }

    fn tags(&self) -> Result<Vec<Tag>, RepositoryError> {
        let read = failed("read the tags", "git fsck names damaged ones");
        let mut tags = Vec::new();
        for reference in self.objects.references_glob("refs/tags/*").map_err(&read)? {
            let reference = reference.map_err(&read)?;
            // A tag of a tree or of a blob names no release.
            let (Ok(name), Ok(commit)) = (reference.name(), reference.peel_to_commit()) else {
                continue;
            };
            let name = name.trim_start_matches("refs/tags/").to_owned();
            tags.push(Tag { name, commit: id(commit.id())? });
        }
        tags.sort();
        Ok(tags)
    }

    fn remote_tags(&self, remote: &str) -> Result<Vec<Tag>, RepositoryError> {
        if !self.remote_exists(remote) {
            return Ok(Vec::new());
        }
        let args = ["ls-remote", "--tags", "--end-of-options", remote];
        let output =
            self.git.run(&args, limits::GIT_PUSH).map_err(ran("read the remote's tags"))?;
        Ok(listed_tags(&output.text()))
    }

    fn first_contained(&self, commits: &[CommitId]) -> Result<Option<usize>, RepositoryError> {
        let read = failed("compare with HEAD", "git fetch brings what is missing");
        let Some(first) = commits.first() else { return Ok(None) };
        let head = self.head()?.commit;
        if head == *first
            || self.objects.graph_descendant_of(oid(&head)?, oid(first)?).map_err(&read)?
        {
            return Ok(Some(0));
        }
        // On an older line most tags lie elsewhere: one walk for all is cheaper than one for each.
        let args =
            ["for-each-ref", "--merged=HEAD", "--format=%(objectname) %(*objectname)", "refs/tags"];
        let output =
            self.git.run(&args, limits::GIT_LOCAL).map_err(ran("list the tags in HEAD"))?;
        let text = output.text();
        let contained: std::collections::BTreeSet<&str> = text.split_whitespace().collect();
        Ok(commits.iter().position(|c| contained.contains(c.as_str())))
    }

    fn commits_since(
        &self,
        base: Option<&CommitId>,
        max: usize,
    ) -> Result<Vec<Commit>, RepositoryError> {
        let read = failed("read the commits", "git fsck names damaged ones");
        let mut walk = self.objects.revwalk().map_err(&read)?;
        walk.set_sorting(match base {
            Some(_) => git2::Sort::TOPOLOGICAL | git2::Sort::TIME,
            None => git2::Sort::TIME,
        })
        .map_err(&read)?;
        walk.push_head().map_err(&read)?;
        if let Some(base) = base {
            walk.hide(oid(base)?).map_err(&read)?;
        }
        let max = if base.is_some() { usize::MAX } else { max };
        walk.take(max)
            .map(|found| {
                let found = self.objects.find_commit(found.map_err(&read)?).map_err(&read)?;
                commit_of(&found, &self.redactor)
            })
            .collect()
    }

    fn upstream(&self, remote: &str, branch: &str) -> Result<Upstream, RepositoryError> {
        if !self.remote_exists(remote) {
            return Ok(Upstream::NoRemote);
        }
        let name = format!("refs/heads/{branch}");
        let args = ["ls-remote", "--end-of-options", remote, &name];
        let output = self.git.run(&args, limits::GIT_PUSH).map_err(ran("ask the remote"))?;
        let text = output.text();
        let Some(there) = text.split_whitespace().next() else { return Ok(Upstream::NoBranch) };
        let commit = commit_id(there)?;
        // A commit that is not here was pushed by someone else: at least one behind.
        let (ahead, behind) = self.ahead_behind(&self.head()?.commit, &commit).unwrap_or((0, 1));
        Ok(Upstream::At { commit, ahead, behind })
    }

    fn remote_url(&self, remote: &str) -> Result<Option<String>, RepositoryError> {
        let found = self.objects.find_remote(remote);
        Ok(found.ok().and_then(|r| r.url().ok().map(str::to_owned)))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        match atomic_file::read_limited(&self.top.join(path), 16 * limits::INPUT_FILE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(file_error("read", path, &e)),
        }
    }

    fn tracks(&self, path: &str) -> Result<bool, RepositoryError> {
        let listed = self.git.run(&["ls-files", "--", path], limits::GIT_LOCAL);
        Ok(!listed.map_err(ran("list tracked files"))?.stdout.is_empty())
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        atomic_file::write(&self.top.join(path), bytes).map_err(|e| file_error("write", path, &e))
    }

    fn commit(&self, paths: &[String], message: &str) -> Result<CommitId, RepositoryError> {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let add = [&["add", "--"][..], &paths].concat();
        self.git.run(&add, limits::GIT_LOCAL).map_err(ran("stage the release files"))?;
        let commit = [&["commit", "-q", "-m", message, "--only", "--"][..], &paths].concat();
        self.git
            .run_interactive(&commit, limits::GIT_PUSH)
            .map_err(ran("commit the release files"))?;
        Ok(self.head()?.commit)
    }

    fn create_tag(
        &self,
        name: &str,
        commit: &CommitId,
        message: &str,
    ) -> Result<Signing, RepositoryError> {
        let config = self.objects.config().and_then(|mut c| c.snapshot());
        let signs = config.is_ok_and(|c| {
            c.get_bool("tag.gpgSign")
                .unwrap_or_else(|_| c.get_str("user.signingKey").is_ok_and(|key| !key.is_empty()))
        });
        let (flag, signing) =
            if signs { ("-s", Signing::Signed) } else { ("-a", Signing::Unsigned) };
        let args = ["tag", flag, "--cleanup=verbatim", "-m", message, "--", name, commit.as_str()];
        self.git.run_interactive(&args, limits::GIT_PUSH).map_err(ran("make the tag"))?;
        Ok(signing)
    }

    fn push_tag(&self, remote: &str, tag: &str) -> Result<Pushed, RepositoryError> {
        if !self.remote_exists(remote) {
            return Ok(Pushed::Done);
        }
        self.push_refs(remote, &[&format!("refs/tags/{tag}:refs/tags/{tag}")])
    }

    fn push(&self, remote: &str, branch: &str, tag: &str) -> Result<Pushed, RepositoryError> {
        let branch = format!("HEAD:refs/heads/{branch}");
        let tag = format!("refs/tags/{tag}:refs/tags/{tag}");
        self.push_refs(remote, &[&branch, &tag])
    }
}

impl GitRepository {
    /// All of `refs` or none.
    fn push_refs(&self, remote: &str, refs: &[&str]) -> Result<Pushed, RepositoryError> {
        let args =
            [&["push", "--atomic", "--porcelain", "--end-of-options", remote], refs].concat();
        let output = self.git.try_run(&args, limits::GIT_PUSH).map_err(ran("push the tag"))?;
        if output.success {
            return Ok(Pushed::Done);
        }
        let text = output.text();
        let refused: Vec<&str> = text.lines().filter(|l| l.starts_with('!')).collect();
        let why = if refused.is_empty() {
            output.stderr.trim().replace('\n', "; ")
        } else {
            refused.join("; ").replace('\t', " ")
        };
        Ok(Pushed::Refused { why })
    }
}

/// `ls-remote --tags`: the peeled line of an annotated tag wins over its object.
fn listed_tags(text: &str) -> Vec<Tag> {
    let mut tags = std::collections::BTreeMap::new();
    for line in text.lines() {
        let Some((id, name)) = line.split_once("\trefs/tags/") else { continue };
        let Ok(commit) = CommitId::new(id) else { continue };
        match name.strip_suffix("^{}") {
            Some(peeled) => {
                tags.insert(peeled, commit);
            }
            None => {
                tags.entry(name).or_insert(commit);
            }
        }
    }
    tags.into_iter().map(|(name, commit)| Tag { name: name.to_owned(), commit }).collect()
}

fn commit_of(found: &git2::Commit<'_>, redactor: &Redactor) -> Result<Commit, RepositoryError> {
    let message = String::from_utf8_lossy(found.message_bytes());
    let message = redactor.text(&message);
    let (subject, body) = message.trim().split_once('\n').unwrap_or((message.trim(), ""));
    let author = found.author();
    Ok(Commit {
        id: id(found.id())?,
        author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
        at: Timestamp::from_us(author.when().seconds().saturating_mul(1_000_000)),
        subject: subject.trim().to_owned(),
        body: body.trim().to_owned(),
        merge: found.parent_count() > 1,
    })
}

fn id(oid: git2::Oid) -> Result<CommitId, RepositoryError> {
    commit_id(&oid.to_string())
}

fn commit_id(text: &str) -> Result<CommitId, RepositoryError> {
    CommitId::new(text).map_err(|e| RepositoryError {
        action: "read a commit id".to_owned(),
        detail: e.to_string(),
        next: "orca works with SHA-1 repositories".to_owned(),
    })
}

fn oid(commit: &CommitId) -> Result<git2::Oid, RepositoryError> {
    git2::Oid::from_str(commit.as_str()).map_err(failed("read a commit id", "git fsck"))
}

fn failed(action: &'static str, next: &'static str) -> impl Fn(git2::Error) -> RepositoryError {
    move |error| RepositoryError {
        action: action.to_owned(),
        detail: error.message().to_owned(),
        next: next.to_owned(),
    }
}

fn ran(action: &'static str) -> impl Fn(GitError) -> RepositoryError {
    move |error| RepositoryError {
        action: action.to_owned(),
        detail: error.to_string(),
        next: "run the same git command by hand to see more".to_owned(),
    }
}

fn file_error(verb: &str, path: &str, error: &std::io::Error) -> RepositoryError {
    RepositoryError {
        action: format!("{verb} {path}"),
        detail: error.to_string(),
        next: format!("check that {path} is a file you may {verb}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::version::{self, Rules};

    /// A clone with one pushed commit tagged v1.0.0, beside its bare remote.
    fn cloned(folder: &std::path::Path) -> (Git, GitRepository) {
        let git = Git::in_folder(folder);
        let run = |git: &Git, args: &[&str]| {
            git.run(args, limits::GIT_LOCAL).unwrap();
        };
        run(&git, &["init", "-q", "--bare", "-b", "main", "remote.git"]);
        run(&git, &["init", "-q", "-b", "main", "clone"]);
        let git = Git::in_folder(folder.join("clone"));
        for (key, value) in [
            ("user.name", "Ada"),
            ("user.email", "ada@example.org"),
            ("commit.gpgSign", "false"),
            ("tag.gpgSign", "false"),
        ] {
            run(&git, &["config", key, value]);
        }
        run(&git, &["remote", "add", "origin", "../remote.git"]);
        run(&git, &["commit", "-q", "--allow-empty", "-m", "feat: one"]);
        run(&git, &["tag", "-a", "-m", "v1.0.0", "v1.0.0"]);
        run(&git, &["push", "-q", "origin", "main", "v1.0.0"]);
        let repository = GitRepository::open(git.folder(), Redactor::default()).unwrap();
        (git, repository)
    }

    #[test]
    fn writes_commits_tags_and_pushes() {
        let folder = tempfile::tempdir().unwrap();
        let (_, repository) = cloned(folder.path());
        let base = repository.head().unwrap();
        assert_eq!(base.branch.as_deref(), Some("main"));
        repository.write("CHANGELOG.md", b"one\n").unwrap();
        assert_eq!(repository.read("CHANGELOG.md").unwrap().as_deref(), Some(&b"one\n"[..]));
        assert_eq!(repository.read("missing").unwrap(), None);
        let commit = repository.commit(&["CHANGELOG.md".into()], "fix: two\n\nbody").unwrap();
        let ahead = Upstream::At { commit: base.commit.clone(), ahead: 1, behind: 0 };
        assert_eq!(repository.upstream("origin", "main").unwrap(), ahead);
        assert_eq!(repository.upstream("origin", "other").unwrap(), Upstream::NoBranch);
        assert_eq!(repository.upstream("nowhere", "main").unwrap(), Upstream::NoRemote);
        let rules = Rules::default();
        let next = |r: &GitRepository| {
            version::next(&rules, &version::history(r, &rules, Some("origin")).unwrap())
        };
        let found = next(&repository).unwrap();
        assert_eq!((found.tag.as_str(), found.exists, found.commits), ("v1.0.1-rc.1", false, 1));
        let signing = repository.create_tag(&found.tag, &commit, "v1.0.1-rc.1").unwrap();
        assert_eq!(signing, Signing::Unsigned);
        assert_eq!(repository.push("origin", "main", &found.tag).unwrap(), Pushed::Done);
        assert_eq!(repository.push("origin", "main", &found.tag).unwrap(), Pushed::Done);
        assert!(next(&repository).unwrap().exists);
        let tag = Tag { name: found.tag, commit };
        assert!(repository.remote_tags("origin").unwrap().contains(&tag));
        assert!(repository.tags().unwrap().contains(&tag));
    }

    #[test]
    fn sees_dirty_shallow_and_a_tag_that_is_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (git, repository) = cloned(folder.path());
        repository.write("a b.txt", b"1").unwrap();
        assert_eq!(repository.dirty_paths().unwrap(), Vec::<String>::new());
        repository.commit(&["a b.txt".into()], "feat: file").unwrap();
        repository.write("a b.txt", b"2").unwrap();
        assert_eq!(repository.dirty_paths().unwrap(), ["a b.txt"]);
        let run = |args: &[&str]| git.run(args, limits::GIT_LOCAL).unwrap();
        run(&["push", "-q", "origin", "HEAD~1:refs/tags/v2.0.0", "main"]);
        run(&["tag", "v2.0.0"]);
        let pushed = repository.push("origin", "main", "v2.0.0").unwrap();
        assert!(matches!(pushed, Pushed::Refused { why } if why.contains("rejected")));
        assert!(!repository.is_shallow().unwrap());
        let source = format!("file://{}", folder.path().join("remote.git").display());
        run(&["clone", "-q", "--depth=1", &source, "../shallow"]);
        let shallow = GitRepository::open(&folder.path().join("shallow"), Redactor::default());
        assert!(shallow.unwrap().is_shallow().unwrap());
    }

    #[test]
    fn an_older_line_starts_from_its_own_tag() {
        let folder = tempfile::tempdir().unwrap();
        let (git, repository) = cloned(folder.path());
        for args in [
            &["commit", "-q", "--allow-empty", "-m", "feat: two"][..],
            &["tag", "v1.1.0"],
            &["switch", "-q", "-c", "hotfix", "v1.0.0"],
            &["commit", "-q", "--allow-empty", "-m", "fix: three"],
        ] {
            git.run(args, limits::GIT_LOCAL).unwrap();
        }
        let rules = Rules::default();
        let history = version::history(&repository, &rules, None).unwrap();
        assert_eq!(version::next(&rules, &history).unwrap().next, "1.0.1-rc.1");
    }

    #[test]
    fn signs_as_the_user_configured() {
        let folder = tempfile::tempdir().unwrap();
        let (git, repository) = cloned(folder.path());
        let key = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return; // No ssh-keygen on this machine: git could not sign either.
        }
        let public = format!("{}.pub", key.display());
        for (name, value) in
            [("gpg.format", "ssh"), ("user.signingKey", public.as_str()), ("tag.gpgSign", "true")]
        {
            git.run(&["config", name, value], limits::GIT_LOCAL).unwrap();
        }
        let head = repository.head().unwrap().commit;
        assert_eq!(repository.create_tag("v1.0.1-rc.1", &head, "x").unwrap(), Signing::Signed);
        let text = git.run(&["cat-file", "tag", "v1.0.1-rc.1"], limits::GIT_LOCAL).unwrap().text();
        assert!(text.contains("BEGIN SSH SIGNATURE"));
    }
}
