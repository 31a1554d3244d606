//! `chorus join`: put a door to a space that a friend shares.

use crate::control::Request;
use crate::control::client::ask;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use serde_json::json;
use std::path::PathBuf;

/// Put a door to a space that a friend shares into your home room
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The friend and their space, as `chorus status` offers it: NAME/SPACE
    spec: String,
    /// Where the door goes (else the space's name in the home room)
    path: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    if !args.spec.contains('/') {
        return Err(Failure::usage(
            format!("{} names no space", args.spec),
            "write NAME/SPACE, as `chorus status` shows under offered",
        ));
    }
    let path = args.path.as_deref().map(Place::typed).transpose()?;
    let at: String = ask(home, &Request::Join { spec: args.spec.clone(), path })?;
    if args.json {
        return show::json(&json!({ "path": at }));
    }
    show::line(format!("joined: {at}"));
    Ok(())
}
