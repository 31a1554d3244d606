//! `chorus man`: manual pages from the same definitions as the help.

use crate::fail::Failure;
use crate::verb::Cli;
use clap::CommandFactory;
use std::path::PathBuf;

/// Write manual pages into a directory
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let during = |e: std::io::Error| Failure::io("writing manual pages into", &args.dir, &e);
    std::fs::create_dir_all(&args.dir).map_err(during)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(during)
}
