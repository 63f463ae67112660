//! Texts with places to fill: `{{ticket}}` is the number of the request, `{{data.NAME}}` a column of
//! the data file, `{{env.NAME}}` an environment variable, filled in before the run. What is filled
//! in costs no allocation once the buffer has grown.

use std::io::Write as _;

/// A text cut into what stands and what is filled in for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Ticket,
    Column(usize),
}

impl Template {
    /// Cuts `text`; `columns` are those of the data file. The error is one sentence.
    pub(crate) fn parse(text: &str, columns: &[String]) -> Result<Self, String> {
        let mut parts = Vec::new();
        each_place(text, |piece| {
            parts.push(match piece {
                Piece::Text(text) => Part::Text(text.to_owned()),
                Piece::Place("ticket") => Part::Ticket,
                Piece::Place(name) => Part::Column(column(name, columns)?),
            });
            Ok(())
        })?;
        Ok(Self(parts))
    }

    pub(crate) fn is_fixed(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The columns it takes values from.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().filter_map(|part| match part {
            Part::Column(index) => Some(*index),
            Part::Text(_) | Part::Ticket => None,
        })
    }

    /// Appends the text for one request.
    pub(crate) fn push(&self, out: &mut Vec<u8>, ticket: u64, row: &[String]) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Ticket => write!(out, "{ticket}").expect("writing to memory does not fail"),
                Part::Column(index) => {
                    out.extend_from_slice(row.get(*index).map_or(b"", |value| value.as_bytes()));
                }
            }
        }
    }

    /// The same for a path: what a path cannot hold is percent-encoded.
    pub(crate) fn push_path(&self, out: &mut Vec<u8>, ticket: u64, row: &[String]) {
        for part in &self.0 {
            match part {
                Part::Column(index) => {
                    for byte in row.get(*index).map_or(b"".as_slice(), |value| value.as_bytes()) {
                        if byte.is_ascii_graphic() && *byte != b'#' {
                            out.push(*byte);
                        } else {
                            write!(out, "%{byte:02X}").expect("writing to memory does not fail");
                        }
                    }
                }
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Ticket => write!(out, "{ticket}").expect("writing to memory does not fail"),
            }
        }
    }
}

fn column(name: &str, columns: &[String]) -> Result<usize, String> {
    let Some(wanted) = name.strip_prefix("data.") else {
        return Err(format!(
            "{{{{{name}}}}} is none of {{{{ticket}}}}, {{{{data.COLUMN}}}} and {{{{env.NAME}}}}"
        ));
    };
    columns.iter().position(|column| column == wanted).ok_or_else(|| {
        if columns.is_empty() {
            format!("{{{{{name}}}}} needs a data file, and none is given")
        } else {
            format!("the data file has no column '{wanted}', only {}", columns.join(", "))
        }
    })
}

/// Fills in what the environment holds and leaves the other places. The error is one sentence.
pub(crate) fn fill_env(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    each_place(text, |piece| {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => match name.strip_prefix("env.") {
                Some(variable) => {
                    let value = env(variable);
                    let missing = || format!("the environment variable {variable} is not set");
                    filled.push_str(&value.ok_or_else(missing)?);
                }
                None => filled.push_str(&format!("{{{{{name}}}}}")),
            },
        }
        Ok(())
    })?;
    Ok(filled)
}

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

fn each_place<'a>(
    text: &'a str,
    mut tell: impl FnMut(Piece<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else {
            return Err(format!("'{{{{{after}' has no end: write it as {{{{data.COLUMN}}}}"));
        };
        if !before.is_empty() {
            tell(Piece::Text(before))?;
        }
        tell(Piece::Place(name.trim()))?;
        rest = behind;
    }
    if rest.is_empty() { Ok(()) } else { tell(Piece::Text(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str, path: bool) -> Result<String, String> {
        let columns = ["id".to_owned(), "name".to_owned()];
        let row = ["7".to_owned(), "a b#ü".to_owned()];
        let template = Template::parse(template, &columns)?;
        let mut out = Vec::new();
        if path {
            template.push_path(&mut out, 41, &row);
        } else {
            template.push(&mut out, 41, &row);
        }
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn places_are_filled_and_paths_stay_paths() {
        for (template, path, filled) in [
            ("/plain", true, "/plain"),
            ("/u/{{data.id}}?n={{ticket}}", true, "/u/7?n=41"),
            ("/{{data.name}}", true, "/a%20b%23%C3%BC"),
            ("{\"n\": \"{{ data.name }}\"}", false, "{\"n\": \"a b#ü\"}"),
        ] {
            assert_eq!(text(template, path).as_deref(), Ok(filled), "{template}");
        }
        assert!(Template::parse("/plain", &[]).unwrap().is_fixed());
    }

    #[test]
    fn what_cannot_be_filled_is_said() {
        for (template, says) in [
            ("/{{data.age}}", "no column 'age', only id, name"),
            ("/{{user}}", "{{user}} is none of"),
            ("/{{data.id", "has no end"),
        ] {
            let error = text(template, true).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(Template::parse("{{data.id}}", &[]).unwrap_err().contains("needs a data file"));
    }

    #[test]
    fn the_environment_is_filled_in_before_the_run() {
        let env = |name: &str| (name == "TOKEN").then(|| "t0p".to_owned());
        let filled = fill_env("Bearer {{env.TOKEN}} {{ticket}}", &env);
        assert_eq!(filled.as_deref(), Ok("Bearer t0p {{ticket}}"));
        assert!(fill_env("{{env.NONE}}", &env).unwrap_err().contains("NONE is not set"));
    }
}
