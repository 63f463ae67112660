//! The hosted project: whose it is, where the API stands, and what to type when it cannot be asked.

use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::base::atomic_file;
use crate::base::limits;
use crate::db::hosted::ports::{Hosted, HostedError};
use crate::providers::supabase::{Management, is_safe_url};

const API: &str = "https://api.supabase.com";
/// Where the command line of Supabase keeps what it is linked to.
const LINKED: &str = "supabase/.temp/project-ref";

/// [`management`] as a verb asks it.
pub(crate) fn hosted(project: Option<&str>, context: &Context) -> Result<Box<dyn Hosted>, Failure> {
    Ok(Box::new(management(project, context)?))
}

/// The project of `--project`, else of `SUPABASE_PROJECT_REF`, else the linked one.
pub(super) fn management(project: Option<&str>, context: &Context) -> Result<Management, Failure> {
    let usage = |text: String| Failure::new(Code::HostedUnnamed, Exit::Usage, text);
    let linked =
        || atomic_file::read_text(&context.folder.join(LINKED), limits::INPUT_FILE_BYTES_MAX);
    let reference = project
        .map(str::to_owned)
        .or_else(|| context.env.get("SUPABASE_PROJECT_REF").map(str::to_owned))
        .or_else(|| linked().ok().map(|text| text.trim().to_owned()));
    let reference = reference.ok_or_else(|| {
        usage("no Supabase project is named".to_owned())
            .hint("--project REF, or export SUPABASE_PROJECT_REF=REF; supabase link writes it too")
    })?;
    if reference.len() != 20 || !reference.bytes().all(|b| b.is_ascii_lowercase()) {
        let text = format!("'{reference}' is no project; a reference has 20 lower-case letters");
        return Err(usage(text).hint("it stands in the project's URL: https://REF.supabase.co"));
    }
    let token = context.env.secret("SUPABASE_ACCESS_TOKEN").ok_or_else(|| {
        usage("SUPABASE_ACCESS_TOKEN is not set".to_owned())
            .hint("make one at https://supabase.com/dashboard/account/tokens")
    })?;
    let url = context.env.get("SUPABASE_API_URL").unwrap_or(API);
    if !is_safe_url(url) {
        let text = "SUPABASE_API_URL is neither https nor on this machine: the token stays here";
        return Err(usage(text.to_owned()).hint(format!("leave it out; then it is {API}")));
    }
    let around = (context.entropy.clone(), context.redactor.clone());
    let client = Management::new((url, token, &reference), around);
    Ok(client.map_err(|e| HostedError::Unavailable(e.to_string()))?)
}

impl From<HostedError> for Failure {
    fn from(error: HostedError) -> Self {
        let code = match error {
            HostedError::Denied { .. } => Code::HostedDenied,
            HostedError::Limited { .. } => Code::HostedLimited,
            HostedError::Refused { .. } => Code::HostedRefused,
            HostedError::Unavailable(_) | HostedError::Unreadable { .. } => Code::HostedUnavailable,
        };
        Self::new(code, Exit::Unavailable, error.to_string()).hint(error.next())
    }
}
