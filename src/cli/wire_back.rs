//! What the verbs that bring users back are given: a fault in `orca.yaml` delays none of them, and
//! none acts on another platform or environment than the file means.

use std::sync::Arc;

use super::args::place::Place;
use super::config::mend::{self, Mended};
use super::config::origin::Origin;
use super::config::raw::RawPlatformKind;
use super::config::resolve::{self, Config};
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::{wire, wire_fleet, wire_platform};
use crate::base::yaml::InputError;
use crate::rollout::ports::Platform;
use crate::verbs::book::Book;

/// What flags, environment and the readable part of `orca.yaml` say.
#[derive(Debug)]
pub(crate) struct Known {
    mended: Mended,
}

/// Reads the file as far as it can be read; what is wrong in it is told on standard error.
pub(crate) fn known(place: &Place, context: &Context) -> Result<Known, Failure> {
    let file = wire::config_file(context);
    let mut mended = if file.is_file() {
        mend::read(&file, &context.env)
    } else if context.config.is_some() {
        return Err(wire::no_config(&file));
    } else {
        Mended::whole(resolve::parse("version: 1\n", &file, &context.env)?)
    };
    wire::learn_addresses(context, &mended.config);
    tell(&mended, context);
    place.set(&mut mended.config);
    Ok(Known { mended })
}

fn tell(mended: &Mended, context: &Context) {
    let lost = mended.platform_fault();
    for fault in &mended.faults {
        let better = fault.suggestion.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let what = if Some(fault) == lost {
            "flags and environment alone say what serves"
        } else {
            "left out, nothing is raised until it is corrected"
        };
        context.warn(format!("{fault}{better}: {what}"));
    }
}

impl Known {
    pub(crate) fn config(&self) -> &Config {
        &self.mended.config
    }

    /// The platform that serves, where it is certain which one that is.
    pub(crate) fn platform(&self, context: &Context) -> Result<Arc<dyn Platform>, Failure> {
        let Some(fault) = self.fault() else {
            return wire_platform::platform(context, self.config());
        };
        if let Some(why) = self.doubt() {
            let failure = Failure::new(Code::Input, Exit::Usage, why);
            return Err(self.with_fault(fault, failure));
        }
        wire_platform::platform(context, self.config()).map_err(|failure| match failure.exit {
            Exit::Usage => self.with_fault(fault, failure),
            _ => failure,
        })
    }

    /// What is wrong in the file and was left out; nothing where all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.mended.faults.iter().map(ToString::to_string).collect()
    }

    /// Whether nobody can read which environment this is.
    pub(crate) fn lost_environment(&self) -> bool {
        self.mended.lost_environment
    }

    /// The ledger, where it is known which part of it is meant.
    pub(crate) fn book(&self, context: &Context) -> Option<Arc<dyn Book>> {
        if self.mended.lost_environment {
            context.warn("which environment this is cannot be read: the ledger is left alone");
            return None;
        }
        wire_fleet::book_if_any(context, self.config())
    }

    /// What is wrong in the file, the most telling first.
    fn fault(&self) -> Option<&InputError> {
        let is_of_platform = |fault: &&InputError| fault.message.starts_with("platform.");
        let faults = &self.mended.faults;
        let of_platform = || faults.iter().find(is_of_platform);
        self.mended.platform_fault().or_else(of_platform).or(faults.first())
    }

    /// Why it is not certain what serves.
    fn doubt(&self) -> Option<String> {
        let kind = &self.config().platform.kind;
        if self.mended.lost_environment && kind.value == RawPlatformKind::Exec {
            let text = "the commands of platform.exec are told the environment, which cannot be \
                        read";
            return Some(text.to_owned());
        }
        // A flag is meant for this run; the environment may be there for something else.
        if !self.mended.lost_platform || matches!(kind.origin, Origin::Flag(_)) {
            return None;
        }
        let says = |key, value| self.mended.mentions(key, value);
        let another = match kind.value {
            RawPlatformKind::Router => says("kind", Some("vercel")) || says("kind", Some("exec")),
            RawPlatformKind::Vercel => {
                says("kind", Some("router"))
                    || says("kind", Some("exec"))
                    || says("admin", None)
                    || says("exec", None)
            }
            RawPlatformKind::Exec => false,
        };
        another.then(|| {
            let text = "the environment names another platform than the file seems to mean";
            text.to_owned()
        })
    }

    /// A failure that the file is the reason of, with the flags that would do.
    fn with_fault(&self, fault: &InputError, failure: Failure) -> Failure {
        let message = format!("{fault}; and without it {}", failure.message);
        let excerpt = Some(fault.text.clone()).filter(|text| !text.is_empty());
        let mut said = Failure { message, excerpt, ..failure };
        let kind = self.config().platform.kind.value;
        if self.mended.lost_platform || kind == RawPlatformKind::Router {
            said.hints
                .push("--admin URL --url URL, with ORCA_ROUTER_TOKEN set, name a router".into());
        }
        if self.mended.lost_platform || kind == RawPlatformKind::Vercel {
            let text = "--project NAME --url URL, with VERCEL_TOKEN set, name a project on Vercel";
            said.hints.push(text.to_owned());
        }
        let text = "git show HEAD:orca.yaml > last.yaml, then orca --config last.yaml ..., takes it as it was";
        said.hint(text)
    }
}
