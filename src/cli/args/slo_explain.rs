//! `orca slo explain`: each objective of the manifest in one plain sentence, where it holds, and how
//! many clean samples can decide it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::wire_slo::Chosen;
use crate::gate::phase::Phase;
use crate::slo::manifest::Manifest;
use crate::slo::objective::Objective;
use crate::slo::sample::ALL;
use crate::slo::samples_needed::clean_samples_needed;
use crate::slo::source::Source;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

/// The manifest as it was understood.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explained {
    /// Whose differences hold here.
    environment: Option<String>,
    /// Sources of measurements, by name.
    sources: Vec<String>,
    /// What each of them is asked.
    asked: Vec<Asked>,
    /// Two-sided.
    confidence_bp: u32,
    /// Fewer requests decide nothing.
    min_samples: u64,
    objectives: Vec<Understood>,
}

/// A source as it was understood.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Asked {
    source: String,
    /// `prometheus`, `vercel`, `load` or `file`.
    #[serde(rename = "type")]
    kind: String,
    /// The first one says where; the others what.
    sentences: Vec<String>,
}

/// One objective of one scope.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Understood {
    /// An endpoint, or `all` of them together.
    scope: String,
    objective: Objective,
    sentence: String,
    phases: Vec<Phase>,
    /// Samples that pass when nothing is wrong; absent when no number can.
    clean_samples_needed: Option<u64>,
}

const PHASES: [Phase; 5] =
    [Phase::Preflight, Phase::Load, Phase::Canary, Phase::Promote, Phase::Watch];

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let manifest = args.chosen.manifest(context)?;
    let environment = args.chosen.environment.clone();
    let explained = Explained { environment, ..explain(&manifest) };
    let human = human(&explained, context.columns);
    Ok(Report::new(Exit::Done, "orca.slo-explain/v1", &explained, human))
}

fn explain(manifest: &Manifest) -> Explained {
    let mut objectives = Vec::new();
    let mut add = |scope: &str, of_phase: &dyn Fn(Phase) -> Vec<Objective>| {
        let mut rows: Vec<Understood> = Vec::new();
        for phase in PHASES {
            for objective in of_phase(phase) {
                match rows.iter_mut().find(|row| row.objective == objective) {
                    Some(row) => row.phases.push(phase),
                    None => rows.push(understood(manifest, scope, objective, phase)),
                }
            }
        }
        objectives.extend(rows);
    };
    add(ALL, &|phase| manifest.overall_objectives(phase));
    for endpoint in &manifest.endpoints {
        add(&endpoint.name, &|phase| manifest.objectives(endpoint, phase));
    }
    Explained {
        environment: None,
        sources: manifest.sources.keys().cloned().collect(),
        asked: manifest.sources.values().map(asked).collect(),
        confidence_bp: manifest.confidence.0,
        min_samples: manifest.min_samples,
        objectives,
    }
}

fn asked(source: &Source) -> Asked {
    Asked {
        source: source.name.clone(),
        kind: source.kind.as_str().to_owned(),
        sentences: source.sentences(),
    }
}

fn understood(manifest: &Manifest, scope: &str, objective: Objective, phase: Phase) -> Understood {
    let needed = clean_samples_needed(&objective, manifest.confidence.0);
    Understood {
        scope: scope.to_owned(),
        objective,
        sentence: objective.sentence(),
        phases: vec![phase],
        clean_samples_needed: needed.map(|n| n.max(manifest.min_samples)),
    }
}

fn human(explained: &Explained, columns: usize) -> String {
    let rows: Vec<Vec<String>> = explained
        .objectives
        .iter()
        .map(|row| {
            let phases: Vec<&str> = row.phases.iter().map(|phase| phase.as_str()).collect();
            let phases = if phases.len() == PHASES.len() { "all".into() } else { phases.join(" ") };
            vec![
                row.scope.clone(),
                row.objective.to_string(),
                row.clean_samples_needed.map_or_else(|| "never".to_owned(), |n| n.to_string()),
                phases,
                row.sentence.clone(),
            ]
        })
        .collect();
    let head = ["scope", "objective", "samples", "phases", "what has to hold"];
    let sources = explained.asked.iter().map(|asked| {
        let lines = asked.sentences.join("\n  ");
        format!("source {}: {lines}\n", asked.source)
    });
    let sources = sources.collect::<String>();
    format!(
        "{}\nsamples: how many decide, at {} confidence, when nothing is wrong\n{sources}",
        table(&head, &rows, columns),
        crate::base::units::BasisPoints(explained.confidence_bp)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn each_objective_once_with_its_phases_and_samples() {
        let text = "version: 1\n\
            defaults:\n  objectives: [\"errors < 1%\", \"throughput > 5/s\"]\n  min_samples: 100\n\
            endpoints:\n  - {name: home, path: /, objectives: [\"p95 < 500ms\", \"errors < 0%\"]}\n";
        let manifest = Manifest::parse(text, Path::new("slo.yaml")).unwrap();
        let explained = explain(&manifest);
        let seen: Vec<_> = explained
            .objectives
            .iter()
            .map(|o| {
                let objective = o.objective.to_string();
                (o.scope.as_str(), objective, o.phases.len(), o.clean_samples_needed)
            })
            .collect();
        let errors = explained.objectives[0].objective.to_string();
        assert_eq!(seen[0], ("all", errors, 5, Some(368)));
        assert_eq!((seen[1].0, seen[1].2, seen[1].3), ("all", 1, Some(100)));
        assert_eq!((seen[2].0, seen[2].2, seen[2].3), ("home", 5, Some(100)));
        assert_eq!((seen[3].0, seen[3].2, seen[3].3), ("home", 5, None));
    }

    #[test]
    fn a_source_is_shown_with_every_filter_as_it_will_be_asked() {
        let text = "version: 1\nendpoints: [{name: home, path: /}]\nsources:\n  live:\n    \
            type: vercel\n    metric: vercel.request.count\n    aggregation: sum\n    \
            filter: environment:production\n    good: status < 500\n    \
            endpoints: {home: {filter: \"path:/\"}}\n  run: {type: load, path: load.json}\n";
        let manifest = Manifest::parse(text, Path::new("slo.yaml")).unwrap();
        let shown = human(&explain(&manifest), 100);
        for line in [
            "source live: Vercel: sum of vercel.request.count, over 1h unless an objective says",
            "  all: requests: environment:production",
            "  home: good: (environment:production) AND (path:/) AND (status < 500); all others failed",
            "  home: fast: not asked, so latencies are unknown",
            "source run: the load result load.json: the run is the window of every objective",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }
}
