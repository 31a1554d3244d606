//! `chorus peer`: add, list, show and remove friends.

use crate::control::Request;
use crate::control::client::ask;
use crate::facts::{Befriended, Peer as Friend};
use crate::fail::Failure;
use crate::home::Home;
use crate::show::{ago, bytes, json, line, table};
use crate::verb::status::peer_row;
use base::{Kind, limit};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Add, list, show and remove friends
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Peer {
    /// Add the friend whose peer file this is
    Add {
        /// The file that `chorus invite` printed, or - for standard input
        file: PathBuf,
        /// The name they get here (else the one they suggest)
        #[arg(long)]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List friends
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one friend
    Show {
        /// Their name here
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a friend with whom no room is shared
    Remove {
        /// Their name here
        name: String,
    },
}

pub(crate) fn run(home: &Home, verb: Peer) -> Result<(), Failure> {
    match verb {
        Peer::Add { file, name, json } => add(home, &file, name, json),
        Peer::List { json } => list(home, json),
        Peer::Show { name, json } => show(home, name, json),
        Peer::Remove { name } => {
            ask::<()>(home, &Request::PeerRemove { name: name.clone() })?;
            line(format!("{name} is no longer a friend"));
            Ok(())
        }
    }
}

fn add(home: &Home, file: &Path, name: Option<String>, as_json: bool) -> Result<(), Failure> {
    let card = read_card(file)?;
    let added: Befriended = ask(home, &Request::PeerAdd { card, name })?;
    if as_json {
        return json(&added);
    }
    let met = if added.met { "is a friend now" } else { "was added, and has not answered yet" };
    line(format!("{} {met}", added.name));
    line(format!("fingerprint {}  (the same as on their screen?)", added.fingerprint));
    match (&added.room, added.met) {
        (Some(room), _) => line(format!("joined {room}")),
        (None, true) => {}
        (None, false) => line("it is tried again until they are reached; `chorus peer list` shows it"),
    }
    Ok(())
}

fn read_card(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let most = limit::CARD_BYTES as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|e| {
        Failure::with_hint(
            Kind::of_io(&e),
            format!("reading {}: {e}", file.display()),
            "name the file that `chorus invite` printed",
        )
    })?;
    let garbage = |what: &str| {
        Failure::with_hint(
            Kind::Corrupt,
            format!("{} is no peer file: {what}", file.display()),
            "ask your friend for the output of `chorus invite`, whole, from its first line to its last",
        )
    };
    if bytes.len() as u64 >= most {
        return Err(garbage("it is too long"));
    }
    String::from_utf8(bytes).map_err(|_| garbage("it is not text"))
}

fn list(home: &Home, as_json: bool) -> Result<(), Failure> {
    let friends: Vec<Friend> = ask(home, &Request::PeerList {})?;
    if as_json {
        return json(&friends);
    }
    if friends.is_empty() {
        line("no friends yet: `chorus invite --for NAME` prints a file to send to one");
    }
    table(&friends.iter().map(peer_row).collect::<Vec<_>>());
    Ok(())
}

fn show(home: &Home, name: String, as_json: bool) -> Result<(), Failure> {
    let friend: Friend = ask(home, &Request::PeerShow { name })?;
    if as_json {
        return json(&friend);
    }
    let row = |key: &str, value: String| vec![key.to_owned(), value];
    let mut rows = vec![
        row("name", friend.name.clone()),
        row("fingerprint", friend.fingerprint.clone()),
        row("reached", if friend.connected { "connected".into() } else { "not connected".into() }),
        row("address", friend.addr.clone().unwrap_or_else(|| "unknown".into())),
        row("last seen", friend.last_seen.map_or_else(|| "never".into(), ago)),
        row("we lack", format!("{} entries", friend.behind_us)),
        row("they lack", format!("{} entries", friend.behind_them)),
        row("received", bytes(friend.bytes_in)),
        row("sent", bytes(friend.bytes_out)),
        row("messages received", counted(&friend.messages_in)),
        row("messages sent", counted(&friend.messages_out)),
    ];
    rows.extend(friend.rooms.iter().map(|room| row("room", room.clone())));
    table(&rows);
    Ok(())
}

fn counted(messages: &BTreeMap<String, u64>) -> String {
    let some: Vec<String> =
        messages.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| format!("{n} {kind}")).collect();
    if some.is_empty() { "none".into() } else { some.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_peer_file_is_refused_before_it_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("card");
        assert_eq!(read_card(&file).unwrap_err().kind, "not-found");
        std::fs::write(&file, vec![b'a'; limit::CARD_BYTES + 1]).unwrap();
        assert_eq!(read_card(&file).unwrap_err().kind, "corrupt");
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert_eq!(read_card(&file).unwrap_err().kind, "corrupt");
        assert!(read_card(dir.path()).is_err());
        std::fs::write(&file, b"fine").unwrap();
        assert_eq!(read_card(&file).unwrap(), "fine");
    }
}
