//! The migrations of a project, and which of them databases already have. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::db::lint::rules::version;
use crate::db::shadow::fill::worth_measuring;
use crate::db::shadow::migrations::Settings;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;

/// The files as they are here, at the base, and in the target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Project {
    /// In the order in which they run.
    pub(crate) files: Vec<Source>,
    pub(crate) settings: Settings,
    /// The release before this one.
    pub(crate) base: Option<Base>,
    /// What the target says about itself, where it was asked.
    pub(crate) target: Option<Vec<Applied>>,
    /// Rows that the target's tables have, about.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Files that differ from the commit that is judged.
    pub(crate) uncommitted: Vec<String>,
}

/// What an earlier release has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// The tag, commit or branch.
    pub(crate) name: String,
    /// Its files.
    pub(crate) files: BTreeSet<String>,
    /// Those of them that are otherwise here.
    pub(crate) edited: Vec<String>,
}

/// A row of `supabase_migrations.schema_migrations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) version: String,
    /// As they were applied; absent where the target does not know.
    pub(crate) statements: Option<Vec<String>>,
}

impl Project {
    /// Whether an earlier release and, as far as it was asked, the target have this file. What one
    /// of them lacks is new, so that neither can hide it.
    fn is_old(&self, source: &Source) -> bool {
        let version = version_of(&source.path);
        let in_base = self.base.as_ref().map(|base| base.files.contains(&source.path));
        let applied = |rows: &Vec<Applied>| rows.iter().any(|row| Some(&*row.version) == version);
        let in_target = self.target.as_ref().map(applied);
        match (in_base, in_target) {
            (None, None) => false,
            (base, target) => base.unwrap_or(true) && target.unwrap_or(true),
        }
    }

    /// Files that databases have, and those of this release, each in order.
    pub(crate) fn split(&self) -> (Vec<Source>, Vec<Source>) {
        self.files.iter().cloned().partition(|source| self.is_old(source))
    }

    /// Rows to measure on: those that were asked for, and those that the target has in tables that
    /// the new files name.
    pub(crate) fn rows_of(
        &self,
        new: &[Source],
        asked: &BTreeMap<String, u64>,
    ) -> BTreeMap<String, u64> {
        let mut rows = worth_measuring(&self.rows, new);
        for (table, wanted) in asked {
            let known = rows.entry(table.clone()).or_insert(*wanted);
            *known = (*known).max(*wanted);
        }
        rows
    }

    /// What the new ones are compared with, in words.
    pub(crate) fn since(&self) -> String {
        match (&self.base, &self.target) {
            (Some(base), None) => format!("since {}", base.name),
            (Some(base), Some(_)) => format!("since {} and in the target", base.name),
            (None, Some(_)) => "that the target does not have".to_owned(),
            (None, None) => "in all: there is no earlier release".to_owned(),
        }
    }

    /// Names of old files by folder, for rules that look at a whole release.
    pub(crate) fn applied(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for source in self.files.iter().filter(|source| self.is_old(source)) {
            let (folder, name) = source.path.rsplit_once('/').unwrap_or((".", &source.path));
            found.entry(folder.to_owned()).or_default().insert(name.to_owned());
        }
        found
    }

    /// Old files that were applied in another form.
    pub(crate) fn edited(&self) -> Vec<Edit> {
        let at_base = self.base.iter().flat_map(|base| {
            let edit = |file: &String| Edit { file: file.clone(), since: base.name.clone() };
            base.edited.iter().map(edit)
        });
        let mut found: Vec<Edit> = at_base.collect();
        for row in self.target.iter().flatten() {
            let Some(statements) = &row.statements else { continue };
            let same = |s: &&Source| version_of(&s.path) == Some(row.version.as_str());
            let Some(source) = self.files.iter().find(same) else { continue };
            let known = found.iter().any(|edit| edit.file == source.path);
            if !known && words(&source.text) != words(&statements.join(";\n")) {
                found.push(Edit { file: source.path.clone(), since: "the target".to_owned() });
            }
        }
        found
    }

    /// Files that the base has and that are gone.
    pub(crate) fn removed(&self) -> Vec<String> {
        let here: BTreeSet<&str> = self.files.iter().map(|s| s.path.as_str()).collect();
        let files = self.base.iter().flat_map(|base| &base.files);
        files.filter(|file| !here.contains(file.as_str())).cloned().collect()
    }

