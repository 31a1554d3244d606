//! What the node keeps in the store: keys by family, and the records under them.
//!
//! | key | what | truth or derived |
//! |---|---|---|
//! | `c` tag log seq hash | an entry | truth |
//! | `h` hash | where an entry is, its lamport, whether it is applied | derived |
//! | `o` tag object | an object's head: type, size, heads, clock | derived |
//! | `r` tag room door | a door | derived |
//! | `i` tag object n | an object's image: its birth or a document, then changes | derived |
//! | `g` tag log | a log: its tips, what of it is applied | derived |
//! | `m` tag hash | that an entry is a membership operation or a statement | derived |
//! | `w` tag hash | that an entry waits for what it builds on | derived |
//! | `k` tag chunk | which blob holds a sealed chunk, and where | derived |
//! | `p` … | what is not sealed yet: births, doors, changes | truth |
//! | `l` tag object | local attributes | truth |
//! | `b` tag content | the bulk file of a blob, and how much of it is here | truth |
//! | `e` tag log seq hash | an entry that waits for the one before it | truth |
//! | `n` … | the node: me, spaces, peers, tokens, offers | truth |

use base::{ChunkId, DeviceId, DoorId, Hash, Incarnation, LogId, ObjectId, PersonId, Run, SpaceId, SpaceTag};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// The families whose deletion loses nothing.
pub(crate) const DERIVED: [u8; 8] = [b'h', b'o', b'r', b'i', b'k', b'g', b'm', b'w'];

fn key(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn entry_key(tag: &SpaceTag, log: &LogId, seq: u64, hash: &Hash) -> Vec<u8> {
    key(&[b"c", &tag.0, &log.to_bytes(), &seq.to_be_bytes(), &hash.0])
}

/// The place and the hash that an entry's key ends in.
pub(crate) fn place_of(key: &[u8]) -> Option<(u64, Hash)> {
    let (rest, hash) = key.split_last_chunk::<{ Hash::LEN }>()?;
    let (_, seq) = rest.split_last_chunk::<8>()?;
    Some((u64::from_be_bytes(*seq), Hash(*hash)))
}

pub(crate) fn entries_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"c", &tag.0])
}

pub(crate) fn entries_at(tag: &SpaceTag, log: &LogId, seq: u64) -> Vec<u8> {
    key(&[b"c", &tag.0, &log.to_bytes(), &seq.to_be_bytes()])
}

pub(crate) fn entries_of_log(tag: &SpaceTag, log: &LogId) -> Vec<u8> {
    key(&[b"c", &tag.0, &log.to_bytes()])
}

pub(crate) fn early_key(tag: &SpaceTag, log: &LogId, seq: u64, hash: &Hash) -> Vec<u8> {
    key(&[b"e", &tag.0, &log.to_bytes(), &seq.to_be_bytes(), &hash.0])
}

pub(crate) fn hash_key(hash: &Hash) -> Vec<u8> {
    key(&[b"h", &hash.0])
}

pub(crate) fn log_key(tag: &SpaceTag, log: &LogId) -> Vec<u8> {
    key(&[b"g", &tag.0, &log.to_bytes()])
}

pub(crate) fn logs_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"g", &tag.0])
}

pub(crate) fn clear_key(tag: &SpaceTag, hash: &Hash) -> Vec<u8> {
    key(&[b"m", &tag.0, &hash.0])
}

pub(crate) fn clear_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"m", &tag.0])
}

pub(crate) fn waiting_key(tag: &SpaceTag, hash: &Hash) -> Vec<u8> {
    key(&[b"w", &tag.0, &hash.0])
}

pub(crate) fn waiting_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"w", &tag.0])
}

pub(crate) fn head_key(tag: &SpaceTag, object: &ObjectId) -> Vec<u8> {
    key(&[b"o", &tag.0, &object.0])
}

pub(crate) fn heads_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"o", &tag.0])
}

pub(crate) fn door_key(tag: &SpaceTag, room: &ObjectId, door: &DoorId) -> Vec<u8> {
    key(&[b"r", &tag.0, &room.0, &door.0])
}

pub(crate) fn doors_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"r", &tag.0])
}

pub(crate) fn image_key(tag: &SpaceTag, object: &ObjectId, n: u32) -> Vec<u8> {
    key(&[b"i", &tag.0, &object.0, &n.to_be_bytes()])
}

