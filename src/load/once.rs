//! One request of an endpoint with its places filled in, as load would send its first, and what is
//! wrong with the answer. Pure: somebody else sends it.

use super::expect::Seen;
use super::plan::Endpoint;
use super::template::Template;

/// A request to be sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Once {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Once {
    /// The error is one sentence.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Self, String> {
        let (columns, row) = (endpoint.rows.columns(), endpoint.rows.of_ticket(0));
        let parse = |text: &str| Template::parse(text, columns);
        let filled = |text: &str| -> Result<Vec<u8>, String> {
            let mut out = Vec::new();
            parse(text)?.push(&mut out, 0, row);
            Ok(out)
        };
        let mut path = Vec::new();
        parse(&endpoint.path)?.push_path(&mut path, 0, row);
        let header = |(name, value): &(String, String)| {
            Ok((name.clone(), String::from_utf8_lossy(&filled(value)?).into_owned()))
        };
        Ok(Self {
            method: endpoint.method.clone(),
            path: String::from_utf8_lossy(&path).into_owned(),
            headers: endpoint.headers.iter().map(header).collect::<Result<_, String>>()?,
            body: filled(&endpoint.body)?,
        })
    }
}

/// What is wrong with an answer, in a few words; nothing when it is right.
pub(crate) fn wrong(
    endpoint: &Endpoint,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> Option<String> {
    let mut seen = Seen::default();
    for (name, value) in headers {
        seen.head.extend_from_slice(format!("{name}: {value}\n").as_bytes());
    }
    seen.add_body(body);
    let failure = endpoint.expect.failure(status, &seen)?;
    Some(format!("HTTP {status}, {}", failure.as_str().replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::super::expect::Expect;
    use super::*;

    #[test]
    fn places_are_filled_in_and_answers_compared() {
        let endpoint = Endpoint {
            path: "/items/{{ticket}}?q=a".to_owned(),
            headers: vec![("x-run".to_owned(), "n{{ticket}}".to_owned())],
            expect: Expect { body: vec!["ok".to_owned()], ..Expect::default() },
            ..Endpoint::get("/")
        };
        let once = Once::of(&endpoint).unwrap();
        assert_eq!((once.method.as_str(), once.path.as_str()), ("GET", "/items/0?q=a"));
        assert_eq!(once.headers, [("x-run".to_owned(), "n0".to_owned())]);
        assert_eq!(wrong(&endpoint, 200, &[], b"ok then"), None);
        assert_eq!(wrong(&endpoint, 200, &[], b"no").as_deref(), Some("HTTP 200, assertion"));
        assert_eq!(wrong(&endpoint, 503, &[], b"ok").as_deref(), Some("HTTP 503, status 5xx"));
        let unknown = Endpoint { path: "/{{data.none}}".to_owned(), ..Endpoint::get("/") };
        assert!(Once::of(&unknown).is_err());
    }
}
