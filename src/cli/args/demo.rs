//! `orca demo`: see the whole of it in a minute, on this machine alone.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::demo::acts::{Left, Pace, Scene};
use crate::cli::demo::stage::Stage;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shorter stages and less traffic
    #[arg(long)]
    fast: bool,
}

/// What the demo left behind.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DemoDocument {
    folder: String,
    packs: Vec<DemoPack>,
    /// Requests of the background traffic, over all acts.
    user_requests: u64,
    user_requests_hurt: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct DemoPack {
    release: String,
    pack: String,
    report: String,
    key: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let pace = if args.fast { Pace::FAST } else { Pace::SHOWN };
    let context = context.clone();
    let played = tokio::task::spawn_blocking(move || play(pace, &context)).await;
    match played {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn play(pace: Pace, context: &Context) -> Result<Report, Failure> {
    let stage = Stage::set(context)?;
    stage.say(format!(
        "the scene is set in {}: a shop, its router, {} users' requests a second.\nBake times are \
         seconds here; a real canary takes hours.",
        stage.folder().display(),
        pace.rate
    ));
    let mut scene = Scene::build(&stage, pace)?;
    let good = scene.good()?;
    let bad = scene.bad()?;
    scene.left_alone()?;
    let traffic = scene.finish();
    let count = |key: &str| traffic.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let pack = |left: &Left| DemoPack {
        release: left.release.clone(),
        pack: left.pack.clone(),
        report: left.report.clone(),
        key: left.key.clone(),
    };
    let document = DemoDocument {
        folder: stage.folder().display().to_string(),
        packs: vec![pack(&good), pack(&bad)],
        user_requests: count("requests"),
        user_requests_hurt: count("errors"),
    };
    let human = format!(
        "\nall three acts went as they should\nusers sent {} requests; {} of them failed, all in act 2\n\n\
         packs:\n  {}\n  {}\nreports, for your browser:\n  {}\n  {}\n",
        document.user_requests,
        document.user_requests_hurt,
        good.pack,
        bad.pack,
        good.report,
        bad.report
    );
    Ok(Report::new(Exit::Done, "orca.demo/v1", &document, human)
        .next(format!("orca evidence verify {} --key {}", bad.pack, bad.key))
        .next("cd YOUR_REPOSITORY && orca init")
        .next("orca release tag --rc --dry-run"))
}
