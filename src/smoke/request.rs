//! A request as it is sent, and what came back. Knows what a URL's origin is, and where a redirect
//! leads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// One request with nothing left to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// From connect to the last byte.
    pub(crate) timeout: Duration,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Where it sends the client, for those who follow.
    pub(crate) fn redirect(&self, url: &str) -> Option<String> {
        let to = self.headers.get("location")?;
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then(|| joined(url, to.trim()))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoReply {
    /// Whether anybody was there: whoever is silent until the time is over may not be.
    pub(crate) connected: bool,
    pub(crate) why: String,
}

/// Whether a method by its meaning changes nothing.
pub(crate) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// What stands between the scheme and the path: `user@host:80`.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split(['/', '?', '#', '\\']).next().filter(|authority| !authority.is_empty())
}

/// Scheme and authority, as they are written but for case.
pub(crate) fn origin(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://")?;
    Some(format!("{scheme}://{}", authority(url)?).to_ascii_lowercase())
}

/// The host alone, in lower case, without port and the dot of a full name.
pub(crate) fn host(url: &str) -> Option<String> {
    let authority = authority(url)?;
    let bare = authority.rsplit('@').next().unwrap_or_default();
    let host = match bare.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or_default(),
        None => bare.split(':').next().unwrap_or_default(),
    };
    Some(host.trim_end_matches('.').to_ascii_lowercase()).filter(|host| !host.is_empty())
}

/// `to`, as it is meant on the page `url`.
fn joined(url: &str, to: &str) -> String {
    // A scheme stands at the very start: a query may hold a URL of its own.
    let (head, tail) = to.split_at(to.find(['/', '?', '#']).unwrap_or(to.len()));
    if head.len() > 1 && head.ends_with(':') && tail.starts_with("//") {
        return to.to_owned();
    }
    let scheme = url.split("://").next().unwrap_or("http");
    if to.starts_with("//") {
        return format!("{scheme}:{to}");
    }
    let origin = format!("{scheme}://{}", authority(url).unwrap_or_default());
    if to.starts_with('/') {
        return format!("{origin}{to}");
    }
    let path = url.get(origin.len()..).unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match to.strip_prefix('?') {
        Some(_) => format!("{origin}{path}{to}"),
        None => format!("{origin}{}/{to}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_origins_are_read() {
        for (url, wanted, at) in [
            ("http://Shop.Example:81/a?b", "shop.example", "http://shop.example:81"),
            ("https://u:p@shop.example./", "shop.example", "https://u:p@shop.example."),
            ("http://[::1]:80", "::1", "http://[::1]:80"),
            ("http://good\\@evil/", "good", "http://good"),
        ] {
            assert_eq!(host(url).as_deref(), Some(wanted), "{url}");
            assert_eq!(origin(url).as_deref(), Some(at), "{url}");
        }
        for url in ["/path", "http:///x", "shop.example"] {
            assert_eq!(host(url), None, "{url}");
        }
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let reply = |status, to: &str| Reply {
            status,
            headers: [("location".to_owned(), to.to_owned())].into(),
            body: Vec::new(),
        };
        let from = "http://h:1/a/b?c";
        for (to, wanted) in [
            ("https://other/x", "https://other/x"),
            ("//other/x", "http://other/x"),
            ("/x", "http://h:1/x"),
            ("x", "http://h:1/a/x"),
            ("?d", "http://h:1/a/b?d"),
            ("/login?next=https://shop/x", "http://h:1/login?next=https://shop/x"),
            ("login?next=https://shop/x", "http://h:1/a/login?next=https://shop/x"),
            ("?next=https://shop/x", "http://h:1/a/b?next=https://shop/x"),
            ("/x#https://shop/x", "http://h:1/x#https://shop/x"),
            ("HTTPS://other?a", "HTTPS://other?a"),
        ] {
            assert_eq!(reply(302, to).redirect(from).as_deref(), Some(wanted));
            assert_eq!(reply(200, to).redirect(from), None);
        }
        let bare = Reply { headers: BTreeMap::new(), ..reply(302, "") };
        assert_eq!(bare.redirect(from), None);
        assert_eq!(reply(302, "x").redirect("http://h").as_deref(), Some("http://h/x"));
    }
}
