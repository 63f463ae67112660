//! Every error code and its page. The pages live in `docs/errors/` and are compiled in, so that
//! `orca explain` works offline at three in the morning. A code is never reused.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident => $code:literal,)*) => {
        /// A kind of failure, `ORCA-` and four digits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The page, in Markdown.
            pub(crate) const fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../docs/errors/", $code, ".md")),)*
                }
            }
        }
    };
}

codes! {
    /// Arguments that cannot be understood.
    Usage => "ORCA-1001",
    /// A configuration or manifest file that is wrong.
    Input => "ORCA-1002",
    /// `orca explain` of something unknown.
    UnknownTopic => "ORCA-1003",
    /// No `orca.yaml`.
    NoConfig => "ORCA-1004",
    /// A file could not be read or written.
    File => "ORCA-1005",
    /// git could not do something.
    Git => "ORCA-1101",
    /// Not inside a git repository.
    NoRepository => "ORCA-1102",
    /// The tree is dirty, shallow or not pushed.
    TreeNotReady => "ORCA-1103",
    /// The tag exists at another commit.
    TagElsewhere => "ORCA-1104",
    /// Nothing to release.
    NothingToRelease => "ORCA-1105",
    /// No such release.
    UnknownRelease => "ORCA-1106",
    /// The ledger refused a decision.
    LedgerRefused => "ORCA-1201",
    /// An entry of the ledger is damaged.
    LedgerCorrupt => "ORCA-1202",
    /// The ledger does not descend from what was seen before.
    LedgerRewound => "ORCA-1203",
    /// The ledger could not be written.
    LedgerWrite => "ORCA-1204",
    /// The ledger is locked by another orca.
    LedgerLocked => "ORCA-1205",
    /// The repository cannot hold a ledger.
    LedgerUnsupported => "ORCA-1206",
    /// The ledger's remote does not answer.
    LedgerUnsynced => "ORCA-1207",
    /// An entry from a newer orca.
    LedgerNewer => "ORCA-1208",
    /// A waiver that is not accepted.
    WaiverRefused => "ORCA-1210",
    /// The candidate changes trust or required gates.
    TrustChanged => "ORCA-1211",
    /// What this orca signs would not count.
    Untrusted => "ORCA-1212",
    /// A gate closed.
    GateClosed => "ORCA-1301",
    /// A gate could not decide.
    GateInconclusive => "ORCA-1302",
    /// No clearance for a raise.
    NotCleared => "ORCA-1303",
    /// The commit is condemned in this environment.
    Condemned => "ORCA-1304",
    /// A load plan that cannot run.
    LoadPlan => "ORCA-1401",
    /// A host of a production environment.
    LoadProduction => "ORCA-1402",
    /// A target that cannot be reached at all.
    LoadTarget => "ORCA-1403",
    /// The load target runs another commit than the candidate.
    LoadElsewhere => "ORCA-1404",
    /// The platform does not answer.
    PlatformUnavailable => "ORCA-1501",
    /// The platform refused: another orca or a human was there first.
    PlatformRefused => "ORCA-1502",
    /// The admin token is missing or wrong.
    AdminToken => "ORCA-1503",
    /// The router could not start.
    RouterStart => "ORCA-1504",
    /// The stages cannot be decided with this traffic.
    Undecidable => "ORCA-1601",
    /// Traffic went back to base.
    MovedBack => "ORCA-1602",
    /// The rollout was withdrawn undecided.
    Withdrawn => "ORCA-1603",
    /// Traffic could not be verified.
    TrafficUnverified => "ORCA-1604",
    /// There is no earlier release to go back to.
    NoWayBack => "ORCA-1605",
    /// A step failed after traffic was moved and verified.
    PartDone => "ORCA-1606",
    /// A pack that does not verify.
    PackInvalid => "ORCA-1701",
    /// A key that cannot be used.
    Key => "ORCA-1702",
    /// The load target's certificate is refused.
    LoadCertificate => "ORCA-1710",
    /// The load target speaks another protocol.
    LoadProtocol => "ORCA-1711",
    /// Files that are not the shards of one run.
    LoadShards => "ORCA-1712",
    /// A grant that ends before the next tick.
    GrantTooShort => "ORCA-1870",
    /// Paired load, and nobody to send it.
    DetachedPaired => "ORCA-1871",
    /// A canary that ticks carry on.
    Detached => "ORCA-1872",
    /// A stage that nobody may let go on.
    NoAdvance => "ORCA-1873",
    /// A canary that nobody drives.
    Undriven => "ORCA-1874",
    /// No promoted release serves.
    NotServing => "ORCA-1875",
    /// Nothing would be seen of users after a promotion.
    Unwatched => "ORCA-1876",
    /// A trigger after a promotion.
    WatchBreach => "ORCA-1877",
    /// A canary is under way: nothing else is shipped.
    ShipUnderWay => "ORCA-1878",
    /// Another commit is checked out than the one that is shipped.
    ShipElsewhere => "ORCA-1879",
    /// Triggers that ask a version where nobody says how.
    Unasked => "ORCA-1896",
    /// The canary is complete on another deployment.
    ShipOther => "ORCA-1897",
    /// A decision that only a person's key may sign.
    NoPerson => "ORCA-1898",
    /// Stopped by a signal before any change.
    Interrupted => "ORCA-1801",
    /// Vercel does not let orca at the project.
    VercelAccess => "ORCA-1810",
    /// The Vercel plan does not allow it.
    VercelPlan => "ORCA-1811",
    /// Another rolling release is under way.
    VercelBusy => "ORCA-1812",
    /// A deployment that cannot be released.
    VercelDeployment => "ORCA-1813",
    /// A standby that could not be built.
    BuildFailed => "ORCA-1880",
    /// A build that takes too long.
    BuildTooLong => "ORCA-1881",
    /// A standby that somebody took away.
    BuildGone => "ORCA-1882",
    /// A build whose begin is in doubt.
    BuildUncertain => "ORCA-1883",
    /// Nothing that orca could ask to build.
    CannotBuild => "ORCA-1884",
    /// A standby that is not good enough.
    StandbyClosed => "ORCA-1885",
    /// A deployment that serves and was never judged.
    ServesUnjudged => "ORCA-1886",
    /// Variables that could not be set.
    VariablesUnset => "ORCA-1887",
    /// Variables that other environments share.
    VariablesShared => "ORCA-1888",
    /// Variables that are not what was set.
    VariablesDiffer => "ORCA-1889",
    /// A platform without variables.
    NoVariables => "ORCA-1890",
    /// A service that the platform cannot close.
    NotClosable => "ORCA-1891",
    /// No source of measurements, or an environment that does not exist.
    SloSource => "ORCA-1740",
    /// A source of measurements that cannot be asked.
    SloUnseen => "ORCA-1741",
    /// An OpenSLO file without anything to take.
    SloImport => "ORCA-1742",
    /// A SQL file that cannot be read.
    SqlFile => "ORCA-2001",
    /// No Postgres to replay on.
    NoShadow => "ORCA-2002",
    /// A Postgres that cannot be used.
    ShadowUnusable => "ORCA-2003",
    /// The shadow is the target.
    ShadowIsTarget => "ORCA-2004",
    /// No migrations.
    NoMigrations => "ORCA-2005",
    /// A weight that the platform cannot hold.
    PlatformWeight => "ORCA-1840",
    /// A stage of which nothing would be seen.
    Unmeasured => "ORCA-1841",
    /// No such track.
    Track => "ORCA-1850",
    /// No database was named.
    NoTarget => "ORCA-2030",
    /// The target database cannot be reached or read.
    TargetUnreadable => "ORCA-2031",
    /// No program of the server's version.
    NoClient => "ORCA-2032",
    /// The dump broke off.
    BackupBroken => "ORCA-2033",
    /// The backup could not be written.
    BackupUnwritten => "ORCA-2034",
    /// A file that is no backup, or no longer the one that was written.
    BackupUnusable => "ORCA-2035",
    /// A restore that could not be tried.
    RestoreUntried => "ORCA-2036",
    /// Migrations that do not replay.
    NoReplay => "ORCA-2037",
    /// No hosted project or token.
    HostedUnnamed => "ORCA-2040",
    /// The token is refused.
    HostedDenied => "ORCA-2041",
    /// Too many calls.
    HostedLimited => "ORCA-2042",
    /// The hosted platform refuses what was asked.
    HostedRefused => "ORCA-2043",
    /// The hosted platform does not answer.
    HostedUnavailable => "ORCA-2044",
    /// A preview branch that does not become ready.
    BranchNotReady => "ORCA-2045",
    /// A preview branch that could not be deleted.
    BranchLeft => "ORCA-2046",
    /// A `.http` file that cannot be run as tests.
    SmokeFile => "ORCA-2050",
    /// No smoke tests.
    NoSmokeTests => "ORCA-2051",
    /// A smoke test that would change something on a production host.
    SmokeProduction => "ORCA-2052",
    /// A target that no smoke test reached.
    SmokeUnreachable => "ORCA-2053",
    /// A smoke test failed.
    SmokeFailed => "ORCA-2054",
    /// A bug.
    Bug => "ORCA-1900",
}

