//! `chorus down`: stop the node, unmount.

use crate::control::Request;
use crate::control::client::Client;
use crate::fail::Failure;
use crate::home::Home;
use crate::show;
use base::Kind;
use std::time::Duration;

/// Stop the node and unmount
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// How long a node may take to close its store after it said goodbye.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(home: &Home, _: &Args) -> Result<(), Failure> {
    let mut client = Client::connect(home)?;
    let pid: u32 = client.ask(&Request::Down {})?;
    if !client.wait_closed(PATIENCE) {
        return Err(Failure::with_hint(
            Kind::Busy,
            format!("the node (pid {pid}) closed its store, but its process is still there"),
            "look what it does, or end it: nothing is lost any more",
        ));
    }
    show::line("stopped");
    Ok(())
}
