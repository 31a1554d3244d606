//! A simulated node: a machine, and a store that is durable a moment later.

use base::{ChunkId, DeviceId, Entry, Hash, LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};
use sync::{Config, Envelope, Sync, Tips};

/// Where an entry stands: its space, its log, its place, its hash.
pub(crate) type Key = (SpaceTag, LogId, u64, Hash);

/// A sealed chunk that a node has.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// So many bytes that follow from a number: a gigabyte of them takes no memory.
    Made {
        /// The number.
        seed: u64,
        /// How many bytes.
        size: usize,
    },
}

impl Chunk {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Chunk::Bytes(bytes) => bytes.clone(),
            Chunk::Made { seed, size } => {
                let mut state = *seed;
                let mut bytes = Vec::with_capacity(size + 8);
                while bytes.len() < *size {
                    bytes.extend(next_random(&mut state).to_le_bytes());
                }
                bytes.truncate(*size);
                bytes
            }
        }
    }

    /// What it is called.
    pub fn id(&self) -> ChunkId {
        ChunkId(Hash::of(&[&self.bytes()]).0)
    }
}

/// The next number of a sequence (SplitMix64, Steele et al. 2014).
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One node of the world.
pub struct SimNode {
    /// Its device.
    pub id: DeviceId,
    /// Its machine.
    pub sync: Sync,
    /// The spaces it holds.
    pub tags: BTreeSet<SpaceTag>,
    /// The nodes that it holds to be members.
    pub friends: BTreeSet<usize>,
    /// What a crash leaves.
    pub durable: BTreeMap<Key, Entry>,
    /// The hashes of that.
    pub hashes: BTreeSet<Hash>,
    /// Entries that came ahead of their predecessor; a crash leaves them too.
    pub early: BTreeMap<Key, Entry>,
    /// Chunks that are here.
    pub chunks: BTreeMap<ChunkId, Chunk>,
    /// Chunks that came, in order.
    pub fetched: Vec<ChunkId>,
    /// Chunks that nobody had.
    pub absent: Vec<ChunkId>,
    /// Who was over its bounds here.
    pub misbehaved: Vec<(DeviceId, sync::Offence)>,
    /// How often the machine said that a space is equal with a peer.
    pub synced: u64,
    /// Whether it runs.
    pub up: bool,
    /// Devices whose entries cannot be judged yet.
    pub unknown_authors: BTreeSet<DeviceId>,
    /// A node that answers nothing and stores nothing: its envelopes are the test's.
    pub puppet: bool,
    /// What a puppet was sent.
    pub inbox: Vec<Envelope>,
    /// A node without keys: it stores and passes on what it cannot read.
    pub blind: bool,
    pub(crate) volatile: BTreeMap<Hash, Entry>,
    pub(crate) heads: BTreeMap<SpaceTag, (u64, Hash)>,
    pub(crate) incarnation: u8,
    pub(crate) life: u64,
    pub(crate) wake: Option<u64>,
    pub(crate) seen_gossip: BTreeSet<Hash>,
    pub(crate) config: Config,
}

impl SimNode {
    pub(crate) fn new(id: DeviceId, config: Config, seed: u64) -> SimNode {
        SimNode {
            id,
            sync: Sync::new(id, config.clone(), seed),
            tags: BTreeSet::new(),
            friends: BTreeSet::new(),
            durable: BTreeMap::new(),
            hashes: BTreeSet::new(),
            early: BTreeMap::new(),
            chunks: BTreeMap::new(),
            fetched: Vec::new(),
            absent: Vec::new(),
            misbehaved: Vec::new(),
            synced: 0,
            up: true,
            unknown_authors: BTreeSet::new(),
            puppet: false,
            inbox: Vec::new(),
            blind: false,
            volatile: BTreeMap::new(),
            heads: BTreeMap::new(),
            incarnation: 1,
            life: 1,
            wake: None,
            seen_gossip: BTreeSet::new(),
            config,
        }
    }

    /// Keeps an entry that came too early, so many of each device; whether there is room.
    pub(crate) fn keep_early(&mut self, tag: SpaceTag, entry: &Entry) -> bool {
        let (log, hash) = (entry.header().log, entry.hash());
        let of = self.early.iter().filter(|(key, _)| key.1.device == log.device);
        let (number, bytes) = of.fold((0, 0), |(n, sum), (_, entry)| (n + 1, sum + entry.bytes().len()));
        let room = number < limit::HELD_ENTRIES
            && bytes + entry.bytes().len() <= limit::HELD_BYTES
            && self.early.len() < limit::KEPT_ENTRIES;
        if room && !self.hashes.contains(&hash) {
            self.early.insert((tag, log, entry.header().seq, hash), entry.clone());
        }
        room
    }

    /// Whether an entry is here, durable or about to be.
    pub(crate) fn has(&self, hash: &Hash) -> bool {
        self.hashes.contains(hash) || self.volatile.contains_key(hash)
    }

    /// The entries of each log that no other builds on, from what is durable.
    pub(crate) fn tips(&self, tag: SpaceTag) -> BTreeMap<LogId, Tips> {
        let mut tips: BTreeMap<LogId, Tips> = BTreeMap::new();
        let entries = || self.durable.iter().filter(|(k, _)| k.0 == tag).map(|(_, e)| e);
        let built_on: BTreeSet<Hash> = entries().filter_map(|e| e.header().prev).collect();
        for entry in entries().filter(|e| !built_on.contains(&e.hash())) {
            tips.entry(entry.header().log).or_default().push((entry.header().seq, entry.hash()));
        }
        tips
    }
}
