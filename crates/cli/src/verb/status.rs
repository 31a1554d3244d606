//! `chorus status`: me, friends, rooms, and what is wrong.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::{Peer, Space, Whole};
use crate::fail::Failure;
use crate::home::Home;
use crate::show::{ago, bytes, json, line, table, text};

/// Show me, friends, rooms, the mount and what is wrong
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long, conflicts_with_all = ["map", "dot"])]
    json: bool,
    /// Draw who hears whom, as far as this node knows
    #[arg(long)]
    map: bool,
    /// Draw it in the language of Graphviz, for `dot -Tsvg`
    #[arg(long)]
    dot: bool,
}

pub(crate) fn run(home: &Home, args: &Args) -> Result<(), Failure> {
    if args.map || args.dot {
        text(&ask::<String>(home, &Request::Map { dot: args.dot })?);
        return Ok(());
    }
    let whole: Whole = ask(home, &Request::Status {})?;
    if args.json {
        return json(&whole);
    }
    line(format!("me       {}  {}", whole.me.name, whole.me.fingerprint));
    line(format!("home     {}  {} on disk, pid {}", whole.home, bytes(whole.store_bytes), whole.pid));
    line(format!("mount    {}", whole.mount.as_deref().unwrap_or("none")));
    for address in &whole.listening {
        line(format!("listens  {address}"));
    }
    section("friends", whole.peers.iter().map(peer_row).collect());
    section("rooms", whole.spaces.iter().map(space_row).collect());
    let offers = whole.offers.iter();
    section("offered", offers.map(|o| vec![format!("chorus join {}/{}", o.from, o.name)]).collect());
    section("not shared", whole.unshared.iter().map(|(path, why)| vec![path.clone(), why.clone()]).collect());
    let more = whole.local_files.saturating_sub(whole.unshared.len() as u64);
    if more > 0 {
        line(format!("  and {more} more"));
    }
    let overlaps = whole.overlaps.iter();
    let look = "you and a friend changed the same words: look, and keep what you want";
    section("overlapping", overlaps.map(|path| vec![path.clone(), look.into()]).collect());
    section("good to know", whole.notes.iter().map(|n| vec![n.clone()]).collect());
    section("wrong", whole.problems.iter().map(|p| vec![p.clone()]).collect());
    Ok(())
}

fn section(title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    line("");
    line(title);
    let indented: Vec<Vec<String>> = rows
        .into_iter()
        .map(|mut row| {
            if let Some(first) = row.first_mut() {
                first.insert_str(0, "  ");
            }
            row
        })
        .collect();
    table(&indented);
}

/// A friend in a row: name, how reached, how far behind.
pub(crate) fn peer_row(peer: &Peer) -> Vec<String> {
    let seen = match (peer.connected, peer.met, peer.last_seen) {
        (true, ..) => "connected".into(),
        (false, false, _) => "has not answered yet".into(),
        (false, true, Some(then)) => format!("seen {}", ago(then)),
        (false, true, None) => "not seen since the start".into(),
    };
    let behind = match (peer.behind_us, peer.behind_them) {
        (0, 0) if peer.synced => "in step".into(),
        (0, 0) => "not compared yet".into(),
        (ours, theirs) => format!("we lack {ours}, they lack {theirs} entries"),
    };
    vec![peer.name.clone(), seen, behind, peer.addr.clone().unwrap_or_default()]
}

fn space_row(space: &Space) -> Vec<String> {
    let members = if space.members == 1 { "1 member".into() } else { format!("{} members", space.members) };
    let mut notes = Vec::new();
    if space.waiting > 0 {
        notes.push(format!("{} entries wait for others", space.waiting));
    }
    if space.later > 0 {
        notes.push(format!("{} need a newer chorus", space.later));
    }
    if space.fetching > 0 {
        notes.push(format!("{} files on their way", space.fetching));
    }
    vec![
        space.path.clone().unwrap_or_else(|| format!("({})", space.name)),
        space.role.clone().unwrap_or_else(|| "no role".into()),
        members,
        format!("{} entries", space.entries),
        notes.join(", "),
    ]
}
