//! The resolved manifest: every value checked, every default filled in. What is wrong in the file
//! is an error with its place, its text and what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::environment::{self, Environment};
use super::objective::{Metric, Objective};
use super::profile::{self, Profile};
use super::raw::{
    OnBreach, OnInconclusive, RawBudget, RawDefaults, RawEndpoint, RawExpect, RawManifest,
};
use super::source::{self, Source};
use crate::base::units::{BasisPoints, Rate};
use crate::base::yaml::{self, InputError, Spanned, nearest_name};
use crate::gate::phase::Phase;

/// The manifest that `orca init` writes and that orca itself is released with.
pub(crate) const DEFAULT: &str = include_str!("../../slo/slo_manifest.yaml");
/// Fewer requests decide nothing, unless the manifest says otherwise.
pub(crate) const MIN_SAMPLES: u64 = 400;
/// The two-sided confidence of every interval, unless the manifest says otherwise.
pub(crate) const CONFIDENCE: BasisPoints = BasisPoints(9_500);
/// The rate ceiling, unless the manifest says otherwise.
pub(crate) const RATE_MAX: Rate = Rate::per_second(2_000);

/// Objectives, endpoints and load profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) confidence: BasisPoints,
    pub(crate) min_samples: u64,
    pub(crate) on_inconclusive: OnInconclusive,
    /// How often an undecided stage may be judged; each look takes its share of the confidence.
    pub(crate) looks: Option<u32>,
    pub(crate) errors: BTreeSet<ErrorKind>,
    pub(crate) defaults: Vec<Objective>,
    /// Never empty; names are unique.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) profiles: BTreeMap<String, Profile>,
    pub(crate) rate_max: Rate,
    pub(crate) environments: Vec<Environment>,
    pub(crate) sources: BTreeMap<String, Source>,
    /// The name of the source that is asked unless another one is named; it exists.
    pub(crate) source: Option<String>,
    /// Absent where the manifest says nothing of budgets: then no gate asks for them.
    pub(crate) budget: Option<Budget>,
}

/// What a spent error budget does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// With less than this share left it counts as spent.
    pub(crate) keep: BasisPoints,
    pub(crate) on_spent: OnBreach,
    pub(crate) on_fast_burn: OnBreach,
}

impl Default for Budget {
    fn default() -> Self {
        Self { keep: BasisPoints(0), on_spent: OnBreach::Close, on_fast_burn: OnBreach::Warn }
    }
}

/// What counts as a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ErrorKind {
    ServerError,
    ClientError,
    Timeout,
    Connect,
    Reset,
    Protocol,
}

impl ErrorKind {
    const EVERY: [Self; 6] = [
        Self::ServerError,
        Self::ClientError,
        Self::Timeout,
        Self::Connect,
        Self::Reset,
        Self::Protocol,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ServerError => "5xx",
            Self::ClientError => "4xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
        }
    }
}

/// One thing that is called and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) weight: u32,
    pub(crate) safe: bool,
    pub(crate) body: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) data: Option<String>,
    pub(crate) expect: RawExpect,
    pub(super) objectives: Option<Vec<Objective>>,
    pub(super) phases: BTreeMap<Phase, Vec<Objective>>,
}

impl Manifest {
    pub(crate) fn read(file: &Path) -> Result<Self, InputError> {
        let (raw, source) = yaml::read::<RawManifest>(file)?;
        resolve(&raw, &Origin { file, source: &source })
    }

    /// `file` only names the text in errors.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn parse(source: &str, file: &Path) -> Result<Self, InputError> {
        let raw = yaml::parse::<RawManifest>(source, file)?;
        resolve(&raw, &Origin { file, source })
    }

    /// What an endpoint has to hold in a phase. A list of that phase stands alone. Otherwise
    /// throughput is asked of load only, where orca sets the rate, and uptime of watch only, the
    /// one phase long enough to show it.
    pub(crate) fn objectives(&self, endpoint: &Endpoint, phase: Phase) -> Vec<Objective> {
        if let Some(own) = endpoint.phases.get(&phase) {
            return own.clone();
        }
        let objectives = endpoint.objectives.as_ref().unwrap_or(&self.defaults);
        objectives.iter().filter(|o| belongs(o.metric(), phase)).copied().collect()
    }

    /// What all endpoints together have to hold in a phase: the defaults.
    pub(crate) fn overall_objectives(&self, phase: Phase) -> Vec<Objective> {
        self.defaults.iter().filter(|o| belongs(o.metric(), phase)).copied().collect()
    }
}

