//! `orca sample-service`: the target of the demo and of tests; hidden, loopback only.

use std::io::Write as _;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::units::{BasisPoints, Micros};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::load::sample_service::{Faults, SampleService, ServiceError, Settings, Version};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Loopback address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The commit it says it is
    #[arg(long, default_value = "", value_name = "COMMIT")]
    commit: String,

    /// The artifact it says it is
    #[arg(long, default_value = "", value_name = "DIGEST")]
    digest: String,

    /// Every answer takes this long, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    base_ms: u64,

    /// This share of answers is slow
    #[arg(long, default_value = "0%", value_name = "SHARE")]
    slow: BasisPoints,

    /// How much longer a slow answer takes, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    slow_ms: u64,

    /// This share of answers is a 500
    #[arg(long, default_value = "0%", value_name = "SHARE")]
    errors: BasisPoints,

    /// Errors only here, like "POST /checkout"
    #[arg(long, value_name = "ROUTE")]
    errors_at: Option<String>,

    /// The same seed gives the same sequence of faults
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u64,

    /// Takes this long to start
    #[arg(long, default_value = "0s", value_name = "TIME")]
    boot_delay: Micros,

    /// Does not start
    #[arg(long)]
    refuse_boot: bool,
}

/// One line, when it listens.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Listening {
    schema: &'static str,
    url: String,
}

/// The last line.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Ended {}

pub(crate) async fn run(args: Args, context: &Context) -> Result<Report, Failure> {
    let listen = args.listen;
    let service = SampleService::bind(listen, args.settings()).await?;
    let address = service
        .address()
        .map_err(|cause| Failure::from(ServiceError::Listen { address: listen, cause }))?;
    let document = Listening { schema: "orca.sample-service/v1", url: format!("http://{address}") };
    let mut line = serde_json::to_string(&document).expect("plain data always becomes JSON");
    line.push('\n');
    {
        let mut stdout = std::io::stdout().lock();
        // A reader that has gone away does not stop the service.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
    }
    service.run(&context.cancel).await;
    Ok(Report::new(Exit::Done, "orca.sample-service-ended/v1", &Ended {}, "ended"))
}

impl Args {
    fn settings(self) -> Settings {
        Settings {
            version: Version { commit: self.commit, digest: self.digest },
            faults: Faults {
                base_ms: self.base_ms,
                slow: self.slow,
                slow_ms: self.slow_ms,
                errors: self.errors,
                errors_at: self.errors_at,
                unhealthy_first: 0,
            },
            seed: self.seed,
            boot_delay: self.boot_delay.duration(),
            refuses_boot: self.refuse_boot,
        }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let text = error.to_string();
        match error {
            ServiceError::NotLoopback(_) => Self::new(Code::Usage, Exit::Usage, text)
                .hint("orca sample-service --listen 127.0.0.1:0"),
            ServiceError::Refused => {
                Self::new(Code::LoadTarget, Exit::Unavailable, text).hint("leave --refuse-boot out")
            }
            ServiceError::Listen { .. } => Self::new(Code::LoadTarget, Exit::Unavailable, text)
                .hint("orca sample-service --listen 127.0.0.1:0"),
        }
    }
}
