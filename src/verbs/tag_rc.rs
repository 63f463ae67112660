//! `release tag --rc`: changelog and version files, commit, ledger, tag, push, freeze. Run again,
//! it goes on where it was: what is done is recognised by looking, never by remembering.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::book::{Book, BookError, Note};
use crate::base::clock::Timestamp;
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::ids::{CommitId, Environment, OrcaId, ReleaseName};
use crate::base::units::Micros;
use crate::ledger::entry::{Body, RcTagged};
use crate::plan::step::{Description, Step, StepError};
use crate::release::candidate::{self, Action, Look, Problem, Wanted, commit_message};
use crate::release::ports::{Pushed, Repository, RepositoryError, Upstream};
use crate::release::version::Next;

/// The repository, shared by the steps of one plan.
pub(crate) type SharedRepository = Arc<Mutex<dyn Repository + Send>>;

/// Runs blocking repository work off the async threads.
pub(crate) async fn on_repository<T: Send + 'static>(
    repository: &SharedRepository,
    work: impl FnOnce(&mut (dyn Repository + Send)) -> T + Send + 'static,
) -> T {
    let repository = Arc::clone(repository);
    let done = tokio::task::spawn_blocking(move || {
        work(&mut *repository.lock().unwrap_or_else(PoisonError::into_inner))
    });
    match done.await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What a candidate is made of.
#[derive(Clone)]
pub(crate) struct TagRc {
    pub(crate) repository: SharedRepository,
    pub(crate) book: Arc<dyn Book>,
    pub(crate) environment: Environment,
    pub(crate) next: Next,
    /// Files with the bytes they should have.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) notes: String,
    pub(crate) remote: String,
    pub(crate) now: Timestamp,
    /// When the freeze of this candidate ends.
    pub(crate) frozen_until: Timestamp,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TagError {
    #[error("{}", .0.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    #[error("{0}")]
    Repository(#[from] RepositoryError),
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Name(#[from] crate::base::ids::IdError),
}

impl TagRc {
    /// The steps still to do. Empty when the candidate stands everywhere already.
    pub(crate) async fn plan(&self) -> Result<Vec<Box<dyn Step>>, TagError> {
        let state = self.book.synced().await?;
        let release = ReleaseName::new(self.next.tag.clone())?;
        // Refused before the changelog is touched; the ledger holds it to that again.
        state
            .thawed_for(&release, self.now)
            .map_err(|refused| BookError::Refused(refused.to_string()))?;
        let wanted_files = self.files.clone();
        let (remote, version) = (self.remote.clone(), self.next.core.0.to_string());
        let (look, stale) = on_repository(&self.repository, move |repository| {
            look(repository, &remote, &version, &wanted_files)
        })
        .await?;
        let wanted =
            Wanted { tag: self.next.tag.clone(), remote: self.remote.clone(), files: stale };
        let actions = candidate::plan(&look, &wanted).map_err(TagError::Problems)?;
        let mut steps: Vec<Box<dyn Step>> = Vec::new();
        let mut decided = state.rcs.get(&release).is_some_and(|t| t.commit == look.head.commit);
        for action in actions {
            // The ledger knows of a candidate before anybody can see its tag.
            if matches!(action, Action::Tag { .. } | Action::Push { .. }) && !decided {
                decided = true;
                steps.push(Box::new(Declare { of: self.clone(), release: release.clone() }));
            }
            steps.push(Box::new(Do { of: self.clone(), action }));
        }
        if !decided {
            steps.push(Box::new(Declare { of: self.clone(), release: release.clone() }));
        }
        let frozen = state.freezes.iter().any(|f| f.release == release);
        if !frozen {
            steps.push(Box::new(Freeze { of: self.clone(), release }));
        }
        Ok(steps)
    }
}

/// Looks at the repository; the second part names the files that HEAD does not have as wanted.
fn look(
    repository: &mut (dyn Repository + Send),
    remote: &str,
    version: &str,
    files: &[(String, Vec<u8>)],
) -> Result<(Look, Vec<String>), RepositoryError> {
    let head = repository.head()?;
    let dirty = repository.dirty_paths()?;
    let upstream = match &head.branch {
        Some(branch) => repository.upstream(remote, branch)?,
        None => Upstream::NoBranch,
    };
    let mut stale = Vec::new();
    for (path, bytes) in files {
        // A file that is as wanted and not yet committed still needs its commit.
        let as_wanted = repository.read(path)?.as_ref() == Some(bytes)
            && repository.is_committed(path)?
            && !dirty.contains(path);
        if !as_wanted {
            stale.push(path.clone());
        }
    }
    let own_commit = repository
        .commits_since(None, 1)?
        .first()
        .is_some_and(|commit| commit.subject == commit_message(version));
    let look = Look {
        shallow: repository.is_shallow()?,
        local_tags: repository.tags()?,
        remote_tags: repository.remote_tags(remote)?,
        head,
        dirty,
        upstream,
        own_commit,
    };
    Ok((look, stale))
}

fn failed(error: &RepositoryError) -> StepError {
    StepError::unchanged(error.to_string(), error.next.clone())
}

fn book_failed(error: &BookError) -> StepError {
    StepError::unchanged(error.to_string(), "orca release status shows what the ledger knows")
}

fn step_intent(step: &OrcaId, name: &str, detail: &[(&str, String)]) -> Body {
    let detail: BTreeMap<String, String> =
        detail.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Body::StepIntended { step: step.clone(), name: name.to_owned(), detail }
}

/// One action on the repository.
struct Do {
    of: TagRc,
    action: Action,
}

impl Do {
    fn parts(&self) -> (&'static str, String, String) {
        match &self.action {
            Action::Write { path } => ("write", format!("write {path}"), format!("write {path}")),
            Action::Commit { paths } => {
                let message = commit_message(&self.of.next.core.0.to_string());
                let call = format!("git commit -m '{message}' -- {}", paths.join(" "));
                ("commit", format!("commit {}", paths.join(", ")), call)
            }
            Action::Tag { name } => {
                ("tag", format!("tag {name}"), format!("git tag --annotate {name}"))
            }
            Action::Push { remote, branch, tag } => (
                "push",
                format!("push {branch} and {tag} to {remote}"),
                format!("git push --atomic {remote} {branch} {tag}"),
            ),
        }
    }

    async fn head(&self) -> Result<CommitId, StepError> {
        on_repository(&self.of.repository, |repository| repository.head())
            .await
            .map(|head| head.commit)
            .map_err(|error| failed(&error))
    }
}

#[async_trait]
impl Step for Do {
    fn describe(&self) -> Description {
        let (name, title, call) = self.parts();
        let slow = matches!(self.action, Action::Push { .. });
        Description {
            name,
            title,
            calls: vec![call],
            expected_us: Micros::from_millis(if slow { 3_000 } else { 50 }),
            risk: slow.then(|| "others see the tag from here on; it is never moved".to_owned()),
            back: None,
            done: false,
        }
    }

    fn intent(&self, step: &OrcaId) -> Body {
        let (name, title, _) = self.parts();
        step_intent(step, name, &[("release", self.of.next.tag.clone()), ("what", title)])
    }

    async fn apply(&mut self) -> Result<String, StepError> {
        let action = self.action.clone();
        let version = self.of.next.core.0.to_string();
        let files: BTreeMap<String, Vec<u8>> = self.of.files.iter().cloned().collect();
        let message = match &action {
            Action::Tag { .. } => tag_message(&self.of).await?,
            _ => String::new(),
        };
        let head = self.head().await?;
        let result = on_repository(&self.of.repository, move |repository| match &action {
            Action::Write { path } => {
                let bytes = files.get(path).map_or(&[][..], Vec::as_slice);
                repository.write(path, bytes).map(|()| format!("wrote {path}"))
            }
            Action::Commit { paths } => repository
                .commit(paths, &commit_message(&version))
                .map(|commit| format!("commit {}", commit.short())),
            Action::Tag { name } => repository
                .create_tag(name, &head, &message)
                .map(|signing| format!("{name} at {} ({signing:?})", head.short()).to_lowercase()),
            Action::Push { remote, branch, tag } => match repository.push(remote, branch, tag)? {
                Pushed::Done => Ok(format!("{branch} and {tag} are on {remote}")),
                Pushed::Refused { why } => Err(RepositoryError {
                    action: format!("push to {remote}"),
                    detail: why,
                    next: format!("git fetch {remote} --tags, then run again"),
                }),
            },
        })
        .await
        .map_err(|error| failed(&error));
        hit(match &self.action {
            Action::Write { .. } | Action::Commit { .. } => CrashPoint::ChangelogWritten,
            Action::Tag { .. } => CrashPoint::TagCreated,
            Action::Push { .. } => CrashPoint::TagPushed,
        });
        result
    }

    async fn verify(&mut self) -> Result<(), StepError> {
        let Action::Tag { name } = self.action.clone() else { return Ok(()) };
        let head = self.head().await?;
        let tags = on_repository(&self.of.repository, |repository| repository.tags())
            .await
            .map_err(|error| failed(&error))?;
        if tags.iter().any(|tag| tag.name == name && tag.commit == head) {
            return Ok(());
        }
        let text = format!("tag {name} does not stand at {}", head.short());
        Err(StepError::uncertain(text, "git tag --list --format='%(refname) %(objectname)'"))
    }
}

/// The tag carries the notes and the ledger head, by which a rewound ledger is found out.
async fn tag_message(of: &TagRc) -> Result<String, StepError> {
    // Only a head that is shared stays in the chain whatever others write.
    of.book.synced().await.map_err(|error| book_failed(&error))?;
    let head = of.book.head().await.map_err(|error| book_failed(&error))?;
    let ledger = head.map(|digest| format!("\nOrca-Ledger: {digest}\n")).unwrap_or_default();
    Ok(format!("{}\n\n{}\n{ledger}", of.next.tag, of.notes.trim()))
}

/// Writes the candidate into the ledger.
struct Declare {
    of: TagRc,
    release: ReleaseName,
}

#[async_trait]
impl Step for Declare {
    fn describe(&self) -> Description {
        Description {
            name: "declare",
            title: format!("record {} in the ledger", self.release),
            calls: vec!["ledger: rc_tagged".to_owned()],
            expected_us: Micros::from_millis(20),
            risk: None,
            back: None,
            done: false,
        }
    }

    fn intent(&self, step: &OrcaId) -> Body {
        step_intent(step, "declare", &[("release", self.release.to_string())])
    }

    async fn apply(&mut self) -> Result<String, StepError> {
        let head = on_repository(&self.of.repository, |repository| repository.head())
            .await
            .map_err(|error| failed(&error))?;
        let next = &self.of.next;
        let since = next.current.as_ref().and_then(|current| {
            let prefix = next.tag.strip_suffix(next.next.as_str()).unwrap_or_default();
            ReleaseName::new(format!("{prefix}{current}")).ok()
        });
        let body = Body::RcTagged(RcTagged {
            release: self.release.clone(),
            commit: head.commit.clone(),
            version: next.core.0.clone(),
            since,
            reason: next.reason.clone(),
        });
        let note = Note::of(&self.of.environment, body);
        self.of.book.decide(note).await.map_err(|error| book_failed(&error))?;
        Ok(format!("{} is commit {}", self.release, head.commit.short()))
    }

    async fn verify(&mut self) -> Result<(), StepError> {
        Ok(())
    }
}

/// Freezes staging for the candidate.
struct Freeze {
    of: TagRc,
    release: ReleaseName,
}

#[async_trait]
impl Step for Freeze {
    fn describe(&self) -> Description {
        Description {
            name: "freeze",
            title: format!("freeze staging until {}", self.of.frozen_until.rfc3339()),
            calls: vec!["ledger: frozen".to_owned()],
            expected_us: Micros::from_millis(20),
            risk: None,
            back: Some("orca unfreeze, promotion or rollback of this release".to_owned()),
            done: false,
        }
    }

    fn intent(&self, step: &OrcaId) -> Body {
        step_intent(step, "freeze", &[("release", self.release.to_string())])
    }

    async fn apply(&mut self) -> Result<String, StepError> {
        let body = Body::Frozen {
            release: self.release.clone(),
            until: self.of.frozen_until,
            reason: format!("{} is being tested", self.release),
        };
        let note = Note::of(&self.of.environment, body);
        self.of.book.decide(note).await.map_err(|error| book_failed(&error))?;
        Ok(format!("only fixes for {} until {}", self.release, self.of.frozen_until.rfc3339()))
    }

    async fn verify(&mut self) -> Result<(), StepError> {
        Ok(())
    }
}