pub(crate) fn image_of(tag: &SpaceTag, object: &ObjectId) -> Vec<u8> {
    key(&[b"i", &tag.0, &object.0])
}

pub(crate) fn chunk_key(tag: &SpaceTag, chunk: &ChunkId) -> Vec<u8> {
    key(&[b"k", &tag.0, &chunk.0])
}

pub(crate) fn chunks_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"k", &tag.0])
}

pub(crate) fn local_key(tag: &SpaceTag, object: &ObjectId) -> Vec<u8> {
    key(&[b"l", &tag.0, &object.0])
}

pub(crate) fn locals_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"l", &tag.0])
}

pub(crate) fn blob_key(tag: &SpaceTag, content: &Hash) -> Vec<u8> {
    key(&[b"b", &tag.0, &content.0])
}

pub(crate) fn blobs_of(tag: &SpaceTag) -> Vec<u8> {
    key(&[b"b", &tag.0])
}

pub(crate) fn newborn_key(tag: &SpaceTag, object: &ObjectId) -> Vec<u8> {
    key(&[b"pb", &tag.0, &object.0])
}

pub(crate) fn pending_door_key(tag: &SpaceTag, room: &ObjectId, door: &DoorId) -> Vec<u8> {
    key(&[b"pd", &tag.0, &room.0, &door.0])
}

pub(crate) fn pending_gone_key(tag: &SpaceTag, room: &ObjectId, door: &DoorId) -> Vec<u8> {
    key(&[b"pg", &tag.0, &room.0, &door.0])
}

pub(crate) fn pending_change_key(tag: &SpaceTag, n: u64) -> Vec<u8> {
    key(&[b"pc", &tag.0, &n.to_be_bytes()])
}

pub(crate) fn pending_of(family: u8, tag: &SpaceTag) -> Vec<u8> {
    key(&[&[b'p', family], &tag.0])
}

pub(crate) fn node_key(what: &str, id: &[u8]) -> Vec<u8> {
    key(&[b"n", what.as_bytes(), b"/", id])
}

/// Who this node is.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Me {
    #[n(0)]
    pub(crate) person: PersonId,
    #[n(1)]
    pub(crate) incarnation: Incarnation,
    #[n(2)]
    pub(crate) home: SpaceId,
    #[n(3)]
    pub(crate) name: String,
    #[n(4)]
    pub(crate) listen: Vec<String>,
}

/// A space that this node holds.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct SpaceRecord {
    #[n(0)]
    pub(crate) id: SpaceId,
    #[n(1)]
    pub(crate) name: String,
    #[n(2)]
    pub(crate) home: bool,
    /// Its door in home has yet to be put: where, and (while a room of home is still being copied) from which room.
    #[n(3)]
    pub(crate) unplaced: Option<Placing>,
}

/// A door in home that is to come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Placing {
    #[n(0)]
    pub(crate) path: String,
    #[n(1)]
    pub(crate) from: Option<ObjectId>,
}

/// A friend.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct PeerRecord {
    #[n(0)]
    pub(crate) person: PersonId,
    #[n(1)]
    pub(crate) addrs: Vec<String>,
    #[n(2)]
    pub(crate) met: bool,
    /// Milliseconds since 1970; 0 for never.
    #[n(3)]
    pub(crate) seen: u64,
    /// The token to pair with, while it is unanswered.
    #[n(4)]
    pub(crate) token: Option<ByteVec>,
    /// A room that came with the invitation, to be joined when its offer arrives.
    #[n(5)]
    pub(crate) expects: Option<SpaceId>,
    /// The device that the invitation came from.
    #[n(6)]
    pub(crate) device: DeviceId,
}

/// A token given out by `invite`.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct TokenRecord {
    #[n(0)]
    pub(crate) for_name: Option<String>,
    #[n(1)]
    pub(crate) space: Option<SpaceId>,
    #[n(2)]
    pub(crate) role: u8,
    #[n(3)]
    pub(crate) used_by: Option<PersonId>,
    /// Milliseconds since 1970.
    #[n(4)]
    pub(crate) made: u64,
}

/// A space that a friend shares with me; the entries that come with it are a record of their own.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct OfferRecord {
    #[n(0)]
    pub(crate) person: PersonId,
    #[n(1)]
    pub(crate) space: SpaceId,
    #[n(2)]
    pub(crate) name: String,
}

