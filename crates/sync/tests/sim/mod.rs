//! A seeded discrete-event simulator: nodes around `sync::Sync`, links with latency, loss,
//! bandwidth and contact, a store that is durable a moment later. Same seed, same trace.

#![allow(dead_code, unreachable_pub)]

mod run;

use base::{ChunkId, DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use sync::{Config, Envelope, Input, Sync, Tips};

pub const TAG: SpaceTag = SpaceTag([7; 16]);

type Key = (SpaceTag, LogId, u64, Hash);

/// How a link behaves, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Milliseconds one way.
    pub latency: u64,
    /// Envelopes lost, in thousandths.
    pub loss: u64,
    /// Bytes a millisecond.
    pub bandwidth: u64,
}

impl Link {
    pub const LAN: Link = Link { latency: 1, loss: 0, bandwidth: 50_000 };
    pub const WAN: Link = Link { latency: 40, loss: 0, bandwidth: 2_000 };
}

#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub envelopes: BTreeMap<&'static str, u64>,
    pub bytes: BTreeMap<&'static str, u64>,
    pub gossip_bytes: u64,
    pub entries_in: u64,
    pub duplicates: u64,
}

impl Counts {
    pub fn total(&self) -> u64 {
        self.envelopes.values().sum()
    }

    pub fn total_bytes(&self) -> u64 {
        self.bytes.values().sum::<u64>() + self.gossip_bytes
    }
}

pub struct SimNode {
    pub id: DeviceId,
    pub sync: Sync,
    pub tags: BTreeSet<SpaceTag>,
    pub friends: BTreeSet<usize>,
    pub durable: BTreeMap<Key, Entry>,
    pub hashes: BTreeSet<Hash>,
    pub chunks: BTreeMap<ChunkId, Vec<u8>>,
    pub fetched: Vec<ChunkId>,
    pub absent: Vec<ChunkId>,
    pub misbehaved: Vec<(DeviceId, sync::Offence)>,
    pub synced: u64,
    volatile: BTreeMap<Hash, Entry>,
    heads: BTreeMap<SpaceTag, (u64, Hash)>,
    incarnation: u8,
    life: u64,
    wake: Option<u64>,
    seen_gossip: BTreeSet<Hash>,
    pub up: bool,
    /// Devices whose entries cannot be judged yet.
    pub unknown_authors: BTreeSet<DeviceId>,
    /// A node that answers nothing and stores nothing: its envelopes are the test's.
    pub puppet: bool,
    pub inbox: Vec<Envelope>,
}

#[allow(clippy::large_enum_variant)]
enum Event {
    Arrive { from: usize, to: usize, session: u64, bytes: Vec<u8> },
    Gossip { from: usize, to: usize, tag: SpaceTag, bytes: Vec<u8> },
    Wake { node: usize },
    Durable { node: usize, life: u64, entry: Entry, from: Option<DeviceId> },
    Drained { node: usize, to: usize },
}

pub struct World {
    pub now: u64,
    pub nodes: Vec<SimNode>,
    pub config: Config,
    pub store_delay: u64,
    pub counts: Counts,
    pub trace: u64,
    pub steps: u64,
    links: BTreeMap<(usize, usize), (Link, u64)>,
    busy: BTreeMap<(usize, usize), u64>,
    one_way: BTreeSet<(usize, usize)>,
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    serial: u64,
    sessions: u64,
    random: u64,
}

fn device(n: usize) -> DeviceId {
    let hash = Hash::of(&[b"device", &(n as u64).to_be_bytes()]);
    DeviceId(hash.0)
}

impl World {
    pub fn new(n: usize, seed: u64) -> World {
        let mut world = World {
            now: 1_000_000,
            nodes: Vec::new(),
            config: Config::default(),
            store_delay: 4,
            counts: Counts::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            steps: 0,
            links: BTreeMap::new(),
            busy: BTreeMap::new(),
            one_way: BTreeSet::new(),
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            serial: 0,
            sessions: 0,
            random: seed,
        };
        for i in 0..n {
            world.add_node(i);
        }
        world
    }

    fn add_node(&mut self, i: usize) {
        let id = device(i);
        let seed = self.random();
        self.nodes.push(SimNode {
            id,
            sync: Sync::new(id, self.config.clone(), seed),
            tags: BTreeSet::new(),
            friends: BTreeSet::new(),
            durable: BTreeMap::new(),
            hashes: BTreeSet::new(),
            chunks: BTreeMap::new(),
            fetched: Vec::new(),
            absent: Vec::new(),
            misbehaved: Vec::new(),
            synced: 0,
            volatile: BTreeMap::new(),
            heads: BTreeMap::new(),
            incarnation: 1,
            life: 1,
            wake: None,
            seen_gossip: BTreeSet::new(),
            up: true,
            unknown_authors: BTreeSet::new(),
            puppet: false,
            inbox: Vec::new(),
        });
    }

