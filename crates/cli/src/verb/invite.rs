//! `chorus invite`: a peer file with a one-time token.

use crate::control::Request;
use crate::control::client::ask;
use crate::fail::Failure;
use crate::home::Home;
use crate::place::Place;
use crate::show;
use crate::verb::GivenRole;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Print a peer file with a one-time token; whoever adds it becomes a friend
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A room that the file also invites to
    path: Option<PathBuf>,
    /// The name that whoever answers gets here
    #[arg(long = "for", value_name = "NAME")]
    for_name: Option<String>,
    /// What they may do in the room
    #[arg(long, value_enum, default_value = "writer")]
    role: GivenRole,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    let path = args.path.as_deref().map(Place::typed).transpose()?;
    let request = Request::Invite { path, for_name: args.for_name.clone(), role: args.role.word() };
    let card: String = ask(home, &request)?;
    show::text(&card);
    if !card.ends_with('\n') {
        show::text("\n");
    }
    if std::io::stdout().is_terminal() {
        eprintln!("\nSend this to one friend by a way you trust; they run: chorus peer add FILE");
    }
    Ok(())
}
