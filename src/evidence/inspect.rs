//! What is looked at in a pack, file by file: each finding says pass with a detail, or fail or
//! inconclusive with the reason. Nothing here believes what a file says of itself.

use std::collections::BTreeSet;

use crate::base::digest::Digest;
use crate::base::dsse::{self, Envelope, PublicKey};
use crate::evidence::contents::Contents;
use crate::evidence::pack::{self, PackManifest};
use crate::evidence::statement;
use crate::evidence::verify::{Finding, unknown, wrong};
use crate::gate::verdict::Verdict;
use crate::ledger::chain::speaks_for;
use crate::ledger::sign;

type Faulty = (Verdict, String);

pub(super) fn file(contents: &Contents<'_>, path: &str) -> Result<Vec<u8>, Faulty> {
    contents.file(path).map_err(wrong)
}

pub(super) fn read_manifest(contents: &Contents<'_>) -> Result<PackManifest, Faulty> {
    let manifest: PackManifest = serde_json::from_slice(&file(contents, pack::MANIFEST)?)
        .map_err(|e| wrong(format!("{}: {e}", pack::MANIFEST)))?;
    if manifest.schema == pack::SCHEMA {
        Ok(manifest)
    } else {
        Err(wrong(format!("unknown schema '{}'", manifest.schema)))
    }
}

/// The sums list every file but those that nobody lists, and fit byte for byte.
pub(super) fn sha256sums(contents: &Contents<'_>) -> Finding {
    let is_listed = |path: &str| !pack::UNLISTED.contains(&path);
    let all = contents.digests().iter().map(|(path, digest)| (path.as_str(), *digest));
    let listed: Vec<(&str, Digest)> = all.filter(|(path, _)| is_listed(path)).collect();
    if file(contents, pack::SUMS)? == pack::sums(listed.iter().copied()) {
        Ok(format!("{} files", listed.len()))
    } else {
        Err(wrong("the sums are not those of the files"))
    }
}

/// The manifest lists every file once, as it is.
pub(super) fn digests(contents: &Contents<'_>, manifest: &PackManifest) -> Finding {
    let mut expected: BTreeSet<&str> = pack::UNLISTED.into();
    expected.insert(pack::MANIFEST);
    for listed in &manifest.files {
        let digest = contents.digests().get(&listed.path);
        let digest = digest.ok_or_else(|| wrong(format!("{} is missing", listed.path)))?;
        if digest.hex() != listed.sha256 || contents.size(&listed.path) != Some(listed.size) {
            return Err(wrong(format!("{} is not the listed one", listed.path)));
        }
        if !expected.insert(&listed.path) {
            return Err(wrong(format!("{} is listed twice", listed.path)));
        }
    }
    match contents.digests().keys().find(|path| !expected.contains(path.as_str())) {
        Some(extra) => Err(wrong(format!("{extra} is in no list"))),
        None => Ok(format!("{} files, none missing, none extra", manifest.files.len())),
    }
}

/// Every exhibit is named by its digest, and every file of the ledger by its place in it: an entry
/// behind a gap would be in the pack and in no chain.
pub(super) fn names(contents: &Contents<'_>) -> Finding {
    let numbers = 1..=contents.digests().len();
    let mut places: BTreeSet<String> = BTreeSet::new();
    for path in numbers.clone().map(pack::entry_path).zip(numbers.map(pack::entry_dsse_path)) {
        if !contents.digests().contains_key(&path.0) {
            break;
        }
        places.extend([path.0, path.1]);
    }
    for (path, digest) in contents.digests() {
        if path.starts_with(pack::LEDGER) && !places.contains(path) {
            return Err(wrong(format!("{path} has no place in the ledger")));
        }
        if path.starts_with(pack::EXHIBITS) && *path != pack::exhibit_path(digest) {
            return Err(wrong(format!("{path} is not named by its digest")));
        }
    }
    Ok("exhibits by their digest, entries by their place".to_owned())
}