impl Code {
    /// The page's title: its first line without the marks.
    pub(crate) fn title(self) -> &'static str {
        self.page().lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// Finds `ORCA-1002`, `orca-1002` or `1002`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let wanted = text.to_ascii_uppercase();
        let digits = wanted.strip_prefix("ORCA-").unwrap_or(&wanted);
        Self::ALL.iter().copied().find(|code| code.as_str().ends_with(digits) && digits.len() == 4)
    }
}

macro_rules! checks {
    ($($id:literal,)*) => {
        /// Every check and its page.
        pub(crate) const CHECKS: &[(&str, &str)] =
            &[$(($id, include_str!(concat!("../../docs/checks/", $id, ".md"))),)*];
    };
}

checks! {
    "release.calendar",
    "release.commits",
    "load.slo",
    "slo.budget",
    "release.identity",
    "release.trust",
    "rollback.ready",
    "platform.bypass",
    "deploy.criteria",
    "canary.users",
    "db.history",
    "db.lint",
    "db.shadow",
    "db.protection",
    "db.rpc",
    "canary.probes",
    "canary.health",
    "watch.users",
    "smoke.tests",
    "db.project",
    "db.roles",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_their_pages_carry_them() {
        for code in Code::ALL {
            assert_eq!(Code::find(code.as_str()), Some(*code));
            assert!(code.title().starts_with(code.as_str()), "{}", code.as_str());
        }
        assert_eq!(Code::find("12"), None);
    }

    /// A rule without a page could not be explained to whom it stops.
    #[test]
    fn every_rule_has_its_page() {
        let rules = crate::cli::rules::all();
        for name in rules.names() {
            assert!(CHECKS.iter().any(|(id, _)| *id == name), "{name}");
        }
    }
}
