//! `chorus completions`: what a shell needs to complete the words.

use crate::fail::Failure;
use crate::show;
use crate::verb::Cli;
use clap::CommandFactory;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "chorus", &mut out);
    show::text(&String::from_utf8_lossy(&out));
    Ok(())
}
