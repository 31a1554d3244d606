//! How the simulated world moves: events, and what a node does with each output.

use crate::wire::Link;
use crate::world::World;
use base::{DeviceId, Entry, Hash, LogId, SpaceTag};
use std::cmp::Ordering;
use std::rc::Rc;
use sync::{Envelope, Input, Output};

/// Something that will happen.
pub(crate) enum Event {
    Arrive { from: usize, to: usize, session: u64, left: u64, bytes: Vec<u8> },
    Gossip { from: usize, to: usize, tag: SpaceTag, bytes: Rc<[u8]> },
    Wake { node: usize },
    // In a box: the heap moves events about.
    Durable { node: usize, life: u64, entry: Box<Entry> },
    Drained { node: usize, to: usize, session: u64 },
    Break { a: usize, b: usize, session: u64 },
    Link { a: usize, b: usize, link: Option<Link> },
    Play { what: usize },
}

/// When, and after what else of that moment.
pub(crate) struct Timed {
    pub(crate) at: u64,
    pub(crate) serial: u64,
    pub(crate) event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        (self.at, self.serial) == (other.at, other.serial)
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    // The earliest is the greatest: a heap gives the greatest first.
    fn cmp(&self, other: &Timed) -> Ordering {
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl World {
    /// Lets time pass.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(what) = self.run_to_play(end) {
            debug_assert!(what == usize::MAX, "a scenario's own event outside of it");
        }
    }

    /// Lets time pass until `end`, or the next event that is the scenario's own.
    pub(crate) fn run_to_play(&mut self, end: u64) -> Option<usize> {
        while self.heap.peek().is_some_and(|next| next.at <= end) {
            let Some(Timed { at, event, .. }) = self.heap.pop() else { break };
            self.now = at;
            if let Event::Play { what } = event {
                return Some(what);
            }
            self.handle(event);
        }
        self.now = end;
        None
    }

