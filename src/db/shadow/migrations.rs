//! The migrations of a Supabase project: which files there are, in which order they run, and what
//! `supabase/config.toml` says about the server.

use std::path::Path;

use serde::Deserialize;

use crate::base::atomic_file;
use crate::base::limits;
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
    pub(crate) settings: Settings,
}

/// What the project asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) major: Option<u32>,
    /// Schemas that the API shows.
    pub(crate) exposed: Vec<String>,
}

impl Default for Settings {
    /// What a new project has.
    fn default() -> Self {
        let exposed = ["public", "graphql_public"].map(str::to_owned).to_vec();
        Self { major: None, exposed }
    }
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
    let mut found = Migrations { settings: settings(folder)?, ..Migrations::default() };
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

/// What orca reads of `supabase/config.toml`; the rest is Supabase's.
#[derive(Default, Deserialize)]
struct RawSettings {
    #[serde(default)]
    db: RawDb,
    #[serde(default)]
    api: RawApi,
}

#[derive(Default, Deserialize)]
struct RawDb {
    major_version: Option<u32>,
}

#[derive(Default, Deserialize)]
struct RawApi {
    schemas: Option<Vec<String>>,
}

/// Schemas that Supabase itself fills: what stands open there is not a migration's.
const OF_THE_PLATFORM: [&str; 4] = ["storage", "auth", "realtime", "graphql"];

/// What the project asks for; what a new one has where it has no such file.
pub(crate) fn settings(folder: &Path) -> Result<Settings, SourceError> {
    match atomic_file::read_text(&folder.join(CONFIG), limits::INPUT_FILE_BYTES_MAX) {
        Ok(text) => settings_in(&text).map_err(|why| SourceError::Settings(CONFIG.into(), why)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(SourceError::Unreadable(CONFIG.into(), error)),
    }
}

fn settings_in(text: &str) -> Result<Settings, String> {
    let raw: RawSettings = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    let mut settings = Settings { major: raw.db.major_version, ..Settings::default() };
    if let Some(schemas) = raw.api.schemas {
        settings.exposed = schemas;
        settings.exposed.retain(|name| !OF_THE_PLATFORM.contains(&name.as_str()));
    }
    Ok(settings)
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
    }

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_the_project_asks_for() {
        for (text, major, exposed) in [
            (
                "[db]\nport = 1\nmajor_version = 17 # new\n",
                Some(17),
                &["public", "graphql_public"][..],
            ),
            (
                "[api]\nschemas = [\n  \"public\",\n  \"storage\", \"shop\",\n]\n[db.pooler]\nx = 13\n",
                None,
                &["public", "shop"],
            ),
            ("", None, &["public", "graphql_public"]),
        ] {
            let found = settings_in(text).unwrap();
            assert_eq!(
                (found.major, found.exposed.as_slice()),
                (major, strings(exposed).as_slice()),
                "{text}"
            );
        }
        for (text, why) in [("[db]\nmajor_version = \"x\"\n", "line 2: "), ("[api\n", "line 1: ")] {
            assert!(settings_in(text).unwrap_err().starts_with(why), "{text}");
        }
    }
}
