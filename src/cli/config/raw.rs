//! `orca.yaml` as it is written. Every key is optional here; [`super::resolve`] gives the defaults
//! and says what is missing. Unknown keys are errors.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::blackout::RawBlackout;
use super::deploy::RawDeploy;
use super::exec::RawExec;
use super::smoke::RawSmoke;
use super::tracks::RawTrack;
use super::triggers::RawTriggers;
use crate::base::yaml::Spanned;
use crate::gate::ruling::Mode;
use crate::gate::waiver::Role;

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    /// Version of this format: 1.
    #[schemars(with = "u32")]
    pub(crate) version: Spanned<u32>,
    #[serde(default)]
    pub(crate) service: RawService,
    #[serde(default)]
    pub(crate) release: RawRelease,
    #[serde(default)]
    pub(crate) platform: RawPlatform,
    #[serde(default)]
    pub(crate) gates: RawGates,
    #[serde(default)]
    pub(crate) canary: RawCanary,
    /// Ramps by name, for `canary start --track`. `standard`, `high-risk` and `hotfix` are built in
    /// and can be written anew here.
    #[serde(default)]
    pub(crate) tracks: BTreeMap<String, RawTrack>,
    #[serde(default)]
    pub(crate) deploy: RawDeploy,
    #[serde(default)]
    pub(crate) trust: RawTrust,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawService {
    /// What people call it.
    pub(crate) name: Option<String>,
    /// The environment that releases go to; `production` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) environment: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRelease {
    /// Before the version in a tag; `v` unless said.
    pub(crate) tag_prefix: Option<String>,
    /// Keep a Changelog file; `CHANGELOG.md` unless said.
    pub(crate) changelog: Option<String>,
    /// Files that carry the version: package.json, Cargo.toml.
    #[serde(default)]
    pub(crate) version_files: Vec<String>,
    /// What a breaking change does below 1.0.0: `minor` (default) or `major`.
    #[serde(default)]
    pub(crate) breaking_below_one: RawBreakingBelowOne,
    /// The git remote that releases and the ledger go to; `origin` where there is one.
    pub(crate) remote: Option<String>,
    /// How long an RC freezes staging; `7d` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) freeze: Option<Spanned<String>>,
    /// Days or hours in which nothing is released; going back never waits for them.
    #[serde(default)]
    #[schemars(with = "Vec<RawBlackout>")]
    pub(crate) blackouts: Vec<Spanned<RawBlackout>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawBreakingBelowOne {
    #[default]
    Minor,
    Major,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPlatform {
    /// `router` (default): orca's own; `vercel`; or `exec`: your own commands.
    pub(crate) kind: Option<RawPlatformKind>,
    /// On Vercel: the project, by id or name; `VERCEL_PROJECT_ID` unless said.
    pub(crate) project: Option<String>,
    /// On Vercel: how long going back is tried while its API does not answer; `2m` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) back_within: Option<Spanned<String>>,
    /// On Vercel: show what orca decides beside each deployment, as a check that blocks nothing.
    #[serde(default)]
    pub(crate) checks: bool,
    /// The router's admin address, such as `http://127.0.0.1:8081`.
    pub(crate) admin: Option<String>,
    /// Where users come in, such as `http://127.0.0.1:8080`; traffic is read back here.
    pub(crate) url: Option<String>,
    /// The environment variable that holds the admin token; `ORCA_ROUTER_TOKEN` unless said.
    pub(crate) token_env: Option<String>,
    /// The commands of `kind: exec`.
    #[schemars(with = "Option<RawExec>")]
    pub(crate) exec: Option<Spanned<RawExec>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawPlatformKind {
    #[default]
    Router,
    Vercel,
    Exec,
}

/// Gates by phase.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGates {
    #[serde(default)]
    pub(crate) preflight: RawPreflight,
    #[serde(default)]
    pub(crate) load: RawLoad,
    /// Smoke tests on the deployment, judged by `orca load --rc` before any load; not run unless said.
    pub(crate) smoke: Option<RawSmoke>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPreflight {
    /// Conventional commits since the last stable release.
    #[serde(default)]
    pub(crate) commits: RawGate,
    /// Error budgets, where the manifest of objectives has a `budget` section.
    #[serde(default)]
    pub(crate) budget: RawGate,
    /// Migrations, where `supabase/migrations` is or the last release had it.
    #[serde(default)]
    pub(crate) db: RawDbGate,
}

/// What every gate can be told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawGate {
    /// `enforce` (default), or `observe` for a team's first releases.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// How long a ruling stays fresh; `24h` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) max_age: Option<Spanned<String>>,
}

/// What the gate of migrations can be told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDbGate {
    #[serde(default)]
    pub(crate) mode: Mode,
    #[schemars(with = "Option<String>")]
    pub(crate) max_age: Option<Spanned<String>>,
    /// Whether there must be migrations; `false` unless said.
    #[serde(default)]
    pub(crate) required: bool,
    /// A file of findings that are known: `{"keys": [...]}`.
    pub(crate) baseline: Option<String>,
    /// Extensions whose stand-ins are accepted on the shadow.
    #[serde(default)]
    pub(crate) allow_substitutes: Vec<String>,
    /// Rows of tables, such as `orders: 5000000`: new migrations are measured on so many.
    #[serde(default)]
    pub(crate) rows: BTreeMap<String, u64>,
    /// So long may a statement hold others up on such a table; `2s` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) lock_max: Option<Spanned<String>>,
    /// Replays on a preview branch that is made on Supabase for each run; it costs money and takes
    /// minutes. `false` unless said.
    #[serde(default)]
    pub(crate) hosted_branch: bool,
    /// Asks the hosted Supabase project whether it is fit for a release; not asked unless said.
    pub(crate) project: Option<RawHostedProject>,
    /// Asks the target, or Supabase, which roles may too much; not asked unless said.
    pub(crate) roles: Option<RawRoles>,
}

/// What a hosted project must be; `{}` takes what is said of each.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHostedProject {
    /// How old the newest backup may be; `26h` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) backup_age_max: Option<Spanned<String>>,
    /// Whether point-in-time recovery must be on; `false` unless said.
    #[serde(default)]
    pub(crate) pitr: bool,
    /// How old secret API keys may be, such as `90d`; their age is not judged unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) key_age_max: Option<Spanned<String>>,
}

