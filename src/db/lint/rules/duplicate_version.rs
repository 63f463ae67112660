//! Two migrations of one version: the second is never applied.

use std::collections::BTreeMap;

use super::Release;
use super::all::folder_and_name;
use super::out_of_order_version::version;
use crate::db::lint::finding::Hit;

pub(super) fn hits(release: &Release<'_>) -> Vec<(usize, Hit)> {
    let mut names: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for (folder, applied) in &release.applied {
        for name in applied {
            names.extend(version(name).map(|v| ((folder.as_str(), v), name.as_str())));
        }
    }
    let mut found = Vec::new();
    for (file, source) in release.new_files() {
        let (folder, name) = folder_and_name(&source.path);
        let Some(version) = version(name) else { continue };
        match names.insert((folder, version), name) {
            Some(first) if first != name => {
                let text =
                    format!("{name} has the version of {first}: one of them is never applied");
                found.push((file, Hit::new("duplicate-version", 0..0, text)));
            }
            _ => {}
        }
    }
    found
}
