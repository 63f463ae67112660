//! A new migration that sorts before one that an earlier release has: it runs too late here and too
//! early on a fresh database. Names whose order as text is not the order of their numbers do the
//! same to each other.

use std::collections::BTreeMap;

use super::Release;
use super::all::folder_and_name;
use crate::db::lint::finding::Hit;

pub(super) fn hits(release: &Release<'_>) -> Vec<(usize, Hit)> {
    let mut found = Vec::new();
    let mut by_folder: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
    for (file, source) in release.new_files() {
        let (folder, name) = folder_and_name(&source.path);
        if version(name).is_none() {
            continue;
        }
        by_folder.entry(folder).or_default().push((name, file));
        let applied = release.applied.get(folder).into_iter().flatten();
        let newest = applied.filter(|n| version(n).is_some()).max();
        if let Some(newest) = newest.filter(|newest| newest.as_str() > name) {
            let text = format!("{name} comes after {newest}, which an earlier release has applied");
            found.push((file, Hit::new("out-of-order-version", 0..0, text)));
        }
    }
    for mut names in by_folder.into_values() {
        names.sort_unstable();
        for pair in names.windows(2) {
            let [(before, _), (name, file)] = pair else { continue };
            if number(before) > number(name) {
                let text = format!("{name} runs after {before}: names are ordered as text");
                found.push((*file, Hit::new("out-of-order-version", 0..0, text)));
            }
        }
    }
    found
}

/// `20260101000000_name.sql` has a version; other names are no migrations.
pub(crate) fn version(name: &str) -> Option<&str> {
    let (version, rest) = name.split_once('_')?;
    let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    let is_sql = std::path::Path::new(rest).extension().is_some_and(|e| e == "sql");
    (digits && is_sql).then_some(version)
}

fn number(name: &str) -> u128 {
    version(name).and_then(|v| v.parse().ok()).unwrap_or_default()
}
