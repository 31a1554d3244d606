//! The plain values that go in and out of a node.

use crate::local::{Owner, Special};
use crate::scratch::Scratch;
use base::{DeviceId, Hash, Oid, PersonId, SpaceId};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

pub use object::Heads as Version;
pub use space::member::Role;

/// What kind of thing a face shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A directory.
    Room,
    /// A file whose edits merge by words.
    Text,
    /// A file that must not be merged.
    Whole,
    /// A file of any other bytes.
    Blob,
    /// A symlink.
    Link,
    /// A pipe, a socket or a device: of this device alone.
    Special(Special),
    /// An object of a type this version does not know: shown, not written.
    Other,
}

/// What `stat` needs.
#[derive(Clone, Debug)]
pub struct Attr {
    /// The kind of thing.
    pub what: What,
    /// Bytes.
    pub size: u64,
    /// When the content last changed, as this device shows it.
    pub mtime: SystemTime,
    /// Permission bits within 0777.
    pub perm: u16,
    /// Doors that lead to it; for a room also what is above and below it, as POSIX counts.
    pub links: u32,
    /// The newest version.
    pub version: Version,
    /// Never sent to anyone.
    pub local: bool,
    /// Whether this person made it.
    pub mine: bool,
    /// Whether this person may change it.
    pub writable: bool,
    /// When anything of it last changed here.
    pub ctime: SystemTime,
    /// When it was last read here.
    pub atime: SystemTime,
    /// Who owns it here.
    pub owner: Owner,
    /// Its set-id and sticky bits here, within 07000.
    pub special_bits: u16,
}

/// Where a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the object itself.
    Object(Oid),
    /// To a room that has its place elsewhere: shown as a symlink that follows it.
    LinkTo(Oid),
}

impl Target {
    /// The object at the end of it.
    pub fn oid(&self) -> Oid {
        match self {
            Target::Object(oid) | Target::LinkTo(oid) => *oid,
        }
    }
}

/// A name in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The name as shown.
    pub name: String,
    /// Where it leads.
    pub target: Target,
    /// What is there.
    pub what: What,
    /// Another version than the one that has the name.
    pub version: Option<Hash>,
}

/// The bytes of one version.
#[derive(Clone, Debug)]
pub enum Body {
    /// Small content, in memory.
    Bytes(Arc<[u8]>),
    /// A whole blob in a file, with its size in bytes.
    File(Arc<File>, u64),
    /// A blob whose bytes are not all here yet.
    Remote {
        /// Its size in bytes.
        size: u64,
    },
}

/// Bytes to save.
#[derive(Debug)]
pub enum NewContent {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file, from 0 up to a length in bytes.
    File(File, u64),
    /// In a file that was lent for it, which nobody writes any more.
    Scratch(Arc<Scratch>, u64),
}

/// What became of a save.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The version the writer now has: base plus its own edit.
    pub wrote: Version,
    /// The newest version, friends' edits included.
    pub now: Version,
    /// Whether the newest differs from what was written.
    pub merged: bool,
}

/// What became of an append.
#[derive(Clone, Debug)]
pub struct Appended {
    /// As of a save.
    pub saved: Saved,
    /// The version that was added to.
    pub onto: Version,
}

/// What a process read of an object, to be known again after a restart of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The boot of the machine in which the process runs.
    pub boot: String,
    /// The process: its id and when it started.
    pub process: (u32, u64),
    /// The object.
    pub oid: Oid,
    /// The version.
    pub version: Version,
    /// What it has in its buffers, where that is another version.
    pub buffer: Option<Version>,
    /// What a process below it wrote as an edit of that.
    pub below: Option<Version>,
    /// The names it read it under, each in its room.
    pub names: Vec<(Oid, String)>,
}

/// Something changed that a face may have cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A name appeared, went, or leads elsewhere.
    Name {
        /// The room.
        room: Oid,
        /// The name as shown.
        name: String,
        /// Whether somebody else did it.
        remote: bool,
        /// Where the name led.
        before: Option<Target>,
        /// Where the name leads now.
        after: Option<Oid>,
    },
    /// An object has a new version.
    Content {
        /// The object.
        oid: Oid,
        /// Whether somebody else did it.
        remote: bool,
    },
    /// Permissions, times or attributes changed.
    Attr {
        /// The object.
        oid: Oid,
        /// Whether somebody else did it.
        remote: bool,
    },
    /// The listener fell behind: whatever it cached may be old.
    Behind,
}

/// Who runs this node.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The person.
    pub person: PersonId,
    /// The device.
    pub device: DeviceId,
    /// The name suggested to friends.
    pub name: String,
    /// The person's id as people compare it.
    pub fingerprint: String,
}