fn belongs(metric: Metric, phase: Phase) -> bool {
    match metric {
        Metric::Throughput => phase == Phase::Load,
        Metric::Uptime { .. } => phase == Phase::Watch,
        Metric::Latency { .. } | Metric::Errors => true,
    }
}

/// Where the values come from, to name places in errors.
pub(crate) struct Origin<'a> {
    pub(crate) file: &'a Path,
    pub(crate) source: &'a str,
}

impl Origin<'_> {
    pub(crate) fn error<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> InputError {
        InputError::at(self.file, self.source, value, message)
    }

    /// Parses a text at its place.
    pub(crate) fn parse<T>(&self, text: &Spanned<String>) -> Result<T, InputError>
    where
        T: std::str::FromStr<Err = crate::base::units::UnitError>,
    {
        text.value.parse().map_err(|error: crate::base::units::UnitError| {
            self.error(text, format!("'{}' is not {}", error.text, error.what))
                .suggest(format!("write {}", error.example))
        })
    }
}

fn resolve(raw: &RawManifest, origin: &Origin<'_>) -> Result<Manifest, InputError> {
    if raw.version.value != 1 {
        let message = format!("version {} is not known to this orca", raw.version.value);
        return Err(origin.error(&raw.version, message).suggest("write version: 1"));
    }
    if raw.endpoints.value.is_empty() {
        return Err(origin
            .error(&raw.endpoints, "there is no endpoint")
            .suggest("write at least one: - {name: home, path: /}"));
    }
    let defaults = &raw.defaults;
    let rate_max = raw.rate_max.as_ref().map(|text| origin.parse(text)).transpose()?;
    let rate_max = rate_max.unwrap_or(RATE_MAX);
    let endpoints = endpoints(&raw.endpoints.value, origin)?;
    for source in environment::named_sources(raw) {
        if !raw.sources.contains_key(&source.value) {
            let message = format!("'{}' is no source of this manifest", source.value);
            return Err(origin.error(source, message).suggest("name it under sources first"));
        }
    }
    let given = defaults.confidence.as_ref().map(|text| confidence(text, origin)).transpose()?;
    let least = defaults.min_samples.as_ref().map(|n| min_samples(n, origin)).transpose()?;
    Ok(Manifest {
        confidence: given.unwrap_or(CONFIDENCE),
        min_samples: least.unwrap_or(MIN_SAMPLES),
        on_inconclusive: defaults.on_inconclusive.unwrap_or_default(),
        looks: defaults.looks.as_ref().map(|given| looks(given, origin)).transpose()?,
        errors: error_kinds(defaults, origin)?,
        defaults: objectives(&defaults.objectives, origin)?,
        profiles: profile::resolve(&raw.profiles, rate_max, origin)?,
        rate_max,
        environments: environment::resolve(&raw.environments, &endpoints, origin)?,
        sources: source::resolve(&raw.sources, &endpoints, origin)?,
        source: defaults.source.as_ref().map(|source| source.value.clone()),
        budget: raw.budget.as_ref().map(|raw| budget(raw, origin)).transpose()?,
        endpoints,
    })
}

fn budget(raw: &RawBudget, origin: &Origin<'_>) -> Result<Budget, InputError> {
    let plain = Budget::default();
    let keep = raw.keep.as_ref().map(|text| origin.parse(text)).transpose()?;
    Ok(Budget {
        keep: keep.unwrap_or(plain.keep),
        on_spent: raw.on_spent.unwrap_or(plain.on_spent),
        on_fast_burn: raw.on_fast_burn.unwrap_or(plain.on_fast_burn),
    })
}

pub(super) fn confidence(
    text: &Spanned<String>,
    origin: &Origin<'_>,
) -> Result<BasisPoints, InputError> {
    let value: BasisPoints = origin.parse(text)?;
    if (5_000..=9_999).contains(&value.0) {
        return Ok(value);
    }
    let message = format!("a confidence of {value} decides nothing");
    Err(origin.error(text, message).suggest("write one from 50% to 99.99%, such as 95%"))
}

