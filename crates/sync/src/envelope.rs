//! What two nodes say to each other, on every carrier: one codec, `schema/envelope.cddl`.
//!
//! A HELLO is 73 raw bytes that begin with the version tag; everything else is one CBOR array,
//! whose first byte (0x80 and above) no version tag will ever have. Nothing here judges what an
//! envelope says: lengths and order are checked, meaning is for the state machine, and an entry's
//! signature for the node.

mod codec;

use crate::Error;
use crate::cells::Cell;
use base::{ChunkId, DeviceId, Hash, LogId, SpaceTag, cbor, limit};
use codec::Framed;
use minicbor::Decoder;
use std::borrow::Cow;

/// The one version of HELLO, and of all that follows it.
pub const VERSION: u8 = 1;
/// Bytes of a HELLO on the wire.
pub const HELLO_BYTES: usize = 73;
/// Entries in one envelope.
pub const ENTRIES: usize = 16_384;
/// Chunk acknowledgements in one FRONTIER.
pub const CHUNK_ACKS: usize = 4096;

/// The newest entry of a branch of a log: its place and its hash.
pub type Tip = (u64, Hash);
/// Where a log stands: one tip, or several when it is forked; rising.
pub type Tips = Vec<Tip>;

/// A keep-alive that is a checksum of everything two nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version the sender speaks.
    pub version: u8,
    /// The sender.
    pub node: DeviceId,
    /// SHA-256 over sender, receiver, time and the frontiers of the shared spaces.
    pub digest: Hash,
    /// The sender's clock, in milliseconds; part of the digest, and nothing else.
    pub time: u64,
}

/// Where the sender stands in one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceDelta {
    /// The space.
    pub tag: SpaceTag,
    /// Whether logs that are not named are empty at the sender; otherwise they are as last told.
    pub whole: bool,
    /// Logs with their tips, all of them durable; rising by log.
    pub logs: Vec<(LogId, Tips)>,
}

/// What the sender has; the acknowledgement of everything before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    /// The spaces in which the sender holds the receiver to be a member: the full list, rising.
    /// Sent at the start and when it changes.
    pub announce: Option<Vec<SpaceTag>>,
    /// The sender has not heard the receiver's announcement.
    pub greet: bool,
    /// The sender does not push what the receiver lacks: ask for it.
    pub pull: bool,
    /// Frontiers, rising by space.
    pub deltas: Vec<SpaceDelta>,
    /// Chunks from the receiver that are durable at the sender.
    pub chunks: Vec<(SpaceTag, ChunkId)>,
}

/// A run of a log's entries: from one place to another, both included, every branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogRange {
    /// The space.
    pub tag: SpaceTag,
    /// The log.
    pub log: LogId,
    /// The first place.
    pub from: u64,
    /// The last place, itself included.
    pub to: u64,
}

/// A request, a few dozen things at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// Runs of entries.
    pub ranges: Vec<LogRange>,
    /// Single entries.
    pub hashes: Vec<(SpaceTag, Hash)>,
    /// Sealed chunks, in the order they are needed.
    pub chunks: Vec<(SpaceTag, ChunkId)>,
}

impl Want {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.hashes.is_empty() && self.chunks.is_empty()
    }
}

/// One message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The keep-alive.
    Hello(Hello),
    /// Hands a new member a space: what it is called, and the entries needed to join it.
    Share {
        /// The name that the sender suggests.
        name: String,
        /// Genesis, membership operations and statements, each a whole entry.
        entries: Vec<Vec<u8>>,
    },
    /// What the sender has.
    Frontier(Frontier),
    /// What the sender asks for.
    Want(Want),
    /// What of a WANT is not to be had: not here and not yours answer alike.
    Absent {
        /// Runs of entries.
        ranges: Vec<LogRange>,
        /// Single entries.
        hashes: Vec<(SpaceTag, Hash)>,
    },
    /// Whole entries, each log's in order.
    Entries(Vec<Vec<u8>>),
    /// A sealed chunk, or none if it is not to be had.
    Chunk {
        /// The space it is kept for.
        tag: SpaceTag,
        /// Its id.
        id: ChunkId,
        /// Its bytes.
        bytes: Option<Vec<u8>>,
    },
    /// A piece of a sealed chunk that is too large to be sent at once; those of a chunk come in order.
    Part(Part),
    /// Asks for a sealed chunk from a place on: a link broke in the middle of it.
    Rest {
        /// The space it is kept for.
        tag: SpaceTag,
        /// Its id.
        id: ChunkId,
        /// Bytes that are here.
        from: u64,
    },
    /// A piece of an entry that is too large to be sent at once.
    Piece(Piece),
    /// Of an entry that comes in pieces those before a byte are here: go on there. A link broke in the middle of it.
    Begun {
        /// The space.
        tag: SpaceTag,
        /// The entry.
        hash: Hash,
        /// Bytes that are here; none: begin anew.
        from: u64,
    },
    /// A signed address record, opaque here.
    Addr(Vec<u8>),
    /// What the sender has of a log, as cells: where frontiers cannot say what differs.
    Cells(Cells),
    /// The answer to cells: more are needed, or these said it.
    More(More),
}