/// What database roles may; `{}` accepts none that is strong.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRoles {
    /// Roles that are meant to be strong.
    #[serde(default)]
    pub(crate) allow: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLoad {
    #[serde(default)]
    pub(crate) mode: Mode,
    #[schemars(with = "Option<String>")]
    pub(crate) max_age: Option<Spanned<String>>,
    /// Objectives and profiles; `slo/slo_manifest.yaml` unless said.
    pub(crate) manifest: Option<String>,
    /// Load profile; `baseline` unless said.
    pub(crate) profile: Option<String>,
    /// What is loaded; the canary deployment's own URL unless said.
    pub(crate) target: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCanary {
    /// Weight, bake time and failure action of each stage; 1 %, 5 %, 25 %, 100 % unless said.
    #[serde(default)]
    pub(crate) stages: Vec<RawStage>,
    /// The track whose stages are used unless `--track` names another; instead of `stages`.
    #[schemars(with = "Option<String>")]
    pub(crate) track: Option<Spanned<String>>,
    /// What brings users back at once, in the middle of a stage.
    #[serde(default)]
    pub(crate) triggers: RawTriggers,
    /// The canary's p95 in percent of the base's, at most; 120 unless said.
    pub(crate) p95_ratio_max_pct: Option<u32>,
    /// How many more requests may fail on the canary than on the base; `1%` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) error_increase_max: Option<Spanned<String>>,
    /// How long a weight lasts unless renewed, `1s` to `1h`; `60s` unless said. When orca dies,
    /// users are back on base after it, and another orca may take over after twice as long.
    #[schemars(with = "Option<String>")]
    pub(crate) grant: Option<Spanned<String>>,
    /// What `orca canary pause` does where it is not told.
    #[serde(default)]
    pub(crate) pause: RawPause,
    /// What Ctrl-C and SIGTERM do: `abort` to base (default) or `hold`.
    #[serde(default)]
    pub(crate) on_interrupt: RawOnInterrupt,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPause {
    /// How long at most; `1h` unless said.
    #[serde(rename = "for")]
    #[schemars(with = "Option<String>")]
    pub(crate) span: Option<Spanned<String>>,
    /// What happens when nobody resumes it in time: `withdraw` (default) or `resume`.
    #[serde(default)]
    pub(crate) then: RawAfterPause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawAfterPause {
    /// It goes on
    Resume,
    /// Users go back to base
    #[default]
    Withdraw,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStage {
    /// Share of traffic, such as `5%`.
    #[schemars(with = "String")]
    pub(crate) weight: Spanned<String>,
    /// How long it bakes before it is decided, such as `15m`.
    #[schemars(with = "String")]
    pub(crate) bake: Spanned<String>,
    /// How long it may hold undecided, from its start; four bake times unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) max_hold: Option<Spanned<String>>,
    /// Who decides: real `users` (default), or `paired` load on both versions.
    #[serde(default)]
    pub(crate) decide_by: RawDecideBy,
    /// Rate of paired load on each version; `50/s` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) paired_rate: Option<Spanned<String>>,
    /// What a failed stage does: `rollback` (default) or `hold`.
    #[serde(default)]
    pub(crate) on_fail: RawOnFail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawDecideBy {
    #[default]
    Users,
    Paired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawOnFail {
    #[default]
    Rollback,
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawOnInterrupt {
    #[default]
    Abort,
    Hold,
}

/// With what this orca signs entries and packs, and whose signatures count.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTrust {
    /// The PKCS#8 PEM file this orca signs with; `ORCA_SIGNING_KEY` names it too.
    pub(crate) signing_key: Option<String>,
    /// Whether only rulings signed by a trusted key count; `false` unless said.
    #[schemars(with = "Option<bool>")]
    pub(crate) required: Option<Spanned<bool>>,
    /// Whose signatures count, for what and when. Read from the last final tag.
    #[serde(default)]
    pub(crate) keys: Vec<RawKey>,
}

/// One trusted key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawKey {
    /// What people call it.
    #[schemars(with = "String")]
    pub(crate) id: Spanned<String>,
    /// The ed25519 public key: what `openssl pkey -pubout` prints, or its base64 line.
    #[schemars(with = "String")]
    pub(crate) key: Spanned<String>,
    /// `ci` signs rulings; `engineering`, `product` and `ops` sign waivers and approvals.
    pub(crate) roles: Vec<Role>,
    /// A time or a day; from ever unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) valid_from: Option<Spanned<String>>,
    /// A time or a day; for ever unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) valid_until: Option<Spanned<String>>,
    /// When it was revoked: from then on it counts for nothing, not even for what it signed before.
    #[schemars(with = "Option<String>")]
    pub(crate) revoked_at: Option<Spanned<String>>,
}
