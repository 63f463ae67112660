//! Every timeout, size limit and budget in one table, so that no call is without one.

use std::time::Duration;

/// Largest configuration or manifest file read, in bytes.
pub(crate) const INPUT_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Largest file or input of measured samples read, in bytes.
pub(crate) const SAMPLES_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest SQL file read, in bytes.
pub(crate) const SQL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest manifest of a backup read, in bytes.
pub(crate) const BACKUP_MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most of what a program of Postgres says on its standard error that is kept, in bytes.
pub(crate) const PROGRAM_STDERR_BYTES_MAX: u64 = 1024 * 1024;
/// A limit on calls that ends within this is waited for.
pub(crate) const HOSTED_LIMIT_WAIT: Duration = Duration::from_mins(1);
/// Time for a restore point to become available.
pub(crate) const RESTORE_POINT: Duration = Duration::from_mins(3);
/// Time for a preview branch to become ready, unless said.
pub(crate) const BRANCH_READY: Duration = Duration::from_mins(10);
/// The longest that can be asked for: with the work on it, a branch stays younger than a stale one.
pub(crate) const BRANCH_READY_MAX: Duration = Duration::from_hours(2);
/// How long a healthy branch of which no work is told is left alone.
pub(crate) const BRANCH_SETTLES: Duration = Duration::from_mins(1);
/// Time for the database of a ready branch to take connections.
pub(crate) const BRANCH_CONNECT: Duration = Duration::from_mins(1);
/// Time for a branch to be seen whose making was not answered.
pub(crate) const BRANCH_LOST: Duration = Duration::from_mins(1);
/// Time for deleting a branch before it is said to be left behind.
pub(crate) const BRANCH_DELETE: Duration = Duration::from_secs(90);
/// A branch of orca's that is older belongs to no run any more.
pub(crate) const BRANCH_STALE: Duration = Duration::from_hours(3);
/// Time for what a stopped run still has to take back.
pub(crate) const LAST_WORK: Duration = Duration::from_mins(3);
/// So much of it is not worth a word.
pub(crate) const LAST_WORK_UNSAID: Duration = Duration::from_millis(100);
/// Time for a throwaway Postgres to be made, and again to start.
pub(crate) const SHADOW_START: Duration = Duration::from_mins(1);
/// Time for it to stop before it is killed.
pub(crate) const SHADOW_STOP: Duration = Duration::from_secs(5);
/// Largest exhibit kept as a blob inside a ledger commit, in bytes; larger ones stand beside it.
pub(crate) const EXHIBIT_BLOB_BYTES_MAX: usize = 64 * 1024;
/// Largest exhibit at all, in bytes.
pub(crate) const EXHIBIT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Largest `entry.json`, in bytes.
pub(crate) const ENTRY_BYTES_MAX: usize = 256 * 1024;
/// Largest evidence pack read by `verify`, compressed and in all, in bytes.
pub(crate) const PACK_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Largest file of an evidence pack that is read whole, in bytes: its manifest, one ledger entry.
pub(crate) const PACK_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Largest ledger inside an evidence pack, in bytes: all of it is held.
pub(crate) const PACK_LEDGER_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Most files in an evidence pack.
pub(crate) const PACK_FILES_MAX: usize = 20_000;
/// Largest answer body of an admin or provider call, in bytes.
pub(crate) const HTTP_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Time for one provider call from connect to the last byte.
pub(crate) const HTTP_CALL: Duration = Duration::from_secs(10);
/// Time for asking a version whether it is well: its answer is waited for between two looks.
pub(crate) const HEALTH_ASK: Duration = Duration::from_secs(1);
/// Time for all smoke tests after a rollback: users are back already, and people wait for the answer.
pub(crate) const SMOKE_AFTER_ROLLBACK: Duration = Duration::from_mins(1);
/// Time for one call to the router's admin interface.
pub(crate) const ADMIN_CALL: Duration = Duration::from_secs(2);
/// Largest output of a command of `platform: exec`, in bytes.
pub(crate) const EXEC_OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Largest output of a git command kept, in bytes.
pub(crate) const GIT_OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time for a local git command.
pub(crate) const GIT_LOCAL: Duration = Duration::from_secs(30);
/// Time for a git command that talks to a remote on behalf of the ledger.
pub(crate) const GIT_REMOTE: Duration = Duration::from_secs(5);
/// Time for pushing a tag or branch.
pub(crate) const GIT_PUSH: Duration = Duration::from_mins(1);
/// Time to wait for the ledger lock in this repository.
pub(crate) const LEDGER_LOCK: Duration = Duration::from_secs(5);
/// The same during a rollback, which goes on without it.
pub(crate) const LEDGER_LOCK_ROLLBACK: Duration = Duration::from_millis(200);
/// A ruling this far in the future is Inconclusive.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_mins(5);
/// How often a router grant is renewed while it lasts.
pub(crate) const GRANT_RENEWALS: u64 = 4;
/// How long a version whose every stage passed keeps its traffic while it waits to be promoted.
pub(crate) const GRANT_COMPLETE: Duration = Duration::from_hours(1);
/// Longest grant between two looks of `canary tick`.
pub(crate) const GRANT_DETACHED_MAX: Duration = Duration::from_hours(24);
/// How long a lease is held without renewal, unless `canary.grant` says otherwise.
pub(crate) const LEASE: Duration = Duration::from_mins(2);
/// Time a single check may observe unless it says otherwise.
pub(crate) const CHECK: Duration = Duration::from_mins(10);
/// Shortest time between two health checks of an upstream.
pub(crate) const ROUTER_HEALTH_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Shortest wait of the router for a client's next request.
pub(crate) const ROUTER_KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);
