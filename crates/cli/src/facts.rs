//! What the verbs print, as it goes over the control socket and into `--json`.
//!
//! Plain copies of the node's values: the node knows no JSON, and these names are a promise to
//! scripts while the node's may change. Times are seconds since 1970, sizes bytes.

use crate::show::unix;
use node::{LogLine, Member, Offer, PeerStatus, Role, SpaceStatus, Status};
use serde::{Deserialize, Serialize};

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
    pub(crate) last_seen: Option<u64>,
    /// Entries they have and we lack.
    pub(crate) behind_us: u64,
    /// Entries we have and they lack.
    pub(crate) behind_them: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) rooms: Vec<String>,
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
            last_seen: p.last_seen.map(unix),
            behind_us: p.behind_us,
            behind_them: p.behind_them,
            bytes_in: p.bytes_in,
            bytes_out: p.bytes_out,
            rooms: p.rooms,
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
