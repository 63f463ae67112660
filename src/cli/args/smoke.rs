//! `orca smoke`: the `.http` files of a folder against a deployment, once, each answer judged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::smoke_files::{self, Wanted};
use crate::base::atomic_file;
use crate::base::redact::Secret;
use crate::base::secret_shapes::is_secret_name;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::smoke;
use crate::cli::report::Report;
use crate::cli::wire_smoke;
use crate::load::plan::Target;
use crate::smoke::check::{Policy, judge};
use crate::smoke::outcome::{SmokeSeen, TestSeen};
use crate::smoke::prepare::{Ready, Selection};
use crate::smoke::template::is_name;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files of requests and assertions [default: synthetics/*.http]
    files: Vec<PathBuf>,

    /// What {{url}}, {{host}} and paths stand for, like <http://127.0.0.1:3000>
    #[arg(long, value_name = "URL")]
    target: Option<String>,

    /// Only tests that are marked # @critical
    #[arg(long)]
    critical: bool,

    /// An environment of http-client.env.json and http-client.private.env.json
    #[arg(long, value_name = "NAME")]
    env: Option<String>,

    /// A variable, stronger than those of files; may be given several times
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,

    /// A test that passes only after a retry fails
    #[arg(long)]
    strict: bool,

    /// Also send what changes something to hosts that the manifest marks as production
    #[arg(long)]
    allow_production: bool,

    /// Write the tests as JUnit test cases
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    if let Some(target) = &args.target {
        context.redactor.learn_url(target);
        Target::parse(target)?;
    }
    for (_, value) in args.vars.iter().filter(|(name, _)| is_secret_name(name)) {
        context.redactor.learn(&Secret::new(value.as_str()));
    }
    let files = args.ready(context)?;
    let tell = wire_smoke::tell(context);
    let seen = wire_smoke::run(&files, context, (None, &context.cancel), &tell).await?;
    if let Some(file) = &args.junit {
        let path = context.folder.join(file);
        let text = context.redactor.text(&smoke::junit(&seen, args.strict)).into_owned();
        atomic_file::write(&path, text.as_bytes()).map_err(|error| {
            let text = format!("{} could not be written: {error}", path.display());
            Failure::new(Code::File, Exit::Usage, text).hint("give --junit in a folder that exists")
        })?;
    }
    if context.cancel.is_cancelled() && seen.tests.len() < seen.planned {
        let text =
            format!("stopped by a signal after {} of {} tests", seen.tests.len(), seen.planned);
        return Err(Failure::new(Code::Interrupted, Exit::Interrupted, text));
    }
    if seen.is_unreachable() {
        return Err(args.unreachable(&seen));
    }
    let policy = Policy { strict: args.strict, critical: args.critical, tests: None };
    let judgement = judge(&policy, &seen);
    Ok(smoke::report(&seen, &judgement, args.target.as_deref()))
}

impl Args {
    /// The tests that are meant; there is at least one.
    fn ready(&self, context: &Context) -> Result<Vec<Ready>, Failure> {
        let selection = if self.critical { Selection::Critical } else { Selection::All };
        let ready = smoke_files::ready(
            &Wanted {
                files: self.files.clone(),
                selection,
                target: self.target.clone(),
                is_bound: false,
                environment: self.env.clone(),
                overrides: self.vars.iter().cloned().collect::<BTreeMap<_, _>>(),
                allow_production: self.allow_production,
            },
            context,
        )?;
        let left_out: usize = ready.iter().map(|file| file.left_out.len()).sum();
        if ready.iter().all(|file| file.tests.is_empty()) {
            let text = match left_out {
                0 => "there is no request in these files".to_owned(),
                _ => format!("none of {left_out} tests is marked # @critical"),
            };
            return Err(Failure::new(Code::NoSmokeTests, Exit::Usage, text)
                .hint("write # @critical above the requests without which nothing may ship"));
        }
        if left_out > 0 {
            context.say(format!("{left_out} tests are not critical, and not run"));
        }
        Ok(ready)
    }

    fn unreachable(&self, seen: &SmokeSeen) -> Failure {
        let why = seen.tests.iter().find_map(TestSeen::why).unwrap_or_default();
        let target = self.target.as_deref().unwrap_or("URL");
        let text = format!("nobody was reached: {why}");
        Failure::new(Code::SmokeUnreachable, Exit::Unavailable, text)
            .hint(format!("curl -v {target}"))
    }
}
