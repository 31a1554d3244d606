//! Fetching sealed chunks: in the order the reader needs them, from all peers of the space at
//! once, a few at a time from each. A large one comes in parts, so that a link that breaks in the middle of it goes on
//! there the next time, and one that is slow is known to be alive.

use crate::envelope::{Envelope, Part, Want};
use crate::io::{Offence, Output, PeerId};
use crate::machine::Sync;
use crate::peer::Partial;
use base::{ChunkId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};

type ChunkKey = (SpaceTag, ChunkId);

/// Milliseconds after which a chunk that nobody had is asked for again.
const RETRY: u64 = 30_000;
/// Milliseconds without any chunk from a peer after which its chunks are asked of others.
const SILENCE: u64 = 20_000;

/// What to send of a chunk from a place on: that it is not here; or the whole of it; or parts of so many bytes.
pub fn chunk_envelopes(
    tag: SpaceTag,
    id: ChunkId,
    bytes: Option<Vec<u8>>,
    from: u64,
    part: usize,
) -> impl Iterator<Item = Envelope> {
    let size = part.max(1);
    let whole = bytes.as_ref().map_or(0, Vec::len);
    // Whoever has more of it than there is begins anew.
    let from = usize::try_from(from).ok().filter(|from| *from < whole).unwrap_or(0);
    let in_parts = whole - from > size || from > 0;
    let (parts, one) = match bytes {
        Some(bytes) if in_parts => (bytes, None),
        bytes => (Vec::new(), Some(Envelope::Chunk { tag, id, bytes })),
    };
    let starts = (from..parts.len()).step_by(size);
    let part = move |start: usize| {
        let piece = parts.get(start..parts.len().min(start + size)).unwrap_or_default().to_vec();
        Envelope::Part(Part { tag, id, from: start as u64, whole: whole as u64, bytes: piece })
    };
    one.into_iter().chain(starts.map(part))
}

#[derive(Debug)]
struct Wanted {
    order: u64,
    // Peers that do not have it, or sent something else under its name.
    tried: BTreeSet<PeerId>,
    told_absent: bool,
}

/// The chunks that are wanted, and where they come from.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    wanted: BTreeMap<ChunkKey, Wanted>,
    // Those that nobody has been asked for, in order.
    open: BTreeMap<u64, ChunkKey>,
    // Delivered to the node: who sent it.
    delivered: BTreeMap<ChunkKey, PeerId>,
    counter: u64,
    retry_at: Option<u64>,
}

impl Chunks {
    pub(crate) fn next_wake(&self) -> Option<u64> {
        self.retry_at
    }

    pub(crate) fn drop_space(&mut self, tag: &SpaceTag) {
        self.wanted.retain(|key, _| key.0 != *tag);
        self.open.retain(|_, key| key.0 != *tag);
        self.delivered.retain(|key, _| key.0 != *tag);
    }

    fn reopen(&mut self, key: ChunkKey, tried: Option<PeerId>) {
        if let Some(wanted) = self.wanted.get_mut(&key) {
            wanted.tried.extend(tried);
            self.open.insert(wanted.order, key);
        }
    }
}

impl Sync {
    pub(crate) fn on_chunks_wanted(
        &mut self,
        now: u64,
        tag: SpaceTag,
        ids: Vec<ChunkId>,
        out: &mut Vec<Output>,
    ) {
        for id in ids {
            let chunks = &mut self.chunks;
            if !chunks.wanted.contains_key(&(tag, id)) && !chunks.delivered.contains_key(&(tag, id)) {
                chunks.counter += 1;
                let order = chunks.counter;
                chunks.wanted.insert((tag, id), Wanted { order, tried: BTreeSet::new(), told_absent: false });
                chunks.open.insert(order, (tag, id));
            }
        }
        self.ask_chunks(now, out);
    }

    pub(crate) fn on_chunks_unwanted(&mut self, tag: SpaceTag, ids: &[ChunkId]) {
        for id in ids {
            if let Some(wanted) = self.chunks.wanted.remove(&(tag, *id)) {
                self.chunks.open.remove(&wanted.order);
            }
            // One that is being judged may be wanted again later, and then is asked for anew.
            self.chunks.delivered.remove(&(tag, *id));
        }
    }

