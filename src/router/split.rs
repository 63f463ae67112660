//! Which arm a request gets. Pure: headers and routing in, decision out; the caller moves bytes.
//!
//! Precedence: deny list, allow list, tester header, sticky bucket. The key of the bucket is the
//! user, else the tenant, else the session cookie, else the router's own cookie; never the
//! client's address. The cookie holds the bucket, never the arm, so it stays right when the
//! weight changes. Once a canary has no weight, no user reaches it, whatever the allow list says.
//!
//! A client without any key that asks for many things at once gets as many cookies and keeps the one
//! that comes last, so the slower arm wins such users. And a cookie outlives its release, so those
//! whom one candidate lost are missing at the next one too. Neither may look as if users left: a
//! cookie that was given to who loads a page, and waits for it, carries the mark of its release, and
//! of those with a cookie only its holders tell whether users come as the weight says.

use std::collections::BTreeSet;

use http::header::{ACCEPT, COOKIE, HeaderName, HeaderValue};
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::bucket::{BUCKETS, bucket_of, is_inside};
use crate::base::digest::Digest;
use crate::base::units::Weight;

use super::state::{Audience, RouterState};
use super::testers;

/// The router's own cookie.
pub(crate) const BUCKET_COOKIE: &str = "orca_bucket";
/// What a browser asks for; a page is a `document`.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
/// Tells a tester which arm answered.
pub(crate) const SERVED_BY_HEADER: HeaderName = HeaderName::from_static("x-orca-served-by");

/// One side of the split.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arm {
    Base,
    Canary,
}

impl Arm {
    pub(crate) const ALL: [Self; 2] = [Self::Base, Self::Canary];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Canary => "canary",
        }
    }
}

/// Who made the request. The two are never pooled.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Users,
    Probes,
}

impl Source {
    pub(crate) const ALL: [Self; 2] = [Self::Users, Self::Probes];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Probes => "probes",
        }
    }
}

/// Where keys are found and how testers are known. Fixed while the router runs.
#[derive(Debug, Clone)]
pub(crate) struct SplitSettings {
    pub(crate) user_header: Option<HeaderName>,
    pub(crate) tenant_header: Option<HeaderName>,
    pub(crate) session_cookie: Option<String>,
    /// `canary:SECRET` or `base:SECRET`. Always removed before the upstream.
    pub(crate) tester_header: HeaderName,
    /// SHA-256 of each secret that makes a tester; without any nobody is one.
    pub(crate) tester_secrets: Vec<Digest>,
}

impl Default for SplitSettings {
    fn default() -> Self {
        Self {
            user_header: Some(HeaderName::from_static("x-user-id")),
            tenant_header: Some(HeaderName::from_static("x-tenant-id")),
            session_cookie: None,
            tester_header: testers::ARM_HEADER,
            tester_secrets: Vec::new(),
        }
    }
}

/// What of the state a decision needs.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    release: String,
    weight: Weight,
    staged: bool,
    suspended: bool,
    audience: Audience,
}

impl Split {
    pub(crate) fn has_weight(&self) -> bool {
        self.weight > Weight::ZERO
    }
}

impl From<&RouterState> for Split {
    fn from(state: &RouterState) -> Self {
        Self {
            release: state.release.clone(),
            weight: state.weight,
            staged: state.canary.is_some(),
            suspended: state.suspended,
            audience: state.audience.clone(),
        }
    }
}

/// Where one request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) arm: Arm,
    pub(crate) source: Source,
    /// Whether headers for testers came along, with a right secret or not. They stay here.
    pub(crate) is_claim: bool,
    /// The sticky bucket, when the request has one.
    pub(crate) bucket: Option<u16>,
    /// Whether the weight alone decided: no list, no tester, no race of answers and no other release.
    pub(crate) by_weight: bool,
    /// A new cookie for the client.
    pub(crate) cookie: Option<BucketCookie>,
}

