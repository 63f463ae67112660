//! What a look can be told about a preview branch as shadow.

use crate::base::limits;
use crate::base::units::{Micros, UnitError};
use crate::cli::wire_db_branch::Asked;

#[derive(Debug, clap::Args)]
pub(crate) struct BranchArgs {
    /// Make a preview branch on Supabase and use it as the shadow; it costs money, takes minutes, and
    /// is deleted at the end
    #[arg(long, conflicts_with = "shadow_url", help_heading = "Hosted branch")]
    hosted_branch: bool,

    #[arg(
        long,
        value_name = "REF",
        requires = "hosted_branch",
        help_heading = "Hosted branch",
        help = "The project that the branch is made of [env: SUPABASE_PROJECT_REF]"
    )]
    project: Option<String>,

    /// The branch may take so long to become ready, 2 h at most
    #[arg(
        long,
        value_name = "TIME",
        requires = "hosted_branch",
        default_value = "10m",
        value_parser = wait,
        help_heading = "Hosted branch"
    )]
    branch_wait: Micros,
}

impl BranchArgs {
    /// What is asked for, where a branch is.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let patience = self.branch_wait.duration();
        self.hosted_branch.then(|| Asked { project: self.project.clone(), patience })
    }
}

/// Less than the age from which another run takes a branch for left behind.
fn wait(text: &str) -> Result<Micros, String> {
    let time: Micros = text.parse().map_err(|e: UnitError| e.to_string())?;
    let longest = Micros::from_secs(limits::BRANCH_READY_MAX.as_secs());
    if time > longest {
        return Err(format!("{time} is more than {longest}, after which no branch is waited for"));
    }
    Ok(time)
}