/// A piece of a sealed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The space it is kept for.
    pub tag: SpaceTag,
    /// The chunk's id.
    pub id: ChunkId,
    /// Where it stands.
    pub from: u64,
    /// Bytes of the whole chunk.
    pub whole: u64,
    /// Its bytes; never none.
    pub bytes: Vec<u8>,
}

/// A piece of an entry. Pieces may come in any order, and between other things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The space.
    pub tag: SpaceTag,
    /// The entry's log.
    pub log: LogId,
    /// The entry's place in it.
    pub seq: u64,
    /// The entry's hash.
    pub hash: Hash,
    /// Where the piece stands in the entry.
    pub from: u64,
    /// Bytes of the whole entry.
    pub whole: u64,
    /// Its bytes; never none.
    pub bytes: Vec<u8>,
}

/// Which comparison of a log it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Comparison {
    /// The space.
    pub tag: SpaceTag,
    /// The log.
    pub log: LogId,
    /// What the cells' places and checks depend on; new each time.
    pub salt: u64,
}

/// A run of cells over the entries of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// The comparison, which whoever sends cells has begun.
    pub of: Comparison,
    /// Only entries up to this place are in them.
    pub top: u64,
    /// How many entries are in them.
    pub entries: u64,
    /// The number of the first.
    pub from: u64,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// Asks for further cells; or for none, when what is apart is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// The comparison.
    pub of: Comparison,
    /// How many are there.
    pub have: u64,
    /// How many there should be; as many as are there: the comparison is over.
    pub need: u64,
}

impl Envelope {
    /// The envelope as it travels.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Envelope::Hello(hello) => hello.to_bytes().to_vec(),
            other => cbor::encode(&Framed(Cow::Borrowed(other))),
        }
    }

    /// Reads an envelope of at most `limit::ENVELOPE_BYTES`, all of it, in its one encoding.
    pub fn decode(bytes: &[u8]) -> Result<Envelope, Error> {
        if bytes.len() > limit::ENVELOPE_BYTES {
            return Err(base::Error::Limit { what: "envelope", limit: limit::ENVELOPE_BYTES }.into());
        }
        match bytes.first() {
            Some(first) if *first < 0x80 => Ok(Envelope::Hello(Hello::from_bytes(bytes)?)),
            _ => {
                let mut d = Decoder::new(bytes);
                // Something that a newer build says is no fault of whoever says it.
                if let (Ok(Some(_)), Ok(kind @ 14..)) = (d.array(), d.u64()) {
                    return Err(base::Error::Version { what: "envelope", version: kind }.into());
                }
                Ok(cbor::decode::<Framed<'_>>(bytes, "envelope")?.0.into_owned())
            }
        }
    }

    /// Bytes of entries and chunks that are in it.
    pub fn payload(&self) -> usize {
        match self {
            Envelope::Entries(entries) => entries.iter().map(Vec::len).sum(),
            Envelope::Chunk { bytes: Some(bytes), .. } => bytes.len(),
            Envelope::Part(part) => part.bytes.len(),
            Envelope::Piece(piece) => piece.bytes.len(),
            _ => 0,
        }
    }

    /// A short word for logs.
    pub fn word(&self) -> &'static str {
        match self {
            Envelope::Hello(_) => "hello",
            Envelope::Share { .. } => "share",
            Envelope::Frontier(_) => "frontier",
            Envelope::Want(_) => "want",
            Envelope::Absent { .. } => "absent",
            Envelope::Entries(_) => "entries",
            Envelope::Chunk { .. } => "chunk",
            Envelope::Part(_) => "part",
            Envelope::Rest { .. } => "rest",
            Envelope::Piece(_) => "piece",
            Envelope::Begun { .. } => "begun",
            Envelope::Addr(_) => "addr",
            Envelope::Cells(_) => "cells",
            Envelope::More(_) => "more",
        }
    }
}

impl Hello {
    fn to_bytes(&self) -> [u8; HELLO_BYTES] {
        let mut out = [0; HELLO_BYTES];
        out[0] = self.version;
        out[1..33].copy_from_slice(&self.node.0);
        out[33..65].copy_from_slice(&self.digest.0);
        out[65..].copy_from_slice(&self.time.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Hello, Error> {
        if bytes.len() != HELLO_BYTES {
            return Err(base::Error::Malformed { what: "hello" }.into());
        }
        if bytes[0] != VERSION {
            return Err(base::Error::Version { what: "hello", version: bytes[0].into() }.into());
        }
        let mut time = [0; 8];
        time.copy_from_slice(&bytes[65..]);
        Ok(Hello {
            version: bytes[0],
            node: DeviceId::from_slice(&bytes[1..33])?,
            digest: Hash::from_slice(&bytes[33..65])?,
            time: u64::from_be_bytes(time),
        })
    }
}