/// What the router's own cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BucketCookie {
    bucket: u16,
    /// Of the release in which the weight alone drew it.
    mark: Option<u16>,
}

impl BucketCookie {
    fn read(text: &str) -> Option<Self> {
        let (bucket, mark) = text.split_once('.').map_or((text, None), |(b, m)| (b, Some(m)));
        let bucket = bucket.parse().ok().filter(|bucket| u64::from(*bucket) < BUCKETS)?;
        Some(Self { bucket, mark: mark.and_then(|mark| mark.parse().ok()) })
    }

    /// As it is set. The value is `BUCKET` or `BUCKET.MARK`.
    pub(crate) fn header(self) -> HeaderValue {
        let mark = self.mark.map(|mark| format!(".{mark}")).unwrap_or_default();
        let bucket = self.bucket;
        let text = format!("{BUCKET_COOKIE}={bucket}{mark}; Path=/; HttpOnly; SameSite=Lax");
        HeaderValue::from_str(&text).expect("digits and constant text are a header value")
    }
}

/// Stands for a release in the cookies that it gave. Two releases in ten thousand share one.
fn mark_of(release: &str) -> u16 {
    bucket_of(release, BUCKET_COOKIE)
}

/// Decides one request. `random` gives a number for a client without any key.
pub(crate) fn decide(
    split: &Split,
    settings: &SplitSettings,
    headers: &HeaderMap,
    random: impl FnOnce() -> u64,
) -> Decision {
    let testers::Claim { tester, is_made: is_claim } = testers::of(settings, headers);
    let source = if tester.is_some() { Source::Probes } else { Source::Users };
    if !split.staged {
        let (arm, bucket, by_weight, cookie) = (Arm::Base, None, false, None);
        return Decision { arm, source, is_claim, bucket, by_weight, cookie };
    }
    let user = text(headers, settings.user_header.as_ref());
    let tenant = || text(headers, settings.tenant_header.as_ref());
    let allow = &split.audience.allow;
    let allowed =
        || !allow.is_empty() && [user, tenant()].into_iter().flatten().any(|id| allow.contains(id));
    let key = user.or_else(tenant).or_else(|| session(settings, headers));
    let sticky = match key {
        Some(id) => Sticky { bucket: bucket_of(&split.release, id), by_weight: true, cookie: None },
        None => own_bucket(split, headers, random),
    };
    let by_name = if split.suspended {
        None
    } else if is_denied(&split.audience.deny, settings, headers) {
        Some(Arm::Base)
    } else if split.has_weight() && allowed() {
        Some(Arm::Canary)
    } else {
        tester.and_then(|tester| tester.arm).filter(|_| split.audience.header_override)
    };
    let drawn = if is_inside(sticky.bucket, split.weight) { Arm::Canary } else { Arm::Base };
    Decision {
        arm: by_name.unwrap_or(drawn),
        source,
        is_claim,
        bucket: Some(sticky.bucket),
        by_weight: by_name.is_none() && sticky.by_weight,
        cookie: sticky.cookie.filter(|_| tester.is_none()),
    }
}

/// Where a client stays.
struct Sticky {
    bucket: u16,
    /// Whether nothing but the weight put it there.
    by_weight: bool,
    cookie: Option<BucketCookie>,
}

fn session<'a>(settings: &SplitSettings, headers: &'a HeaderMap) -> Option<&'a str> {
    cookie(headers, settings.session_cookie.as_deref()?)
}

/// By the router's own cookie; a client that has none gets one.
fn own_bucket(split: &Split, headers: &HeaderMap, random: impl FnOnce() -> u64) -> Sticky {
    let mark = Some(mark_of(&split.release));
    if let Some(own) = cookie(headers, BUCKET_COOKIE).and_then(BucketCookie::read) {
        return Sticky { bucket: own.bucket, by_weight: own.mark == mark, cookie: None };
    }
    let bucket = u16::try_from(random() % BUCKETS).expect("a bucket is below 10,000");
    let cookie = BucketCookie { bucket, mark: mark.filter(|_| loads_page(headers)) };
    Sticky { bucket, by_weight: true, cookie: Some(cookie) }
}

