//! Requests laid out before the run. One without places to fill is its bytes; the others are put
//! together in a buffer that is kept, so that neither allocates while it runs.

use std::io::Write as _;

use bytes::Bytes;
use http_body_util::Full;

use super::expect::Expect;
use super::plan::{Draft, Endpoint};
use super::rows::Rows;
use super::template::Template;

/// One endpoint's requests, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    fixed: Option<Box<[u8]>>,
    layout: Layout,
    pub(crate) is_head: bool,
    pub(crate) expect: Expect,
    pub(crate) looks_inside: bool,
}

/// The parts of a request.
#[derive(Debug, Clone)]
struct Layout {
    method: String,
    /// Of an absolute URL: scheme and authority, for HTTP/2.
    origin: String,
    path: Template,
    headers: Vec<(String, Template)>,
    body: Template,
    has_length: bool,
    rows: Rows,
}

/// Buffers to put requests together in; they grow once.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    request: Vec<u8>,
    body: Vec<u8>,
}

impl Prepared {
    /// The error is one sentence about the endpoint.
    pub(crate) fn new(endpoint: &Endpoint, plan: &Draft) -> Result<Self, String> {
        let layout = Layout::new(endpoint, plan)?;
        let mut prepared = Self {
            fixed: None,
            is_head: endpoint.method == "HEAD",
            expect: endpoint.expect.clone(),
            looks_inside: endpoint.expect.looks_inside(),
            layout,
        };
        if prepared.layout.is_fixed() {
            let mut scratch = Scratch::default();
            prepared.layout.write(0, &mut scratch);
            prepared.fixed = Some(scratch.request.into());
        }
        Ok(prepared)
    }

    /// The bytes of the request with this number.
    pub(crate) fn bytes<'a>(&'a self, ticket: u64, scratch: &'a mut Scratch) -> &'a [u8] {
        if let Some(fixed) = &self.fixed {
            return fixed;
        }
        self.layout.write(ticket, scratch);
        &scratch.request
    }

    /// The same request for HTTP/2. The error is one sentence.
    pub(crate) fn http2(&self, ticket: u64) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let layout = &self.layout;
        let row = layout.rows.of_ticket(ticket);
        // The host that is asked for is the authority here.
        let scheme = layout.origin.split_inclusive("//").next().unwrap_or_default();
        let mut url = scheme.as_bytes().to_vec();
        let host = layout.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        if let Some((_, host)) = host {
            host.push(&mut url, ticket, row);
        }
        layout.path.push_path(&mut url, ticket, row);
        let mut request = http::Request::builder().method(layout.method.as_str()).uri(&url[..]);
        for (name, value) in &layout.headers {
            // HTTP/2 has no connections to speak of.
            if !["host", "connection"].contains(&name.to_ascii_lowercase().as_str()) {
                let mut filled = Vec::new();
                value.push(&mut filled, ticket, row);
                request = request.header(name, filled);
            }
        }
        let mut body = Vec::new();
        layout.body.push(&mut body, ticket, row);
        request.body(Full::from(body))
    }
}

impl Layout {
    fn new(endpoint: &Endpoint, plan: &Draft) -> Result<Self, String> {
        let columns = endpoint.rows.columns();
        let parse = |text: &str| Template::parse(text, columns);
        let has = |wanted: &str| {
            endpoint.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let mut headers = Vec::new();
        if !has("host") {
            headers.push(("Host".to_owned(), parse(&plan.target.host_header())?));
        }
        if !has("user-agent") {
            headers.push(("User-Agent".to_owned(), parse(AGENT)?));
        }
        if !plan.keep_alive && !has("connection") {
            headers.push(("Connection".to_owned(), parse("close")?));
        }
        for (name, value) in &endpoint.headers {
            let value = parse(value)?;
            for column in value.columns() {
                let bad =
                    endpoint.rows.first_bad(column, |text| text.chars().any(char::is_control));
                if let Some(row) = bad {
                    return Err(format!(
                        "row {row} of its data has control characters in a header"
                    ));
                }
            }
            headers.push((name.clone(), value));
        }
        let scheme = if plan.target.is_tls { "https" } else { "http" };
        Ok(Self {
            method: endpoint.method.clone(),
            origin: format!("{scheme}://{}", plan.target.host_header()),
            path: parse(&endpoint.path)?,
            headers,
            body: parse(&endpoint.body)?,
            has_length: !endpoint.body.is_empty()
                || matches!(endpoint.method.as_str(), "POST" | "PUT" | "PATCH"),
            rows: endpoint.rows.clone(),
        })
    }

    fn is_fixed(&self) -> bool {
        self.path.is_fixed()
            && self.body.is_fixed()
            && self.headers.iter().all(|(_, v)| v.is_fixed())
    }

    fn write(&self, ticket: u64, scratch: &mut Scratch) {
        let row = self.rows.of_ticket(ticket);
        let Scratch { request, body } = scratch;
        request.clear();
        body.clear();
        self.body.push(body, ticket, row);
        request.extend_from_slice(self.method.as_bytes());
        request.push(b' ');
        self.path.push_path(request, ticket, row);
        request.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.headers {
            request.extend_from_slice(name.as_bytes());
            request.extend_from_slice(b": ");
            value.push(request, ticket, row);
            request.extend_from_slice(b"\r\n");
        }
        if self.has_length {
            write!(request, "Content-Length: {}\r\n", body.len())
                .expect("writing to memory does not fail");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
    }
}

const AGENT: &str = concat!("orca/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::tests::draft;

    fn text(endpoint: &Endpoint, ticket: u64) -> String {
        let prepared = Prepared::new(endpoint, &draft(8_080)).unwrap();
        let mut scratch = Scratch::default();
        // Twice, so that a buffer that is not emptied would show.
        let _ = prepared.bytes(7, &mut scratch);
        String::from_utf8(prepared.bytes(ticket, &mut scratch).to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_written_as_it_stands_or_filled() {
        let plain = text(&Endpoint::get("/a"), 1);
        assert!(plain.starts_with("GET /a HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: orca/"));
        assert!(plain.ends_with("\r\n\r\n"));
        let filled = Endpoint {
            method: "PUT".into(),
            headers: vec![("host".into(), "shop".into()), ("x-n".into(), "{{ticket}}".into())],
            body: "{\"n\":{{ticket}}}".into(),
            ..Endpoint::get("/u/{{ticket}}")
        };
        assert_eq!(
            text(&filled, 12),
            "PUT /u/12 HTTP/1.1\r\nUser-Agent: orca/0.1.0\r\nhost: shop\r\nx-n: 12\r\n\
             Content-Length: 8\r\n\r\n{\"n\":12}"
        );
    }

    #[test]
    fn http2_asks_the_same() {
        let endpoint = Endpoint { body: "b{{ticket}}".into(), ..Endpoint::get("/u?n={{ticket}}") };
        let prepared = Prepared::new(&endpoint, &draft(8_080)).unwrap();
        let request = prepared.http2(3).unwrap();
        assert_eq!(request.uri(), "http://127.0.0.1:8080/u?n=3");
        assert!(request.headers().contains_key("user-agent"));
        assert!(!request.headers().contains_key("host"));
        let shop = Endpoint { headers: vec![("Host".into(), "shop".into())], ..endpoint };
        let request = Prepared::new(&shop, &draft(8_080)).unwrap().http2(3).unwrap();
        assert_eq!(request.uri(), "http://shop/u?n=3");
    }
}
