//! The world: its nodes, what they share and write, and what is counted.

use crate::audit::Audit;
use crate::node::{SimNode, next_random};
use crate::run::{Event, Timed};
use crate::wire::{Breaks, Wire};
use base::{DeviceId, Entry, EntryKind, EpochId, Hash, Header, Incarnation, LogId, Run, SpaceTag};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use sync::{Config, Input, Sync, Tips};

/// The space that most tests share.
pub const TAG: SpaceTag = SpaceTag([7; 16]);

/// The first `n` nodes.
pub fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

/// What crossed the links since it was last set to nothing.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Envelopes by kind.
    pub envelopes: BTreeMap<&'static str, u64>,
    /// Bytes of them.
    pub bytes: BTreeMap<&'static str, u64>,
    /// Bytes of gossip, each hop counted.
    pub gossip_bytes: u64,
    /// Gossip messages handed to a link.
    pub gossip_out: u64,
    /// Gossip messages that arrived, copies too.
    pub gossip_in: u64,
    /// Entries that arrived, on links and by gossip.
    pub entries_in: u64,
    /// Those that were there already.
    pub duplicates: u64,
    /// Those of the duplicates that came by gossip, which passes everything on to everybody.
    pub gossip_duplicates: u64,
    /// The most bytes that ever waited at one end of a link.
    pub worst_queue: usize,
}

impl Counts {
    /// Envelopes on links, of all kinds.
    pub fn total(&self) -> u64 {
        self.envelopes.values().sum()
    }

    /// Bytes on links and of gossip.
    pub fn total_bytes(&self) -> u64 {
        self.bytes.values().sum::<u64>() + self.gossip_bytes
    }
}

/// Everything there is.
pub struct World {
    /// Milliseconds.
    pub now: u64,
    /// The nodes.
    pub nodes: Vec<SimNode>,
    /// How nodes that start from now on are set.
    pub config: Config,
    /// Milliseconds until something is durable.
    pub store_delay: u64,
    /// What crossed the links.
    pub counts: Counts,
    /// A checksum of everything that happened.
    pub trace: u64,
    /// Steps of all machines.
    pub steps: u64,
    /// Milliseconds one way beyond which nothing is published to a link.
    pub gossip_reach: u64,
    /// What crossed the links that are watched more closely.
    pub audits: BTreeMap<(usize, usize), Audit>,
    /// When each entry came to be, and when it was durable where; if that is asked for.
    pub arrivals: Option<BTreeMap<Hash, BTreeMap<usize, u64>>>,
    pub(crate) links: Vec<BTreeMap<usize, Wire>>,
    pub(crate) one_way: BTreeSet<(usize, usize)>,
    pub(crate) radio: BTreeSet<(usize, usize)>,
    pub(crate) closed: BTreeMap<u64, u64>,
    pub(crate) breaks: BTreeMap<(usize, usize), Breaks>,
    pub(crate) sessions: u64,
    pub(crate) heap: BinaryHeap<Timed>,
    pub(crate) by_device: BTreeMap<DeviceId, usize>,
    serial: u64,
    random: u64,
}

fn device(n: usize) -> DeviceId {
    let hash = Hash::of(&[b"device", &(n as u64).to_be_bytes()]);
    DeviceId(hash.0)
}

impl World {
    /// So many nodes that know nothing of each other.
    pub fn new(n: usize, seed: u64) -> World {
        World::with(n, seed, Config::default())
    }

    /// The same, set in this way.
    pub fn with(n: usize, seed: u64, config: Config) -> World {
        let mut world = World {
            now: 1_000_000,
            nodes: Vec::new(),
            config,
            store_delay: 4,
            counts: Counts::default(),
            trace: 0xcbf2_9ce4_8422_2325,
            steps: 0,
            gossip_reach: 3_000,
            audits: BTreeMap::new(),
            arrivals: None,
            links: vec![BTreeMap::new(); n],
            one_way: BTreeSet::new(),
            radio: BTreeSet::new(),
            closed: BTreeMap::new(),
            breaks: BTreeMap::new(),
            sessions: 0,
            heap: BinaryHeap::new(),
            by_device: (0..n).map(|i| (device(i), i)).collect(),
            serial: 0,
            random: seed,
        };
        for i in 0..n {
            let seed = world.random();
            world.nodes.push(SimNode::new(device(i), world.config.clone(), seed));
        }
        world
    }

