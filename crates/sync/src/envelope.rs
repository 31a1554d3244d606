//! What two nodes say to each other, on every carrier: one codec, `schema/envelope.cddl`.
//!
//! A HELLO is 73 raw bytes that begin with the version tag; everything else is one CBOR array,
//! whose first byte (0x80 and above) no version tag will ever have. Nothing here judges what an
//! envelope says: lengths and order are checked, meaning is for the state machine, and an entry's
//! signature for the node.

use crate::Error;
use crate::cells::{CELL_BYTES, Cell};
use base::{ChunkId, DeviceId, Hash, LogId, SpaceTag, cbor, limit};
use minicbor::{Decoder, Encoder, decode, encode};
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
                if let (Ok(Some(_)), Ok(kind @ 12..)) = (d.array(), d.u64()) {
                    return Err(base::Error::Version { what: "envelope", version: kind }.into());
                }
                Ok(cbor::decode::<Framed<'_>>(bytes, "envelope")?.0.into_owned())
            }
        }
    }

    /// Bytes of a chunk that are in it.
    pub fn payload(&self) -> usize {
        match self {
            Envelope::Chunk { bytes: Some(bytes), .. } => bytes.len(),
            Envelope::Part(part) => part.bytes.len(),
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

/// An envelope other than HELLO, as one CBOR array.
struct Framed<'a>(Cow<'a, Envelope>);

fn write_blobs<W: encode::Write>(
    e: &mut Encoder<W>,
    items: &[Vec<u8>],
) -> Result<(), encode::Error<W::Error>> {
    e.array(items.len() as u64)?;
    for item in items {
        e.bytes(item)?;
    }
    Ok(())
}

fn read_blobs(d: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, decode::Error> {
    let n = cbor::array_len(d, ENTRIES)?;
    let mut out = Vec::new();
    for _ in 0..n {
        out.push(cbor::bytes_within(d, limit::ENTRY_BYTES)?.to_vec());
    }
    Ok(out)
}

fn write_pairs<W: encode::Write, T: encode::Encode<()> + Copy>(
    e: &mut Encoder<W>,
    items: &[(SpaceTag, T)],
) -> Result<(), encode::Error<W::Error>> {
    e.array(items.len() as u64)?;
    for (tag, id) in items {
        e.array(2)?.encode(tag)?.encode(id)?;
    }
    Ok(())
}

fn read_pairs<'b, T: decode::Decode<'b, ()>>(
    d: &mut Decoder<'b>,
    limit: usize,
) -> Result<Vec<(SpaceTag, T)>, decode::Error> {
    let n = cbor::array_len(d, limit)?;
    let mut out = Vec::new();
    for _ in 0..n {
        cbor::expect_array(d, 2)?;
        out.push((d.decode()?, d.decode()?));
    }
    Ok(out)
}

fn write_ranges<W: encode::Write>(
    e: &mut Encoder<W>,
    ranges: &[LogRange],
) -> Result<(), encode::Error<W::Error>> {
    e.array(ranges.len() as u64)?;
    for r in ranges {
        e.array(4)?.encode(r.tag)?.encode(r.log)?.u64(r.from)?.u64(r.to)?;
    }
    Ok(())
}

fn read_ranges(d: &mut Decoder<'_>) -> Result<Vec<LogRange>, decode::Error> {
    let n = cbor::array_len(d, limit::WANTS)?;
    let mut out = Vec::new();
    for _ in 0..n {
        cbor::expect_array(d, 4)?;
        let range = LogRange { tag: d.decode()?, log: d.decode()?, from: d.u64()?, to: d.u64()? };
        if range.from > range.to {
            return Err(decode::Error::message("range backwards"));
        }
        out.push(range);
    }
    Ok(out)
}

fn rising<T: Ord>(items: &[T]) -> Result<(), decode::Error> {
    if items.windows(2).all(|w| w[0] < w[1]) {
        Ok(())
    } else {
        Err(decode::Error::message("list out of order"))
    }
}

fn write_delta<W: encode::Write>(
    e: &mut Encoder<W>,
    delta: &SpaceDelta,
) -> Result<(), encode::Error<W::Error>> {
    e.array(3)?.encode(delta.tag)?.bool(delta.whole)?.array(delta.logs.len() as u64)?;
    for (log, tips) in &delta.logs {
        // No reader takes more.
        let tips = &tips[tips.len().saturating_sub(limit::TIPS)..];
        e.array(2)?.encode(log)?.array(tips.len() as u64)?;
        for (seq, hash) in tips {
            e.array(2)?.u64(*seq)?.encode(hash)?;
        }
    }
    Ok(())
}

// `room` is how many more logs the envelope may name.
fn read_delta(d: &mut Decoder<'_>, room: &mut usize) -> Result<SpaceDelta, decode::Error> {
    cbor::expect_array(d, 3)?;
    let (tag, whole) = (d.decode()?, d.bool()?);
    let n = cbor::array_len(d, *room)?;
    *room -= n;
    let mut logs: Vec<(LogId, Tips)> = Vec::new();
    for _ in 0..n {
        cbor::expect_array(d, 2)?;
        let log: LogId = d.decode()?;
        if logs.last().is_some_and(|(last, _)| *last >= log) {
            return Err(decode::Error::message("list out of order"));
        }
        let mut tips = Tips::new();
        for _ in 0..cbor::array_len(d, limit::TIPS)? {
            cbor::expect_array(d, 2)?;
            tips.push((d.u64()?, d.decode()?));
        }
        rising(&tips)?;
        logs.push((log, tips));
    }
    Ok(SpaceDelta { tag, whole, logs })
}

fn write_frontier<W: encode::Write>(e: &mut Encoder<W>, f: &Frontier) -> Result<(), encode::Error<W::Error>> {
    match &f.announce {
        Some(tags) => cbor::write_list(e, tags)?,
        None => {
            e.null()?;
        }
    }
    e.bool(f.greet)?.bool(f.pull)?.array(f.deltas.len() as u64)?;
    for delta in &f.deltas {
        write_delta(e, delta)?;
    }
    write_pairs(e, &f.chunks)
}

fn read_frontier(d: &mut Decoder<'_>) -> Result<Frontier, decode::Error> {
    let announce = if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        None
    } else {
        let tags: Vec<SpaceTag> = cbor::list(d, limit::SPACES)?;
        rising(&tags)?;
        Some(tags)
    };
    let (greet, pull) = (d.bool()?, d.bool()?);
    let n = cbor::array_len(d, limit::SPACES)?;
    let mut deltas: Vec<SpaceDelta> = Vec::new();
    let mut room = limit::FRONTIER_LOGS;
    for _ in 0..n {
        let delta = read_delta(d, &mut room)?;
        if deltas.last().is_some_and(|last| last.tag >= delta.tag) {
            return Err(decode::Error::message("list out of order"));
        }
        deltas.push(delta);
    }
    Ok(Frontier { announce, greet, pull, deltas, chunks: read_pairs(d, CHUNK_ACKS)? })
}

fn write_comparison<W: encode::Write>(
    e: &mut Encoder<W>,
    of: &Comparison,
) -> Result<(), encode::Error<W::Error>> {
    e.encode(of.tag)?.encode(of.log)?.u64(of.salt)?.ok()
}

fn read_comparison(d: &mut Decoder<'_>) -> Result<Comparison, decode::Error> {
    Ok(Comparison { tag: d.decode()?, log: d.decode()?, salt: d.u64()? })
}

fn read_cells(d: &mut Decoder<'_>) -> Result<Cells, decode::Error> {
    let (of, top, entries, from) = (read_comparison(d)?, d.u64()?, d.u64()?, d.u64()?);
    let bytes = cbor::bytes_within(d, limit::CELLS_AT_ONCE * CELL_BYTES)?;
    if bytes.len() % CELL_BYTES != 0 {
        return Err(decode::Error::message("part of a cell"));
    }
    Ok(Cells { of, top, entries, from, cells: Cell::read(bytes) })
}

impl encode::Encode<()> for Framed<'_> {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut (),
    ) -> Result<(), encode::Error<W::Error>> {
        match self.0.as_ref() {
            // HELLO is never framed; its raw bytes in a string are refused by every reader.
            Envelope::Hello(hello) => {
                e.bytes(&hello.to_bytes())?;
            }
            Envelope::Share { name, entries } => {
                e.array(3)?.u8(1)?.str(name)?;
                write_blobs(e, entries)?;
            }
            Envelope::Frontier(frontier) => {
                e.array(6)?.u8(2)?;
                write_frontier(e, frontier)?;
            }
            Envelope::Want(want) => {
                e.array(4)?.u8(3)?;
                write_ranges(e, &want.ranges)?;
                write_pairs(e, &want.hashes)?;
                write_pairs(e, &want.chunks)?;
            }
            Envelope::Absent { ranges, hashes } => {
                e.array(3)?.u8(4)?;
                write_ranges(e, ranges)?;
                write_pairs(e, hashes)?;
            }
            Envelope::Entries(entries) => {
                e.array(2)?.u8(5)?;
                write_blobs(e, entries)?;
            }
            Envelope::Chunk { tag, id, bytes } => {
                e.array(4)?.u8(6)?.encode(tag)?.encode(id)?;
                match bytes {
                    Some(bytes) => e.bytes(bytes)?,
                    None => e.null()?,
                };
            }
            Envelope::Part(part) => {
                e.array(6)?.u8(10)?.encode(part.tag)?.encode(part.id)?;
                e.u64(part.from)?.u64(part.whole)?.bytes(&part.bytes)?;
            }
            Envelope::Rest { tag, id, from } => {
                e.array(4)?.u8(11)?.encode(tag)?.encode(id)?.u64(*from)?;
            }
            Envelope::Addr(record) => {
                e.array(2)?.u8(7)?.bytes(record)?;
            }
            Envelope::Cells(cells) => {
                write_comparison(e.array(8)?.u8(8)?, &cells.of)?;
                e.u64(cells.top)?.u64(cells.entries)?.u64(cells.from)?;
                e.bytes(&cells.cells.iter().flat_map(Cell::to_bytes).collect::<Vec<u8>>())?;
            }
            Envelope::More(more) => {
                write_comparison(e.array(6)?.u8(9)?, &more.of)?;
                e.u64(more.have)?.u64(more.need)?;
            }
        }
        Ok(())
    }
}

