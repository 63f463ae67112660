//! Puts ledger, repository, platform and gates together for the verbs that judge and move.

use std::sync::{Arc, Mutex};

use super::config::resolve::Config;
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::wire_trust::TaggedTrust;
use super::{rules, wire, wire_platform};
use crate::base::dsse::SigningKey;
use crate::base::ids::OrcaId;
use crate::base::redact::Secret;
use crate::base::{atomic_file, limits};
use crate::gate::engine::{Bench, Event};
use crate::ledger::entry::Actor;
use crate::ledger::ports::{Storage, StorageError};
use crate::ledger::store::{Ledger, Writer};
use crate::providers::git::objects::GitStorage;
use crate::providers::git::state_folder::{NoRepository, StateFolder};
use crate::verbs::book::Book;
use crate::verbs::ledger_book::LedgerBook;
use crate::verbs::ship::{Fleet, Ship, Tell};
use crate::verbs::tag_rc::SharedRepository;

/// The repository around the folder.
pub(crate) fn repository(context: &Context) -> Result<SharedRepository, Failure> {
    Ok(Arc::new(Mutex::new(wire::repository(context)?)))
}

/// Reads the signing key that configuration or environment name.
pub(crate) fn signing_key(
    context: &Context,
    config: &Config,
) -> Result<Option<SigningKey>, Failure> {
    let Some(name) = &config.trust.signing_key.value else { return Ok(None) };
    let path = context.folder.join(name);
    let unusable = |why: String| {
        let origin = &config.trust.signing_key.origin;
        let text = format!("the signing key {} ({origin}) cannot be used: {why}", path.display());
        Failure::new(Code::Key, Exit::Usage, text)
            .hint("openssl genpkey -algorithm ed25519 -out orca.key")
    };
    let pem = atomic_file::read_text(&path, limits::INPUT_FILE_BYTES_MAX)
        .map_err(|error| unusable(error.to_string()))?;
    context.redactor.learn(&Secret::new(pem.as_str()));
    SigningKey::from_pkcs8_pem(&pem).map(Some).map_err(|error| unusable(error.to_string()))
}

/// Who acts; a name may hold anything that its environment holds.
fn actor(context: &Context) -> String {
    context.redactor.text(&context.env.actor()).into_owned()
}

/// The ledger of the repository around the folder.
pub(crate) fn ledger(context: &Context, config: &Config) -> Result<LedgerBook, Failure> {
    start(context, config, |opened, _| Ok(Box::new(opened?)))
}

pub(crate) fn book(context: &Context, config: &Config) -> Result<Arc<dyn Book>, Failure> {
    Ok(Arc::new(ledger(context, config)?))
}

/// Where intents wait that no repository takes.
struct Outside {
    state: StateFolder,
    /// What names the folder where there is no repository.
    places: Vec<String>,
}

type Opened = Result<GitStorage, StorageError>;

/// Starts the ledger's thread on what `choose` makes of the repository.
fn start(
    context: &Context,
    config: &Config,
    choose: impl FnOnce(Opened, Outside) -> Result<Box<dyn Storage>, StorageError> + Send + 'static,
) -> Result<LedgerBook, Failure> {
    let writer = Writer {
        clock: context.clock.clone(),
        entropy: context.entropy.clone(),
        holder: format!("{} {}", actor(context), OrcaId::generate("run", &context.entropy)),
        actor: Actor { name: context.env.actor(), role: None },
        redactor: context.redactor.clone(),
        key: signing_key(context, config)?,
        orca: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let folder = context.folder.clone();
    // Without a home the intent waits in the repository or not at all.
    let state = context.env.state_folder().unwrap_or_default();
    let platform = config
        .platform
        .admin
        .value
        .iter()
        .chain(config.platform.url.value.iter().filter(|_| config.platform.admin.value.is_none()))
        .map(|admin| format!("platform {}", admin.trim_end_matches('/')))
        .chain(config.platform.project.value.iter().map(|name| format!("platform {name}")));
    let outside = Outside { state: StateFolder::new(&state), places: platform.collect() };
    let lease = config.canary.lease.duration();
    let open = move || {
        let opened = GitStorage::open(&folder);
        let opened = opened.map(|git| git.with_state_folder(&outside.state, &outside.places));
        Ok(Ledger::open(choose(opened, outside)?, writer).leasing_for(lease))
    };
    Ok(LedgerBook::start(open, context.entropy.clone())?)
}

/// The ledger, for going back, which does not need it: without a repository what happened waits
/// in the user's state folder. A signing key that cannot be read stops no rollback either.
pub(crate) fn book_if_any(context: &Context, config: &Config) -> Option<Arc<dyn Book>> {
    let or_outside = |config: &Config| -> Result<Arc<dyn Book>, Failure> {
        let started = start(context, config, |opened, outside| match opened {
            Ok(git) => Ok(Box::new(git)),
            Err(why) => Ok(Box::new(NoRepository::new(&outside.state, &outside.places, why))),
        });
        Ok(Arc::new(started?))
    };
    let unsigned = || {
        let mut unsigned = config.clone();
        unsigned.trust.signing_key.value = None;
        or_outside(&unsigned)
    };
    let opened = or_outside(config).or_else(|failure| {
        context.warn(format!("{failure}"));
        unsigned()
    });
    if opened.is_err() {
        context.warn("no ledger here: nothing is remembered; going back all the same");
    }
    opened.ok()
}

/// Says lines as a verb says them.
pub(crate) fn tell(context: &Context) -> Tell {
    let context = context.clone();
    Arc::new(move |text: &str| context.say(text))
}

/// What running gates needs; every check's beginning and end is said.
pub(crate) fn bench(context: &Context) -> Bench {
    let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel::<Event>();
    let own = context.clone();
    tokio::spawn(async move {
        while let Some(event) = inbox.recv().await {
            match event {
                Event::Started { check, .. } => own.say(format!("{check}: looking")),
                Event::Progressed { check, text } => own.say(format!("{check}: {text}")),
                Event::Ended { check, verdict, headline, next, .. } => {
                    own.say(format!("{check}: {}: {headline}", verdict.label()));
                    if let Some(next) = next {
                        own.say(format!("{check}: to do: {next}"));
                    }
                }
            }
        }
    });
    Bench {
        clock: context.clock.clone(),
        rules: Arc::new(rules::all()),
        redactor: context.redactor.clone(),
        waivers: Vec::new(),
        cancel: context.cancel.clone(),
        events: Some(events),
    }
}

pub(crate) fn ship(context: &Context, config: &Config) -> Result<Ship, Failure> {
    let book = book(context, config)?;
    let trust = TaggedTrust::new(context, Arc::clone(&book), config);
    Ok(Ship {
        book,
        blackouts: config.release.blackouts.clone(),
        trust: Arc::new(trust),
        signer: signing_key(context, config)?.map(|key| key.public()),
        bench: bench(context),
        entropy: context.entropy.clone(),
        environment: config.environment.value.clone(),
        tell: tell(context),
    })
}

pub(crate) fn fleet(context: &Context, config: &Config) -> Result<Fleet, Failure> {
    Ok(Fleet { ship: ship(context, config)?, platform: wire_platform::platform(context, config)? })
}
