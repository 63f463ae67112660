//! Environments: named places with their hosts, and what is different there. Only differences are
//! written down; everything else is that of the manifest.

use std::collections::BTreeMap;

use super::manifest::{self, Manifest, Origin};
use super::objective::Objective;
use super::raw::{RawEnvironment, RawManifest};
use crate::base::units::BasisPoints;
use crate::base::yaml::{InputError, Spanned, nearest_name};

/// A named place with its hosts, and what differs there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) production: bool,
    pub(crate) hosts: Vec<String>,
    /// Each takes the place of the objective about the same thing, wherever that one stands.
    objectives: Vec<Objective>,
    /// The same for single endpoints.
    endpoints: BTreeMap<String, Vec<Objective>>,
    confidence: Option<BasisPoints>,
    min_samples: Option<u64>,
    /// The source that is asked here.
    source: Option<String>,
}

impl Environment {
    fn owns(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|known| match known.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|left| left.ends_with('.')),
            None => *known == host,
        })
    }
}

impl Manifest {
    /// The environment marked production that owns `host`.
    pub(crate) fn production_of(&self, host: &str) -> Option<&Environment> {
        self.environments.iter().find(|e| e.production && e.owns(host))
    }

    /// The manifest as it holds at a URL: that of the environment that owns its host.
    pub(crate) fn at_url(self, url: &str) -> Self {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        match self.environments.iter().position(|e| e.owns(host)) {
            Some(index) => self.adjusted(index),
            None => self,
        }
    }

    /// The manifest as it holds in a named environment; an unknown name comes back with the one it
    /// resembles.
    pub(crate) fn in_environment(self, name: &str) -> Result<Self, Option<String>> {
        if let Some(index) = self.environments.iter().position(|e| e.name == name) {
            return Ok(self.adjusted(index));
        }
        let known = self.environments.iter().map(|e| e.name.as_str());
        Err(nearest_name(name, known).map(str::to_owned))
    }

    /// The same, where the name is known; else the manifest as it is.
    pub(crate) fn where_named(self, name: &str) -> Self {
        match self.environments.iter().position(|e| e.name == name) {
            Some(index) => self.adjusted(index),
            None => self,
        }
    }

    fn adjusted(mut self, index: usize) -> Self {
        let there = self.environments[index].clone();
        put(&mut self.defaults, &there.objectives, true);
        for endpoint in &mut self.endpoints {
            let own = there.endpoints.get(&endpoint.name).map(Vec::as_slice).unwrap_or_default();
            if !own.is_empty() && endpoint.objectives.is_none() {
                endpoint.objectives = Some(self.defaults.clone());
            }
            if let Some(list) = &mut endpoint.objectives {
                put(list, &there.objectives, false);
                put(list, own, true);
            }
            for list in endpoint.phases.values_mut() {
                put(list, &there.objectives, false);
                put(list, own, false);
            }
        }
        self.confidence = there.confidence.unwrap_or(self.confidence);
        self.min_samples = there.min_samples.unwrap_or(self.min_samples);
        self.source = there.source.or(self.source);
        self
    }
}

/// Each of `news` in place of the objective about the same thing; at the end where there is none.
fn put(list: &mut Vec<Objective>, news: &[Objective], or_add: bool) {
    for objective in news {
        match list.iter_mut().find(|old| old.metric() == objective.metric()) {
            Some(old) => *old = *objective,
            None if or_add => list.push(*objective),
            None => {}
        }
    }
}

/// Every name of a source in the manifest.
pub(super) fn named_sources(raw: &RawManifest) -> impl Iterator<Item = &Spanned<String>> {
    let own = raw.environments.iter().filter_map(|environment| environment.source.as_ref());
    raw.defaults.source.iter().chain(own)
}

pub(super) fn resolve(
    raw: &[RawEnvironment],
    endpoints: &[manifest::Endpoint],
    origin: &Origin<'_>,
) -> Result<Vec<Environment>, InputError> {
    raw.iter().map(|environment| resolve_one(environment, endpoints, origin)).collect()
}

