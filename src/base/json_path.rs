//! Places in a JSON document, and values as people write them.

use serde_json::Value;

/// A place in a JSON document: `$.items[0].name`. Members and indexes, no wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    pointer: String,
}

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no path: write it like $.items[0].name");
        let mut rest = text.strip_prefix('$').ok_or_else(wrong)?;
        let mut pointer = String::new();
        while !rest.is_empty() {
            let step = if let Some(inside) = rest.strip_prefix('[') {
                let (index, after) = inside.split_once(']').ok_or_else(wrong)?;
                rest = after;
                index.parse::<usize>().map_err(|_| wrong())?;
                index
            } else {
                let name = rest.strip_prefix('.').ok_or_else(wrong)?;
                let end = name.find(['.', '[']).unwrap_or(name.len());
                rest = &name[end..];
                &name[..end]
            };
            if step.is_empty() || step == "*" {
                return Err(wrong());
            }
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        }
        Ok(Self { pointer })
    }

    /// What stands at this place.
    pub(crate) fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        document.pointer(&self.pointer)
    }

    /// The name of the last member or index.
    pub(crate) fn last(&self) -> &str {
        self.pointer.rsplit('/').next().unwrap_or_default()
    }

    /// Reads `$.path=value`; a value that is not JSON is a string.
    pub(crate) fn parse_equals(text: &str) -> Result<(Self, Value), String> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' compares nothing: write $.path=value"))?;
        Ok((Self::parse(path.trim())?, Self::value(value.trim())))
    }

    /// A value as people write it.
    pub(crate) fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_place() {
        let document = serde_json::json!({"items": [{"name": "a/b"}], "a~/b": 1});
        for (path, found) in [
            ("$", Some(document.clone())),
            ("$.items[0].name", Some("a/b".into())),
            ("$.a~/b", Some(1.into())),
            ("$.items[1]", None),
            ("$.name", None),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().find(&document), found.as_ref(), "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_said() {
        for text in ["items", "$items", "$.a[x]", "$.a..b", "$.*", "$.a["] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
        assert!(JsonPath::parse_equals("$.a").is_err());
    }
}
