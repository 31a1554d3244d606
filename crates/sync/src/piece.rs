//! Entries that are too large to be sent at once come in pieces, so that a link that breaks in the middle of one goes on
//! there the next time.
//!
//! They are pushed like any entry, for a link without a way back; what is here of one outlives the link. Who has heard
//! nothing of it begins at the first byte; to somebody far each try begins somewhere else, so that contacts too short
//! for all of it bring all of it in the end.

use crate::envelope::{Envelope, Piece};
use crate::frontier::LogKey;
use crate::io::{Offence, Origin, Output, PeerId};
use crate::machine::Sync;
use base::{Entry, Hash, SpaceTag, limit};
use std::collections::BTreeMap;

/// Entries of one peer that are here in part; and of one that is told where to go on, as many.
const ENTRIES: usize = 16;
/// Holes in one of them.
const HOLES: usize = 1024;

/// How entries are cut for a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of a piece; what is no larger goes whole.
    pub part: usize,
    /// Of these the peer has so many bytes.
    pub begun: BTreeMap<Hash, u64>,
    /// The part of a large entry, of 2^32, to begin at; what comes before it goes last.
    pub turn: Option<u32>,
}

/// The envelopes that these entries of a space go in, in order.
pub fn entry_envelopes(tag: SpaceTag, entries: Vec<Vec<u8>>, cut: &Cut) -> Vec<Envelope> {
    let mut out = Vec::new();
    let mut small = Vec::new();
    for bytes in entries {
        if bytes.len() <= cut.part.max(1) {
            small.push(bytes);
            continue;
        }
        if !small.is_empty() {
            out.push(Envelope::Entries(std::mem::take(&mut small)));
        }
        out.extend(pieces(tag, bytes, cut));
    }
    if !small.is_empty() {
        out.push(Envelope::Entries(small));
    }
    out
}

fn pieces(tag: SpaceTag, bytes: Vec<u8>, cut: &Cut) -> Vec<Envelope> {
    let Ok(entry) = Entry::decode(bytes) else { return Vec::new() };
    let (hash, header, bytes) = (entry.hash(), entry.header(), entry.bytes());
    let there = cut.begun.get(&hash).and_then(|from| usize::try_from(*from).ok());
    let from = there.filter(|from| *from < bytes.len()).unwrap_or(0);
    let mut out: Vec<Envelope> = (from..bytes.len())
        .step_by(cut.part.max(1))
        .map(|at| {
            let piece = bytes.get(at..bytes.len().min(at + cut.part.max(1))).unwrap_or_default().to_vec();
            let (log, seq, whole) = (header.log, header.seq, bytes.len() as u64);
            Envelope::Piece(Piece { tag, log, seq, hash, from: at as u64, whole, bytes: piece })
        })
        .collect();
    if let Some(turn) = cut.turn {
        let first = (u64::from(turn) * out.len() as u64) >> 32;
        out.rotate_left(first as usize);
    }
    out
}

/// What is here of one entry.
#[derive(Debug)]
struct Incomplete {
    key: LogKey,
    seq: u64,
    hash: Hash,
    bytes: Vec<u8>,
    // What is lacking, from and to, rising.
    holes: Vec<(u64, u64)>,
}

impl Incomplete {
    // False if it would be in too many pieces.
    fn put(&mut self, from: u64, bytes: &[u8]) -> bool {
        let to = from + bytes.len() as u64;
        let mut holes = Vec::with_capacity(self.holes.len() + 1);
        for (start, end) in &self.holes {
            let parts = [(*start, (*end).min(from)), ((*start).max(to), *end)];
            holes.extend(parts.into_iter().filter(|(start, end)| start < end));
        }
        let place = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        let Some(target) = place.and_then(|(from, to)| self.bytes.get_mut(from..to)) else { return false };
        if holes.len() > HOLES {
            return false;
        }
        target.copy_from_slice(bytes);
        self.holes = holes;
        true
    }

    fn begun(&self) -> u64 {
        self.holes.first().map_or(self.bytes.len() as u64, |(start, _)| *start)
    }

    fn here(&self) -> u64 {
        let holes: u64 = self.holes.iter().map(|(start, end)| end - start).sum();
        self.bytes.len() as u64 - holes
    }
}

/// Entries of one peer that are here in part, the one that grew last at the end.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Vec<Incomplete>);

