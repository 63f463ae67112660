//! Where trust is read from: `orca.yaml` as it stands at the last final tag. The working tree is
//! only compared with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::config::resolve::Config;
use super::config::resolve::FILE;
use super::config::trust;
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::last_final::{Ask, Found, Last, Tags, last_final, version};
use super::wire;
use super::wire_gates;
use crate::base::atomic_file;
use crate::base::clock::{Clock, Timestamp};
use crate::base::ids::CommitId;
use crate::base::limits;
use crate::base::yaml::InputError;
use crate::gate::check::Check as _;
use crate::gate::verdict::Verdict;
use crate::gate::waiver;
use crate::ledger::fold::Tagged;
use crate::ledger::sign::Trust;
use crate::release::ports::{Repository, RepositoryError, TrustSource, TrustUnknown};
use crate::release::trust_change::{ID, Policy, TrustCheck, TrustSeen};
use crate::verbs::book::Book;
use crate::verbs::ship::Ship;
use crate::verbs::tag_rc::{SharedRepository, on_repository};
use crate::verbs::trusted::{Root, Signatures, TrustRoot};

/// The repository and the ledger, as the root of trust.
pub(crate) struct TaggedTrust {
    book: Arc<dyn Book>,
    repository: Result<SharedRepository, String>,
    /// `orca.yaml` in use, and its place in the repository.
    file: PathBuf,
    path: String,
    tag_prefix: String,
    remote: String,
    clock: Clock,
    /// Whether this run said already what does not count.
    is_said: AtomicBool,
}

/// The texts that are compared.
struct Texts {
    tag: Option<String>,
    /// At the last final tag; nothing before the first, or where it had no such file.
    base: Option<String>,
    candidate: Option<String>,
    /// Finals of the ledger that do not count.
    doubts: Vec<String>,
}

impl TaggedTrust {
    pub(crate) fn new(context: &Context, book: Arc<dyn Book>, config: &Config) -> Self {
        let file = wire::config_file(context);
        let repository = wire::repository(context)
            .map(|found| Arc::new(std::sync::Mutex::new(found)) as SharedRepository)
            .map_err(|failure| failure.message);
        let path = inside(&file).unwrap_or_else(|| FILE.to_owned());
        Self {
            book,
            repository,
            file,
            path,
            tag_prefix: config.release.tag_prefix.clone(),
            remote: wire_gates::remote(config),
            clock: context.clock.clone(),
            is_said: AtomicBool::new(false),
        }
    }

    async fn texts(&self, candidate: Option<&CommitId>) -> Result<Texts, TrustUnknown> {
        let state = self.book.state().await.map_err(|error| TrustUnknown {
            detail: error.to_string(),
            next: "orca release status".to_owned(),
        })?;
        let repository = self.repository.as_ref().map_err(|detail| TrustUnknown {
            detail: detail.clone(),
            next: "run orca inside the git repository of the service".to_owned(),
        })?;
        let question = Question {
            finals: state.final_tags.clone(),
            prefix: self.tag_prefix.clone(),
            path: self.path.clone(),
            remote: self.remote.clone(),
            candidate: candidate.cloned(),
            now: self.clock.now(),
        };
        let last = self.last(repository, Arc::new(question)).await?;
        if !last.doubts.is_empty() && !self.is_said.swap(true, Ordering::Relaxed) {
            for doubt in &last.doubts {
                tracing::warn!("{doubt}");
            }
        }
        let (path, candidate) = (self.path.clone(), candidate.cloned());
        let (tag, base_commit) = last.root.unzip();
        let (base, candidate) = on_repository(repository, move |found| {
            let base = base_commit.map(|commit| at(found, &commit, &path)).transpose()?;
            let own = candidate.map(|commit| at(found, &commit, &path)).transpose()?;
            Ok::<_, RepositoryError>((base.flatten(), own.flatten()))
        })
        .await
        .map_err(unknown)?;
        Ok(Texts { tag: tag.filter(|_| base.is_some()), base, candidate, doubts: last.doubts })
    }