fn looks(given: &Spanned<u32>, origin: &Origin<'_>) -> Result<u32, InputError> {
    if (1..=100).contains(&given.value) {
        return Ok(given.value);
    }
    let message = format!("{} looks are out of range", given.value);
    Err(origin.error(given, message).suggest("write 1 to 100, such as 4"))
}

pub(super) fn min_samples(given: &Spanned<u64>, origin: &Origin<'_>) -> Result<u64, InputError> {
    if given.value == 0 {
        let error = origin.error(given, "no sample is no data");
        return Err(error.suggest("write 1 or more, such as 400"));
    }
    Ok(given.value)
}

fn error_kinds(raw: &RawDefaults, origin: &Origin<'_>) -> Result<BTreeSet<ErrorKind>, InputError> {
    let Some(texts) = &raw.errors else {
        return Ok(ErrorKind::EVERY.into_iter().filter(|k| *k != ErrorKind::ClientError).collect());
    };
    let mut kinds = BTreeSet::new();
    for text in texts {
        let known = ErrorKind::EVERY.into_iter().find(|k| k.as_str() == text.value);
        let Some(kind) = known else {
            let names = ErrorKind::EVERY.map(ErrorKind::as_str);
            let message = format!("'{}' is not a kind of error", text.value);
            return Err(origin.error(text, message).suggest(did_you_mean(&text.value, &names)));
        };
        if !kinds.insert(kind) {
            let message = format!("'{}' stands here twice", text.value);
            return Err(origin.error(text, message).suggest("remove one"));
        }
    }
    Ok(kinds)
}

fn did_you_mean(wrong: &str, known: &[&str]) -> String {
    nearest_name(wrong, known.iter().copied()).map_or_else(
        || format!("write one of {}", known.join(", ")),
        |name| format!("did you mean `{name}`?"),
    )
}

pub(super) fn objectives(
    texts: &[Spanned<String>],
    origin: &Origin<'_>,
) -> Result<Vec<Objective>, InputError> {
    let mut found: Vec<Objective> = Vec::new();
    for text in texts {
        let objective: Objective =
            text.value.parse().map_err(|error: super::objective::ObjectiveError| {
                let mut placed = origin.error(text, format!("'{}': {}", error.text, error.problem));
                let quote = u64::from(
                    placed
                        .text
                        .chars()
                        .nth(usize::try_from(placed.column).unwrap_or(1).saturating_sub(1))
                        .is_some_and(|c| c == '"' || c == '\''),
                );
                placed.column += u64::try_from(error.column - 1).unwrap_or(0) + quote;
                placed.suggest(error.suggestion)
            })?;
        if found.iter().any(|other| other.metric() == objective.metric()) {
            let message = format!("{} has two limits", objective.name());
            return Err(origin.error(text, message).suggest("keep the one that is meant"));
        }
        found.push(objective);
    }
    Ok(found)
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn endpoints(raw: &[RawEndpoint], origin: &Origin<'_>) -> Result<Vec<Endpoint>, InputError> {
    let mut names = BTreeSet::new();
    raw.iter()
        .map(|endpoint| {
            if !names.insert(endpoint.name.value.as_str()) {
                let message = format!("endpoint '{}' stands here twice", endpoint.name.value);
                return Err(origin
                    .error(&endpoint.name, message)
                    .suggest("give each its own name"));
            }
            resolve_endpoint(endpoint, origin)
        })
        .collect()
}

fn resolve_endpoint(raw: &RawEndpoint, origin: &Origin<'_>) -> Result<Endpoint, InputError> {
    let name = &raw.name.value;
    if name.is_empty() || name == super::sample::ALL || name.chars().any(char::is_whitespace) {
        let message = format!("'{name}' cannot name an endpoint");
        return Err(origin.error(&raw.name, message).suggest("write one word other than `all`"));
    }
    if !raw.path.value.starts_with('/')
        || raw.path.value.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        let message = format!("'{}' is not a path", raw.path.value);
        return Err(origin
            .error(&raw.path, message)
            .suggest("write it from the root: /api/health"));
    }
    let method = raw.method.as_ref().map_or("GET", |m| m.value.as_str());
    if let Some(text) = raw.method.as_ref().filter(|m| !METHODS.contains(&m.value.as_str())) {
        let upper = text.value.to_uppercase();
        let message = format!("'{}' is not a method", text.value);
        return Err(origin.error(text, message).suggest(did_you_mean(&upper, &METHODS)));
    }
    if let Some(zero) = raw.weight.as_ref().filter(|w| !(1..=10_000).contains(&w.value)) {
        return Err(origin
            .error(zero, format!("a weight of {} is out of range", zero.value))
            .suggest("write 1 to 10000, or remove the endpoint"));
    }
    Ok(Endpoint {
        name: name.clone(),
        method: method.to_owned(),
        path: raw.path.value.clone(),
        weight: raw.weight.as_ref().map_or(1, |w| w.value),
        safe: raw.safe,
        body: raw.body.clone(),
        headers: raw.headers.clone(),
        data: raw.data.clone(),
        expect: raw.expect.clone(),
        objectives: raw.objectives.as_ref().map(|o| objectives(o, origin)).transpose()?,
        phases: phases(raw, origin)?,
    })
}