impl<'b> decode::Decode<'b, ()> for Framed<'_> {
    fn decode(d: &mut Decoder<'b>, _: &mut ()) -> Result<Self, decode::Error> {
        let n = cbor::array_len(d, 8)?;
        let kind = d.u8()?;
        let envelope = match (kind, n) {
            (1, 3) => {
                let name = d.str()?;
                if name.len() > limit::NAME_BYTES {
                    return Err(decode::Error::message("name over its limit"));
                }
                Envelope::Share { name: name.to_owned(), entries: read_blobs(d)? }
            }
            (2, 6) => Envelope::Frontier(read_frontier(d)?),
            (3, 4) => Envelope::Want(Want {
                ranges: read_ranges(d)?,
                hashes: read_pairs(d, limit::WANTS)?,
                chunks: read_pairs(d, limit::WANTS)?,
            }),
            (4, 3) => Envelope::Absent { ranges: read_ranges(d)?, hashes: read_pairs(d, limit::WANTS)? },
            (5, 2) => Envelope::Entries(read_blobs(d)?),
            (6, 4) => Envelope::Chunk { tag: d.decode()?, id: d.decode()?, bytes: read_chunk(d)? },
            (7, 2) => Envelope::Addr(cbor::bytes_within(d, limit::CARD_BYTES)?.to_vec()),
            (8, 8) => Envelope::Cells(read_cells(d)?),
            (9, 6) => Envelope::More(More { of: read_comparison(d)?, have: d.u64()?, need: d.u64()? }),
            (10, 6) => Envelope::Part(read_part(d)?),
            (11, 4) => read_rest(d)?,
            _ => return Err(decode::Error::message("envelope kind")),
        };
        Ok(Framed(Cow::Owned(envelope)))
    }
}

fn read_chunk(d: &mut Decoder<'_>) -> Result<Option<Vec<u8>>, decode::Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    Ok(Some(cbor::bytes_within(d, limit::CHUNK_BYTES)?.to_vec()))
}

fn read_part(d: &mut Decoder<'_>) -> Result<Part, decode::Error> {
    let (tag, id, from, whole) = (d.decode()?, d.decode()?, d.u64()?, d.u64()?);
    let bytes = cbor::bytes_within(d, limit::CHUNK_BYTES)?.to_vec();
    let end = from.checked_add(bytes.len() as u64);
    if bytes.is_empty() || whole > limit::CHUNK_BYTES as u64 || end.is_none_or(|end| end > whole) {
        return Err(decode::Error::message("part of a chunk"));
    }
    Ok(Part { tag, id, from, whole, bytes })
}

fn read_rest(d: &mut Decoder<'_>) -> Result<Envelope, decode::Error> {
    let (tag, id, from) = (d.decode()?, d.decode()?, d.u64()?);
    if !(1..limit::CHUNK_BYTES as u64).contains(&from) {
        return Err(decode::Error::message("rest of a chunk"));
    }
    Ok(Envelope::Rest { tag, id, from })
}
