//! The `chorus` program: one file a verb.
//!
//! The verbs that need the running node talk to it over its control socket; `up` is that node.
//! Nothing here decides anything about rooms or friends: that is the node's work.

mod control;
mod facts;
mod fail;
mod hint;
mod home;
mod place;
mod service;
mod show;
mod verb;

use clap::Parser;
use clap::error::ErrorKind;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

// Many small files are many small allocations in several threads: a tenth to a sixth more of them a second.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = match verb::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    start_tracing();
    match verb::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}

// Help and version are answers, not mistakes; everything else is wrong usage.
fn misused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ExitCode::from(2),
        _ => {
            eprintln!("hint: `chorus help` lists the verbs, `chorus help VERB` explains one");
            ExitCode::from(2)
        }
    }
}

fn start_tracing() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("CHORUS_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
}