impl Pieces {
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|entry| entry.bytes.len()).sum()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn forget_space(&mut self, tag: &SpaceTag) {
        self.0.retain(|entry| entry.key.0 != *tag);
    }

    pub(crate) fn forget(&mut self, hash: &Hash) {
        self.0.retain(|entry| entry.hash != *hash);
    }

    // Puts a piece where it belongs.
    fn put(&mut self, piece: &Piece) -> Put {
        let place = self.0.iter().position(|entry| entry.hash == piece.hash);
        let mut entry = match place.map(|place| self.0.remove(place)) {
            Some(entry) if entry.bytes.len() as u64 == piece.whole => entry,
            _ => Incomplete {
                key: (piece.tag, piece.log),
                seq: piece.seq,
                hash: piece.hash,
                bytes: vec![0; usize::try_from(piece.whole).unwrap_or(0)],
                holes: vec![(0, piece.whole)],
            },
        };
        let before = entry.here();
        if !entry.put(piece.from, &piece.bytes) {
            return Put::Wrong;
        }
        if entry.holes.is_empty() {
            return Put::Whole(entry.bytes);
        }
        let (news, begun) = (entry.here() > before, entry.begun());
        self.0.push(entry);
        self.bound();
        if news { Put::News(begun) } else { Put::Known(begun) }
    }

    // Gives up that of which the least is here, as far as there is too much: what is nearly whole is not given
    // up for what begins, or on a link that loses some of each nothing would ever be whole.
    fn bound(&mut self) {
        while self.0.len() > 1 && (self.0.len() > ENTRIES || self.bytes() > limit::PIECES_BYTES) {
            let least = (0..self.0.len()).min_by_key(|n| self.0.get(*n).map(Incomplete::here));
            self.0.remove(least.unwrap_or(0));
        }
    }
}

// What a piece brought, and of an entry that is not whole yet, the bytes before its first hole.
enum Put {
    News(u64),
    Known(u64),
    Whole(Vec<u8>),
    Wrong,
}

impl Sync {
    /// A piece of an entry.
    pub(crate) fn on_piece(&mut self, now: u64, id: PeerId, piece: Piece, out: &mut Vec<Output>) {
        let (tag, hash) = (piece.tag, piece.hash);
        let key = (tag, piece.log);
        let wasted = (1024 + piece.bytes.len() as u64).div_ceil(4096);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let shared = peer.shared.contains(&tag);
        if !shared || self.spaces.log(&key).is_some_and(|log| log.knows(&(piece.seq, hash))) {
            peer.pieces.forget(&hash);
            if shared {
                self.owe_ack(now, Origin::Link(id), &key, 0);
            }
            self.charge(now, id, wasted, Offence::NoEntry, out);
            return;
        }
        let last = piece.from + piece.bytes.len() as u64 == piece.whole;
        let whole = match peer.pieces.put(&piece) {
            Put::Wrong => Vec::new(),
            Put::Whole(whole) => whole,
            Put::News(begun) | Put::Known(begun) if last => {
                // This was all of it, and something is lacking: from where on, whatever the sender believes.
                out.push(Output::Send { peer: id, envelope: Envelope::Begun { tag, hash, from: begun } });
                self.charge(now, id, 1, Offence::NoEntry, out);
                return;
            }
            Put::Known(_) => {
                self.charge(now, id, wasted, Offence::NoEntry, out);
                return;
            }
            Put::News(_) => {
                peer.fruitful = true;
                let gone = !peer.connected;
                self.still_coming(now, id, &key, piece.seq);
                if gone {
                    self.bound_partials();
                }
                return;
            }
        };
        // Somebody who makes up pieces is not told apart from a piece that went wrong: all of it comes anew.
        if Hash::of(&[&whole]) != hash {
            out.push(Output::Send { peer: id, envelope: Envelope::Begun { tag, hash, from: 0 } });
            self.charge(now, id, 500, Offence::NoEntry, out);
            return;
        }
        self.on_entries(now, id, vec![whole], out);
    }

    /// An entry is here now, whoever brought it.
    pub(crate) fn forget_pieces(&mut self, hash: &Hash) {
        for peer in self.peers.values_mut().filter(|peer| !peer.pieces.is_empty()) {
            peer.pieces.forget(hash);
        }
    }

    /// A peer tells how much it has of an entry that it was sent in pieces.
    pub(crate) fn on_begun(
        &mut self,
        now: u64,
        id: PeerId,
        (tag, hash): (SpaceTag, Hash),
        from: u64,
        out: &mut Vec<Output>,
    ) {
        if !self.charge(now, id, 3, Offence::Wants, out) {
            return;
        }
        // It comes before any announcement.
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.allowed.contains(&tag)) else { return };
        if from == 0 {
            peer.begun.remove(&hash);
        } else if peer.begun.len() < ENTRIES || peer.begun.contains_key(&hash) {
            // The last link brought it as far as that.
            peer.fruitful = true;
            peer.begun.insert(hash, from);
        }
    }

    /// A link is up again: where entries go on of which the last one brought a beginning.
    pub(crate) fn tell_begun(&mut self, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let spaces = &self.spaces;
        let here = |entry: &Incomplete| {
            spaces.log(&entry.key).is_some_and(|log| log.knows(&(entry.seq, entry.hash)))
        };
        let allowed = &peer.allowed;
        peer.pieces.0.retain(|entry| !here(entry) && allowed.contains(&entry.key.0));
        for entry in peer.pieces.0.iter().filter(|entry| entry.begun() > 0) {
            let (tag, hash, from) = (entry.key.0, entry.hash, entry.begun());
            out.push(Output::Send { peer: id, envelope: Envelope::Begun { tag, hash, from } });
        }
    }
}