    // Fills the asks of every peer, and says what none of them has.
    fn ask_chunks(&mut self, now: u64, out: &mut Vec<Output>) {
        let ids: Vec<PeerId> = self.peers.iter().filter(|(_, p)| p.connected).map(|(id, _)| *id).collect();
        for id in &ids {
            self.ask_chunks_of(now, *id, out);
        }
        let mut absent = Vec::new();
        for key in self.chunks.open.values() {
            let Some(wanted) = self.chunks.wanted.get_mut(key) else { continue };
            let may = |id: &&PeerId| {
                !wanted.tried.contains(id) && self.peers.get(id).is_some_and(|p| p.shared.contains(&key.0))
            };
            if !ids.iter().any(|id| may(&id)) && !wanted.told_absent {
                absent.push(*key);
            }
        }
        for key in absent {
            if let Some(wanted) = self.chunks.wanted.get_mut(&key) {
                wanted.told_absent = true;
            }
            out.push(Output::ChunkAbsent { tag: key.0, id: key.1 });
        }
        let waiting =
            !self.chunks.open.is_empty() || self.peers.values().any(|peer| !peer.chunk_asks.is_empty());
        let retry = self.chunks.retry_at.unwrap_or(now + RETRY);
        self.chunks.retry_at = waiting.then_some(retry);
    }

    fn ask_chunks_of(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let room = self.config.chunk_asks.saturating_sub(peer.chunk_asks.len());
        // Half a window at a time: a request for each chunk would cost as much as it brings.
        if room * 2 < self.config.chunk_asks || room == 0 {
            return;
        }
        let chunks = &mut self.chunks;
        let suits = |key: &ChunkKey| {
            peer.shared.contains(&key.0) && chunks.wanted.get(key).is_some_and(|w| !w.tried.contains(&id))
        };
        // What it has begun to send comes first, and goes on where it was left.
        let begun = peer.partial.as_ref().filter(|begun| suits(&begun.key));
        let begun = begun.and_then(|begun| {
            let order = chunks.wanted.get(&begun.key)?.order;
            chunks.open.contains_key(&order).then_some((order, begun.key, begun.bytes.len() as u64))
        });
        let first = begun.map(|(order, key, _)| (order, key));
        let others = chunks.open.iter().filter(|(_, key)| suits(key)).map(|(order, key)| (*order, *key));
        let others = others.filter(|picked| Some(*picked) != first);
        let list: Vec<(u64, ChunkKey)> = first.into_iter().chain(others).take(room).collect();
        if list.is_empty() {
            return;
        }
        for (order, key) in &list {
            chunks.open.remove(order);
            peer.chunk_asks.insert(*key, now);
        }
        if let Some((_, (tag, chunk), from)) = begun {
            out.push(Output::Send { peer: id, envelope: Envelope::Rest { tag, id: chunk, from } });
        }
        let whole = list.into_iter().map(|(_, key)| key).skip(usize::from(begun.is_some()));
        let want = Want { chunks: whole.collect(), ..Want::default() };
        if !want.is_empty() {
            out.push(Output::Send { peer: id, envelope: Envelope::Want(want) });
        }
    }

    /// A part of a chunk: those of one chunk come in order, and not between those of another.
    pub(crate) fn on_part(&mut self, now: u64, from: PeerId, part: Part, out: &mut Vec<Output>) {
        let key = (part.tag, part.id);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if !peer.chunk_asks.contains_key(&key) {
            self.charge(now, from, 10 + part.bytes.len() as u64 / 1024, Offence::Unasked, out);
            return;
        }
        // The others are on their way as well.
        peer.chunk_asks.values_mut().for_each(|at| *at = now);
        let size = part.bytes.len() as u64;
        match &mut peer.partial {
            Some(begun) if begun.key == key && begun.whole == part.whole && begun.end() == part.from => {
                begun.bytes.extend(part.bytes);
            }
            _ if part.from == 0 => {
                peer.partial = Some(Partial { key, whole: part.whole, bytes: part.bytes });
            }
            // It goes on with something that was never begun: all of it is asked for again.
            _ => {
                peer.partial = None;
                peer.chunk_asks.remove(&key);
                self.chunks.reopen(key, None);
                self.charge(now, from, 200 + size / 1024, Offence::Unasked, out);
                self.ask_chunks(now, out);
                return;
            }
        }
        peer.fruitful = true;
        if let Some(all) = peer.partial.take_if(|begun| begun.end() == begun.whole) {
            self.on_chunk(now, from, part.tag, part.id, Some(all.bytes), out);
        }
    }

