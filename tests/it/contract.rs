//! The checker of contracts itself: it takes what the document allows and names what it does not.

use serde_json::json;

use crate::support::contract::{Contract, Exchange};

fn contract() -> Contract {
    Contract::of(json!({
        "openapi": "3.0.3",
        "paths": {
            "/v1/things/{id}": {
                "post": {
                    "parameters": [
                        {"in": "path", "name": "id", "schema": {"type": "string", "maxLength": 5}},
                        {"in": "query", "name": "limit", "required": true,
                         "schema": {"type": "number", "maximum": 100}},
                    ],
                    "requestBody": {"required": true, "content": {"application/json": {"schema":
                        {"type": "object", "required": ["name"],
                         "properties": {"name": {"type": "string"}}}}}},
                    "responses": {
                        "200": {"content": {"application/json": {"schema":
                            {"$ref": "#/components/schemas/Thing"}}}},
                        "202": {"content": {"application/json": {"schema": {}}}},
                        "4XX": {"$ref": "#/components/responses/Error"},
                    },
                },
            },
            "/v1/things/new": {"post": {"responses": {"201": {}}}},
        },
        "components": {
            "schemas": {"Thing": {
                "type": "object",
                "required": ["id", "state"],
                "properties": {
                    "id": {"type": "string"},
                    "state": {"type": "string", "enum": ["on", "off"], "nullable": true},
                    "size": {"oneOf": [{"type": "number"}, {"type": "number", "minimum": 1}]},
                },
            }},
            "responses": {"Error": {"content": {"application/json": {"schema":
                {"type": "object", "required": ["error"]}}}}},
        },
    }))
}

#[test]
fn an_exchange_is_taken_or_its_faults_are_named() {
    let sound = Exchange {
        method: "POST",
        path: "/v1/things/a%20b",
        query: "limit=10",
        body: br#"{"name":"x"}"#,
        status: 200,
        answer: br#"{"id":"a","state":null,"size":2}"#,
    };
    let contract = contract();
    let none: &[&str] = &[];
    for (exchange, expected) in [
        (sound, none),
        (Exchange { status: 202, answer: b"", ..sound }, none),
        (Exchange { status: 404, answer: br#"{"error":{}}"#, ..sound }, none),
        (Exchange { path: "/v1/things/new", query: "", body: b"{}", status: 201, ..sound }, none),
        (Exchange { path: "/v2/things/a", ..sound }, &["no such operation"]),
        (Exchange { method: "PUT", ..sound }, &["no such operation"]),
        (Exchange { path: "/v1/things/toolong", ..sound }, &["'id' may not be 'toolong'"]),
        (Exchange { query: "limit=101", ..sound }, &["'limit' may not be '101'"]),
        (Exchange { query: "limit=1&more=1", ..sound }, &["'more' is not in the document"]),
        (Exchange { query: "", ..sound }, &["\"limit\" is required"]),
        (Exchange { body: b"", ..sound }, &["the body is required"]),
        (Exchange { body: b"x", ..sound }, &["the request is not JSON"]),
        (Exchange { body: b"{}", ..sound }, &["the request at ''"]),
        (Exchange { status: 500, ..sound }, &["status 500 is not in the document"]),
        (Exchange { status: 404, ..sound }, &["\"error\" is a required property"]),
        (
            Exchange { answer: br#"{"id":1,"state":"up","size":2}"#, ..sound },
            &["the answer at '/id'", "the answer at '/state'"],
        ),
        (
            Exchange { path: "/v1/things/new", query: "", status: 201, ..sound },
            &["a body is sent, and the document has none"],
        ),
    ] {
        let faults = contract.faults(&exchange);
        assert_eq!(faults.len(), expected.len(), "{exchange:?}: {faults:#?}");
        for (fault, text) in faults.iter().zip(expected) {
            assert!(fault.contains(text), "{fault} does not say {text}");
        }
    }
}

/// A keyword that is not understood must not be passed over in silence.
#[test]
fn an_unknown_keyword_stops_the_check() {
    let document = json!({
        "openapi": "3.0.0",
        "components": {"schemas": {"A": {"type": "string", "contentEncoding": "x"}}},
    });
    let made = std::panic::catch_unwind(|| Contract::of(document));
    assert!(made.is_err());
}

/// Every published document is understood, keyword by keyword, and knows an operation of its own.
#[test]
fn the_published_documents_are_understood() {
    for (name, path) in [
        ("vercel", "/v9/projects/shop"),
        ("github", "/repos/acme/shop/deployments"),
        ("supabase", "/v1/projects"),
    ] {
        let Some(contract) = Contract::published(name) else { continue };
        let exchange =
            Exchange { method: "GET", path, query: "", body: b"", status: 299, answer: b"" };
        let faults = contract.faults(&exchange);
        assert_eq!(faults, [format!("GET {path}: status 299 is not in the document")]);
    }
}
