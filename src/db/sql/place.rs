//! Byte offsets of a file as lines and columns: both from 1, columns in characters, and a byte order
//! mark takes no column.

/// The line starts of one file.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        let ends = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column of byte `at`.
    pub(crate) fn of(&self, at: usize) -> (u64, u64) {
        let at = self.source.floor_char_boundary(at);
        let line = self.starts.partition_point(|start| *start <= at) - 1;
        let before = self.source[self.starts[line]..at].trim_start_matches('\u{feff}');
        (line as u64 + 1, before.chars().count() as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters() {
        let source = "\u{feff}a\r\nübung x\n";
        let places = Places::new(source);
        assert_eq!(places.of(3), (1, 1));
        assert_eq!(places.of(source.find('x').unwrap()), (2, 7));
        assert_eq!(places.of(source.len()), (3, 1));
    }
}