fn phases(
    raw: &RawEndpoint,
    origin: &Origin<'_>,
) -> Result<BTreeMap<Phase, Vec<Objective>>, InputError> {
    raw.phases.iter().map(|(phase, texts)| Ok((*phase, objectives(texts, origin)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_manifest_is_valid() {
        let manifest = Manifest::parse(DEFAULT, Path::new("slo/slo_manifest.yaml")).unwrap();
        let names: Vec<&str> = manifest.endpoints.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["trust", "agents", "workflows"]);
        assert!(["baseline", "spike", "soak"].iter().all(|p| manifest.profiles.contains_key(*p)));
        let load = manifest.objectives(&manifest.endpoints[0], Phase::Load);
        assert!(load.iter().any(|o| o.metric() == Metric::Throughput));
        let canary = manifest.objectives(&manifest.endpoints[0], Phase::Canary);
        assert!(canary.iter().all(|o| belongs(o.metric(), Phase::Canary)) && !canary.is_empty());
    }

    #[test]
    fn a_phase_list_stands_alone_and_production_is_found_by_host() {
        let source = "version: 1\nendpoints:\n  - name: a\n    path: /\n    objectives: [errors < 1%, throughput > 5/s]\n    phases: {canary: [p99 < 1s]}\nenvironments:\n  - {name: live, production: true, hosts: [www.example.com, '*.shop.example']}\n  - {name: staging, hosts: [staging.example.com]}\n";
        let manifest = Manifest::parse(source, Path::new("m.yaml")).unwrap();
        let words = |phase| {
            let list = manifest.objectives(&manifest.endpoints[0], phase);
            list.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(words(Phase::Canary), ["p99 < 1s"]);
        assert_eq!(words(Phase::Load), ["errors < 1%", "throughput > 5/s"]);
        assert_eq!(words(Phase::Promote), ["errors < 1%"]);
        for (host, production) in [
            ("WWW.example.com", true),
            ("a.shop.example", true),
            ("shop.example", false),
            ("evilshop.example", false),
            ("staging.example.com", false),
        ] {
            assert_eq!(manifest.production_of(host).is_some(), production, "{host}");
        }
    }

    /// Beside each invalid file stands the whole message a user sees.
    #[test]
    fn every_invalid_fixture_says_what_stands_beside_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/slo");
        let list = |name: &str| {
            let mut files: Vec<_> = std::fs::read_dir(folder.join(name))
                .unwrap()
                .map(|e| e.unwrap().path())
                .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
                .collect();
            files.sort();
            files
        };
        for file in list("valid") {
            Manifest::read(&file).unwrap();
        }
        let invalid = list("invalid");
        assert!(invalid.len() >= 12);
        for file in invalid {
            let name = Path::new(file.file_name().unwrap());
            let source = std::fs::read_to_string(&file).unwrap();
            let error = Manifest::parse(&source, name).unwrap_err();
            let said = format!(
                "{error}\n{}\n{}\n",
                error.text,
                error.suggestion.clone().unwrap_or_default()
            );
            let expected =
                std::fs::read_to_string(file.with_extension("expected")).unwrap_or_default();
            assert_eq!(said, expected, "{}", name.display());
        }
    }
}
