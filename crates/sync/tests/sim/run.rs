//! How the simulated world moves: events, wires, and what a node does with each output.

use super::{Event, Link, World};
use base::{DeviceId, Entry, Hash, LogId, SpaceTag};
use std::cmp::Reverse;
use sync::{Envelope, Input, Output};

impl World {
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(Reverse((at, serial))) = self.heap.peek().copied() {
            if at > end {
                break;
            }
            self.heap.pop();
            self.now = at;
            if let Some(event) = self.events.remove(&serial) {
                self.handle(event);
            }
        }
        self.now = end;
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

    pub fn equal(&self, members: &[usize], tag: SpaceTag) -> bool {
        let of = |i: usize| self.nodes[i].durable.keys().filter(move |k| k.0 == tag);
        members.iter().all(|i| of(*i).eq(of(members[0])))
    }

    pub fn count(&self, i: usize) -> usize {
        self.nodes[i].durable.len()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, session, bytes } => {
                if self.links.get(&(from, to)).is_some_and(|(_, s)| *s == session) && self.nodes[to].up {
                    let envelope = Envelope::decode(&bytes).expect("what a node sends decodes");
                    self.tally(&envelope, to);
                    if self.nodes[to].puppet {
                        self.nodes[to].inbox.push(envelope);
                        return;
                    }
                    let peer = self.nodes[from].id;
                    self.step(to, Input::Received { peer, envelope });
                }
            }
            Event::Gossip { from, to, tag, bytes } => self.gossip_arrives(from, to, tag, bytes),
            Event::Wake { node } => {
                if self.nodes[node].up && self.nodes[node].wake.is_some_and(|at| at <= self.now) {
                    self.nodes[node].wake = None;
                    self.step(node, Input::Tick);
                }
            }
            Event::Durable { node, life, entry, from } => self.becomes_durable(node, life, entry, from),
            Event::Drained { node, to } => {
                let (peer, queued) = (self.nodes[to].id, self.queued(node, to));
                if self.nodes[node].up && self.links.contains_key(&(node, to)) {
                    self.step(node, Input::Drained { peer, queued });
                }
            }
        }
    }

    fn tally(&mut self, envelope: &Envelope, to: usize) {
        if let Envelope::Entries(list) = envelope {
            for bytes in list {
                let node = &self.nodes[to];
                let hash = Hash::of(&[bytes]);
                self.counts.entries_in += 1;
                if node.hashes.contains(&hash) || node.volatile.contains_key(&hash) {
                    self.counts.duplicates += 1;
                }
            }
        }
    }

    fn becomes_durable(&mut self, i: usize, life: u64, entry: Entry, _from: Option<DeviceId>) {
        let node = &mut self.nodes[i];
        if !node.up || node.life != life {
            return;
        }
        node.volatile.remove(&entry.hash());
        node.hashes.insert(entry.hash());
        let header = entry.header();
        node.durable.insert((header.tag, header.log, header.seq, entry.hash()), entry.clone());
        let input = Input::Stored {
            tag: header.tag,
            log: header.log,
            seq: header.seq,
            hash: entry.hash(),
            prev: header.prev,
            bytes: entry.bytes().len(),
        };
        self.step(i, input);
    }

    fn gossip_arrives(&mut self, from: usize, to: usize, tag: SpaceTag, bytes: Vec<u8>) {
        let hash = Hash::of(&[&bytes]);
        if !self.nodes[to].up
            || !self.links.contains_key(&(from, to))
            || !self.nodes[to].seen_gossip.insert(hash)
        {
            return;
        }
        self.spread(to, Some(from), tag, &bytes);
        let envelope = Envelope::decode(&bytes).unwrap();
        let (via, tag) = (self.nodes[from].id, tag);
        self.step(to, Input::Gossip { via, tag, envelope });
    }

    // Everybody passes gossip on to everybody it is connected with.
    pub fn spread(&mut self, i: usize, except: Option<usize>, tag: SpaceTag, bytes: &[u8]) {
        let targets: Vec<(usize, Link)> = self
            .links
            .iter()
            .filter(|((a, b), _)| *a == i && Some(*b) != except)
            .map(|((_, b), (l, _))| (*b, *l))
            .collect();
        for (to, link) in targets {
            if self.below(1000) < link.loss || self.one_way.contains(&(i, to)) {
                continue;
            }
            self.counts.gossip_bytes += bytes.len() as u64;
            let at = self.now + link.latency;
            self.schedule(at, Event::Gossip { from: i, to, tag, bytes: bytes.to_vec() });
        }
    }

    pub fn step(&mut self, i: usize, input: Input) {
        if self.nodes[i].puppet {
            return;
        }
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.steps += 1;
            self.nodes[i].sync.step(self.now, input, &mut out);
            for output in out {
                self.fold(i, &output);
                if let Some(answer) = self.perform(i, output) {
                    inputs.insert(0, answer);
                }
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

    // FNV-1a over everything that was ever put out.
    fn fold(&mut self, i: usize, output: &Output) {
        for byte in format!("{} {i} {output:?}", self.now).bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn index(&self, id: &DeviceId) -> usize {
        self.nodes.iter().position(|n| n.id == *id).unwrap()
    }

    fn perform(&mut self, i: usize, output: Output) -> Option<Input> {
        match output {
            Output::Send { peer, envelope } => {
                let to = self.index(&peer);
                self.send(i, to, &envelope);
            }
            Output::SendEntries { peer, job, tag, log, from, to, budget } => {
                return Some(self.load(i, peer, job, (tag, log), from..=to, budget));
            }
            Output::SendEntry { peer, job, tag, hash } => {
                let found = self.nodes[i].durable.iter().find(|(k, _)| k.0 == tag && k.3 == hash);
                let bytes: Vec<Vec<u8>> = found.map(|(_, e)| e.bytes().to_vec()).into_iter().collect();
                let sent = bytes.iter().map(Vec::len).sum();
                let to = self.index(&peer);
                self.send(i, to, &Envelope::Entries(bytes));
                let queued = self.queued(i, to);
                return Some(Input::Sent { peer, job, next: 0, bytes: sent, queued });
            }
            Output::SendChunk { peer, job, tag, id } => {
                let bytes = self.nodes[i].chunks.get(&id).cloned();
                let sent = bytes.as_ref().map_or(0, Vec::len);
                let to = self.index(&peer);
                self.send(i, to, &Envelope::Chunk { tag, id, bytes });
                let queued = self.queued(i, to);
                return Some(Input::Sent { peer, job, next: 0, bytes: sent, queued });
            }
            Output::Deliver { from, tag, entry } => return self.judge(i, from, tag, entry),
            Output::DeliverChunk { tag, id, bytes, .. } => {
                if Hash::of(&[&bytes]).0 != id.0 {
                    return Some(Input::ChunkFailed { tag, id });
                }
                self.nodes[i].chunks.insert(id, bytes);
                self.nodes[i].fetched.push(id);
                return Some(Input::ChunkStored { tag, id });
            }
            Output::List { job, tag, log, top } => {
                let (low, high) = ((tag, log, 0, Hash([0; 32])), (tag, log, top, Hash([255; 32])));
                let entries = self.nodes[i].durable.range(low..=high).map(|(k, _)| (k.2, k.3)).collect();
                return Some(Input::Listed { job, entries: Some(entries) });
            }
            // Nothing is durable here before its predecessor.
            Output::Keep { .. } => {}
            Output::ChunkAbsent { id, .. } => self.nodes[i].absent.push(id),
            Output::Gossip { tag, log, seq, hash, announcement } => {
                let envelope = announcement.unwrap_or_else(|| {
                    let entry = &self.nodes[i].durable[&(tag, log, seq, hash)];
                    Envelope::Entries(vec![entry.bytes().to_vec()])
                });
                let bytes = envelope.encode();
                self.nodes[i].seen_gossip.insert(Hash::of(&[&bytes]));
                self.spread(i, None, tag, &bytes);
            }
            Output::Synced { .. } => self.nodes[i].synced += 1,
            Output::Misbehaved { peer, why } => self.nodes[i].misbehaved.push((peer, why)),
            Output::Offer { .. } | Output::Addr { .. } => {}
        }
        None
    }

    // What the node's verifying and storing answers. A body that begins with 255 is invalid.
    fn judge(&mut self, i: usize, from: Option<DeviceId>, tag: SpaceTag, entry: Entry) -> Option<Input> {
        let node = &mut self.nodes[i];
        let (log, seq, hash) = (entry.header().log, entry.header().seq, entry.hash());
        if entry.body().starts_with(&[255; 8]) {
            return Some(Input::Refused { tag, log, seq, hash });
        }
        if node.unknown_authors.contains(&log.device) {
            return Some(Input::Waits { from, tag, entry });
        }
        if node.hashes.contains(&hash) {
            return Some(Input::Known { tag, log, seq, hash });
        }
        if let Some(prev) = entry.header().prev
            && !node.hashes.contains(&prev)
            && !node.volatile.contains_key(&prev)
        {
            return Some(Input::Missing { from, tag, entry });
        }
        node.volatile.insert(hash, entry.clone());
        let (life, at) = (node.life, self.now + self.store_delay);
        self.schedule(at, Event::Durable { node: i, life, entry, from });
        None
    }

    fn load(
        &mut self,
        i: usize,
        peer: DeviceId,
        job: u64,
        (tag, log): (SpaceTag, LogId),
        range: std::ops::RangeInclusive<u64>,
        budget: usize,
    ) -> Input {
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
        let to = self.index(&peer);
        if !batch.is_empty() {
            self.send(i, to, &Envelope::Entries(batch));
        }
        Input::Sent { peer, job, next, bytes, queued: self.queued(i, to) }
    }

    fn queued(&self, i: usize, to: usize) -> usize {
        let Some((link, _)) = self.links.get(&(i, to)) else { return 0 };
        let busy = self.busy.get(&(i, to)).copied().unwrap_or(0);
        usize::try_from(busy.saturating_sub(self.now) * link.bandwidth).unwrap()
    }

    /// Puts an envelope on the wire.
    pub fn send(&mut self, i: usize, to: usize, envelope: &Envelope) {
        let Some((link, session)) = self.links.get(&(i, to)).copied() else { return };
        let bytes = envelope.encode();
        *self.counts.envelopes.entry(envelope.word()).or_default() += 1;
        *self.counts.bytes.entry(envelope.word()).or_default() += bytes.len() as u64;
        let busy = self.busy.entry((i, to)).or_insert(0);
        *busy = (*busy).max(self.now) + bytes.len() as u64 / link.bandwidth;
        let at = *busy + link.latency;
        let queued = self.queued(i, to);
        if queued > 100_000 {
            let half = self.now + queued as u64 / 2 / link.bandwidth;
            self.schedule(half, Event::Drained { node: i, to });
        }
        let lost = self.below(1000) < link.loss || self.one_way.contains(&(i, to));
        if !lost {
            self.schedule(at, Event::Arrive { from: i, to, session, bytes });
        }
    }
}
