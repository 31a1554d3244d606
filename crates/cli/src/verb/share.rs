//! `chorus share`: give a friend a room.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::Given;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use crate::verb::GivenRole;
use std::path::PathBuf;

/// Share a room with a friend; a room of your home becomes a space of its own first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The room
    path: PathBuf,
    /// The friend
    #[arg(long, value_name = "NAME")]
    with: String,
    /// What they may do there
    #[arg(long, value_enum, default_value = "writer")]
    role: GivenRole,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    let request =
        Request::Share { path: Place::typed(&args.path)?, with: args.with.clone(), role: args.role.word() };
    let given: Given = ask(home, &request)?;
    if args.json {
        return show::json(&given);
    }
    show::line(format!("{} is shared with {} as {}", given.name, args.with, args.role.word()));
    Ok(())
}
