//! `report.html`: the pack as a person reads it, the verdict first. One self-contained page without
//! scripts; everything that comes from outside is escaped. Pure.

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment};
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::evidence::chart;
use crate::evidence::related::related_entries;
use crate::evidence::summary::{Material, Missing, Rejudged, Summary};
use crate::gate::check::Series;
use crate::gate::exhibit::Exhibit;
use crate::gate::rules::Rules;
use crate::gate::ruling::CheckRecord;
use crate::gate::verdict::{Measure, Verdict};
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};

const TEMPLATE: &str = include_str!("report.html.j2");

/// Most charts in a report.
const CHARTS_MAX: usize = 60;

/// The page about `release`.
pub(crate) fn render(
    release: &str,
    material: &Material<'_>,
    summary: &Summary,
    rules: &Rules,
) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .render_str(TEMPLATE, minijinja::value::Serde(context(release, material, summary, rules)))
        .expect("the template is tested")
}

fn context(release: &str, material: &Material<'_>, summary: &Summary, rules: &Rules) -> Value {
    let related = related_entries(material.entries, material.commit);
    let as_of = material.entries.last().map_or_else(String::new, |e| e.at.rfc3339());
    let timeline: Vec<Value> = related.iter().map(|(n, at, body)| event(*n, *at, body)).collect();
    let gates: Vec<Value> = summary.gates().into_iter().map(gate).collect();
    let charts = charts(material, summary, rules);
    let missing: (Vec<&Missing>, Vec<&Missing>) =
        summary.missing.iter().partition(|m| m.required || m.what == "exhibit");
    json!({
        "release": release,
        "commit": material.commit.as_str(),
        "as_of": as_of,
        "verdict": summary.verdict.label(),
        "class": summary.verdict.as_str(),
        "sentence": sentence(release, summary),
        "facts": facts(&related, material.entries.len()),
        "timeline": timeline,
        "gates": gates,
        "stages": stages(&related),
        "charts": charts,
        "artifacts": artifacts(material, summary),
        "missing": missing.0,
        "left_out": missing.1,
    })
}

/// The first line that a person reads.
fn sentence(release: &str, summary: &Summary) -> String {
    let claim = match summary.verdict {
        Verdict::Pass => "is proven",
        Verdict::Waived => "is proven with waivers",
        Verdict::NotApplicable | Verdict::Inconclusive => "is not proven",
        Verdict::Fail => "failed",
    };
    format!("{release} {claim}: {}", summary.headline)
}

fn facts(related: &[(usize, Timestamp, Body)], ledger_length: usize) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    for (_, at, body) in related {
        match body {
            Body::RcTagged(t) => {
                fact("Candidate for", t.version.to_string());
                let since = t.since.as_ref().map_or("nothing before", |r| r.as_str());
                fact("Since", format!("{since} ({})", t.reason));
            }
            Body::RolloutStarted(s) => fact("Rollout", format!("{} against {}", s.canary, s.base)),
            Body::Promoted(p) => fact("Promoted", format!("{} at {}", p.deployment, at.rfc3339())),
            Body::RolledBack(b) => fact("Rolled back", format!("to {} at {}", b.to, at.rfc3339())),
            _ => {}
        }
    }
    fact("Ledger", format!("{ledger_length} entries, {} about this commit", related.len()));
    facts
}

fn event(number: usize, at: Timestamp, body: &Body) -> Value {
    let (what, detail, verdict) = describe(body);
    let class = verdict.map_or("", Verdict::as_str);
    json!({"entry": number, "at": at.rfc3339(), "what": what, "detail": detail, "class": class,
        "verdict": verdict.map_or("", Verdict::label)})
}

/// What happened, its detail, and the verdict where there is one.
fn describe(body: &Body) -> (String, String, Option<Verdict>) {
    let plain = |what: &str, detail: String| (what.to_owned(), detail, None);
    match body {
        Body::RcTagged(t) => plain("Candidate tagged", format!("{}: {}", t.release, t.reason)),
        Body::Frozen { reason, until, .. } => {
            plain("Staging frozen", format!("until {}: {reason}", until.rfc3339()))
        }
        Body::Unfrozen { reason, .. } => plain("Staging unfrozen", reason.clone()),
        Body::Waived { waiver: w } => plain(
            "Finding waived",
            format!("{} of {} up to {}, {}", w.finding, w.check, w.worst, w.told()),
        ),
        Body::Cleared { clearance, phase } => plain(
            "Cleared",
            format!("for {}, until {}", phase.as_str(), clearance.expires_at.rfc3339()),
        ),
        Body::RolloutStarted(s) => {
            plain("Rollout started", format!("{} against {}", s.canary, s.base))
        }
        Body::RaiseIntended { from, to, .. } => plain("Raising", format!("{from} to {to}")),
        Body::PromoteIntended { to, .. } => plain("Promoting", to.to_string()),
        Body::FinalTagged { release, rc, .. } => {
            plain("Final version tagged", format!("{release} from {rc}"))
        }
        Body::StepIntended { name, .. } => plain("Step", name.clone()),
        Body::Ruled { phase, ruling } => (
            format!("Gate {} judged", ruling.gate),
            format!("{}: {}", phase.as_str(), ruling.headline),
            Some(ruling.verdict),
        ),
        Body::LowerIntended { to, reason, .. } => plain("Going back", format!("to {to}: {reason}")),
        Body::StepEnded { outcome, detail, .. } => plain(outcome_text(*outcome), detail.clone()),
        Body::Paused(p) => plain("Paused", format!("until {}: {}", p.until.rfc3339(), p.reason)),
        Body::Unpaused { reason, .. } => plain("Resumed", reason.clone()),
        Body::Advanced(a) => {
            plain("Stage advanced undecided", format!("stage {}: {}", a.stage, a.reason))
        }
        Body::StageBegan(s) => plain("Stage began", format!("{} at {}", s.stage, s.weight)),
        Body::StageDecided(s) => {
            (format!("Stage {} ({})", s.stage, s.weight), s.headline.clone(), Some(s.verdict))
        }
        Body::RolloutEnded { end, reason, .. } => plain(end_text(*end), reason.clone()),
        Body::RolledBack(b) => {
            let verified = match b.verified {
                TrafficProof::Verified => "verified",
                TrafficProof::Requested => "not verified",
                TrafficProof::Failed => "failed",
            };
            plain("Rolled back", format!("to {} ({verified}): {}", b.to, b.reason))
        }
        Body::Promoted(p) => plain("Promoted", format!("{} replaces {}", p.deployment, p.previous)),
        Body::Stable { release, .. } => plain("Stable", release.to_string()),
        Body::PackWritten { verdict, pack, .. } => {
            ("Pack written".to_owned(), pack.to_string(), Some(*verdict))
        }
        Body::Reconciled { .. } => plain("Reconciled", "an entry that lost a race".to_owned()),
    }
}

const fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Step done",
        Outcome::Failed => "Step failed",
        Outcome::Unknown => "Step outcome unknown",
    }
}

const fn end_text(end: RolloutEnd) -> &'static str {
    match end {
        RolloutEnd::Complete => "Rollout complete",
        RolloutEnd::RolledBack => "Rollout judged bad, users back on base",
        RolloutEnd::Withdrawn => "Rollout withdrawn undecided",
        RolloutEnd::Aborted => "Rollout aborted",
        RolloutEnd::GrantEnded => "Grant ended, users back on base",
    }
}

fn gate(ruling: &Rejudged) -> Value {
    let counted = ruling.counted();
    let checks: Vec<Value> = counted.checks.iter().map(check).collect();
    json!({
        "gate": counted.gate, "phase": ruling.phase.as_str(), "entry": ruling.entry,
        "at": ruling.at.rfc3339(), "headline": counted.headline,
        "verdict": counted.verdict.label(), "class": counted.verdict.as_str(),
        "checks": checks,
    })
}

fn check(record: &CheckRecord) -> Value {
    let judgement = &record.judgement;
    let measures: Vec<Value> = judgement.measures.iter().map(measure).collect();
    let findings: Vec<&str> = judgement.findings.iter().map(|f| f.title.as_str()).collect();
    json!({
        "check": record.check, "required": record.required, "rule": record.rule,
        "rule_version": record.rule_version, "headline": judgement.headline,
        "decided_by": judgement.decided_by, "exhibit": record.exhibit.short(),
        "verdict": record.counted.label(), "class": record.counted.as_str(),
        "measures": measures, "findings": findings,
    })
}

fn measure(m: &Measure) -> Value {
    let show = |value: Option<i64>| value.map_or_else(|| "no data".to_owned(), |v| m.unit.show(v));
    let interval = match (m.lower, m.upper) {
        (None, None) => String::new(),
        (lower, upper) => {
            let end = |v: Option<i64>| v.map_or_else(|| "…".to_owned(), |v| m.unit.show(v));
            format!("{} to {}", end(lower), end(upper))
        }
    };
    json!({
        "asked": m.asked, "seen": show(m.seen), "interval": interval,
        "limit": m.limit.map_or_else(String::new, |v| m.unit.show(v)), "samples": m.samples,
        "verdict": m.verdict.label(), "class": m.verdict.as_str(),
    })
}

fn stages(related: &[(usize, Timestamp, Body)]) -> Vec<Value> {
    let rows = related.iter().filter_map(|(_, at, body)| match body {
        Body::StageDecided(s) => Some(json!({
            "stage": s.stage, "weight": s.weight.to_string(), "at": at.rfc3339(),
            "verdict": s.verdict.label(), "class": s.verdict.as_str(), "next": s.next,
            "headline": s.headline,
            "base_requests": s.base_requests, "base_errors": s.base_errors,
            "canary_requests": s.canary_requests, "canary_errors": s.canary_errors,
        })),
        _ => None,
    });
    rows.collect()
}

/// Every chart of the exhibits about this commit, in the order of the ledger.
fn charts(material: &Material<'_>, summary: &Summary, rules: &Rules) -> Vec<Value> {
    let mut charts = Vec::new();
    for ruling in summary.rulings.iter().filter(|r| r.ours) {
        for record in &ruling.stored.checks {
            let bytes = material.exhibits.bytes(&record.exhibit);
            let Some(exhibit) = bytes.and_then(|b| Exhibit::parse(&b).ok()) else { continue };
            let mut by_title: BTreeMap<String, Vec<Series>> = BTreeMap::new();
            for series in rules.chart(&exhibit) {
                by_title.entry(series.title.clone()).or_default().push(series);
            }
            for (title, series) in by_title {
                let Some(svg) = chart::svg(&series) else { continue };
                charts.push(json!({"title": title, "svg": svg, "legend": chart::legend(&series), "gate": ruling.stored.gate,
                    "check": record.check, "at": record.observed_at.rfc3339()}));
            }
        }
    }
    charts.truncate(CHARTS_MAX);
    charts
}

fn artifacts(material: &Material<'_>, summary: &Summary) -> Vec<Value> {
    let rows = material.manifest.artifacts.iter().map(|artifact| {
        json!({
            "id": artifact.id, "title": artifact.title, "required": artifact.required,
            "present": summary.present.contains(&artifact.id),
            "soc2": artifact.controls.soc2.join(", "),
            "iso27001": artifact.controls.iso27001.join(", "),
        })
    });
    rows.collect()
}
