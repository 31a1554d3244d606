//! What the verbs print, as it goes over the control socket and into `--json`.
//!
//! Plain copies of the node's values: the node knows no JSON, and these names are a promise to
//! scripts while the node's may change. Times are seconds since 1970, sizes bytes.

use crate::show::unix;
use node::{LogLine, Member, Offer, PeerStatus, Role, SpaceStatus, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who runs the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Me {
    pub(crate) name: String,
    pub(crate) person: String,
    pub(crate) device: String,
    pub(crate) fingerprint: String,
}

/// A friend.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) person: String,
    pub(crate) fingerprint: String,
    pub(crate) connected: bool,
    pub(crate) met: bool,
    pub(crate) addr: Option<String>,
    /// `tcp`, `quic` or `relay`, while a link stands.
    #[serde(default)]
    pub(crate) carrier: Option<String>,
    pub(crate) last_seen: Option<u64>,
    #[serde(default)]
    pub(crate) last_heard: Option<u64>,
    /// Entries they have and we lack.
    pub(crate) behind_us: u64,
    /// Entries we have and they lack.
    pub(crate) behind_them: u64,
    #[serde(default)]
    pub(crate) synced: bool,
    /// Bytes sent and not acknowledged.
    #[serde(default)]
    pub(crate) in_flight: usize,
    /// Bytes that wait to be sent.
    #[serde(default)]
    pub(crate) queued: usize,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// How many messages of each kind came since the start: envelopes on the link, and gossip.
    #[serde(default)]
    pub(crate) messages_in: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) messages_out: BTreeMap<String, u64>,
    /// Entries that came on the link since the start, and those among them that were not here.
    #[serde(default)]
    pub(crate) entries_in: u64,
    #[serde(default)]
    pub(crate) entries_new: u64,
    /// Chunks of large files, alike.
    #[serde(default)]
    pub(crate) chunks_in: u64,
    #[serde(default)]
    pub(crate) chunks_new: u64,
    pub(crate) rooms: Vec<String>,
    /// Whose entries came by them since the start, and how many.
    #[serde(default)]
    pub(crate) brings: Vec<(String, u64)>,
}

/// A space.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) id: String,
    pub(crate) role: Option<String>,
    pub(crate) members: usize,
    pub(crate) entries: u64,
    pub(crate) waiting: usize,
    pub(crate) later: usize,
    pub(crate) fetching: usize,
}

/// A space that a friend shares and that is not joined.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Offered {
    pub(crate) from: String,
    pub(crate) name: String,
}

/// Everything `chorus status` knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Whole {
    pub(crate) pid: u32,
    pub(crate) home: String,
    pub(crate) mount: Option<String>,
    pub(crate) me: Me,
    pub(crate) peers: Vec<Peer>,
    pub(crate) spaces: Vec<Space>,
    pub(crate) offers: Vec<Offered>,
    pub(crate) listening: Vec<String>,
    pub(crate) local_files: u64,
    pub(crate) unshared: Vec<(String, String)>,
    pub(crate) overlaps: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) problems: Vec<String>,
    pub(crate) store_bytes: u64,
}

/// A member of a space.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) online: bool,
    pub(crate) me: bool,
    pub(crate) fingerprint: String,
}

/// A line of history.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) time: u64,
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) entry: String,
}

/// What came of `peer add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Befriended {
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) room: Option<String>,
    pub(crate) met: bool,
}

/// What came of `share`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) space: String,
}

/// What came of `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stopped {
    pub(crate) pid: u32,
    /// Who still used the mount, and so kept it from being unmounted at once.
    pub(crate) still_used: Option<Vec<String>>,
}

/// What came of `bundle export`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    pub(crate) bundles: u64,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) chunks: u64,
    /// Entries and chunks that bundles in the folder held already.
    pub(crate) covered: u64,
    /// Bundles removed from the folder: acknowledged.
    pub(crate) removed: u64,
    /// Entries and chunks for which there was no room.
    pub(crate) left: u64,
    pub(crate) left_bytes: u64,
}

/// What came of `bundle import`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) bundles: u64,
    pub(crate) from: Vec<String>,
    pub(crate) entries: u64,
    pub(crate) known: u64,
    pub(crate) chunks: u64,
    pub(crate) known_chunks: u64,
    /// Entries of rooms that are not joined.
    pub(crate) unjoined: u64,
    pub(crate) left_out: u64,
    pub(crate) lacking: Vec<String>,
    pub(crate) foreign: u64,
    pub(crate) bad: Vec<String>,
}

impl From<node::Exported> for Carried {
    fn from(e: node::Exported) -> Carried {
        Carried {
            bundles: e.bundles,
            bytes: e.bytes,
            entries: e.entries,
            chunks: e.chunks,
            covered: e.covered,
            removed: e.removed,
            left: e.left,
            left_bytes: e.left_bytes,
        }
    }
}

