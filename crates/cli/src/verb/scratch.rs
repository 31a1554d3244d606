//! `chorus scratch`: which names stay on each device.

use crate::control::Request;
use crate::control::client::ask;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use std::path::PathBuf;

/// Show or set the names that are scratch in a room: what is made under them is never sent
///
/// A rule holds in the room and in all rooms below, for everybody in it. What was shared before stays shared.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The room
    path: PathBuf,
    /// All names, as patterns of a shell (quote them): target '*.o' .cache; without any, the present ones are shown
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// No names any more
    #[arg(long, conflicts_with = "names")]
    none: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    let names = (args.none || !args.names.is_empty()).then(|| args.names.clone());
    let now: Vec<String> = ask(home, &Request::Scratch { path: Place::typed(&args.path)?, names })?;
    if args.json {
        return show::json(&now);
    }
    if now.is_empty() {
        show::line("no names are scratch in this room, but those of editors");
    }
    now.iter().for_each(show::line);
    Ok(())
}