/// A friend, as `status` and `peer list` show one.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The petname.
    pub name: String,
    /// The person.
    pub person: PersonId,
    /// The person's id as people compare it.
    pub fingerprint: String,
    /// Whether a device of theirs is connected.
    pub connected: bool,
    /// Whether the pairing was answered.
    pub met: bool,
    /// The address it is or was last reached at.
    pub addr: Option<String>,
    /// How the link travels, while one stands: `tcp`, `quic`, or `relay`.
    pub carrier: Option<&'static str>,
    /// When a link with them was last made.
    pub last_seen: Option<SystemTime>,
    /// When anything last came from them.
    pub last_heard: Option<SystemTime>,
    /// Entries they have and we lack.
    pub behind_us: u64,
    /// Entries we have and they lack.
    pub behind_them: u64,
    /// Whether all that both share was compared, and is the same.
    pub synced: bool,
    /// Bytes sent and not acknowledged.
    pub in_flight: usize,
    /// Bytes that wait to be sent.
    pub queued: usize,
    /// Bytes received since the start.
    pub bytes_in: u64,
    /// Bytes sent since the start.
    pub bytes_out: u64,
    /// Messages received since the start, by kind: envelopes on the link, and gossip.
    pub messages_in: BTreeMap<&'static str, u64>,
    /// Messages sent since the start, by kind.
    pub messages_out: BTreeMap<&'static str, u64>,
    /// Entries that came on the link since the start.
    pub entries_in: u64,
    /// Those among them that were not here before.
    pub entries_new: u64,
    /// Chunks of large files that came on the link since the start.
    pub chunks_in: u64,
    /// Those among them that were needed.
    pub chunks_new: u64,
    /// The shared rooms, by path.
    pub rooms: Vec<String>,
    /// Whose entries came by them since the start, and how many.
    pub brings: Vec<(String, u64)>,
}

/// A space, as `status` shows one.
#[derive(Clone, Debug)]
pub struct SpaceStatus {
    /// Its name here.
    pub name: String,
    /// Where its door is.
    pub path: Option<String>,
    /// Its id.
    pub id: SpaceId,
    /// My role.
    pub role: Option<Role>,
    /// How many members.
    pub members: usize,
    /// Entries stored.
    pub entries: u64,
    /// Entries waiting for what they build on.
    pub waiting: usize,
    /// Operations and bodies kept for a later version.
    pub later: usize,
    /// Blobs whose bytes are still on their way.
    pub fetching: usize,
}

/// A space that a friend shares and I have not joined.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The friend's petname.
    pub from: String,
    /// The space's name.
    pub name: String,
    /// The space.
    pub space: SpaceId,
}

/// Everything `chorus status` prints.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who I am.
    pub me: Identity,
    /// My friends.
    pub peers: Vec<PeerStatus>,
    /// My spaces, home first.
    pub spaces: Vec<SpaceStatus>,
    /// Spaces to join.
    pub offers: Vec<Offer>,
    /// Addresses friends can dial.
    pub listening: Vec<String>,
    /// How many files are never sent.
    pub local_files: u64,
    /// Some of them, by path, and why.
    pub unshared: Vec<(String, &'static str)>,
    /// Texts in which two people changed the same words, by path.
    pub overlaps: Vec<String>,
    /// What is good to know though nothing is wrong, a line each.
    pub notes: Vec<String>,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// Bytes of the store on disk.
    pub store_bytes: u64,
}

/// What came of `peer add`.
#[derive(Clone, Debug)]
pub struct Added {
    /// The petname.
    pub name: String,
    /// The person's id as people compare it.
    pub fingerprint: String,
    /// The room that came with the invitation, if it is joined already.
    pub room: Option<String>,
    /// Whether the friend answered; if not, it is tried again in the background.
    pub met: bool,
}

/// What came of `share`.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The space's name.
    pub name: String,
    /// The space.
    pub space: SpaceId,
}

/// A member of a space.
#[derive(Clone, Debug)]
pub struct Member {
    /// The petname, or a fingerprint where there is none.
    pub name: String,
    /// The role.
    pub role: Role,
    /// Whether a device of theirs is connected.
    pub online: bool,
    /// Whether it is me.
    pub me: bool,
    /// The person's id as people compare it.
    pub fingerprint: String,
}

/// A line of history.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The author's time.
    pub time: SystemTime,
    /// The author's petname.
    pub who: String,
    /// What they did.
    pub what: String,
    /// The entry.
    pub hash: String,
}

/// What a face shows of an object beside its content.
#[derive(Clone, Debug)]
pub struct Description {
    /// The object's type in a word.
    pub kind: &'static str,
    /// The heads of its newest version, in hex.
    pub heads: Vec<String>,
    /// The name of its space.
    pub space: String,
    /// My role there.
    pub role: Option<Role>,
}

/// Space on the disk below.
#[derive(Clone, Copy, Debug)]
pub struct Statfs {
    /// Bytes in all.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Objects known.
    pub files: u64,
}

/// What `chorus fsck` found.
#[derive(Clone, Debug, Default)]
pub struct FsckReport {
    /// Entries read and verified.
    pub entries: u64,
    /// Objects.
    pub objects: u64,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
}
