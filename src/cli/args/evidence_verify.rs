//! `orca evidence verify PACK --key KEY.pub`: is the pack what was signed, and does it say what its
//! raw data says. Reads files and nothing else.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::atomic_file;
use crate::base::dsse::PublicKey;
use crate::base::limits;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::rules;
use crate::evidence::signers;
use crate::evidence::verify::{self, Submission, Verification};
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pack: a zip
    #[arg(value_name = "PACK")]
    pack: PathBuf,

    /// The public key of who should have signed it, as SPKI PEM; not the one inside the pack
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The signature over the pack [default: PACK.sig]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let zip = read_pack(&context.folder.join(&args.pack))?;
    let key = args.key.as_deref().map(|file| read_key(&context.folder.join(file))).transpose()?;
    let signature = read_signature(args, context)?;
    let submission = Submission { zip: &zip, signature: signature.as_deref(), key: key.as_ref() };
    let answer = verify::verify(&submission, &rules::all());
    let human = human(&answer, context.columns);
    let mut report = Report::new(Exit::from(answer.verdict), verify::SCHEMA, &answer, human)
        .output("verdict", answer.verdict.as_str());
    if key.is_none() {
        let pack = args.pack.display();
        report = report.next(format!("orca evidence verify {pack} --key KEY.pub"));
    }
    if answer.verdict == Verdict::Fail {
        report = report.next(format!("orca explain {}", Code::PackInvalid.as_str()));
    }
    Ok(report)
}

/// The bytes of a pack within the limit.
pub(super) fn read_pack(file: &Path) -> Result<Vec<u8>, Failure> {
    atomic_file::read_limited(file, limits::PACK_BYTES_MAX).map_err(|e| unreadable(file, &e))
}

pub(super) fn read_key(file: &Path) -> Result<PublicKey, Failure> {
    let pem = atomic_file::read_text(file, limits::INPUT_FILE_BYTES_MAX)
        .map_err(|e| unreadable(file, &e))?;
    PublicKey::from_spki_pem(&pem).map_err(|error| {
        Failure::new(Code::Key, Exit::Usage, format!("{}: {error}", file.display()))
            .hint("openssl pkey -in PRIVATE_KEY -pubout -out KEY.pub")
    })
}

/// The file named, which must be there; else the one beside the pack, which may be missing.
fn read_signature(args: &Args, context: &Context) -> Result<Option<Vec<u8>>, Failure> {
    let beside = || {
        let mut name = OsString::from(args.pack.as_os_str());
        name.push(".sig");
        PathBuf::from(name)
    };
    let file = context.folder.join(args.signature.clone().unwrap_or_else(beside));
    match atomic_file::read_limited(&file, limits::INPUT_FILE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound && args.signature.is_none() => Ok(None),
        Err(error) => Err(unreadable(&file, &error)),
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be read: {error}", file.display());
    Failure::new(Code::File, Exit::Usage, message)
        .hint("orca evidence generate --tag TAG makes a pack, and prints its path and its key")
}

fn human(answer: &Verification, columns: usize) -> String {
    let rows: Vec<Vec<String>> = answer
        .steps
        .iter()
        .map(|s| vec![s.name.clone(), s.verdict.label().to_owned(), s.detail.clone()])
        .collect();
    let rows = table(&["step", "verdict", "detail"], &rows, columns);
    let signers = match signers::human(&answer.signers) {
        text if text.is_empty() => text,
        text => format!("\nsigned, by the trust list in the pack:\n{text}"),
    };
    plain(&format!("{}: {}\n\n{rows}{signers}", answer.verdict.label(), answer.headline))
}

/// Text of a pack on a terminal: a hostile one cannot steer it.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect()
}
