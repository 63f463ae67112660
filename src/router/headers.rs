//! Headers between client and upstream: what must not travel, what is added, what is refused.
//! Pure over header maps.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// How often a request may come through one router.
const ROUNDS_MAX: usize = 8;
/// The routers that a request came through, each by its id.
const ROUTERS: HeaderName = HeaderName::from_static("x-orca-router");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Why a request is answered by the router itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) message: &'static str,
}

const fn refused(status: StatusCode, message: &'static str) -> Refused {
    Refused { status, message }
}

/// Refuses what two servers could read differently. The HTTP parser has already refused
/// conflicting lengths, unknown transfer codings and folded lines.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Refused> {
    let headers = request.headers();
    if request.method() == Method::CONNECT {
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not proxied"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(refused(StatusCode::BAD_REQUEST, "more than one Host header"));
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Err(refused(StatusCode::BAD_REQUEST, "no Host header"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && (headers.contains_key(header::CONTENT_LENGTH)
            || headers.get_all(header::TRANSFER_ENCODING).iter().count() > 1)
    {
        let message = "Content-Length and Transfer-Encoding, or several of them";
        return Err(refused(StatusCode::BAD_REQUEST, message));
    }
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(refused(StatusCode::EXPECTATION_FAILED, "only 100-continue can be expected"))
        }
        _ => Ok(()),
    }
}

