//! From a bundle to a signed pack. Pure: the same bundle and key give the same bytes.
//!
//! Who lists whom: `manifest.json` lists every content file; `SHA256SUMS` lists those and the
//! manifest; the statement is about the manifest, the sums and the commit; the key, the statement
//! and its signature are listed by nobody and covered by the signature over the whole zip.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::digest::{Digest, canonical_json};
use crate::base::dsse::{self, Envelope, SigningKey};
use crate::base::ids::CommitId;
use crate::evidence::bundle::{Bundle, BundleError, read_ledger};
use crate::evidence::report;
use crate::evidence::signers::{self, Standing};
use crate::evidence::statement::{self, Subjects};
use crate::evidence::summary::{Material, Missing, Summary};
use crate::evidence::zip::{self, Files, ZipError};
use crate::gate::rules::Rules;
use crate::gate::verdict::Verdict;
use crate::ledger::entry::Entry;

pub(crate) const SCHEMA: &str = "orca.pack/v1";

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const SUMS: &str = "SHA256SUMS";
pub(crate) const STATEMENT: &str = "statement.dsse.json";
pub(crate) const PAE: &str = "statement.pae";
pub(crate) const SIGNATURE: &str = "statement.sig";
pub(crate) const PUBLIC_KEY: &str = "public_key.pem";
pub(crate) const REPORT: &str = "report.html";
pub(crate) const CLASSES: &str = "evidence_manifest.json";
pub(crate) const LEDGER: &str = "ledger/";
pub(crate) const EXHIBITS: &str = "exhibits/";
/// Files that `SHA256SUMS` does not list.
pub(crate) const UNLISTED: [&str; 5] = [SUMS, STATEMENT, PAE, SIGNATURE, PUBLIC_KEY];

