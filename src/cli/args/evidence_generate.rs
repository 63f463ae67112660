//! `orca evidence generate --tag NAME`: the signed pack of a release.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::atomic_file;
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::digest::Digest;
use crate::base::ids::ReleaseName;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_trust::TaggedTrust;
use crate::cli::{rules, wire, wire_fleet};
use crate::evidence::manifest::EvidenceManifest;
use crate::evidence::pack;
use crate::evidence::signers::{self, TrustList};
use crate::gate::verdict::Verdict;
use crate::ledger::entry::Body;
use crate::verbs::book::{Book, Note};
use crate::verbs::evidence_generate::{GatherError, commit_of, gather};
use crate::verbs::tag_rc::on_repository;
use crate::verbs::trusted::{Root, TrustRoot as _};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, such as v1.4.0 or v1.4.0-rc.2
    #[arg(long, value_name = "RELEASE")]
    tag: ReleaseName,

    /// Folder for the pack
    #[arg(long, value_name = "FOLDER", default_value = ".orca/evidence")]
    out: PathBuf,
}

/// A pack that was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Generated {
    release: String,
    pack: String,
    signature: String,
    public_key: String,
    report: String,
    sha256: String,
    verdict: Verdict,
    headline: String,
    /// Where trust was read from, and whether signatures are required.
    trust: String,
    /// Finals of the ledger that do not count as its root, and why.
    trust_doubts: Vec<String>,
    /// Artifact classes that are not in the pack.
    missing: Vec<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let key = wire_fleet::signing_key(context, &config)?.ok_or_else(|| {
        let text = "no signing key is configured, and an unsigned pack proves nothing".to_owned();
        Failure::new(Code::Key, Exit::Usage, text)
            .hint("openssl genpkey -algorithm ed25519 -out orca.key")
            .hint("name it: export ORCA_SIGNING_KEY=orca.key, or trust.signing_key in orca.yaml")
    })?;
    let book = wire_fleet::book(context, &config)?;
    let mut files = release_files(context, &config).await?;
    let root = trusted(args, context, (&config, &book)).await?;
    let list = TrustList::new(root.seen.tag.clone(), &root.trust);
    files.insert(signers::PATH.to_owned(), list.bytes());
    let manifest = evidence_manifest(context)?;
    let bundle = gather(book.as_ref(), &args.tag, files, manifest).await.map_err(failure)?;
    let pack = pack::build(&bundle, &key, &rules::all()).map_err(|error| {
        Failure::new(Code::LedgerCorrupt, Exit::Closed, error.to_string())
            .hint("orca release status")
    })?;
    let folder = context.folder.join(&args.out);
    let path = folder.join(format!("evidence-{}.zip", args.tag));
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let (signature, public_key, report_file) = (
        beside(".sig"),
        folder.join("orca.pub"),
        folder.join(format!("evidence-{}.html", args.tag)),
    );
    for (file, bytes) in [
        (&path, pack.zip.as_slice()),
        (&signature, &pack.signature[..]),
        (&public_key, key.public().to_spki_pem().as_bytes()),
        (&report_file, pack.report.as_slice()),
    ] {
        atomic_file::write(file, bytes).map_err(|error| {
            let text = format!("{} could not be written: {error}", file.display());
            Failure::new(Code::File, Exit::Unavailable, text).hint("see --out")
        })?;
    }
    hit(CrashPoint::PackWritten);
    let sha256 = Digest::of(&pack.zip);
    let fact = Body::PackWritten { release: args.tag.clone(), pack: sha256, verdict: pack.verdict };
    book.keep(Note::of(&config.environment.value, fact)).await?;
    book.share().await;
    let missing: Vec<String> = pack.missing.iter().map(|m| m.id.clone()).collect();
    let document = Generated {
        release: args.tag.to_string(),
        pack: path.display().to_string(),
        signature: signature.display().to_string(),
        public_key: public_key.display().to_string(),
        report: report_file.display().to_string(),
        sha256: sha256.to_string(),
        verdict: pack.verdict,
        headline: pack.headline.clone(),
        trust: root.seen.told(),
        trust_doubts: root.doubts,
        missing,
    };
    let human = human(&document, &sha256);
    Ok(Report::new(Exit::Done, "orca.evidence-generate/v1", &document, human)
        .output("pack", document.pack.clone())
        .next(format!("orca evidence verify {} --key {}", document.pack, document.public_key)))
}

fn human(document: &Generated, sha256: &Digest) -> String {
    let mut text = format!(
        "{}: {}\npack:      {}\nsignature: {}\nreport:    {}\nsha256:    {}\n{}\n",
        document.verdict.label(),
        document.headline,
        document.pack,
        document.signature,
        document.report,
        sha256.hex(),
        document.trust
    );
    if !document.missing.is_empty() {
        text.push_str(&format!("missing:   {}\n", document.missing.join(", ")));
    }
    text
}

/// Files of the repository that belong to a release.
async fn release_files(
    context: &Context,
    config: &Config,
) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let repository = wire_fleet::repository(context)?;
    let changelog = config.release.changelog.to_string_lossy().into_owned();
    let bytes = on_repository(&repository, move |found| found.read(&changelog)).await?;
    let redacted = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) => context.redactor.text(&text).into_owned().into_bytes(),
        Err(binary) => binary.into_bytes(),
    };
    let named = |bytes| ("release/CHANGELOG.md".to_owned(), redacted(bytes));
    Ok(bytes.map(named).into_iter().collect())
}

/// The root of trust of the release: a reader learns from its list whose signatures the pack bears.
/// A pack without it would count everybody's word, so none is made where it cannot be read.
async fn trusted(
    args: &Args,
    context: &Context,
    (config, book): (&Config, &Arc<dyn Book>),
) -> Result<Root, Failure> {
    let state = book.state().await?;
    let unknown = || failure(GatherError::Unknown(args.tag.clone()));
    let commit = commit_of(&state, &args.tag).ok_or_else(unknown)?;
    let source = TaggedTrust::new(context, Arc::clone(book), config);
    source.root(&commit).await.map_err(|why| {
        let text = format!("whose signatures count cannot be known, so no pack is made: {why}");
        Failure::new(Code::TrustChanged, Exit::Inconclusive, text).hint(why.next)
    })
}

/// The repository's own artifact classes, else the ones that orca ships.
fn evidence_manifest(context: &Context) -> Result<EvidenceManifest, Failure> {
    let file = context.folder.join("evidence/manifest.json");
    if !file.is_file() {
        return Ok(EvidenceManifest::shipped());
    }
    let text = atomic_file::read_text(&file, crate::base::limits::INPUT_FILE_BYTES_MAX)
        .map_err(|error| crate::base::yaml::InputError::whole_file(&file, error.to_string()))?;
    Ok(EvidenceManifest::parse(&context.redactor.text(&text), &file)?)
}

fn failure(error: GatherError) -> Failure {
    let text = error.to_string();
    match error {
        GatherError::Book(error) => error.into(),
        GatherError::Unknown(_) => Failure::new(Code::UnknownRelease, Exit::Usage, text)
            .hint("orca release status lists what is known"),
    }
}
