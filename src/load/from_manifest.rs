//! A load plan from the manifest: one of its profiles over all its endpoints, aimed at a target.
//! The manifest also knows which hosts are production; a plan made here has asked it.

use std::path::Path;

use super::expect::Expect;
use super::machine;
use super::plan::{Bounds, Draft, Endpoint, LoadPlan, PlanError, Shape, Stage, Target};
use super::rows::{Rows, RowsError};
use super::shard::Shard;
use super::template;
use crate::base::json_path::JsonPath;
use crate::base::units::Micros;
use crate::slo::manifest::{self, Manifest};
use crate::slo::profile;
use crate::slo::raw::RawExpect;

/// For one request, unless someone says otherwise.
pub(crate) const TIMEOUT: Micros = Micros::from_secs(10);

/// Why a manifest gives no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestPlanError {
    #[error("the manifest has no profile '{name}'")]
    UnknownProfile { name: String, known: Vec<String> },
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Rows(#[from] RowsError),
}

/// What stands around a manifest.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    /// Where its data files are.
    pub(crate) folder: &'a Path,
    /// The environment variables.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
}

impl ManifestPlanError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::UnknownProfile { known, .. } if known.is_empty() => {
                "write one under profiles: baseline: {rate: 100/s, duration: 2m, connections: 32}"
                    .into()
            }
            Self::UnknownProfile { known, .. } => {
                format!("choose one of these with --profile: {}", known.join(", "))
            }
            Self::Plan(error) => error.hint(),
            Self::Rows(_) => "give a CSV file with a header line, or JSON lines".into(),
        }
    }
}

/// A checked plan: `profile` of the manifest against `target`, a URL whose path stands before the
/// path of each endpoint.
pub(crate) fn plan(
    manifest: &Manifest,
    (profile, target): (&str, &str),
    around: Around<'_>,
) -> Result<LoadPlan, ManifestPlanError> {
    let draft = draft(manifest, profile, target, around)?;
    let production = production(manifest, &draft.target);
    let bounds =
        Bounds { production: &production, file_limit: machine::file_limit(), ..Bounds::default() };
    Ok(LoadPlan::new(draft, &bounds)?)
}

/// The same before it is checked.
pub(crate) fn draft(
    manifest: &Manifest,
    profile: &str,
    target: &str,
    around: Around<'_>,
) -> Result<Draft, ManifestPlanError> {
    let found = manifest.profiles.get(profile).ok_or_else(|| {
        let known = manifest.profiles.keys().cloned().collect();
        ManifestPlanError::UnknownProfile { name: profile.to_owned(), known }
    })?;
    let (address, path) = Target::parse(target)?;
    if path.contains('?') {
        return Err(PlanError::Target(target.to_owned()).into());
    }
    Ok(Draft {
        target: address,
        endpoints: endpoints(manifest, path.trim_end_matches('/'), around)?,
        shape: shape(&found.shape),
        connections: found.connections,
        timeout: TIMEOUT,
        keep_alive: true,
        insecure: false,
        http2: false,
        phases: false,
        detailed: false,
        shard: Shard::default(),
        start_at: None,
    })
}

/// Host and environment of a target that the manifest marks as production.
pub(crate) fn production(manifest: &Manifest, target: &Target) -> Vec<(String, String)> {
    let environment = manifest.production_of(&target.host);
    environment.map(|e| (target.host.clone(), e.name.clone())).into_iter().collect()
}

/// What the manifest calls, as load sends it.
pub(crate) fn endpoints(
    manifest: &Manifest,
    before: &str,
    around: Around<'_>,
) -> Result<Vec<Endpoint>, ManifestPlanError> {
    manifest.endpoints.iter().map(|endpoint| of_endpoint(endpoint, before, around)).collect()
}

fn of_endpoint(
    endpoint: &manifest::Endpoint,
    before: &str,
    around: Around<'_>,
) -> Result<Endpoint, ManifestPlanError> {
    let data = endpoint.data.as_ref();
    let rows = data.map(|file| Rows::read(&around.folder.join(file))).transpose()?;
    let headers = endpoint.headers.iter().map(|(n, v)| (n.clone(), v.clone()));
    let raw = Endpoint {
        name: endpoint.name.clone(),
        method: endpoint.method.clone(),
        path: format!("{before}{}", endpoint.path),
        headers: headers.collect(),
        body: endpoint.body.clone().unwrap_or_default(),
        weight: endpoint.weight,
        safe: endpoint.safe,
        expect: Expect::default(),
        rows: rows.unwrap_or_default(),
    };
    let wrong = |what| PlanError::Endpoint { name: endpoint.name.clone(), what };
    let expect = expect(&endpoint.expect).map_err(wrong)?;
    Ok(Endpoint { expect, ..with_env(raw, around.env)? })
}