    pub fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound.max(1)
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.heap.push(Reverse((at.max(self.now), self.serial)));
        self.events.insert(self.serial, event);
    }

    /// Everybody in `members` holds the space and takes the others for members of it.
    pub fn share(&mut self, tag: SpaceTag, members: &[usize]) {
        for &i in members {
            self.hold(i, tag);
        }
        for &i in members {
            for &j in members {
                if i != j {
                    self.allow(i, j, &[tag]);
                }
            }
        }
    }

    pub fn hold(&mut self, i: usize, tag: SpaceTag) {
        self.nodes[i].tags.insert(tag);
        let logs = self.tips(i, tag);
        self.step(i, Input::Space { tag, logs });
    }

    pub fn allow(&mut self, i: usize, j: usize, tags: &[SpaceTag]) {
        self.nodes[i].friends.insert(j);
        let peer = self.nodes[j].id;
        self.step(i, Input::Allow { peer, tags: tags.iter().copied().collect() });
    }

    /// The entries of a log that no other builds on, from what is durable.
    pub fn tips(&self, i: usize, tag: SpaceTag) -> BTreeMap<LogId, Tips> {
        let mut tips: BTreeMap<LogId, Tips> = BTreeMap::new();
        let entries: Vec<&Entry> =
            self.nodes[i].durable.iter().filter(|(k, _)| k.0 == tag).map(|(_, e)| e).collect();
        let built_on: BTreeSet<Hash> = entries.iter().filter_map(|e| e.header().prev).collect();
        for entry in entries.iter().filter(|e| !built_on.contains(&e.hash())) {
            tips.entry(entry.header().log).or_default().push((entry.header().seq, entry.hash()));
        }
        tips
    }

    pub fn connect(&mut self, i: usize, j: usize, link: Link) {
        if !self.nodes[i].up || !self.nodes[j].up || self.links.contains_key(&(i, j)) {
            return;
        }
        self.sessions += 1;
        for (a, b) in [(i, j), (j, i)] {
            self.links.insert((a, b), (link, self.sessions));
            self.busy.remove(&(a, b));
        }
        for (a, b) in [(i, j), (j, i)] {
            let peer = self.nodes[b].id;
            self.step(a, Input::Connected { peer });
        }
    }

    pub fn cut(&mut self, i: usize, j: usize) {
        if self.links.remove(&(i, j)).is_none() {
            return;
        }
        self.links.remove(&(j, i));
        for (a, b) in [(i, j), (j, i)] {
            let peer = self.nodes[b].id;
            if self.nodes[a].up {
                self.step(a, Input::Disconnected { peer });
            }
        }
    }

    /// From now on nothing gets from `j` to `i`.
    pub fn silence(&mut self, j: usize, i: usize) {
        self.one_way.insert((j, i));
    }

    pub fn mesh(&mut self, members: &[usize], link: Link) {
        for (n, &i) in members.iter().enumerate() {
            for &j in &members[n + 1..] {
                self.connect(i, j, link);
            }
        }
    }

    /// A new entry in the node's log.
    pub fn edit(&mut self, i: usize, tag: SpaceTag, size: usize) -> Entry {
        let head = self.nodes[i].heads.get(&tag).copied();
        let entry = self.entry_after(i, tag, head, size);
        let node = &mut self.nodes[i];
        node.heads.insert(tag, (entry.header().seq, entry.hash()));
        node.volatile.insert(entry.hash(), entry.clone());
        let life = node.life;
        let at = self.now + self.store_delay;
        self.schedule(at, Event::Durable { node: i, life, entry: entry.clone(), from: None });
        entry
    }

    /// An entry signed by a node, wherever it stands; it is not stored anywhere.
    pub fn entry_after(&mut self, i: usize, tag: SpaceTag, prev: Option<(u64, Hash)>, size: usize) -> Entry {
        let seq = prev.map_or(0, |(seq, _)| seq + 1);
        let mut body = self.random().to_be_bytes().to_vec();
        body.resize(size.max(8), 0);
        let header = Header {
            kind: EntryKind::Content,
            tag,
            log: LogId { device: self.nodes[i].id, incarnation: Incarnation([self.nodes[i].incarnation; 8]) },
            run: Run([1; 8]),
            seq,
            lamport: seq + 1,
            prev: prev.map(|(_, hash)| hash),
            deps: Vec::new(),
            epoch: Some(EpochId([8; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        Entry::assemble(&header, &body, &[0; 64]).unwrap()
    }

    /// Puts an entry into a node's store, as if it had been there at its start.
    pub fn plant(&mut self, i: usize, tag: SpaceTag, entry: &Entry) {
        let node = &mut self.nodes[i];
        node.hashes.insert(entry.hash());
        node.durable.insert((tag, entry.header().log, entry.header().seq, entry.hash()), entry.clone());
        if entry.header().log.device == node.id {
            node.heads.insert(tag, (entry.header().seq, entry.hash()));
        }
    }

    /// `n` entries of a node's own, durable before anything happens. Give before `share`.
    pub fn history(&mut self, i: usize, tag: SpaceTag, n: usize, size: usize) {
        for _ in 0..n {
            let head = self.nodes[i].heads.get(&tag).copied();
            let entry = self.entry_after(i, tag, head, size);
            self.plant(i, tag, &entry);
        }
    }

    /// The node is gone, and with it all that was not durable.
    pub fn crash(&mut self, i: usize) {
        let others: Vec<usize> = self.links.keys().filter(|(a, _)| *a == i).map(|(_, b)| *b).collect();
        self.nodes[i].up = false;
        for j in others {
            self.cut(i, j);
        }
        let node = &mut self.nodes[i];
        node.life += 1;
        node.volatile.clear();
        node.wake = None;
    }

    /// The node starts again from what was durable.
    pub fn restart(&mut self, i: usize) {
        let seed = self.random();
        let (id, config) = (self.nodes[i].id, self.config.clone());
        let node = &mut self.nodes[i];
        node.up = true;
        node.sync = Sync::new(id, config, seed);
        let tags: Vec<SpaceTag> = node.tags.iter().copied().collect();
        let friends: Vec<usize> = node.friends.iter().copied().collect();
        node.heads = node
            .durable
            .values()
            .filter(|e| e.header().log.device == id)
            .map(|e| (e.header().tag, (e.header().seq, e.hash())))
            .collect();
        for tag in &tags {
            let logs = self.tips(i, *tag);
            self.step(i, Input::Space { tag: *tag, logs });
        }
        for j in friends {
            self.allow(i, j, &tags);
        }
    }
}