/// WebSocket, when a client asks for it properly. No other protocol passes: in one that the router
/// does not read, requests would escape the split and the counts.
pub(crate) fn upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    let wanted = headers.get(header::UPGRADE)?;
    let is_asked = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && wanted.as_bytes().eq_ignore_ascii_case(b"websocket")
        && headers.get_all(header::UPGRADE).iter().count() == 1
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    is_asked.then(|| wanted.clone())
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Removes what is meant for one connection alone. Transfer-Encoding goes too, and a length beside
/// it, which says nothing of the body: it is framed anew.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // One pass that finds nothing is the usual case; the removals are for the others.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = connection_tokens(headers)
            .filter_map(|token| token.parse().ok())
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in [
        header::CONNECTION,
        header::PROXY_AUTHORIZATION,
        header::PROXY_AUTHENTICATE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ] {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::EXPECT
        || *name == header::PROXY_AUTHORIZATION
        || *name == header::PROXY_AUTHENTICATE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// Adds who asked, for which host and how. `peer` is the address the router saw; a terminator
/// in front has written its own entries, which stay. Refuses what goes round in circles.
///
/// Only what another proxy sent says that it was forwarded, and only that can have been here: it is
/// given the id of this router, `id`. A service may call itself with the headers that it got, so
/// some rounds are none.
pub(crate) fn add_forwarded(
    headers: &mut HeaderMap,
    peer: &HeaderValue,
    id: &HeaderValue,
) -> Result<(), Refused> {
    match headers.entry(FORWARDED_FOR) {
        Entry::Vacant(nobody) => {
            nobody.insert(peer.clone());
        }
        Entry::Occupied(mut others) => {
            let chain = joined(others.iter(), peer);
            others.insert(chain);
            let routers = headers.get_all(ROUTERS).iter();
            let ids = routers.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            let rounds = ids.filter(|other| other.trim_ascii() == id.as_bytes()).count();
            if rounds >= ROUNDS_MAX {
                let message = "the upstream of this router leads back to it";
                return Err(refused(StatusCode::LOOP_DETECTED, message));
            }
            headers.append(ROUTERS, id.clone());
        }
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    Ok(())
}

fn joined<'a>(others: impl Iterator<Item = &'a HeaderValue>, peer: &HeaderValue) -> HeaderValue {
    let mut bytes = Vec::new();
    for value in others {
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b", ");
    }
    bytes.extend_from_slice(peer.as_bytes());
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_| peer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri("/");
        for (name, value) in pairs {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let status =
            |pairs: &[(&str, &str)]| check(&request(pairs)).err().map(|e| e.status.as_u16());
        assert_eq!(status(&[("host", "a")]), None);
        assert_eq!(status(&[]), Some(400));
        assert_eq!(status(&[("host", "a"), ("host", "b")]), Some(400));
        let both = [("host", "a"), ("content-length", "3"), ("transfer-encoding", "chunked")];
        assert_eq!(status(&both), Some(400));
        let twice = [("host", "a"), ("transfer-encoding", "x"), ("transfer-encoding", "chunked")];
        assert_eq!(status(&twice), Some(400));
        assert_eq!(status(&[("host", "a"), ("expect", "100-Continue")]), None);
        assert_eq!(status(&[("host", "a"), ("expect", "tea")]), Some(417));
        let mut connect = request(&[("host", "a")]);
        *connect.method_mut() = Method::CONNECT;
        assert_eq!(check(&connect).unwrap_err().status.as_u16(), 405);
    }

    #[test]
    fn hop_by_hop_headers_stay_here() {
        let asked = request(&[
            ("host", "a"),
            ("connection", "keep-alive, x-private, host"),
            ("keep-alive", "5"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        let mut headers = asked.headers().clone();
        strip_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["host", "accept"]);
    }

    #[test]
    fn websocket_alone_passes_and_only_when_asked_for_properly() {
        for (connection, protocol, expected) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, upgrade", "WebSocket", true),
            ("keep-alive", "websocket", false),
            ("Upgrade, HTTP2-Settings", "h2c", false),
            ("Upgrade", "websocket, h2c", false),
            ("Upgrade", "tls/1.0", false),
        ] {
            let asked = request(&[("connection", connection), ("upgrade", protocol)]);
            assert_eq!(upgrade(&asked).is_some(), expected, "{connection} {protocol}");
        }
        let pairs = [("connection", "upgrade"), ("upgrade", "websocket")];
        let mut post = request(&pairs);
        *post.method_mut() = Method::POST;
        assert_eq!(upgrade(&post), None);
        let mut old = request(&pairs);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(upgrade(&old), None);
        let twice = request(&[&pairs[..], &[("upgrade", "h2c")]].concat());
        assert_eq!(upgrade(&twice), None);
    }

    #[test]
    fn forwarded_headers_are_added_or_kept() {
        let peer = HeaderValue::from_static("10.0.0.9");
        let (id, other) = (HeaderValue::from_static("1a"), HeaderValue::from_static("2b"));
        let mut fresh = request(&[("host", "shop.example")]).headers().clone();
        add_forwarded(&mut fresh, &peer, &id).unwrap();
        assert_eq!(fresh["x-forwarded-for"], "10.0.0.9");
        assert_eq!(fresh["x-forwarded-proto"], "http");
        assert_eq!(fresh["x-forwarded-host"], "shop.example");
        let mut behind = request(&[
            ("host", "inner"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ])
        .headers()
        .clone();
        add_forwarded(&mut behind, &peer, &id).unwrap();
        assert_eq!(behind["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(behind.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(behind["x-forwarded-proto"], "https");
        assert_eq!(behind["x-forwarded-host"], "shop.example");
        // Another router behind this one is no loop, nor is a service that calls itself.
        for _ in 1..ROUNDS_MAX {
            add_forwarded(&mut behind, &peer, &other).unwrap();
            add_forwarded(&mut behind, &peer, &id).unwrap();
        }
        let looped = add_forwarded(&mut behind, &peer, &id).unwrap_err();
        assert_eq!(looped.status.as_u16(), 508);
        // Some proxies write a header once, with all its values.
        fresh.insert(ROUTERS, HeaderValue::from_static("1a, 2b,1a,1a, 1a,1a,1a,1a"));
        assert!(add_forwarded(&mut fresh, &peer, &id).is_ok());
        assert!(add_forwarded(&mut fresh, &peer, &id).is_err());
    }
}
