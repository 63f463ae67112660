//! The flags of `orca load` that say what is asked and what a right answer looks like.

use std::path::PathBuf;

use crate::base::json_path::JsonPath;
use crate::base::limits::INPUT_FILE_BYTES_MAX;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::load::expect::Expect;
use crate::load::from_manifest::{ManifestPlanError, with_env};
use crate::load::plan::{Draft, Endpoint};
use crate::load::rows::Rows;
use crate::router::testers::{ARM_HEADER, PROBE_HEADER};

#[derive(Debug, clap::Args)]
#[group(requires = "target", multiple = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RequestArgs {
    /// The method, without a manifest
    #[arg(long, default_value = "GET", conflicts_with = "manifest")]
    pub(crate) method: String,

    /// A header of every request, "Name: value"; may be given several times
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,

    /// The body; like path and headers it may hold {{ticket}}, {{env.NAME}} and {{data.COLUMN}}
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["manifest", "body_file"])]
    body: Option<String>,

    /// The body from a file
    #[arg(long, value_name = "FILE", conflicts_with = "manifest")]
    body_file: Option<PathBuf>,

    /// Values for {{data.COLUMN}}, a row for each request: CSV with a header line, or JSON lines
    #[arg(long, value_name = "FILE", conflicts_with = "manifest")]
    data: Option<PathBuf>,

    /// Statuses that are right, such as 200-299,304 [default: 200-399]
    #[arg(long, value_name = "STATUS", conflicts_with = "manifest")]
    expect_status: Option<String>,

    /// A text that a header of a right answer contains, "Name: text"
    #[arg(long, value_name = "HEADER", value_parser = header, conflicts_with = "manifest")]
    expect_header: Vec<(String, String)>,

    /// A text that the body of a right answer contains
    #[arg(long, value_name = "TEXT", conflicts_with = "manifest")]
    expect_body: Vec<String>,

    /// A value in the JSON body of a right answer, $.items[0].name=shoes
    #[arg(long, value_name = "PATH=VALUE", value_parser = JsonPath::parse_equals, conflicts_with = "manifest")]
    expect_json: Vec<(JsonPath, serde_json::Value)>,

    /// A new connection for every request
    #[arg(long)]
    no_keep_alive: bool,

    /// Take any certificate, also a self-signed one
    #[arg(long)]
    insecure: bool,

    /// Speak HTTP/2
    #[arg(long)]
    http2: bool,

    /// Also measure how long connecting, TLS and the first byte take
    #[arg(long)]
    phases: bool,
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as \"Name: value\"".to_owned()),
    }
}

impl RequestArgs {
    /// The one endpoint of a run without a manifest.
    pub(crate) fn endpoint(&self, path: &str, context: &Context) -> Result<Endpoint, Failure> {
        let rows = self.data.as_ref().map(|file| Rows::read(&context.folder.join(file)));
        let status = self.expect_status.as_deref().map(Expect::statuses).transpose();
        let status = status.map_err(|text| {
            Failure::new(Code::Usage, Exit::Usage, format!("--expect-status: {text}"))
        })?;
        let endpoint = Endpoint {
            name: format!("{} {path}", self.method),
            method: self.method.clone(),
            body: self.body(context)?,
            expect: Expect {
                status: status.unwrap_or_default(),
                headers: self.expect_header.clone(),
                body: self.expect_body.clone(),
                json: self.expect_json.clone(),
            },
            rows: rows.transpose().map_err(ManifestPlanError::from)?.unwrap_or_default(),
            ..Endpoint::get(path)
        };
        Ok(endpoint)
    }

    fn body(&self, context: &Context) -> Result<String, Failure> {
        let Some(file) = &self.body_file else { return Ok(self.body.clone().unwrap_or_default()) };
        let path = context.folder.join(file);
        let wrong = |why: String| {
            let text = format!("{}: {why}", file.display());
            Failure::new(Code::File, Exit::Usage, text)
                .hint(format!("give a text of at most {INPUT_FILE_BYTES_MAX} bytes in UTF-8"))
        };
        let size = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if size > INPUT_FILE_BYTES_MAX {
            return Err(wrong(format!("it has {size} bytes")));
        }
        std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))
    }

    /// What holds for all endpoints, those of a manifest too.
    pub(crate) fn apply(&self, draft: &mut Draft, context: &Context) -> Result<(), Failure> {
        draft.keep_alive = !self.no_keep_alive;
        draft.insecure = self.insecure;
        draft.http2 = self.http2;
        draft.phases = self.phases;
        for name in unproven(&self.headers) {
            context.warn(format!(
                "--header \"{name}: ...\" without a secret is ignored by orca's router: these requests \
                 are users'; write it as \"{name}: WHAT:SECRET\", see docs/guides/platforms.md"
            ));
        }
        let env = |name: &str| context.env.get(name).map(str::to_owned);
        for endpoint in &mut draft.endpoints {
            let is_given =
                |own: &str| self.headers.iter().any(|(name, _)| own.eq_ignore_ascii_case(name));
            endpoint.headers.retain(|(own, _)| !is_given(own));
            endpoint.headers.extend(self.headers.iter().cloned());
            *endpoint = with_env(endpoint.clone(), &env)?;
        }
        Ok(())
    }
}

/// Headers by which testers are known, without what proves one.
fn unproven(headers: &[(String, String)]) -> impl Iterator<Item = &str> {
    let is_unproven = |(name, value): &&(String, String)| {
        let is_testers =
            [ARM_HEADER, PROBE_HEADER].iter().any(|own| name.eq_ignore_ascii_case(own.as_str()));
        is_testers && !value.contains(':')
    };
    headers.iter().filter(is_unproven).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_testers_header_without_a_secret_is_noticed() {
        let of = |text| header(text).unwrap();
        let headers = [
            of("X-Orca-Arm: canary"),
            of("x-orca-arm: canary:{{env.SECRET}}"),
            of("x-orca-probe: 1"),
            of("accept: */*"),
        ];
        let seen: Vec<&str> = unproven(&headers).collect();
        assert_eq!(seen, ["X-Orca-Arm", "x-orca-probe"]);
    }
}