impl From<node::Imported> for Taken {
    fn from(i: node::Imported) -> Taken {
        Taken {
            bundles: i.bundles,
            from: i.from.into_iter().collect(),
            entries: i.entries,
            known: i.known,
            chunks: i.chunks,
            known_chunks: i.known_chunks,
            unjoined: i.unjoined,
            left_out: i.left_out,
            lacking: i.lacking,
            foreign: i.foreign,
            bad: i.bad,
        }
    }
}

/// How friends are reached over DTN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dtn {
    pub(crate) daemon: Option<String>,
    /// The name of the daemon's node, if it answers.
    pub(crate) node: Option<String>,
    pub(crate) trouble: Option<String>,
    pub(crate) endpoint: String,
    pub(crate) patience: u64,
    pub(crate) peers: Vec<DtnPeer>,
}

/// A friend who is reached over DTN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DtnPeer {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    /// Bundles that wait for an ack.
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) heard: Option<u64>,
}

impl From<node::DtnStatus> for Dtn {
    fn from(d: node::DtnStatus) -> Dtn {
        let peer = |p: node::DtnPeer| DtnPeer {
            name: p.name,
            endpoint: p.endpoint,
            waiting: p.waiting,
            waiting_bytes: p.waiting_bytes,
            sent: p.sent,
            heard: p.heard.map(unix),
        };
        Dtn {
            daemon: d.daemon,
            node: d.node,
            trouble: d.trouble,
            endpoint: d.endpoint,
            patience: d.patience,
            peers: d.peers.into_iter().map(peer).collect(),
        }
    }
}

/// A role in the word that every verb uses.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Reader => "reader",
        Role::Writer => "writer",
        Role::Admin => "admin",
    }
}

impl From<node::Identity> for Me {
    fn from(me: node::Identity) -> Me {
        Me { name: me.name, person: me.person.hex(), device: me.device.hex(), fingerprint: me.fingerprint }
    }
}

impl From<PeerStatus> for Peer {
    fn from(p: PeerStatus) -> Peer {
        Peer {
            name: p.name,
            person: p.person.hex(),
            fingerprint: p.fingerprint,
            connected: p.connected,
            met: p.met,
            addr: p.addr,
            carrier: p.carrier.map(str::to_owned),
            last_seen: p.last_seen.map(unix),
            last_heard: p.last_heard.map(unix),
            behind_us: p.behind_us,
            behind_them: p.behind_them,
            synced: p.synced,
            in_flight: p.in_flight,
            queued: p.queued,
            bytes_in: p.bytes_in,
            bytes_out: p.bytes_out,
            messages_in: p.messages_in.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            messages_out: p.messages_out.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect(),
            entries_in: p.entries_in,
            entries_new: p.entries_new,
            chunks_in: p.chunks_in,
            chunks_new: p.chunks_new,
            rooms: p.rooms,
            brings: p.brings,
        }
    }
}

impl From<SpaceStatus> for Space {
    fn from(s: SpaceStatus) -> Space {
        Space {
            name: s.name,
            path: s.path,
            id: s.id.hex(),
            role: s.role.map(|r| role_word(r).to_owned()),
            members: s.members,
            entries: s.entries,
            waiting: s.waiting,
            later: s.later,
            fetching: s.fetching,
        }
    }
}

impl From<Offer> for Offered {
    fn from(o: Offer) -> Offered {
        Offered { from: o.from, name: o.name }
    }
}

impl From<Member> for Person {
    fn from(m: Member) -> Person {
        Person {
            name: m.name,
            role: role_word(m.role).to_owned(),
            online: m.online,
            me: m.me,
            fingerprint: m.fingerprint,
        }
    }
}

impl From<LogLine> for Past {
    fn from(l: LogLine) -> Past {
        Past { time: unix(l.time), who: l.who, what: l.what, entry: l.hash }
    }
}

impl Whole {
    /// The node's status, with what only the program knows.
    pub(crate) fn of(status: Status, home: &str, mount: Option<&str>) -> Whole {
        Whole {
            pid: std::process::id(),
            home: home.to_owned(),
            mount: mount.map(str::to_owned),
            me: status.me.into(),
            peers: status.peers.into_iter().map(Peer::from).collect(),
            spaces: status.spaces.into_iter().map(Space::from).collect(),
            offers: status.offers.into_iter().map(Offered::from).collect(),
            listening: status.listening,
            local_files: status.local_files,
            unshared: status.unshared.into_iter().map(|(path, why)| (path, why.to_owned())).collect(),
            overlaps: status.overlaps,
            notes: status.notes,
            problems: status.problems,
            store_bytes: status.store_bytes,
        }
    }
}