fn resolve_one(
    raw: &RawEnvironment,
    endpoints: &[manifest::Endpoint],
    origin: &Origin<'_>,
) -> Result<Environment, InputError> {
    for host in &raw.hosts {
        if host.value.is_empty() || host.value.contains(['/', ':', ' ']) {
            let message = format!("'{}' is not a host", host.value);
            return Err(origin
                .error(host, message)
                .suggest("write the name alone: www.example.com or *.example.com"));
        }
    }
    let mut own = BTreeMap::new();
    for (name, texts) in &raw.endpoints {
        if !endpoints.iter().any(|endpoint| endpoint.name == *name) {
            let message = format!("'{name}' is no endpoint of this manifest");
            let known = endpoints.iter().map(|e| e.name.as_str());
            let suggestion = nearest_name(name, known).map_or_else(
                || "name it under endpoints first".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(origin.error(texts, message).suggest(suggestion));
        }
        own.insert(name.clone(), manifest::objectives(&texts.value, origin)?);
    }
    Ok(Environment {
        name: raw.name.clone(),
        production: raw.production,
        hosts: raw.hosts.iter().map(|h| h.value.to_ascii_lowercase()).collect(),
        objectives: manifest::objectives(&raw.objectives, origin)?,
        endpoints: own,
        confidence: raw.confidence.as_ref().map(|t| manifest::confidence(t, origin)).transpose()?,
        min_samples: raw
            .min_samples
            .as_ref()
            .map(|n| manifest::min_samples(n, origin))
            .transpose()?,
        source: raw.source.as_ref().map(|source| source.value.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::phase::Phase;
    use std::path::Path;

    const SOURCE: &str = "version: 1
defaults: {objectives: [p95 < 500ms, errors < 1%], min_samples: 400}
endpoints:
  - {name: home, path: /}
  - {name: cart, path: /cart, objectives: [p95 < 800ms], phases: {canary: [p99 < 1s]}}
environments:
  - name: preview
    hosts: [preview.example.com, '*.preview.example.com']
    objectives: [p95 < 2s, p99 < 5s]
    endpoints: {home: [errors < 5%]}
    min_samples: 50
    confidence: 90%
  - {name: live, production: true, hosts: [www.example.com]}
";

    fn words(manifest: &Manifest, endpoint: usize, phase: Phase) -> Vec<String> {
        let list = manifest.objectives(&manifest.endpoints[endpoint], phase);
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_differs_is_written_and_the_rest_stays() {
        let manifest = || Manifest::parse(SOURCE, Path::new("m.yaml")).unwrap();
        let preview = manifest().in_environment("preview").unwrap();
        assert_eq!((preview.min_samples, preview.confidence.0), (50, 9_000));
        assert_eq!(words(&preview, 0, Phase::Load), ["p95 < 2s", "errors < 5%", "p99 < 5s"]);
        assert_eq!(words(&preview, 1, Phase::Load), ["p95 < 2s"]);
        assert_eq!(words(&preview, 1, Phase::Canary), ["p99 < 5s"]);
        let live = manifest().in_environment("live").unwrap();
        assert_eq!(words(&live, 0, Phase::Load), ["p95 < 500ms", "errors < 1%"]);
        assert_eq!(manifest().in_environment("previw").unwrap_err().as_deref(), Some("preview"));
    }

    #[test]
    fn a_url_belongs_to_the_environment_of_its_host() {
        let at = |url: &str| {
            Manifest::parse(SOURCE, Path::new("m.yaml")).unwrap().at_url(url).min_samples
        };
        for (url, expected) in [
            ("https://preview.example.com/x?y", 50),
            ("https://u:p@a.preview.example.com:8443", 50),
            ("https://www.example.com", 400),
            ("http://127.0.0.1:8080", 400),
        ] {
            assert_eq!(at(url), expected, "{url}");
        }
    }
}
