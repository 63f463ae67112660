//! A load plan from the manifest: one of its profiles over all its endpoints, aimed at a target.
//! The manifest also knows which hosts are production; a plan made here has asked it.

use super::machine;
use super::plan::{Bounds, Draft, Endpoint, LoadPlan, PlanError, Shape, Stage, Target};
use crate::base::units::Micros;
use crate::slo::manifest::{self, Manifest};
use crate::slo::profile;

/// For one request, unless someone says otherwise.
pub(crate) const TIMEOUT: Micros = Micros::from_secs(10);

/// Why a manifest gives no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestPlanError {
    #[error("the manifest has no profile '{name}'")]
    UnknownProfile { name: String, known: Vec<String> },
    #[error(transparent)]
    Plan(#[from] PlanError),
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
        }
    }
}

/// A checked plan: `profile` of the manifest against `target`, a URL whose path stands before the
/// path of each endpoint.
pub(crate) fn plan(
    manifest: &Manifest,
    (profile, target): (&str, &str),
    allow_production: bool,
) -> Result<LoadPlan, ManifestPlanError> {
    let draft = draft(manifest, profile, target)?;
    let production = production(manifest, &draft.target);
    let bounds =
        Bounds { production: &production, allow_production, file_limit: machine::file_limit() };
    Ok(LoadPlan::new(draft, &bounds)?)
}

/// The same before it is checked.
pub(crate) fn draft(
    manifest: &Manifest,
    profile: &str,
    target: &str,
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
        endpoints: endpoints(manifest, path.trim_end_matches('/')),
        shape: shape(&found.shape),
        connections: found.connections,
        timeout: TIMEOUT,
        keep_alive: true,
    })
}

/// Host and environment of a target that the manifest marks as production.
pub(crate) fn production(manifest: &Manifest, target: &Target) -> Vec<(String, String)> {
    let environment = manifest.production_of(&target.host);
    environment.map(|e| (target.host.clone(), e.name.clone())).into_iter().collect()
}

/// What the manifest calls, as load sends it.
pub(crate) fn endpoints(manifest: &Manifest, before: &str) -> Vec<Endpoint> {
    manifest.endpoints.iter().map(|endpoint| of_endpoint(endpoint, before)).collect()
}

fn of_endpoint(endpoint: &manifest::Endpoint, before: &str) -> Endpoint {
    Endpoint {
        name: endpoint.name.clone(),
        method: endpoint.method.clone(),
        path: format!("{before}{}", endpoint.path),
        headers: endpoint.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
        body: endpoint.body.clone().unwrap_or_default().into_bytes(),
        weight: endpoint.weight,
        safe: endpoint.safe,
    }
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
    use std::path::Path;

    use super::*;

    const SOURCE: &str = "version: 1\nendpoints:\n  - name: read\n    path: /read\n    weight: 3\n    safe: true\n  - name: buy\n    method: POST\n    path: /buy\n    body: '{}'\n    headers: {content-type: application/json}\nprofiles:\n  flat: {rate: 20/s, duration: 3s, connections: 8}\n  loop: {closed: true, duration: 2s, connections: 4}\n  ramp:\n    connections: 8\n    steps:\n      - {ramp_to: 100/s, for: 2s}\n      - {rate: 100/s, for: 1s}\nenvironments:\n  - {name: live, production: true, hosts: ['*.shop.example']}\n";

    fn manifest() -> Manifest {
        Manifest::parse(SOURCE, Path::new("m.yaml")).unwrap()
    }

    #[test]
    fn profiles_endpoints_and_the_path_before_them() {
        let plan = plan(&manifest(), ("flat", "http://h:81/v2/"), false).unwrap();
        assert_eq!((plan.target.port, plan.connections, plan.timeout), (81, 8, TIMEOUT));
        assert_eq!(plan.shape.mean_rate().unwrap().milli_per_s, 20_000);
        let seen: Vec<_> = plan
            .endpoints
            .iter()
            .map(|e| (e.method.as_str(), e.path.as_str(), e.weight, e.safe, e.body.len()))
            .collect();
        assert_eq!(seen, [("GET", "/v2/read", 3, true, 0), ("POST", "/v2/buy", 1, false, 2)]);
        assert_eq!(plan.endpoints[1].headers.len(), 1);
        let closed = draft(&manifest(), "loop", "http://h").unwrap();
        assert_eq!(closed.shape, Shape::Closed { duration: Micros::from_secs(2) });
        let ramp = draft(&manifest(), "ramp", "http://h").unwrap();
        assert_eq!(ramp.shape.duration(), Micros::from_secs(3));
        assert_eq!(ramp.shape.mean_rate().unwrap().milli_per_s, 66_666);
    }

    #[test]
    fn what_is_not_there_or_not_allowed() {
        let error = draft(&manifest(), "spike", "http://h").unwrap_err();
        assert!(error.hint().contains("flat, loop, ramp"), "{}", error.hint());
        let refused = plan(&manifest(), ("flat", "http://A.shop.example"), false).unwrap_err();
        assert!(
            matches!(&refused, ManifestPlanError::Plan(PlanError::Production { environment, .. })
                if environment == "live"),
            "{refused}"
        );
        assert!(plan(&manifest(), ("flat", "http://a.shop.example"), true).is_ok());
        assert!(plan(&manifest(), ("flat", "http://shop.example"), false).is_ok());
        let query = draft(&manifest(), "flat", "http://h/?a=b").unwrap_err();
        assert!(matches!(query, ManifestPlanError::Plan(PlanError::Target(_))));
    }
}