    async fn last(
        &self,
        repository: &SharedRepository,
        question: Arc<Question>,
    ) -> Result<Last, TrustUnknown> {
        let asked = Arc::clone(&question);
        let found = on_repository(repository, move |found| asked.ask(found, None));
        if let Found::Last(last) = found.await.map_err(unknown)?? {
            return Ok(last);
        }
        let finals = question.finals.iter().map(|tagged| &tagged.by);
        let signatures = Signatures::read(self.book.as_ref(), finals).await;
        let signatures = signatures.map_err(|error| TrustUnknown {
            detail: error.to_string(),
            next: "orca ledger verify".to_owned(),
        })?;
        let found = on_repository(repository, move |found| question.ask(found, Some(&signatures)));
        match found.await.map_err(unknown)?? {
            Found::Last(last) => Ok(last),
            Found::WantsSignatures => Ok(Last::default()),
        }
    }

    /// The file that this run reads; a missing one says nothing.
    fn in_use(&self) -> Option<String> {
        atomic_file::read_text(&self.file, limits::INPUT_FILE_BYTES_MAX).ok()
    }
}

#[async_trait]
impl TrustSource for TaggedTrust {
    async fn look(&self, candidate: &CommitId) -> Result<TrustSeen, TrustUnknown> {
        self.root(candidate).await.map(|root| root.seen)
    }
}

#[async_trait]
impl TrustRoot for TaggedTrust {
    async fn root(&self, candidate: &CommitId) -> Result<Root, TrustUnknown> {
        self.root_for(Some(candidate)).await
    }
}

impl TaggedTrust {
    /// What counts for a candidate; without one, for the next.
    pub(crate) async fn root_for(
        &self,
        candidate: Option<&CommitId>,
    ) -> Result<Root, TrustUnknown> {
        let texts = self.texts(candidate).await?;
        let named = candidate.map_or("orca.yaml", CommitId::short);
        let in_use = self.in_use();
        let tag = texts.tag.clone();
        let place = |of: &str| PathBuf::from(format!("{of}:{}", self.path));
        let Some(base) = texts.base else {
            let own = texts.candidate.or(in_use);
            let (trust, _) = own.map_or_else(
                || Ok((Trust::default(), BTreeSet::new())),
                |text| trust::read(&text, &place(named)).map_err(unreadable),
            )?;
            return Ok(root(trust, (None, Vec::new()), texts.doubts));
        };
        let of = tag.as_deref().unwrap_or_default();
        let (trust, lines) = trust::read(&base, &place(of)).map_err(unreadable)?;
        let mut differences = Vec::new();
        if let Some(text) = &texts.candidate {
            let (_, own) = trust::read(text, &place(named)).map_err(unreadable)?;
            differences = compare(&lines, &own, "");
        }
        if let Some(text) = in_use.filter(|text| texts.candidate.as_ref() != Some(text)) {
            let (_, own) = trust::read(&text, &self.file).map_err(unreadable)?;
            for line in compare(&lines, &own, " (in the working tree)") {
                let same = line.trim_end_matches(" (in the working tree)").to_owned();
                if !differences.contains(&same) {
                    differences.push(line);
                }
            }
        }
        Ok(root(trust, (tag, differences), texts.doubts))
    }
}