/// The endpoint with environment variables filled in.
pub(crate) fn with_env(
    endpoint: Endpoint,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Endpoint, PlanError> {
    let name = endpoint.name.clone();
    let fill = |text: &str| {
        let wrong = |what| PlanError::Endpoint { name: name.clone(), what };
        template::fill_env(text, env).map_err(wrong)
    };
    let headers = endpoint.headers.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
    Ok(Endpoint {
        path: fill(&endpoint.path)?,
        body: fill(&endpoint.body)?,
        headers: headers.collect::<Result<_, PlanError>>()?,
        ..endpoint
    })
}

/// The error is one sentence.
fn expect(raw: &RawExpect) -> Result<Expect, String> {
    let status = match &raw.status {
        None => Vec::new(),
        Some(serde_json::Value::String(text)) => Expect::statuses(text)?,
        Some(other) => Expect::statuses(&other.to_string())?,
    };
    let json = raw.json.iter().map(|(path, value)| Ok((JsonPath::parse(path)?, value.clone())));
    Ok(Expect {
        status,
        headers: raw.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: raw.body.iter().cloned().collect(),
        json: json.collect::<Result<_, String>>()?,
    })
}

fn shape(shape: &profile::Shape) -> Shape {
    match shape {
        profile::Shape::Closed { duration } => Shape::Closed { duration: *duration },
        profile::Shape::Open(segments) => Shape::Open(
            segments
                .iter()
                .map(|s| Stage { from: s.from, to: s.to, duration: s.duration })
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Around<'static> {
        Around { folder: Path::new("/nowhere"), env: &|_| None }
    }

    const SOURCE: &str = "version: 1\nendpoints:\n  - name: read\n    path: /read\n    weight: 3\n    safe: true\n  - name: buy\n    method: POST\n    path: /buy\n    body: '{}'\n    headers: {content-type: application/json}\nprofiles:\n  flat: {rate: 20/s, duration: 3s, connections: 8}\n  loop: {closed: true, duration: 2s, connections: 4}\n  ramp:\n    connections: 8\n    steps:\n      - {ramp_to: 100/s, for: 2s}\n      - {rate: 100/s, for: 1s}\nenvironments:\n  - {name: live, production: true, hosts: ['*.shop.example']}\n";

    fn manifest() -> Manifest {
        Manifest::parse(SOURCE, Path::new("m.yaml")).unwrap()
    }

    #[test]
    fn profiles_endpoints_and_the_path_before_them() {
        let plan = plan(&manifest(), ("flat", "http://h:81/v2/"), nowhere()).unwrap();
        assert_eq!((plan.target.port, plan.connections, plan.timeout), (81, 8, TIMEOUT));
        assert_eq!(plan.shape.mean_rate().unwrap().milli_per_s, 20_000);
        let seen: Vec<_> = plan
            .endpoints
            .iter()
            .map(|e| (e.method.as_str(), e.path.as_str(), e.weight, e.safe, e.body.len()))
            .collect();
        assert_eq!(seen, [("GET", "/v2/read", 3, true, 0), ("POST", "/v2/buy", 1, false, 2)]);
        assert_eq!(plan.endpoints[1].headers.len(), 1);
        let closed = draft(&manifest(), "loop", "http://h", nowhere()).unwrap();
        assert_eq!(closed.shape, Shape::Closed { duration: Micros::from_secs(2) });
        let ramp = draft(&manifest(), "ramp", "http://h", nowhere()).unwrap();
        assert_eq!(ramp.shape.duration(), Micros::from_secs(3));
        assert_eq!(ramp.shape.mean_rate().unwrap().milli_per_s, 66_666);
    }

    #[test]
    fn what_is_not_there_or_not_allowed() {
        let error = draft(&manifest(), "spike", "http://h", nowhere()).unwrap_err();
        assert!(error.hint().contains("flat, loop, ramp"), "{}", error.hint());
        let refused = plan(&manifest(), ("flat", "http://A.shop.example"), nowhere()).unwrap_err();
        assert!(
            matches!(&refused, ManifestPlanError::Plan(PlanError::Production { environment, .. })
                if environment == "live"),
            "{refused}"
        );
        assert!(plan(&manifest(), ("flat", "http://shop.example"), nowhere()).is_ok());
        let query = draft(&manifest(), "flat", "http://h/?a=b", nowhere()).unwrap_err();
        assert!(matches!(query, ManifestPlanError::Plan(PlanError::Target(_))));
    }

    #[test]
    fn endpoints_take_their_environment_data_and_expectations() {
        let of = |more: &str| {
            let source = format!("version: 1\nendpoints:\n  - name: a\n    path: /\n{more}");
            let manifest = Manifest::parse(&source, Path::new("m.yaml")).unwrap();
            let env = |name: &str| (name == "KEY").then(|| "k1".to_owned());
            endpoints(&manifest, "", Around { env: &env, ..nowhere() })
        };
        let found = of(
            "    headers: {x-key: '{{env.KEY}}'}\n    expect: {status: 200, body: ok, json: {'$.n': 3}}\n",
        );
        let endpoint = &found.unwrap()[0];
        assert_eq!(endpoint.headers, [("x-key".to_owned(), "k1".to_owned())]);
        assert_eq!(endpoint.expect.status, [200..=200]);
        assert_eq!((endpoint.expect.body.len(), endpoint.expect.json.len()), (1, 1));
        for (more, says) in [
            ("    body: '{{env.NONE}}'\n", "NONE is not set"),
            ("    expect: {status: ok}\n", "'ok' is no status"),
            ("    expect: {json: {n: 3}}\n", "'n' is no path"),
            ("    data: users.csv\n", "/nowhere/users.csv"),
        ] {
            let error = of(more).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