fn envelope(contents: &Contents<'_>) -> Result<Envelope, Faulty> {
    let bytes = file(contents, pack::STATEMENT)?;
    let envelope = Envelope::parse(&bytes).map_err(|e| wrong(e.to_string()))?;
    // Nobody lists this file, so only its own form says that nothing was added to it.
    let is_canonical = envelope.bytes() == bytes;
    is_canonical.then_some(envelope).ok_or_else(|| wrong("the statement is not in canonical form"))
}

/// What the statement says, signed or not.
pub(super) fn claimed(contents: &Contents<'_>) -> Result<Vec<u8>, Faulty> {
    envelope(contents)?.claimed_payload().map_err(|e| wrong(e.to_string()))
}

/// The statement's payload and who signed it. Without the auditor's key the one inside the pack
/// is used to find damage; it cannot prove origin.
pub(super) fn statement_signature(
    contents: &Contents<'_>,
    key: Option<&PublicKey>,
) -> Result<(Vec<u8>, String), Faulty> {
    let pem = file(contents, pack::PUBLIC_KEY)?;
    let inside = PublicKey::from_spki_pem(&String::from_utf8_lossy(&pem))
        .map_err(|e| wrong(e.to_string()))?;
    let used = key.unwrap_or(&inside);
    let envelope = envelope(contents)?;
    let payload =
        envelope.verify(statement::PAYLOAD_TYPE, used).map_err(|e| wrong(e.to_string()))?;
    let encoded = dsse::pae(statement::PAYLOAD_TYPE, &payload);
    if file(contents, pack::PAE)? != encoded {
        return Err(wrong("statement.pae is not the encoding of the statement"));
    }
    used.verify(&encoded, &file(contents, pack::SIGNATURE)?)
        .map_err(|e| wrong(format!("statement.sig: {e}")))?;
    if inside != *used || inside.to_spki_pem().as_bytes() != pem {
        return Err(wrong("public_key.pem is not the key that signed"));
    }
    if key.is_none() {
        return Err(unknown("it fits the key inside the pack, which proves nothing"));
    }
    Ok((payload, "in the envelope and as raw bytes".to_owned()))
}

/// Each signed entry is the one that was signed; by the auditor's key where it is that key's.
pub(super) fn entry_signatures(
    contents: &Contents<'_>,
    raw: &[Vec<u8>],
    key: Option<&PublicKey>,
) -> Finding {
    let (mut signed, mut ours) = (0_usize, 0_usize);
    for (index, entry) in raw.iter().enumerate() {
        let number = index + 1;
        // A fact inside a carrier has its author's signature, beside that of its carrier.
        if let (original, Some(dsse)) = speaks_for(entry, None) {
            entry_signature((number, &original), &dsse, key)?;
        }
        let path = pack::entry_dsse_path(number);
        if !contents.digests().contains_key(&path) {
            continue;
        }
        let is_ours = entry_signature((number, entry), &file(contents, &path)?, key)?;
        signed += 1;
        ours += usize::from(is_ours);
    }
    let all = raw.len();
    Ok(format!("{signed} of {all} entries carry a signature, {ours} verified by this key"))
}

/// Whether the auditor's key signed these bytes; another key's signature proves nothing here.
fn entry_signature(
    (number, entry): (usize, &[u8]),
    dsse: &[u8],
    key: Option<&PublicKey>,
) -> Result<bool, Faulty> {
    let place = |e: dsse::DsseError| wrong(format!("entry {number}: {e}"));
    let envelope = Envelope::parse(dsse).map_err(place)?;
    if envelope.payload_type != sign::PAYLOAD_TYPE {
        let found = &envelope.payload_type;
        return Err(wrong(format!("entry {number}: signed as '{found}'")));
    }
    if envelope.claimed_payload().map_err(place)? != *entry {
        return Err(wrong(format!("entry {number}: another entry was signed")));
    }
    let id = key.map(PublicKey::key_id);
    let is_ours = envelope.signatures.iter().any(|s| Some(&s.keyid) == id.as_ref());
    if let Some(key) = key.filter(|_| is_ours) {
        envelope.verify(sign::PAYLOAD_TYPE, key).map_err(place)?;
    }
    Ok(is_ours)
}
