//! `chorus log`: who changed what, newest first.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::Past;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use std::path::PathBuf;

/// Show who changed a file or room, newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file or room
    path: PathBuf,
    /// Lines at most
    #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
    max: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    let lines: Vec<Past> = ask(home, &Request::Log { path: Place::typed(&args.path)?, max: args.max })?;
    if args.json {
        return show::json(&lines);
    }
    let row = |l: &Past| {
        let short: String = l.entry.chars().take(12).collect();
        vec![show::date(l.time), short, l.who.clone(), l.what.clone()]
    };
    show::table(&lines.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