    pub(crate) fn on_chunk(
        &mut self,
        now: u64,
        from: PeerId,
        tag: SpaceTag,
        id: ChunkId,
        bytes: Option<Vec<u8>>,
        out: &mut Vec<Output>,
    ) {
        let key = (tag, id);
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if peer.chunk_asks.remove(&key).is_none() {
            let size = bytes.map_or(0, |bytes| bytes.len() as u64);
            self.charge(now, from, 10 + size / 1024, Offence::Unasked, out);
            return;
        }
        // The others are on their way as well.
        for at in peer.chunk_asks.values_mut() {
            *at = now;
        }
        match bytes {
            None => {
                self.chunks.reopen(key, Some(from));
                self.ask_chunks(now, out);
            }
            Some(bytes) => {
                if self.chunks.wanted.contains_key(&key) {
                    self.chunks.delivered.insert(key, from);
                    out.push(Output::DeliverChunk { from, tag, id, bytes });
                }
                self.ask_chunks_of(now, from, out);
            }
        }
    }

    pub(crate) fn on_chunk_stored(&mut self, now: u64, tag: SpaceTag, id: ChunkId) {
        if let Some(wanted) = self.chunks.wanted.remove(&(tag, id)) {
            self.chunks.open.remove(&wanted.order);
        }
        let Some(from) = self.chunks.delivered.remove(&(tag, id)) else { return };
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.fruitful = true;
        if peer.connected {
            peer.chunk_acks.push((tag, id));
            peer.ack_at = Some(peer.ack_at.unwrap_or(u64::MAX).min(now + self.config.ack_after));
        }
    }

    pub(crate) fn on_chunk_failed(&mut self, now: u64, tag: SpaceTag, id: ChunkId, out: &mut Vec<Output>) {
        if let Some(from) = self.chunks.delivered.remove(&(tag, id)) {
            self.chunks.reopen((tag, id), Some(from));
            self.charge(now, from, 2_000, Offence::Refused, out);
            self.ask_chunks(now, out);
        }
    }

    /// A peer that may have chunks has come: what nobody had is worth another try.
    pub(crate) fn chunks_on_connected(&mut self, now: u64, id: PeerId, out: &mut Vec<Output>) {
        if self.chunks.wanted.is_empty() {
            return;
        }
        for wanted in self.chunks.wanted.values_mut() {
            wanted.tried.remove(&id);
            wanted.told_absent = false;
        }
        self.ask_chunks(now, out);
    }

    pub(crate) fn chunks_on_disconnected(&mut self, now: u64, asked: Vec<ChunkKey>, out: &mut Vec<Output>) {
        for key in asked {
            self.chunks.reopen(key, None);
        }
        if !self.chunks.wanted.is_empty() {
            self.ask_chunks(now, out);
        }
    }

    pub(crate) fn retry_chunks(&mut self, now: u64, out: &mut Vec<Output>) {
        self.chunks.retry_at = None;
        for peer in self.peers.values_mut() {
            let late: Vec<ChunkKey> = peer
                .chunk_asks
                .iter()
                .filter(|(_, at)| now.saturating_sub(**at) >= SILENCE)
                .map(|(key, _)| *key)
                .collect();
            for key in late {
                peer.chunk_asks.remove(&key);
                self.chunks.reopen(key, None);
            }
        }
        for wanted in self.chunks.wanted.values_mut() {
            wanted.tried.clear();
        }
        self.ask_chunks(now, out);
    }
}

impl Partial {
    fn end(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Sync {
    /// What is kept of chunks and entries that came in part from peers who are gone has a bound: of those that went first,
    /// it is given up first.
    pub(crate) fn bound_partials(&mut self) {
        let mut kept: Vec<(Option<u64>, PeerId, usize)> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.connected)
            .map(|(id, peer)| {
                let chunk = peer.partial.as_ref().map_or(0, |begun| begun.bytes.len());
                (peer.heard_at, *id, chunk + peer.pieces.bytes())
            })
            .filter(|(_, _, bytes)| *bytes > 0)
            .collect();
        kept.sort();
        let mut sum: usize = kept.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, id, bytes) in kept {
            if sum <= limit::PARTIAL_BYTES {
                break;
            }
            sum -= bytes;
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.partial = None;
                peer.pieces.clear();
            }
        }
    }
}
