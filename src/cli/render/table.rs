//! A plain table that fits the terminal: columns are as wide as their widest cell, and the last one
//! wraps at the given width.

/// Rows with a head; every row has as many cells as the head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>], columns: usize) -> String {
    let width = |index: usize| {
        let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count());
        cells.chain(head.get(index).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let last = head.len().saturating_sub(1);
    let widths: Vec<usize> = (0..last).map(width).collect();
    let indent: usize = widths.iter().map(|w| w + 2).sum();
    let room = columns.saturating_sub(indent).max(20);
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width.saturating_sub(cell.chars().count()) + 2;
            text.push_str(cell);
            text.push_str(&" ".repeat(padding));
        }
        let lines = wrap(row.get(last).map_or("", String::as_str), room);
        text.push_str(&lines.join(&format!("\n{}", " ".repeat(indent))));
        let trimmed = text.trim_end().len();
        text.truncate(trimmed);
        text.push('\n');
    }
    text
}

/// Breaks `text` at spaces into lines of at most `width` characters; longer words stay whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let length = line.chars().count();
        if length == 0 {
            line.push_str(word);
        } else if length + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_wraps_under_itself() {
        let rows = vec![
            vec!["load".into(), "fail".into(), "p95 is 812 ms, the limit is 500 ms".into()],
            vec!["release".into(), "pass".into(), "fine".into()],
        ];
        let expected = "gate     verdict  why\nload     fail     p95 is 812 ms, the\n                  limit is 500 ms\nrelease  pass     fine\n";
        assert_eq!(table(&["gate", "verdict", "why"], &rows, 40), expected);
    }
}