    /// Runs until `done`, at most `ms`; how long it took, or none.
    pub fn run_until(&mut self, ms: u64, done: impl Fn(&World) -> bool) -> Option<u64> {
        let start = self.now;
        while self.now < start + ms {
            if done(self) {
                return Some(self.now - start);
            }
            self.run_for(10);
        }
        done(self).then_some(self.now - start)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, session, left, bytes } => {
                if self.gets_through(from, to, session, left) {
                    self.arrives(from, to, &bytes);
                }
            }
            Event::Gossip { from, to, tag, bytes } => self.gossip_arrives(from, to, tag, bytes),
            Event::Wake { node } => {
                if self.nodes[node].up && self.nodes[node].wake.is_some_and(|at| at <= self.now) {
                    self.nodes[node].wake = None;
                    self.step(node, Input::Tick);
                }
            }
            Event::Durable { node, life, entry } => self.becomes_durable(node, life, *entry),
            Event::Drained { node, to, session } => {
                if self.nodes[node].up && self.links[node].get(&to).is_some_and(|w| w.session == session) {
                    let (peer, queued) = (self.nodes[to].id, self.queued(node, to));
                    self.step(node, Input::Drained { peer, queued });
                }
            }
            Event::Break { a, b, session } => {
                if let Some(wire) = self.links[a].get(&b).filter(|wire| wire.session == session) {
                    let link = wire.link;
                    self.cut(a, b);
                    self.broke(a, b, link);
                }
            }
            Event::Link { a, b, link: Some(link) } => {
                self.connect(a, b, link);
                self.next_break(a, b);
            }
            Event::Link { a, b, link: None } => self.cut(a, b),
            Event::Play { .. } => {}
        }
    }

    fn arrives(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let envelope = Envelope::decode(bytes).expect("what a node sends decodes");
        self.tally(&envelope, to);
        self.audit_arrived(from, to, &envelope);
        if self.nodes[to].puppet {
            self.nodes[to].inbox.push(envelope);
            return;
        }
        let peer = self.nodes[from].id;
        self.step(to, Input::Received { peer, envelope });
    }

    pub(crate) fn tally(&mut self, envelope: &Envelope, to: usize) {
        let hashes: Vec<Hash> = match envelope {
            Envelope::Entries(list) => list.iter().map(|bytes| Hash::of(&[bytes])).collect(),
            // It came with its end.
            Envelope::Piece(piece) if piece.from + piece.bytes.len() as u64 == piece.whole => {
                vec![piece.hash]
            }
            _ => Vec::new(),
        };
        for hash in hashes {
            self.counts.entries_in += 1;
            self.counts.duplicates += u64::from(self.nodes[to].has(&hash));
        }
    }

    fn becomes_durable(&mut self, i: usize, life: u64, entry: Entry) {
        let node = &mut self.nodes[i];
        if !node.up || node.life != life {
            return;
        }
        let hash = entry.hash();
        node.volatile.remove(&hash);
        node.hashes.insert(hash);
        let header = entry.header();
        node.durable.insert((header.tag, header.log, header.seq, hash), entry.clone());
        node.early.remove(&(header.tag, header.log, header.seq, hash));
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.entry(hash).or_default().insert(i, self.now);
        }
        let input = Input::Stored {
            tag: header.tag,
            log: header.log,
            seq: header.seq,
            hash,
            prev: header.prev,
            bytes: entry.bytes().len(),
        };
        self.step(i, input);
    }

    /// Gives a node's machine something, and does what it says.
    pub fn step(&mut self, i: usize, input: Input) {
        if self.nodes[i].puppet {
            return;
        }
        let mut inputs = std::collections::VecDeque::from([input]);
        let mut out = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.steps += 1;
            self.nodes[i].sync.step(self.now, input, &mut out);
            for output in out.drain(..) {
                inputs.extend(self.perform(i, output));
            }
        }
        let wake = self.nodes[i].sync.next_wake();
        if let Some(at) = wake
            && self.nodes[i].wake.is_none_or(|set| at < set)
        {
            self.nodes[i].wake = Some(at);
            self.schedule(at, Event::Wake { node: i });
        }
    }

    // FNV-1a, by words.
    fn fold(&mut self, words: &[u64]) {
        for word in words {
            self.trace = (self.trace ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
    }

    pub(crate) fn fold_bytes(&mut self, bytes: &[u8]) {
        self.fold(&[self.now, bytes.len() as u64]);
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.fold(&[u64::from_le_bytes(word)]);
        }
    }

    fn fold_hash(&mut self, i: usize, hash: &[u8; 32]) {
        self.fold(&[i as u64]);
        self.fold_bytes(hash);
    }

    pub(crate) fn index(&self, id: &DeviceId) -> usize {
        self.by_device.get(id).copied().expect("a node of this world")
    }

    fn perform(&mut self, i: usize, output: Output) -> Option<Input> {
        match output {
            Output::Send { peer, envelope } => {
                let to = self.index(&peer);
                self.fold(&[i as u64, to as u64]);
                self.send(i, to, &envelope);
            }
            Output::SendEntries { peer, job, tag, log, from, to, budget, cut } => {
                self.fold(&[i as u64, job, from, to, budget as u64]);
                let (entries, next) = self.load(i, (tag, log), from..=to, budget);
                let to = self.index(&peer);
                let bytes = entries.iter().map(Vec::len).sum();
                for envelope in sync::entry_envelopes(tag, entries, &cut) {
                    self.send(i, to, &envelope);
                }
                return Some(Input::Sent { peer, job, next, bytes, queued: self.queued(i, to) });
            }
            Output::SendEntry { peer, job, tag, hash, cut } => {
                self.fold_hash(i, &hash.0);
                let found = self.nodes[i].durable.iter().find(|(k, _)| k.0 == tag && k.3 == hash);
                let bytes: Vec<Vec<u8>> = found.map(|(_, e)| e.bytes().to_vec()).into_iter().collect();
                let sent = bytes.iter().map(Vec::len).sum();
                let to = self.index(&peer);
                if bytes.is_empty() {
                    let hashes = vec![(tag, hash)];
                    self.send(i, to, &Envelope::Absent { ranges: Vec::new(), hashes });
                }
                for envelope in sync::entry_envelopes(tag, bytes, &cut) {
                    self.send(i, to, &envelope);
                }
                return Some(Input::Sent { peer, job, next: 0, bytes: sent, queued: self.queued(i, to) });
            }
            Output::SendChunk { peer, job, tag, id, from, part } => {
                self.fold_hash(i, &id.0);
                let bytes = self.nodes[i].chunks.get(&id).map(crate::node::Chunk::bytes);
                let to = self.index(&peer);
                let mut sent = 0;
                for envelope in sync::chunk_envelopes(tag, id, bytes, from, part) {
                    sent += envelope.payload();
                    self.send(i, to, &envelope);
                }
                return Some(Input::Sent { peer, job, next: 0, bytes: sent, queued: self.queued(i, to) });
            }
            Output::Deliver { from, tag, entry } => {
                self.fold_hash(i, &entry.hash().0);
                return self.judge(i, from, tag, entry);
            }
            Output::DeliverChunk { tag, id, bytes, .. } => {
                self.fold_hash(i, &id.0);
                return Some(self.take_chunk(i, tag, id, bytes));
            }
            Output::ChunkAbsent { id, .. } => self.nodes[i].absent.push(id),
            Output::List { job, tag, log, top } => {
                self.fold(&[i as u64, job, top]);
                let (low, high) = ((tag, log, 0, Hash([0; 32])), (tag, log, top, Hash([255; 32])));
                let entries = self.nodes[i].durable.range(low..=high).map(|(k, _)| (k.2, k.3)).collect();
                return Some(Input::Listed { job, entries: Some(entries) });
            }
            Output::Keep { tag, entry } => {
                let kept = self.nodes[i].keep_early(tag, &entry);
                return kept.then_some(Input::Kept { tag, entry });
            }
            Output::Gossip { tag, log, seq, hash, announcement } => {
                self.fold_hash(i, &hash.0);
                let envelope = announcement.unwrap_or_else(|| {
                    let entry = &self.nodes[i].durable[&(tag, log, seq, hash)];
                    Envelope::Entries(vec![entry.bytes().to_vec()])
                });
                let bytes: Rc<[u8]> = envelope.encode().into();
                self.nodes[i].seen_gossip.insert(Hash::of(&[&bytes]));
                self.spread(i, None, tag, &bytes);
            }
            Output::Synced { .. } => self.nodes[i].synced += 1,
            Output::Misbehaved { peer, why } => self.nodes[i].misbehaved.push((peer, why)),
            Output::Offer { .. } | Output::Addr { .. } => {}
        }
        None
    }

    fn take_chunk(&mut self, i: usize, tag: SpaceTag, id: base::ChunkId, bytes: Vec<u8>) -> Input {
        if Hash::of(&[&bytes]).0 != id.0 {
            return Input::ChunkFailed { tag, id };
        }
        // What another holds as a number is kept as that number here.
        let made = self.nodes.iter().filter_map(|n| n.chunks.get(&id)).next().cloned();
        let chunk = match made {
            Some(made @ crate::node::Chunk::Made { .. }) => made,
            _ => crate::node::Chunk::Bytes(bytes),
        };
        self.nodes[i].chunks.insert(id, chunk);
        self.nodes[i].fetched.push(id);
        Input::ChunkStored { tag, id }
    }

    // What the node's verifying and storing answers. A body that begins with 255 is invalid.
    fn judge(&mut self, i: usize, from: Option<DeviceId>, tag: SpaceTag, entry: Entry) -> Option<Input> {
        let node = &mut self.nodes[i];
        let (log, seq, hash) = (entry.header().log, entry.header().seq, entry.hash());
        if !node.blind && entry.body().starts_with(&[255; 8]) {
            return Some(Input::Refused { tag, log, seq, hash });
        }
        if node.unknown_authors.contains(&log.device) {
            return Some(Input::Waits { from, tag, entry });
        }
        if node.hashes.contains(&hash) {
            return Some(Input::Known { tag, log, seq, hash });
        }
        if let Some(prev) = entry.header().prev
            && !node.has(&prev)
        {
            return Some(Input::Missing { from, tag, entry });
        }
        node.volatile.insert(hash, entry.clone());
        let (life, at) = (node.life, self.now + self.store_delay);
        self.schedule(at, Event::Durable { node: i, life, entry: Box::new(entry) });
        None
    }

    // Entries of a run up to a budget, and the first place that is not among them.
    fn load(
        &self,
        i: usize,
        (tag, log): (SpaceTag, LogId),
        range: std::ops::RangeInclusive<u64>,
        budget: usize,
    ) -> (Vec<Vec<u8>>, u64) {
        let (low, high) =
            ((tag, log, *range.start(), Hash([0; 32])), (tag, log, *range.end(), Hash([255; 32])));
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = *range.start();
        for (key, entry) in self.nodes[i].durable.range(low..=high) {
            if bytes >= budget && key.2 >= next {
                break;
            }
            bytes += entry.bytes().len();
            batch.push(entry.bytes().to_vec());
            next = key.2 + 1;
        }
        if bytes < budget {
            next = range.end() + 1;
        }
        (batch, next)
    }
}
