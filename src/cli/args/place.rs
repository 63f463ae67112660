//! Where a verb finds the platform when there is no orca.yaml: on call, in an empty directory.

use crate::cli::config::origin::{Origin, Setting};
use crate::cli::config::raw::RawPlatformKind;
use crate::cli::config::resolve::Config;

/// Flags that come before environment and file.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// Admin address of the router, where there is no orca.yaml
    #[arg(long, value_name = "URL")]
    admin: Option<String>,

    /// Where users come in, where there is no orca.yaml
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The project on Vercel, where there is no orca.yaml
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
}

impl Place {
    pub(crate) fn set(&self, config: &mut Config) {
        let given = |flag, value: &Option<String>| (flag, value.clone().map(Some));
        let admin = config.platform.admin.clone();
        config.platform.admin = admin.overridden(given("--admin", &self.admin), ("", None));
        let url = config.platform.url.clone();
        config.platform.url = url.overridden(given("--url", &self.url), ("", None));
        // Where no file says what serves, an address of a router is as good as the word.
        let kind = &mut config.platform.kind;
        if self.admin.is_some() && !matches!(kind.origin, Origin::File { .. }) {
            *kind = Setting { value: RawPlatformKind::Router, origin: Origin::Flag("--admin") };
        }
        set_project(config, self.project.as_ref());
    }
}

/// `--project` names a project on Vercel, whatever else is configured.
pub(crate) fn set_project(config: &mut Config, project: Option<&String>) {
    let Some(name) = project else { return };
    let known = config.platform.project.clone();
    config.platform.project = known.overridden(("--project", Some(Some(name.clone()))), ("", None));
    config.platform.kind =
        Setting { value: RawPlatformKind::Vercel, origin: Origin::Flag("--project") };
}