/// What a friend's device was last known to have, for when nobody can ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KnownRecord {
    /// The spaces that it announced.
    #[n(0)]
    pub(crate) announced: Vec<SpaceTag>,
    /// Where it stood.
    #[n(1)]
    pub(crate) spaces: Vec<(SpaceTag, LogTips)>,
}

/// Logs, with the tips of each.
pub(crate) type LogTips = Vec<(LogId, Vec<(u64, Hash)>)>;

/// What bundles from a device said last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CarriedRecord {
    /// The number of the newest.
    #[n(0)]
    pub(crate) newest: u64,
    /// The chunks it asked for.
    #[n(1)]
    pub(crate) wants: Vec<(SpaceTag, ChunkId)>,
}

/// What a bundle in a spool holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CoverRecord {
    #[n(0)]
    pub(crate) number: u64,
    /// Bytes of its file.
    #[n(1)]
    pub(crate) size: u64,
    /// Runs of entries: space, log, first and last place.
    #[n(2)]
    pub(crate) ranges: Vec<(SpaceTag, LogId, u64, u64)>,
    #[n(3)]
    pub(crate) chunks: Vec<(SpaceTag, ChunkId)>,
}

/// How friends are reached over a DTN daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct DtnRecord {
    /// The daemon's address.
    #[n(0)]
    pub(crate) daemon: Option<String>,
    /// Friends, with the endpoint of each that has a name of its own.
    #[n(1)]
    pub(crate) peers: Vec<(PersonId, Option<String>)>,
    /// Seconds before something is sent again; 0 where nothing was said.
    #[n(2)]
    pub(crate) patience: u64,
    /// Friends who are not answered by it either.
    #[n(3)]
    pub(crate) silent: Vec<PersonId>,
}

/// Where an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct EntryRecord {
    #[n(0)]
    pub(crate) tag: SpaceTag,
    #[n(1)]
    pub(crate) log: LogId,
    #[n(2)]
    pub(crate) seq: u64,
    #[n(3)]
    pub(crate) lamport: u64,
    #[n(4)]
    pub(crate) applied: bool,
}

/// A log: its tips, the newest applied entry with its lamport, and how many entries it has.
#[derive(Clone, Debug, Default, Encode, Decode)]
pub(crate) struct LogRecord {
    #[n(0)]
    pub(crate) tips: Vec<(u64, Hash)>,
    #[n(1)]
    pub(crate) applied: Option<(u64, Hash, u64)>,
    #[n(2)]
    pub(crate) count: u64,
    /// Of a forked log: the newest applied entries of its other branches.
    #[n(3)]
    pub(crate) branches: Option<Vec<(u64, Hash, u64)>>,
    /// The sum over the hashes of all its entries; none in records of older builds.
    #[n(4)]
    pub(crate) sum: Option<Hash>,
    /// Whether it has more branches than `tips` names.
    #[n(5)]
    pub(crate) cut: Option<bool>,
}

/// A change that is made and not yet sealed.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct PendingChange {
    #[n(0)]
    pub(crate) object: ObjectId,
    #[n(1)]
    pub(crate) run: Run,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) bytes: Vec<u8>,
    /// The incarnation in which it was made; none in older records: that in which its run began.
    #[n(3)]
    pub(crate) incarnation: Option<Incarnation>,
}

/// A birth that is not yet sealed.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct PendingBirth {
    /// The birth as it would travel; its content is empty where `bulk` names it.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) birth: Vec<u8>,
    #[n(1)]
    pub(crate) local: bool,
    /// The bulk file that holds the content, and its size in bytes.
    #[n(2)]
    pub(crate) bulk: Option<Bulk>,
    /// What is set on a room that is never sent: one that travels is born without.
    #[n(3)]
    pub(crate) room: Option<object::Meta>,
}

/// A bulk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Bulk {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) name: [u8; 16],
    #[n(1)]
    pub(crate) size: u64,
}

/// A door that is not yet sealed.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct PendingDoor {
    #[n(0)]
    pub(crate) door: DoorRecord,
    #[n(1)]
    pub(crate) local: bool,
}