    /// Versions that the target has and no file here.
    pub(crate) fn unknown(&self) -> Vec<String> {
        let here: BTreeSet<&str> = self.files.iter().filter_map(|s| version_of(&s.path)).collect();
        let rows = self.target.iter().flatten().map(|row| &row.version);
        rows.filter(|version| !here.contains(version.as_str())).cloned().collect()
    }

    /// Files that the target lacks although it has a later one, with that version.
    pub(crate) fn late(&self) -> Option<(Vec<String>, String)> {
        let rows = self.target.as_ref()?;
        let newest = &rows.iter().max_by(|a, b| a.version.cmp(&b.version))?.version;
        let lacks = |v: &str| v < newest.as_str() && !rows.iter().any(|row| row.version == v);
        let late = self.files.iter().filter(|s| version_of(&s.path).is_some_and(lacks));
        let late: Vec<String> = late.map(|s| s.path.clone()).collect();
        (!late.is_empty()).then(|| (late, newest.clone()))
    }
}

/// An old file in another form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) file: String,
    /// Who has it in the old form.
    pub(crate) since: String,
}

fn version_of(path: &str) -> Option<&str> {
    version(path.rsplit_once('/').map_or(path, |(_, name)| name))
}

/// Statements without comments and white space: tools store them in forms of their own.
fn words(text: &str) -> String {
    let script = Script::parse(text);
    let mut words = String::new();
    for statement in script.statements() {
        for at in 0..statement.len() {
            words.push_str(statement.raw(at));
            words.push(' ');
        }
        words.push(';');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source::from_bytes(&format!("m/{name}"), text.as_bytes().to_vec())
    }

    fn row(version: &str, statements: &[&str]) -> Applied {
        let statements = statements.iter().map(|s| (*s).to_owned()).collect();
        Applied { version: version.to_owned(), statements: Some(statements) }
    }

    fn project(base: Option<&[&str]>, target: Option<&[&str]>) -> Project {
        let names = |list: &[&str]| list.iter().map(|n| format!("m/{n}")).collect();
        let base = base.map(|b| Base { name: "v1".into(), files: names(b), edited: Vec::new() });
        let target = target.map(|t| {
            t.iter().map(|v| Applied { version: (*v).into(), statements: None }).collect()
        });
        let files = vec![source("1_a.sql", "select 1"), source("2_b.sql", "select 2;")];
        Project { files, base, target, ..Project::default() }
    }

    #[test]
    fn new_is_what_any_of_them_lacks() {
        for (base, target, new) in [
            (None, None, &["m/1_a.sql", "m/2_b.sql"][..]),
            (Some(&["1_a.sql"][..]), None, &["m/2_b.sql"]),
            (None, Some(&["1", "2"][..]), &[]),
            (Some(&["1_a.sql"]), Some(&["1", "2"]), &["m/2_b.sql"]),
            (Some(&["1_a.sql", "2_b.sql"]), Some(&["1"]), &["m/2_b.sql"]),
        ] {
            let found = project(base, target).split().1;
            let found: Vec<&str> = found.iter().map(|s| s.path.as_str()).collect();
            assert_eq!(found, new, "{base:?} {target:?}");
        }
    }

    #[test]
    fn the_target_tells_what_was_edited_what_is_late_and_what_is_missing_here() {
        let mut project = project(None, None);
        project.target = Some(vec![row("1", &["SELECT 1 -- x"]), row("2", &["select\n 2"])]);
        assert_eq!(project.edited()[0].file, "m/1_a.sql", "letters are not folded");
        project.target = Some(vec![row("1", &["select  1 -- x"]), row("2", &["select\n 2"])]);
        assert_eq!(project.edited(), []);
        assert_eq!(project.late(), None);
        project.target = Some(vec![row("1", &[]), row("3", &[])]);
        assert_eq!(project.unknown(), ["3"]);
        assert_eq!(project.late(), Some((vec!["m/2_b.sql".into()], "3".into())));
        let gone = ["m/0_z.sql".to_owned()].into();
        project.base = Some(Base { files: gone, ..Base::default() });
        assert_eq!(project.removed(), ["m/0_z.sql"]);
    }
}
