//! The verbs: their words, flags and help, and where each is done.

mod bundle;
mod completions;
mod detach;
mod doctor;
mod down;
mod dtn;
mod fsck;
mod init;
mod invite;
mod join;
mod log;
mod man;
mod members;
mod peer;
mod scratch;
mod share;
mod status;
mod unit;
mod up;

use crate::fail::Failure;
use crate::home::Home;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// A shared space for friends, without a server: rooms are folders, and edits meet.
#[derive(Debug, Parser)]
#[command(
    name = "chorus",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// The folder that holds everything of a node
    #[arg(long, global = true, env = "CHORUS_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    Down(down::Args),
    Init(init::Args),
    Status(status::Args),
    Doctor(doctor::Args),
    Invite(invite::Args),
    #[command(subcommand)]
    Peer(peer::Peer),
    Share(share::Args),
    Join(join::Args),
    Members(members::Args),
    Log(log::Args),
    Scratch(scratch::Args),
    #[command(subcommand)]
    Bundle(bundle::Bundle),
    Dtn(dtn::Args),
    Fsck(fsck::Args),
    Unit(unit::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// A role that can be given here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GivenRole {
    /// May read
    Reader,
    /// May read and write
    Writer,
}

impl GivenRole {
    /// The word that the node knows.
    pub(crate) fn word(self) -> String {
        match self {
            GivenRole::Reader => "reader".into(),
            GivenRole::Writer => "writer".into(),
        }
    }
}

/// Does what was asked; the exit code is that of success unless the verb says otherwise.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // These need no home, and packagers have none.
    match cli.verb {
        Verb::Completions(args) => return done(completions::run(&args)),
        Verb::Man(args) => return done(man::run(&args)),
        Verb::Unit(args) => return done(unit::run(cli.home.as_deref(), &args)),
        _ => {}
    }
    let home = Home::find(cli.home.as_deref())?;
    match cli.verb {
        Verb::Up(args) => done(up::run(&home, &args)),
        Verb::Down(args) => done(down::run(&home, &args)),
        Verb::Init(args) => done(init::run(&home, &args)),
        Verb::Status(args) => done(status::run(&home, &args)),
        Verb::Doctor(args) => doctor::run(&home, &args),
        Verb::Invite(args) => done(invite::run(&home, &args)),
        Verb::Peer(peer) => done(peer::run(&home, peer)),
        Verb::Share(args) => done(share::run(&home, &args)),
        Verb::Join(args) => done(join::run(&home, &args)),
        Verb::Members(args) => done(members::run(&home, &args)),
        Verb::Log(args) => done(log::run(&home, &args)),
        Verb::Scratch(args) => done(scratch::run(&home, &args)),
        Verb::Bundle(bundle) => bundle::run(&home, bundle),
        Verb::Dtn(args) => done(dtn::run(&home, args)),
        Verb::Fsck(args) => fsck::run(&home, &args),
        Verb::Completions(_) | Verb::Man(_) | Verb::Unit(_) => Ok(ExitCode::SUCCESS),
    }
}

fn done(result: Result<(), Failure>) -> Result<ExitCode, Failure> {
    result.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn garbage_is_wrong_usage() {
        for args in [
            &["chorus", "fly"][..],
            &["chorus", "up", "a", "b"],
            &["chorus", "share"],
            &["chorus", "invite", "--role", "king"],
        ] {
            assert_eq!(Cli::try_parse_from(args).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn the_words_of_the_manual_parse() {
        for args in [
            "up",
            "up /tmp/x --detach",
            "up /tmp/x --no-wake",
            "up --no-mount --listen /ip4/127.0.0.1/tcp/0 --listen /ip4/127.0.0.1/udp/0/quic-v1",
            "--home /tmp/h status --json",
            "status",
            "status --map",
            "status --map --dot",
            "down",
            "init --name ann",
            "doctor",
            "invite",
            "invite garden --for bob --role reader",
            "peer add - --name ann",
            "peer list",
            "peer show ann",
            "peer remove ann",
            "share garden --with bob",
            "share garden --with bob --role reader",
            "join ann/garden",
            "join ann/garden plants",
            "members garden",
            "log garden",
            "scratch garden",
            "scratch garden target *.o",
            "scratch garden --none",
            "bundle export --to bob /tmp/for-bob",
            "bundle export --to bob --spool /media/stick --all",
            "bundle import /media/stick --json",
            "dtn",
            "dtn --daemon http://127.0.0.1:3000 --peer bob --peer ann=dtn://rover/in --patience 1200",
            "dtn --off --forget bob",
            "fsck",
            "fsck --rebuild",
            "unit",
            "unit /tmp/x",
            "completions bash",
            "man /tmp/man",
        ] {
            let words = std::iter::once("chorus").chain(args.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{args}");
        }
    }
}
