//! `orca man`: the manual page in roff, for `man -l`.

use clap::CommandFactory as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::command::Cli;
use crate::cli::exit::Exit;
use crate::cli::report::Report;

/// The manual page.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Manual {
    /// roff.
    page: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Report {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .expect("writing to memory does not fail");
    let page = String::from_utf8_lossy(&page).into_owned();
    Report::new(Exit::Done, "orca.man/v1", &Manual { page: page.clone() }, page)
}
