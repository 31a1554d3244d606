//! `chorus down`: stop the node, unmount.

use crate::control::Request;
use crate::control::client::Client;
use crate::facts::Stopped;
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
    let Stopped { pid, still_used } = client.ask(&Request::Down {})?;
    if !client.wait_closed(PATIENCE) {
        return Err(Failure::with_hint(
            Kind::Busy,
            format!("the node (pid {pid}) closed its store, but its process is still there"),
            "look what it does, or end it: nothing is lost any more",
        ));
    }
    show::line("stopped");
    if let Some(users) = still_used {
        show::line(in_use(&users));
    }
    Ok(())
}

/// What those should know who end a mount that is in use. It is no failure: all that was written is kept.
pub(crate) fn in_use(users: &[String]) -> String {
    let who = if users.is_empty() { "a program".to_owned() } else { users.join(", ") };
    format!("note     the mount was in use by {who}: what they write there from now on fails")
}
