//! Data files: one row for each request, round and round. CSV with a header line, or JSON lines of
//! flat objects; which of them, the file's ending says.

use std::path::Path;
use std::sync::Arc;

use crate::base::limits::SAMPLES_BYTES_MAX;

/// The rows of a data file; cheap to share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    columns: Arc<[String]>,
    rows: Arc<[Vec<String>]>,
}

/// A data file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {what}", .line.map_or(String::new(), |line| format!(":{line}")))]
pub(crate) struct RowsError {
    pub(crate) file: String,
    pub(crate) line: Option<u64>,
    pub(crate) what: String,
}

type Wrong = (Option<u64>, String);

impl Rows {
    pub(crate) fn read(file: &Path) -> Result<Self, RowsError> {
        let wrong =
            |(line, what): Wrong| RowsError { file: file.display().to_string(), line, what };
        let size = std::fs::metadata(file).map_err(|e| wrong((None, e.to_string())))?.len();
        if size > SAMPLES_BYTES_MAX {
            return Err(wrong((None, format!("{size} bytes are over {SAMPLES_BYTES_MAX}"))));
        }
        let text = std::fs::read_to_string(file).map_err(|e| wrong((None, e.to_string())))?;
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let rows = match ending.to_ascii_lowercase().as_str() {
            "csv" => Self::csv(&text),
            "jsonl" | "ndjson" => Self::json_lines(&text),
            other => Err((None, format!("'.{other}' is not known: write .csv or .jsonl"))),
        };
        rows.map_err(wrong)
    }

    fn csv(text: &str) -> Result<Self, Wrong> {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let place = |error: &csv::Error| error.position().map(csv::Position::line);
        let header = reader.headers().map_err(|e| (place(&e), e.to_string()))?.clone();
        let columns: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        let rows = reader
            .records()
            .map(|record| {
                let record = record.map_err(|e| (place(&e), e.to_string()))?;
                Ok(record.iter().map(str::to_owned).collect())
            })
            .collect::<Result<Vec<Vec<String>>, Wrong>>()?;
        Self::of(columns, rows)
    }

    fn json_lines(text: &str) -> Result<Self, Wrong> {
        let mut columns: Vec<String> = Vec::new();
        let mut rows = Vec::new();
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let object: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(text).map_err(|e| (Some(line), e.to_string()))?;
            if columns.is_empty() {
                columns = object.keys().cloned().collect();
            }
            let row = columns.iter().map(|name| match object.get(name) {
                Some(serde_json::Value::String(value)) => Ok(value.clone()),
                Some(value) => Ok(value.to_string()),
                None => Err((Some(line), format!("there is no '{name}', as the first line has"))),
            });
            rows.push(row.collect::<Result<Vec<String>, Wrong>>()?);
        }
        Self::of(columns, rows)
    }

    fn of(columns: Vec<String>, rows: Vec<Vec<String>>) -> Result<Self, Wrong> {
        if rows.is_empty() {
            return Err((None, "it has no row".to_owned()));
        }
        Ok(Self { columns: columns.into(), rows: rows.into() })
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The row of a request; empty when there is no data.
    pub(crate) fn of_ticket(&self, ticket: u64) -> &[String] {
        let count = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        let index = ticket.checked_rem(count).and_then(|index| usize::try_from(index).ok());
        index.and_then(|index| self.rows.get(index)).map_or(&[], Vec::as_slice)
    }

    /// The number of the first row whose value in `column` is `bad`, counted from 1.
    pub(crate) fn first_bad(&self, column: usize, bad: impl Fn(&str) -> bool) -> Option<usize> {
        let is_bad = |row: &Vec<String>| row.get(column).is_some_and(|value| bad(value));
        self.rows.iter().position(is_bad).map(|index| index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_give_the_same_rows_round_and_round() {
        let csv = Rows::csv("id,name\n1,\"a, b\"\n2,c\n").unwrap();
        let json = Rows::json_lines("{\"id\":1,\"name\":\"a, b\"}\n\n{\"id\":2,\"name\":\"c\"}\n");
        assert_eq!(Ok(&csv), json.as_ref());
        assert_eq!(csv.columns(), ["id", "name"]);
        assert_eq!(csv.of_ticket(2), ["1", "a, b"]);
        assert_eq!(csv.of_ticket(5), ["2", "c"]);
        assert!(Rows::default().of_ticket(9).is_empty());
        assert_eq!(csv.first_bad(1, |value| value == "c"), Some(2));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        assert_eq!(Rows::csv("a,b\n1,2\n3\n").unwrap_err().0, Some(3));
        assert_eq!(Rows::json_lines("{\"a\":1}\n{\"b\":1}\n").unwrap_err().0, Some(2));
        assert_eq!(Rows::json_lines("{\"a\":1}\n[1]\n").unwrap_err().0, Some(2));
        assert!(Rows::csv("a\n").unwrap_err().1.contains("no row"));
        let missing = Rows::read(Path::new("/nowhere/users.csv")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/users.csv: "), "{missing}");
    }
}
