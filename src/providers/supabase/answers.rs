//! Answers of the API as it writes them. What is not used is not read, and what is new is passed over.

use serde::Deserialize;

use crate::db::hosted::ports::{Backup, Backups, Key, Project, RestorePoint, Service};

#[derive(Deserialize)]
pub(super) struct ProjectAnswer {
    status: String,
    database: Database,
}

#[derive(Deserialize)]
struct Database {
    version: String,
}

#[derive(Deserialize)]
pub(super) struct ServiceAnswer {
    name: String,
    status: String,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct BackupsAnswer {
    pitr_enabled: bool,
    backups: Vec<BackupAnswer>,
    physical_backup_data: Physical,
}

#[derive(Deserialize)]
struct BackupAnswer {
    id: i64,
    status: String,
    inserted_at: String,
    is_physical_backup: bool,
}

#[derive(Deserialize)]
struct Physical {
    latest_physical_backup_date_unix: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct KeyAnswer {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    inserted_at: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RestorePointAnswer {
    name: String,
    status: String,
}

/// An error of any status.
#[derive(Deserialize)]
pub(super) struct ErrorAnswer {
    pub(super) message: String,
}

impl From<ProjectAnswer> for Project {
    fn from(answer: ProjectAnswer) -> Self {
        Self { status: answer.status, version: answer.database.version }
    }
}

impl From<ServiceAnswer> for Service {
    fn from(answer: ServiceAnswer) -> Self {
        Self { name: answer.name, status: answer.status, error: answer.error }
    }
}

impl From<BackupsAnswer> for Backups {
    fn from(answer: BackupsAnswer) -> Self {
        let list = answer.backups.into_iter().map(|b| Backup {
            id: b.id,
            status: b.status,
            taken_at: b.inserted_at,
            physical: b.is_physical_backup,
        });
        Self {
            any_moment: answer.pitr_enabled,
            list: list.collect(),
            latest_moment_secs: answer.physical_backup_data.latest_physical_backup_date_unix,
        }
    }
}

impl From<KeyAnswer> for Key {
    fn from(answer: KeyAnswer) -> Self {
        Self { name: answer.name, kind: answer.kind, made_at: answer.inserted_at }
    }
}

impl From<RestorePointAnswer> for RestorePoint {
    fn from(answer: RestorePointAnswer) -> Self {
        Self { name: answer.name, status: answer.status }
    }
}
