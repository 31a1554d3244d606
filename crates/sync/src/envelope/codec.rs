//! Envelopes as CBOR, one array each.

use super::{
    CHUNK_ACKS, Cells, Comparison, ENTRIES, Envelope, Frontier, LogRange, More, Part, Piece, SpaceDelta,
    Tips, Want,
};
use crate::cells::{CELL_BYTES, Cell};
use base::{LogId, SpaceTag, cbor, limit};
use minicbor::{Decoder, Encoder, decode, encode};
use std::borrow::Cow;

/// An envelope other than HELLO, as one CBOR array.
pub(super) struct Framed<'a>(pub(super) Cow<'a, Envelope>);

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
            Envelope::Piece(piece) => {
                e.array(8)?.u8(12)?.encode(piece.tag)?.encode(piece.log)?.u64(piece.seq)?;
                e.encode(piece.hash)?.u64(piece.from)?.u64(piece.whole)?.bytes(&piece.bytes)?;
            }
            Envelope::Begun { tag, hash, from } => {
                e.array(4)?.u8(13)?.encode(tag)?.encode(hash)?.u64(*from)?;
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
            (12, 8) => Envelope::Piece(read_piece(d)?),
            (13, 4) => read_begun(d)?,
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

fn read_piece(d: &mut Decoder<'_>) -> Result<Piece, decode::Error> {
    let (tag, log, seq, hash) = (d.decode()?, d.decode()?, d.u64()?, d.decode()?);
    let (from, whole) = (d.u64()?, d.u64()?);
    let bytes = cbor::bytes_within(d, limit::ENTRY_BYTES)?.to_vec();
    let end = from.checked_add(bytes.len() as u64);
    if bytes.is_empty() || whole > limit::ENTRY_BYTES as u64 || end.is_none_or(|end| end > whole) {
        return Err(decode::Error::message("piece of an entry"));
    }
    Ok(Piece { tag, log, seq, hash, from, whole, bytes })
}

fn read_begun(d: &mut Decoder<'_>) -> Result<Envelope, decode::Error> {
    let (tag, hash, from) = (d.decode()?, d.decode()?, d.u64()?);
    if from >= limit::ENTRY_BYTES as u64 {
        return Err(decode::Error::message("begun entry"));
    }
    Ok(Envelope::Begun { tag, hash, from })
}