    /// The next random number.
    pub fn random(&mut self) -> u64 {
        next_random(&mut self.random)
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random() % bound.max(1)
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.heap.push(Timed { at: at.max(self.now), serial: self.serial, event });
    }

    /// Everybody in `members` holds the space and takes the others for members of it.
    pub fn share(&mut self, tag: SpaceTag, members: &[usize]) {
        for &i in members {
            self.hold(i, tag);
        }
        for &i in members {
            for &j in members.iter().filter(|j| **j != i) {
                self.allow(i, j, &[tag]);
            }
        }
    }

    /// A node holds a space, with what is durable of it.
    pub fn hold(&mut self, i: usize, tag: SpaceTag) {
        self.nodes[i].tags.insert(tag);
        let logs = self.tips(i, tag);
        self.step(i, Input::Space { tag, logs });
    }

    /// `i` holds `j` to be a member of these spaces.
    pub fn allow(&mut self, i: usize, j: usize, tags: &[SpaceTag]) {
        self.nodes[i].friends.insert(j);
        let peer = self.nodes[j].id;
        self.step(i, Input::Allow { peer, tags: tags.iter().copied().collect() });
    }

    /// The entries of each log that no other builds on, from what is durable.
    pub fn tips(&self, i: usize, tag: SpaceTag) -> BTreeMap<LogId, Tips> {
        self.nodes[i].tips(tag)
    }

    /// Whether they all have the same of a space, durably.
    pub fn equal(&self, members: &[usize], tag: SpaceTag) -> bool {
        let Some(first) = members.first() else { return true };
        let of = |i: usize| self.nodes[i].durable.keys().filter(move |k| k.0 == tag);
        let count = self.nodes[*first].durable.len();
        let all_of = |i: &usize| self.nodes[*i].tags.len() > 1 || self.nodes[*i].durable.len() == count;
        members.iter().all(all_of) && members.iter().all(|i| of(*i).eq(of(*first)))
    }

    /// Entries that are durable at a node.
    pub fn count(&self, i: usize) -> usize {
        self.nodes[i].durable.len()
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
        self.schedule(at, Event::Durable { node: i, life, entry: Box::new(entry.clone()) });
        entry
    }

    /// An entry signed by a node, wherever it stands; it is not stored anywhere.
    pub fn entry_after(&mut self, i: usize, tag: SpaceTag, prev: Option<(u64, Hash)>, size: usize) -> Entry {
        let (device, incarnation) = (self.nodes[i].id, Incarnation([self.nodes[i].incarnation; 8]));
        self.entry_of(LogId { device, incarnation }, tag, prev, size)
    }

    /// An entry of any log; it is not stored anywhere.
    pub fn entry_of(&mut self, log: LogId, tag: SpaceTag, prev: Option<(u64, Hash)>, size: usize) -> Entry {
        let seq = prev.map_or(0, |(seq, _)| seq + 1);
        let mut body = self.random().to_be_bytes().to_vec();
        body.resize(size.max(8), 0);
        let header = Header {
            kind: EntryKind::Content,
            tag,
            log,
            run: Run([1; 8]),
            seq,
            lamport: seq + 1,
            prev: prev.map(|(_, hash)| hash),
            deps: Vec::new(),
            epoch: Some(EpochId([8; 32])),
            auth: Vec::new(),
            chunks: None,
        };
        Entry::assemble(&header, &body, &[0; 64]).expect("an entry within the limits")
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
        let others: Vec<usize> = self.links[i].keys().copied().collect();
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
        let node = &mut self.nodes[i];
        let id = node.id;
        node.up = true;
        node.sync = Sync::new(id, node.config.clone(), seed);
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
        for ((tag, ..), entry) in self.nodes[i].early.clone() {
            self.step(i, Input::Kept { tag, entry });
        }
        for j in friends {
            self.allow(i, j, &tags);
        }
    }
}
