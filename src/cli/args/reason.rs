//! Why users are brought back, as it was typed: no encoding of it stops anything.

use clap::builder::{OsStringValueParser, TypedValueParser};

/// Bytes that are no UTF-8 become replacement characters.
pub(super) fn lossy() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned())
}
