//! `chorus members`: who is in a room.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::Person;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use std::path::PathBuf;

/// List who is in a room, and as what
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The room
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    let members: Vec<Person> = ask(home, &Request::Members { path: Place::typed(&args.path)? })?;
    if args.json {
        return show::json(&members);
    }
    let row = |m: &Person| {
        let presence = match (m.me, m.online) {
            (true, _) => "here",
            (false, true) => "online",
            (false, false) => "offline",
        };
        vec![m.name.clone(), m.role.clone(), presence.into(), m.fingerprint.clone()]
    };
    show::table(&members.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
