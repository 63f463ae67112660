//! The migrations of a Supabase project: which files there are, in which order they run, and what
//! `supabase/config.toml` says about the server.

use std::path::Path;

use crate::db::sql::source::{Source, SourceError};

/// Where Supabase keeps them.
pub(crate) const FOLDER: &str = "supabase/migrations";
const CONFIG: &str = "supabase/config.toml";

/// The files of a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Migrations {
    /// In the order of their names, as Supabase runs them.
    pub(crate) files: Vec<Source>,
    /// Names in the folder that are no migrations.
    pub(crate) skipped: Vec<String>,
    /// What the project asks for.
    pub(crate) major: Option<u32>,
}

/// Reads the project at `folder`; none when it has no migrations folder.
pub(crate) fn read(folder: &Path) -> Result<Option<Migrations>, SourceError> {
    let home = folder.join(FOLDER);
    if !home.is_dir() {
        return Ok(None);
    }
    let unreadable = |e| SourceError::Unreadable(FOLDER.into(), e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&home).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut found = Migrations { major: major(folder), ..Migrations::default() };
    for name in names {
        if is_migration(&name) {
            let shown = format!("{FOLDER}/{name}");
            found.files.push(Source::read(&home.join(&name), &shown)?);
        } else {
            found.skipped.push(name);
        }
    }
    Ok(Some(found))
}

/// `20260101000000_name.sql`; the command line of Supabase skips other names.
pub(crate) fn is_migration(name: &str) -> bool {
    let Some((version, rest)) = name.split_once('_') else { return false };
    let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    digits && Path::new(rest).extension().is_some_and(|e| e == "sql")
}

/// `major_version` of the section `[db]`.
pub(crate) fn major(folder: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(folder.join(CONFIG)).ok()?;
    major_in(&text)
}

fn major_in(text: &str) -> Option<u32> {
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once('=').filter(|_| section == "db")
            && key.trim() == "major_version"
        {
            let digits = value.trim().trim_matches('"');
            return digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_majors() {
        for (name, is) in [
            ("20260101000000_a.sql", true),
            ("1_a.sql", true),
            ("a.sql", false),
            ("20260101.sql", false),
            ("20260101_a.sql.bak", false),
        ] {
            assert_eq!(is_migration(name), is, "{name}");
        }
        for (text, major) in [
            ("[db]\nport = 1\nmajor_version = 17 # new\n", Some(17)),
            ("[api]\nmajor_version = 12\n[db.pooler]\nmajor_version = 13\n", None),
            ("", None),
        ] {
            assert_eq!(major_in(text), major, "{text}");
        }
    }
}