fn root(
    trust: Trust,
    (tag, differences): (Option<String>, Vec<String>),
    doubts: Vec<String>,
) -> Root {
    let keys = trust.keys.iter().map(|key| key.id.clone()).collect();
    let seen = TrustSeen { tag, keys, required: trust.required, differences };
    Root { trust, seen, doubts }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the end of a map_err")]
fn unreadable(error: InputError) -> TrustUnknown {
    TrustUnknown { detail: error.to_string(), next: "correct trust in orca.yaml".to_owned() }
}

/// `- line` of the tag and `+ line` of the other.
fn compare(tag: &BTreeSet<String>, other: &BTreeSet<String>, place: &str) -> Vec<String> {
    let gone = tag.difference(other).map(|line| format!("- {line}{place}"));
    let new = other.difference(tag).map(|line| format!("+ {line}{place}"));
    gone.chain(new).collect()
}

/// What the repository is asked for the last final.
struct Question {
    finals: Vec<Tagged>,
    prefix: String,
    path: String,
    remote: String,
    candidate: Option<CommitId>,
    now: Timestamp,
}

impl Question {
    /// A candidate that has its own final tag already is held to the one before.
    fn ask(
        &self,
        found: &dyn Repository,
        signatures: Option<&Signatures>,
    ) -> Result<Result<Found, TrustUnknown>, RepositoryError> {
        let is_other = |commit: &CommitId| Some(commit) != self.candidate.as_ref();
        let finals: Vec<&Tagged> = self.finals.iter().filter(|t| is_other(&t.commit)).collect();
        let tags: Tags = found
            .tags()?
            .into_iter()
            .filter(|tag| is_other(&tag.commit) && version(&tag.name, &self.prefix).is_some())
            .map(|tag| (tag.name, tag.commit))
            .collect();
        let trust_of = |commit: &CommitId| {
            let text = at(found, commit, &self.path).map_err(unknown)?.unwrap_or_default();
            let place = PathBuf::from(format!("{}:{}", commit.short(), self.path));
            if text.is_empty() {
                return Ok(Trust::default());
            }
            trust::read(&text, &place).map(|(trust, _)| trust).map_err(unreadable)
        };
        let remote = || {
            let tags = found.remote_tags(&self.remote).map_err(|error| error.to_string())?;
            Ok(tags.into_iter().map(|tag| (tag.name, tag.commit)).collect())
        };
        let ask = Ask {
            tags: &tags,
            prefix: &self.prefix,
            signatures,
            now: self.now,
            trust_of: &trust_of,
            remote: &remote,
        };
        Ok(last_final(&finals, &ask))
    }
}

fn unknown(error: RepositoryError) -> TrustUnknown {
    TrustUnknown { detail: error.to_string(), next: error.next }
}

/// `orca.yaml` at a commit; where the configured place is not in it, at the usual one.
fn at(
    repository: &dyn Repository,
    commit: &CommitId,
    path: &str,
) -> Result<Option<String>, RepositoryError> {
    let found = match repository.file_at(commit, path)? {
        None if path != FILE => repository.file_at(commit, FILE)?,
        found => found,
    };
    Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The place of `file` in the repository that holds it.
fn inside(file: &Path) -> Option<String> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.canonicalize().ok()?,
        _ => Path::new(".").canonicalize().ok()?,
    };
    let top = folder.ancestors().find(|folder| folder.join(".git").exists())?;
    let place = folder.strip_prefix(top).ok()?.join(file.file_name()?);
    Some(place.to_string_lossy().into_owned())
}

/// Refuses what would ship a change of trust that nobody trusted approved, and prints the change.
pub(crate) async fn refuse_change(ship: &Ship, candidate: &CommitId) -> Result<(), Failure> {
    let root = ship.trust.root(candidate).await.map_err(|why| {
        Failure::new(Code::TrustChanged, Exit::Inconclusive, why.to_string()).hint(why.next)
    })?;
    let judgement = TrustCheck::judge(&Policy {}, &root.seen);
    let check = crate::base::ids::CheckId::new(ID).expect("a constant id");
    let waivers = ship.waivers(candidate).await?;
    let (judged, _) = waiver::apply(&check, judgement, &waivers, ship.now());
    if judged.verdict != Verdict::Fail {
        return Ok(());
    }
    let tag = root.seen.tag.unwrap_or_default();
    let text = format!("orca.yaml changes trust or required gates since {tag}");
    let failure = Failure::new(Code::TrustChanged, Exit::Closed, text);
    let lines = root.seen.differences.into_iter();
    let failure = lines.fold(failure, Failure::hint);
    Err(judged.next.into_iter().fold(failure, Failure::hint))
}