/// A door, as the index keeps it.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct DoorRecord {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) name: Vec<u8>,
    #[n(1)]
    pub(crate) space: Option<SpaceId>,
    #[n(2)]
    pub(crate) object: ObjectId,
    #[n(3)]
    pub(crate) link: bool,
    #[n(4)]
    pub(crate) lamport: u64,
    #[n(5)]
    pub(crate) device: DeviceId,
    #[n(6)]
    pub(crate) gone: Vec<GoneRecord>,
}

/// That a door was passed over, and what its remover had seen.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct GoneRecord {
    #[n(0)]
    pub(crate) clock: Vec<(base::Actor, u64)>,
    #[n(1)]
    pub(crate) to: Option<(ObjectId, DoorId)>,
}

/// The gones of a door that are not yet sealed.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct PendingGones {
    #[n(0)]
    pub(crate) gones: Vec<GoneRecord>,
}

/// What only this device knows of an object. Times are nanoseconds since 1970; one that is not there is
/// that of the last change of content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LocalRecord {
    #[n(0)]
    pub(crate) mtime: i64,
    #[n(1)]
    pub(crate) ctime: Option<i64>,
    #[n(2)]
    pub(crate) atime: Option<i64>,
    /// Where anything was ever set.
    #[n(3)]
    pub(crate) own: Option<Box<OwnRecord>>,
}

/// What was set of an object on this device and means nothing on another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct OwnRecord {
    #[n(0)]
    pub(crate) uid: Option<u32>,
    #[n(1)]
    pub(crate) gid: Option<u32>,
    /// Set-id and sticky bits, within 07000.
    #[n(2)]
    pub(crate) special: u16,
    #[n(3)]
    pub(crate) node: Option<NodeRecord>,
    /// Attributes that are not the users' own.
    #[n(4)]
    pub(crate) xattrs: Vec<XattrRecord>,
}

/// A pipe (0), a socket (1), a character (2) or block (3) device with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct NodeRecord {
    #[n(0)]
    pub(crate) kind: u8,
    #[n(1)]
    pub(crate) device: u32,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct XattrRecord {
    #[n(0)]
    pub(crate) name: String,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) value: Vec<u8>,
}

/// How much of a blob is here.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct BlobRecord {
    #[n(0)]
    pub(crate) bulk: Bulk,
    #[n(1)]
    pub(crate) whole: bool,
    /// One bit a chunk, while it is not whole.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) have: Vec<u8>,
}

/// Where a sealed chunk's plain bytes are.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct ChunkRecord {
    /// The content whose blob holds it.
    #[n(0)]
    pub(crate) content: Hash,
    #[n(1)]
    pub(crate) index: u32,
    #[n(2)]
    pub(crate) offset: u64,
    #[n(3)]
    pub(crate) len: u32,
    #[n(4)]
    pub(crate) epoch: base::EpochId,
    #[n(5)]
    pub(crate) plain: Hash,
}

/// An object's head, as the index keeps it.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct HeadRecord {
    #[n(0)]
    pub(crate) kind: u64,
    #[n(1)]
    pub(crate) edited: bool,
    #[n(2)]
    pub(crate) size: u64,
    #[n(3)]
    pub(crate) perm: Option<u16>,
    #[n(4)]
    pub(crate) heads: Vec<Hash>,
    #[n(5)]
    pub(crate) clock: Vec<(base::Actor, u64)>,
    #[n(6)]
    pub(crate) content: Option<Hash>,
    #[n(7)]
    pub(crate) others: Vec<Hash>,
    #[n(8)]
    pub(crate) author: DeviceId,
    #[n(9)]
    pub(crate) pieces: u32,
    #[n(10)]
    pub(crate) snapshot: u64,
    #[n(11)]
    pub(crate) appended: u64,
    #[n(12)]
    pub(crate) mtime: i64,
    /// Whether the content is chunks (a manifest) rather than bytes of its own.
    #[n(13)]
    pub(crate) chunked: bool,
    /// A room's scratch names.
    #[n(14)]
    pub(crate) rule: Option<String>,
}

/// The encoding of a record.
pub(crate) fn to_bytes<T: Encode<()>>(record: &T) -> Vec<u8> {
    base::cbor::encode(record)
}

/// Reads a record; one that does not decode is corruption.
pub(crate) fn from_bytes<'b, T: Decode<'b, ()>>(
    bytes: &'b [u8],
    what: &'static str,
) -> Result<T, base::Error> {
    minicbor::decode(bytes).map_err(|_| base::Error::Malformed { what })
}