/// Whether the client asks for a page, and for what belongs to it only once the answer is there.
fn loads_page(headers: &HeaderMap) -> bool {
    match headers.get(FETCH_DEST) {
        Some(dest) => dest == "document",
        // Older browsers, and all of them without TLS, do not say it.
        None => text(headers, Some(&ACCEPT)).is_some_and(|accept| accept.contains("text/html")),
    }
}

/// Whether any id that the request names is on the list: nobody gets off it with a second header.
fn is_denied(deny: &BTreeSet<String>, settings: &SplitSettings, headers: &HeaderMap) -> bool {
    let ids = [&settings.user_header, &settings.tenant_header].into_iter().flatten();
    let mut given = ids.flat_map(|name| headers.get_all(name)).filter_map(utf8);
    !deny.is_empty() && given.any(|id| deny.contains(id))
}

fn text<'a>(headers: &'a HeaderMap, name: Option<&HeaderName>) -> Option<&'a str> {
    utf8(headers.get(name?)?).filter(|value| !value.is_empty())
}

fn utf8(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// Adds the bucket cookie to an answer, unless others than this client may be given the same answer.
pub(crate) fn add_cookie(headers: &mut HeaderMap, cookie: BucketCookie) {
    if !is_shared(headers) {
        headers.append(header::SET_COOKIE, cookie.header());
    }
}

/// Whether a cache that serves many clients is asked to keep it.
fn is_shared(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(utf8)
        .flat_map(|value| value.split(','))
        .map(|directive| directive.split('=').next().unwrap_or_default().trim())
        .any(|name| ["public", "s-maxage"].iter().any(|shared| name.eq_ignore_ascii_case(shared)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::state::Upstream;

    fn split(bp: u32) -> Split {
        Split {
            release: "v1.4.0".into(),
            weight: Weight::from_basis_points(bp).unwrap(),
            staged: true,
            suspended: false,
            audience: Audience {
                allow: ["friend".to_owned()].into(),
                deny: ["bank".to_owned()].into(),
                header_override: true,
            },
        }
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().unwrap(),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect()
    }

    /// Those who say `s` are testers.
    fn settings() -> SplitSettings {
        SplitSettings { tester_secrets: vec![Digest::of(b"s")], ..SplitSettings::default() }
    }

    fn arm(split: &Split, pairs: &[(&str, &str)]) -> Arm {
        decide(split, &settings(), &headers(pairs), || 9_999).arm
    }

    #[test]
    fn nobody_gets_off_the_deny_list() {
        let mut full = split(10_000);
        full.audience.deny.insert("bänk".into());
        for (pairs, expected) in [
            (&[("x-user-id", "u")][..], Arm::Canary),
            (&[("x-user-id", "bank")], Arm::Base),
            (&[("x-user-id", "bänk")], Arm::Base),
            (&[("x-user-id", "u"), ("x-user-id", "bank")], Arm::Base),
            (&[("x-user-id", "u"), ("x-tenant-id", "t"), ("x-tenant-id", "bänk")], Arm::Base),
            (&[("x-user-id", "b\u{e4}nke")], Arm::Canary),
        ] {
            assert_eq!(arm(&full, pairs), expected, "{pairs:?}");
        }
    }

    /// Everybody whom a cache gives such an answer would be the same visitor.
    #[test]
    fn no_cookie_goes_into_a_shared_cache() {
        for (control, expected) in [
            ("", 1),
            ("private, max-age=60", 1),
            ("no-store", 1),
            ("public", 0),
            ("max-age=60, Public", 0),
            ("s-maxage=600", 0),
            ("no-cache=\"set-cookie\", S-Maxage = 9", 0),
        ] {
            let mut answer = headers(&[("cache-control", control)]);
            add_cookie(&mut answer, BucketCookie { bucket: 1, mark: None });
            assert_eq!(answer.get_all("set-cookie").iter().count(), expected, "{control}");
        }
    }

    /// Whoever is on a list, or chose, says nothing of the split.
    #[test]
    fn what_the_weight_decided_is_told_apart() {
        let half = split(5_000);
        for (pairs, expected) in [
            (&[("x-user-id", "u")][..], true),
            (&[], true),
            (&[("x-user-id", "bank")], false),
            (&[("x-user-id", "u"), ("x-tenant-id", "friend")], false),
            (&[("x-orca-arm", "base:s")], false),
            (&[("x-orca-arm", "base")], true),
        ] {
            let decision = decide(&half, &settings(), &headers(pairs), || 7);
            assert_eq!(decision.by_weight, expected, "{pairs:?}");
        }
    }

    #[test]
    fn precedence_deny_allow_header_bucket() {
        let half = split(5_000);
        let forced = ("x-orca-arm", "canary:s");
        assert_eq!(arm(&half, &[("x-user-id", "bank"), forced]), Arm::Base);
        assert_eq!(arm(&half, &[("x-user-id", "u"), ("x-tenant-id", "bank")]), Arm::Base);
        assert_eq!(arm(&half, &[("x-user-id", "friend"), ("x-orca-arm", "base:s")]), Arm::Canary);
        assert_eq!(arm(&half, &[forced]), Arm::Canary);
        assert_eq!(arm(&split(10_000), &[("x-orca-arm", "base:s")]), Arm::Base);
        assert_eq!(arm(&split(0), &[("x-user-id", "friend")]), Arm::Base, "no weight, no user");
        assert_eq!(arm(&split(0), &[forced]), Arm::Canary, "a tester reaches a staged canary");
        let mut suspended = split(0);
        suspended.suspended = true;
        assert_eq!(arm(&suspended, &[forced]), Arm::Base);
        let mut disabled = split(0);
        disabled.audience.header_override = false;
        assert_eq!(arm(&disabled, &[forced]), Arm::Base);
    }

    #[test]
    fn keys_fall_back_from_user_to_tenant_to_session_to_own_cookie() {
        let settings =
            SplitSettings { session_cookie: Some("sid".into()), ..SplitSettings::default() };
        let decide = |pairs: &[(&str, &str)]| {
            decide(&split(100), &settings, &headers(pairs), || 123_456_789)
        };
        let of = |id| Some(bucket_of("v1.4.0", id));
        let all = [("x-user-id", "u"), ("x-tenant-id", "t"), ("cookie", "sid=s; orca_bucket=7")];
        assert_eq!(decide(&all).bucket, of("u"));
        assert_eq!(decide(&all[1..]).bucket, of("t"));
        assert_eq!(decide(&all[2..]).bucket, of("s"));
        let own = decide(&[("cookie", "a=b; orca_bucket=7")]);
        assert_eq!((own.bucket, own.cookie, own.arm), (Some(7), None, Arm::Canary));
        for bad in ["orca_bucket=10000", "orca_bucket=x", "orca_bucket=", "other=7"] {
            let keyless = decide(&[("cookie", bad)]);
            let plain = BucketCookie { bucket: 6_789, mark: None };
            assert_eq!((keyless.bucket, keyless.cookie), (Some(6_789), Some(plain)), "{bad}");
        }
    }

    /// The bucket decides, whatever stands behind it; who tells of the split is another question.
    #[test]
    fn of_those_with_a_cookie_only_holders_of_this_releases_mark_tell_of_the_split() {
        let own = |value: &str| {
            let cookie = format!("{BUCKET_COOKIE}={value}");
            decide(&split(100), &SplitSettings::default(), &headers(&[("cookie", &cookie)]), || 1)
        };
        let (mine, other) = (mark_of("v1.4.0"), mark_of("v1.3.0"));
        for (mark, by_weight) in [
            (String::new(), false),
            (format!(".{mine}"), true),
            (format!(".{other}"), false),
            (".x".to_owned(), false),
        ] {
            let seen = own(&format!("42{mark}"));
            assert_eq!((seen.bucket, seen.arm, seen.cookie), (Some(42), Arm::Canary, None));
            assert_eq!(seen.by_weight, by_weight, "{mark:?}");
        }
        for (pairs, marked) in [
            (&[("sec-fetch-dest", "document")][..], true),
            (&[("accept", "text/html,application/xhtml+xml;q=0.9")], true),
            (&[("sec-fetch-dest", "empty"), ("accept", "text/html")], false),
            (&[("sec-fetch-dest", "iframe")], false),
            (&[("accept", "*/*")], false),
            (&[], false),
        ] {
            let first = decide(&split(100), &SplitSettings::default(), &headers(pairs), || 7);
            let mark = marked.then_some(mine);
            assert_eq!(first.cookie, Some(BucketCookie { bucket: 7, mark }), "{pairs:?}");
            assert!(first.by_weight, "{pairs:?}");
        }
        let header = |mark| BucketCookie { bucket: 6_789, mark }.header();
        assert_eq!(header(None), "orca_bucket=6789; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(header(Some(3)), "orca_bucket=6789.3; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn ten_thousand_keys_split_by_weight_and_stay_when_it_grows() {
        let weights = [100, 500, 2_500, 10_000].map(split);
        let mut counts = [0_u32; 4];
        for user in 0..10_000 {
            let headers = headers(&[("x-user-id", &user.to_string())]);
            let inside = weights.each_ref().map(|split| {
                decide(split, &SplitSettings::default(), &headers, || 0).arm == Arm::Canary
            });
            assert!(inside.is_sorted(), "user {user} left when the weight grew");
            counts.iter_mut().zip(inside).for_each(|(count, is)| *count += u32::from(is));
        }
        assert!((70..=130).contains(&counts[0]), "{counts:?}");
        assert!((430..=570).contains(&counts[1]), "{counts:?}");
        assert!((2_350..=2_650).contains(&counts[2]), "{counts:?}");
        assert_eq!(counts[3], 10_000);
    }

    /// Whoever only claims to be a probe is a user, with a user's cookie.
    #[test]
    fn probes_are_told_apart_by_the_secret_alone() {
        let source = |settings: &SplitSettings, pairs: &[(&str, &str)]| {
            let decision = decide(&split(0), settings, &headers(pairs), || 0);
            assert_eq!(decision.cookie.is_some(), decision.source == Source::Users, "{pairs:?}");
            (decision.source, decision.arm)
        };
        let nobody = SplitSettings::default();
        for claim in ["1", "1:s", ":"] {
            assert_eq!(source(&nobody, &[("x-orca-probe", claim)]), (Source::Users, Arm::Base));
        }
        let of = |name, value| source(&settings(), &[(name, value)]);
        for (value, expected) in [
            ("canary", (Source::Users, Arm::Base)),
            ("canary:wrong", (Source::Users, Arm::Base)),
            ("canary:s", (Source::Probes, Arm::Canary)),
            ("moon:s", (Source::Probes, Arm::Base)),
        ] {
            assert_eq!(of("x-orca-arm", value), expected, "{value}");
        }
        assert_eq!(of("x-orca-probe", "1:s"), (Source::Probes, Arm::Base));
        assert_eq!(of("x-orca-probe", "1"), (Source::Users, Arm::Base));
    }

    #[test]
    fn nothing_staged_needs_no_key_and_sets_no_cookie() {
        let base = Upstream {
            deployment: "one".into(),
            url: "http://one:80".into(),
            commit: None,
            digest: None,
        };
        let split = Split::from(&RouterState::all_base(base));
        let decision = decide(&split, &SplitSettings::default(), &HeaderMap::new(), || 3);
        assert_eq!((decision.arm, decision.bucket, decision.cookie), (Arm::Base, None, None));
    }
}