/// A finished pack.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    pub(crate) zip: Vec<u8>,
    /// `PACK.sig`: the raw signature over `zip`.
    pub(crate) signature: [u8; 64],
    /// What the pack says of the release.
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    pub(crate) missing: Vec<Missing>,
    /// The report, so that it can be opened without unpacking.
    pub(crate) report: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error("'{0}' cannot be the path of a file in a pack")]
    Path(String),
    #[error("exhibit {0} has other bytes than its digest says")]
    Exhibit(String),
    #[error(transparent)]
    Zip(#[from] ZipError),
}

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackManifest {
    pub(crate) schema: String,
    pub(crate) tag: String,
    pub(crate) commit: String,
    /// When the last ledger entry was written, RFC 3339.
    pub(crate) as_of: String,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    pub(crate) files: Vec<PackFile>,
    pub(crate) missing: Vec<Missing>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackFile {
    pub(crate) path: String,
    /// 64 hex digits.
    pub(crate) sha256: String,
    pub(crate) size: u64,
    pub(crate) media_type: String,
    /// The gate that rests on it.
    pub(crate) gate: Option<String>,
}

/// Packs and signs `bundle`.
pub(crate) fn build(bundle: &Bundle, key: &SigningKey, rules: &Rules) -> Result<Pack, PackError> {
    let entries = read_ledger(bundle.ledger.iter().map(|b| b.entry.as_slice()))?;
    let mut files = content(bundle)?;
    let paths: Vec<&str> = bundle.files.keys().map(String::as_str).collect();
    let stored = bundle.ledger.iter().map(|item| (item.entry.clone(), item.dsse.clone()));
    let list = bundle.files.get(signers::PATH).map(Vec::as_slice);
    let standing = Standing::of(list, stored);
    let material = Material {
        standing: &standing,
        commit: &bundle.commit,
        entries: &entries,
        exhibits: &bundle.exhibits,
        paths: &paths,
        manifest: &bundle.manifest,
    };
    let summary = Summary::of(&material, rules);
    let release = bundle.release.as_str();
    let report = report::render(release, &material, &summary, rules).into_bytes();
    files.insert(REPORT.to_owned(), report.clone());
    let manifest = manifest_bytes(bundle, &files, &entries, &summary);
    files.insert(MANIFEST.to_owned(), manifest.clone());
    let sums = sums(files.iter().map(|(path, bytes)| (path.as_str(), Digest::of(bytes))));
    let subjects = Subjects { manifest: &manifest, sums: &sums, commit: &bundle.commit };
    let payload = statement::write(&subjects, &summary);
    files.insert(SUMS.to_owned(), sums);
    sign(&mut files, &payload, key);
    let zip = zip::write(&files)?;
    Ok(Pack {
        signature: key.sign(&zip),
        zip,
        verdict: summary.verdict,
        headline: summary.headline,
        missing: summary.missing,
        report,
    })
}

/// Where the entry with this 1-based number stands.
pub(crate) fn entry_path(number: usize) -> String {
    format!("{LEDGER}{number:06}.json")
}

pub(crate) fn entry_dsse_path(number: usize) -> String {
    format!("{LEDGER}{number:06}.dsse.json")
}

pub(crate) fn exhibit_path(digest: &Digest) -> String {
    format!("{EXHIBITS}{}.json", digest.hex())
}

fn content(bundle: &Bundle) -> Result<Files, PackError> {
    let mut files = Files::new();
    for (path, bytes) in &bundle.files {
        let reserved = [MANIFEST, REPORT, CLASSES].contains(&path.as_str())
            || UNLISTED.contains(&path.as_str())
            || [LEDGER, EXHIBITS].iter().any(|folder| path.starts_with(folder));
        if reserved || !zip::is_safe(path) {
            return Err(PackError::Path(path.clone()));
        }
        files.insert(path.clone(), bytes.clone());
    }
    for (index, item) in bundle.ledger.iter().enumerate() {
        files.insert(entry_path(index + 1), item.entry.clone());
        if let Some(dsse) = &item.dsse {
            files.insert(entry_dsse_path(index + 1), dsse.clone());
        }
    }
    for (digest, bytes) in &bundle.exhibits {
        if Digest::of(bytes) != *digest {
            return Err(PackError::Exhibit(digest.to_string()));
        }
        files.insert(exhibit_path(digest), bytes.clone());
    }
    let classes = canonical_json(&bundle.manifest).expect("a manifest is plain data");
    files.insert(CLASSES.to_owned(), classes);
    Ok(files)
}

fn manifest_bytes(bundle: &Bundle, files: &Files, entries: &[Entry], s: &Summary) -> Vec<u8> {
    let listed = files.iter().map(|(path, bytes)| PackFile {
        path: path.clone(),
        sha256: Digest::of(bytes).hex(),
        size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        media_type: media_type(path).to_owned(),
        gate: gate_of(path, s),
    });
    let manifest = PackManifest {
        schema: SCHEMA.to_owned(),
        tag: bundle.release.to_string(),
        commit: bundle.commit.to_string(),
        as_of: entries.last().map_or_else(String::new, |e| e.at.rfc3339()),
        verdict: s.verdict,
        headline: s.headline.clone(),
        files: listed.collect(),
        missing: s.missing.clone(),
    };
    canonical_json(&manifest).expect("a manifest is plain data")
}

fn gate_of(path: &str, summary: &Summary) -> Option<String> {
    let digest = Digest::parse(path.strip_prefix(EXHIBITS)?.strip_suffix(".json")?)?;
    let rests =
        |checks: &[crate::gate::ruling::CheckRecord]| checks.iter().any(|c| c.exhibit == digest);
    let ruling = summary.rulings.iter().find(|r| rests(&r.stored.checks))?;
    Some(ruling.stored.gate.clone())
}

fn media_type(path: &str) -> &'static str {
    let (_, extension) = path.rsplit_once('.').unwrap_or(("", ""));
    match extension {
        "json" => "application/json",
        "html" => "text/html",
        "md" => "text/markdown",
        "png" => "image/png",
        "xml" => "application/xml",
        "txt" | "" => "text/plain",
        _ => "application/octet-stream",
    }
}

/// Lines for `sha256sum -c`.
pub(crate) fn sums<'a>(files: impl Iterator<Item = (&'a str, Digest)>) -> Vec<u8> {
    let line = |(path, digest): (&str, Digest)| format!("{}  {path}\n", digest.hex());
    files.map(line).collect::<String>().into_bytes()
}

fn sign(files: &mut Files, payload: &[u8], key: &SigningKey) {
    let envelope = Envelope::sign(statement::PAYLOAD_TYPE, payload, key);
    let signature = STANDARD.decode(&envelope.signatures[0].sig).expect("just encoded");
    files.insert(PAE.to_owned(), dsse::pae(statement::PAYLOAD_TYPE, payload));
    files.insert(SIGNATURE.to_owned(), signature);
    files.insert(STATEMENT.to_owned(), envelope.bytes());
    files.insert(PUBLIC_KEY.to_owned(), key.public().to_spki_pem().into_bytes());
}

/// The commit that a pack's manifest names.
pub(crate) fn commit_of(manifest: &PackManifest) -> Option<CommitId> {
    CommitId::new(manifest.commit.as_str()).ok()
}
