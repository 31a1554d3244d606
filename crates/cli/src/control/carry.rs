//! The node's side of `chorus bundle` and `chorus dtn`: what to do next where something is refused.

use super::{Destination, DtnWish};
use crate::facts::{Carried, Dtn, Taken};
use crate::fail::Failure;
use base::Kind;
use node::{DtnEdit, Error, Node, Progress};
use std::path::Path;

type Listener<'a> = &'a mut dyn FnMut(Progress);

pub(crate) fn export(
    node: &Node,
    to: &str,
    place: &Destination,
    all: bool,
    tell: Listener<'_>,
) -> Result<Carried, Failure> {
    let done = match place {
        Destination::File(file) => node.bundle_to_file(to, file, all, tell),
        Destination::Spool(dir) => node.bundle_to_spool(to, dir, all, tell),
    };
    done.map(Carried::from).map_err(unwritten)
}

pub(crate) fn import(node: &Node, path: &Path, tell: Listener<'_>) -> Result<Taken, Failure> {
    node.bundle_import(path, tell).map(Taken::from).map_err(untaken)
}

pub(crate) fn dtn(node: &Node, wish: DtnWish) -> Result<Dtn, Failure> {
    let daemon = wish.daemon.map(|url| Some(url).filter(|url| !url.is_empty()));
    let edit = DtnEdit { daemon, peers: wish.peers, forget: wish.forget, patience: wish.patience };
    node.dtn_edit(&edit).map(Dtn::from).map_err(|error| {
        let hint = match error.kind() {
            Kind::Invalid => "a daemon is http://HOST:PORT, an endpoint dtn://NODE/NAME; nothing was changed",
            Kind::NotFound => "`chorus peer list` shows your friends; nothing was changed",
            _ => return Failure::from(error),
        };
        Failure::with_hint(error.kind(), error.to_string(), hint)
    })
}

fn unwritten(error: Error) -> Failure {
    let hint = match error.kind() {
        Kind::NotFound if matches!(error, Error::Refused { .. }) => {
            "`chorus peer list` shows your friends; `chorus peer add FILE` adds one"
        }
        Kind::Exists => "name a file that does not exist yet, or a folder with --spool",
        Kind::NoSpace => {
            "make room there, or use --spool DIR: it takes what fits, and goes on where it stopped when run again"
        }
        Kind::NotRoom => "name a folder with --spool, or a file without it",
        _ => return Failure::from(error),
    };
    Failure::with_hint(error.kind(), error.to_string(), hint)
}

fn untaken(error: Error) -> Failure {
    let hint = match error.kind() {
        Kind::Invalid => "name a file that `chorus bundle export` made, or a folder of them",
        Kind::Corrupt => {
            "copy it again, or ask for it again: `chorus bundle export` makes another; nothing here was changed"
        }
        Kind::Denied if matches!(error, Error::Refused { .. }) => {
            "it opens only on the devices of the friend it was made for, who must know its maker: `chorus peer list`"
        }
        Kind::Stale => "wait until it is copied whole, and import it then",
        Kind::NoSpace => {
            "make room on the disk that holds the home and import it again: it goes on where it stopped"
        }
        Kind::Interrupted => "what was taken is kept; import it again, and it goes on where it stopped",
        _ => return Failure::from(error),
    };
    Failure::with_hint(error.kind(), error.to_string(), hint)
}
