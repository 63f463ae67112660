//! Who may choose an arm, pass a door that is closed for users, and be counted apart from them:
//! whoever proves to know a secret. Everybody else is a user, whatever their headers say.
//!
//! A header is `WHAT:SECRET`. One secret is derived from the admin token, so that whoever drives
//! the router needs nothing else; another may be given for people. Neither reaches an upstream.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::base::digest::Digest;
use crate::base::redact::Secret;

use super::split::{Arm, SplitSettings};

/// Names the arm that must answer, `canary` or `base`.
pub(crate) const ARM_HEADER: HeaderName = HeaderName::from_static("x-orca-arm");
/// Tags a request as made by a machine; the tag is free.
pub(crate) const PROBE_HEADER: HeaderName = HeaderName::from_static("x-orca-probe");

/// What the token is put behind: another use of it would begin otherwise.
const LABEL: &[u8] = b"orca-testers-v1\n";

/// The secret of whoever holds the admin token. Knowing it tells nothing of the token.
pub(crate) fn secret_of(token: &Secret) -> Secret {
    Secret::new(Digest::of(&[LABEL, token.expose().as_bytes()].concat()).hex())
}

/// As a header says it.
pub(crate) fn signed(what: &str, secret: &Secret) -> String {
    format!("{what}:{}", secret.expose())
}

/// A request that proved to be a tester's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tester {
    /// The arm that must answer, where it names one.
    pub(super) arm: Option<Arm>,
}

/// What a request says of its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    /// Whoever it proves to be.
    pub(super) tester: Option<Tester>,
    /// Whether it says anything, proven or not.
    pub(super) is_made: bool,
}

/// What these headers claim and prove.
pub(super) fn of(settings: &SplitSettings, headers: &HeaderMap) -> Claim {
    let named = headers.get(&settings.tester_header);
    // A look costs more than to see that it would be the same one.
    let is_usual = settings.tester_header == ARM_HEADER;
    let usual = if is_usual { None } else { headers.get(ARM_HEADER) };
    let probe = headers.get(PROBE_HEADER);
    let arm = [named, usual].into_iter().flatten().find_map(|value| what(settings, value));
    let tester = match arm {
        Some(name) => Some(Tester { arm: Arm::ALL.into_iter().find(|arm| arm.name() == name) }),
        None => probe.and_then(|value| what(settings, value)).map(|_| Tester { arm: None }),
    };
    Claim { tester, is_made: named.or(usual).or(probe).is_some() }
}

/// What stands before a right secret.
fn what<'a>(settings: &SplitSettings, value: &'a HeaderValue) -> Option<&'a str> {
    let (what, secret) = value.to_str().ok()?.rsplit_once(':')?;
    // Digests are compared, so timing tells nothing of the secret itself.
    let given = Digest::of(secret.as_bytes());
    settings.tester_secrets.contains(&given).then_some(what)
}

/// What goes on to the upstream: the tag of a proven probe, and nothing else of all this.
pub(super) fn strip(settings: &SplitSettings, headers: &mut HeaderMap, is_tester: bool) {
    headers.remove(&settings.tester_header);
    headers.remove(ARM_HEADER);
    let Some(given) = headers.remove(PROBE_HEADER).filter(|_| is_tester) else { return };
    let tag = given.to_str().ok().map(|text| text.rsplit_once(':').map_or(text, |(tag, _)| tag));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(tag).ok()) {
        headers.insert(PROBE_HEADER, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SplitSettings {
        let derived = secret_of(&Secret::new("t"));
        let secrets = [b"s3cret".as_slice(), derived.expose().as_bytes()];
        SplitSettings {
            tester_header: HeaderName::from_static("x-team"),
            tester_secrets: secrets.into_iter().map(Digest::of).collect(),
            ..SplitSettings::default()
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let own = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(own).collect()
    }

    /// A shell makes the same one: `printf 'orca-testers-v1\n%s' t | sha256sum`.
    #[test]
    fn the_secret_of_a_token_is_the_documented_one() {
        let secret = secret_of(&Secret::new("t"));
        assert_eq!(
            secret.expose(),
            "8529559a024d0f1abf3a30fe6115bd2f291fcf762722273c0c4fe6ea0c467c3c"
        );
        assert_ne!(secret, secret_of(&Secret::new("u")));
    }

    #[test]
    fn only_a_secret_makes_a_tester() {
        let derived = secret_of(&Secret::new("t"));
        let (mine, theirs) = (signed("canary", &derived), signed("canary", &Secret::new("t")));
        for (pairs, expected) in [
            (&[][..], None),
            (&[("x-orca-arm", "canary")], None),
            (&[("x-orca-probe", "1")], None),
            (&[("x-orca-probe", "smoke:wrong")], None),
            (&[("x-orca-arm", "canary:")], None),
            (&[("x-orca-arm", &theirs)], None),
            (&[("x-orca-arm", &mine)], Some(Some(Arm::Canary))),
            (&[("x-team", "base:s3cret")], Some(Some(Arm::Base))),
            (&[("x-team", "moon:s3cret")], Some(None)),
            (&[("x-team", "base"), ("x-orca-arm", "canary:s3cret")], Some(Some(Arm::Canary))),
            (&[("x-orca-probe", "a:b:s3cret")], Some(None)),
        ] {
            let claim = of(&settings(), &headers(pairs));
            assert_eq!(claim.tester.map(|tester| tester.arm), expected, "{pairs:?}");
            assert_eq!(claim.is_made, !pairs.is_empty(), "{pairs:?}");
        }
        assert!(!of(&settings(), &headers(&[("x-other", "canary:s3cret")])).is_made);
        let nobody = SplitSettings::default();
        let closed = of(&nobody, &headers(&[("x-orca-arm", &mine)]));
        assert_eq!(closed, Claim { tester: None, is_made: true }, "closed by default");
    }

    #[test]
    fn no_secret_and_no_claim_goes_on() {
        for (pairs, is_tester, tag) in [
            (&[("x-orca-arm", "canary:s3cret"), ("x-team", "base:s3cret")][..], true, None),
            (&[("x-orca-probe", "smoke:s3cret")], true, Some("smoke")),
            (&[("x-orca-arm", "canary:s3cret"), ("x-orca-probe", "health")], true, Some("health")),
            (&[("x-orca-probe", "smoke:old-secret"), ("x-orca-probe", "b:s3cret")], false, None),
            (&[("x-orca-probe", "1")], false, None),
        ] {
            let mut left = headers(&[&[("accept", "*/*")], pairs].concat());
            strip(&settings(), &mut left, is_tester);
            let probes: Vec<_> = left.get_all(PROBE_HEADER).iter().collect();
            assert_eq!(probes, tag.into_iter().collect::<Vec<_>>(), "{pairs:?}");
            assert_eq!(left.len(), 1 + probes.len(), "{pairs:?}");
        }
    }
}
