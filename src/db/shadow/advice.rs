//! What to do about each finding of the shadow, by its id.

const ADVICE: [(&str, &str); 57] = [
    ("replay.failed", "correct the statement"),
    ("replay.transaction", "put the statement alone into a file of its own"),
    ("replay.server", "run it again; look at the disk and the memory of this machine"),
    (
        "branch.left",
        "see whether an earlier file makes it; without --hosted-branch a local Postgres is empty",
    ),
    (
        "extension.substitute",
        "--shadow-url to a server that has it, or accept the stand-in by name",
    ),
    ("extension.unknown", "--shadow-url to a server that has it"),
    ("extension.needed", "--shadow-url to a server that has it"),
    ("shadow.major", "install that version, or correct major_version in supabase/config.toml"),
    ("protection.rls-disabled", "ALTER TABLE ... ENABLE ROW LEVEL SECURITY"),
    ("protection.rls-not-forced", "ALTER TABLE ... FORCE ROW LEVEL SECURITY"),
    (
        "protection.security-invoker-lost",
        "repeat WITH (security_invoker = true) in CREATE OR REPLACE VIEW",
    ),
    ("protection.definer-lost", "repeat SECURITY DEFINER in CREATE OR REPLACE FUNCTION"),
    ("protection.search-path-lost", "repeat SET search_path = '' in CREATE OR REPLACE FUNCTION"),
    (
        "protection.execute-regained",
        "repeat REVOKE EXECUTE ... FROM public, anon after CREATE FUNCTION",
    ),
    ("protection.grant-widened", "revoke what the role does not need"),
    ("protection.default-widened", "revoke it from the default privileges"),
    ("protection.policy-widened", "narrow its roles, its command or its condition"),
    ("protection.policy-changed", "read both conditions, and try one row of another user"),
    ("protection.policy-dropped", "create the restrictive policy again"),
    (
        "rls.disabled-in-public",
        "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, then one policy for each use",
    ),
    ("rls.policy-without-rls", "ALTER TABLE ... ENABLE ROW LEVEL SECURITY"),
    ("rls.enabled-without-policy", "add a policy, unless nobody is meant to read it"),
    ("rls.security-definer-view", "ALTER VIEW ... SET (security_invoker = true)"),
    (
        "rls.materialized-view-in-api",
        "revoke it from anon and authenticated, or move it out of public",
    ),
    ("rls.foreign-table-in-api", "revoke it from anon and authenticated, or move it out of public"),
    ("rls.auth-users-exposed", "show a table of your own instead of auth.users"),
    ("rls.user-metadata", "use app_metadata, which users cannot write"),
    ("rls.policy-always-true", "compare with (select auth.uid())"),
    ("rls.null-user", "leave the IS NULL branch out, or grant the policy to authenticated only"),
    ("rls.sensitive-columns", "enable row level security, or move the columns out of public"),
    ("rls.initplan", "write (select auth.uid()) instead of auth.uid()"),
    ("function.search-path", "SET search_path = '' and name objects with their schemas"),
    ("function.definer-for-anon", "REVOKE EXECUTE ... FROM public, anon"),
    ("schema.foreign-key-to-auth", "refer to the primary key of auth.users"),
    ("schema.unindexed-foreign-key", "CREATE INDEX CONCURRENTLY on the columns of the key"),
    ("function.definer-for-users", "SECURITY INVOKER, or check auth.uid() first in its body"),
    ("rls.queue-in-api", "ALTER TABLE ... ENABLE ROW LEVEL SECURITY on the queue"),
    ("rls.bucket-listing", "drop the policy: files of a public bucket are read without it"),
    ("rls.policies-of-one-role", "join them by OR in one policy"),
    ("schema.no-primary-key", "add an identity column as primary key"),
    ("schema.duplicate-index", "DROP INDEX CONCURRENTLY all but one"),
    ("schema.extension-in-api", "CREATE EXTENSION ... WITH SCHEMA extensions"),
    ("schema.column-type", "keep the name as text"),
    (
        "probe.unfiltered-read",
        "add a condition to the policy, unless everybody is meant to read every row",
    ),
    ("probe.cross-tenant-read", "compare the owner with (select auth.uid()) in USING"),
    (
        "probe.cross-tenant-update",
        "compare the owner with (select auth.uid()) in USING and WITH CHECK",
    ),
    ("probe.cross-tenant-delete", "compare the owner with (select auth.uid()) in USING"),
    ("probe.cross-tenant-insert", "compare the owner with (select auth.uid()) in WITH CHECK"),
    ("probe.policy-fails", "run the statement as that role; a policy must not read its own table"),
    (
        "lock.rewrite",
        "add a column beside it, fill it in batches, and switch; orca explain changing-column-type",
    ),
    ("lock.scan", "NOT VALID and VALIDATE, or CONCURRENTLY, in a file of its own"),
    ("rows.unfit", "measure on a copy of the real rows: --shadow-url"),
    ("rpc.break", "keep the old function beside the new one until no client calls it"),
    ("history.edited", "bring the old form back, and put the change into a new migration"),
    ("history.removed", "bring the file back: a migration that ran stays"),
    (
        "history.unknown",
        "bring the file back, or supabase migration repair --status reverted VERSION",
    ),
    ("history.late", "rename it to a version after the newest one that was applied"),
];

/// What to do about findings of `id`.
pub(crate) fn advice(id: &str) -> &'static str {
    let found = ADVICE.iter().find(|(known, _)| *known == id);
    found.map_or("orca explain db.protection says more", |(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lint_of_the_schema_has_advice() {
        for id in crate::db::protection::lints::IDS {
            assert!(ADVICE.iter().any(|(known, _)| *known == id), "{id}");
        }
    }
}
