//! What programs that are open for long had read, kept over a restart of the node: a small table, of which the oldest
//! is forgotten. What a read means is `tree`'s; here it is only kept.

use crate::api::{Read, Version};
use crate::core::Core;
use crate::error::Result;
use crate::record;
use base::{Hash, ObjectId, Oid, SpaceId};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;
use store::Batch;

/// Reads kept at most.
const KEPT: usize = 1024;
/// The keys of reads, below those of the node.
const FAMILY: &str = "read";

/// What a process read of an object.
#[derive(Clone, Debug, Encode, Decode)]
struct ReadRecord {
    #[n(0)]
    boot: String,
    #[n(1)]
    process: (u32, u64),
    #[n(2)]
    object: (SpaceId, ObjectId),
    #[n(3)]
    version: Vec<Hash>,
    #[n(4)]
    buffer: Option<Vec<Hash>>,
    #[n(5)]
    names: Vec<(SpaceId, ObjectId, String)>,
    /// Greater is newer.
    #[n(6)]
    at: u64,
    #[n(7)]
    below: Option<Vec<Hash>>,
}

/// Which reads are kept, by age.
#[derive(Default)]
pub(crate) struct Kept {
    by_age: BTreeMap<u64, Vec<u8>>,
    ages: BTreeMap<Vec<u8>, u64>,
    newest: u64,
}

impl Kept {
    fn add(&mut self, key: &[u8], at: u64) {
        self.take(key);
        self.by_age.insert(at, key.to_vec());
        self.ages.insert(key.to_vec(), at);
        self.newest = self.newest.max(at);
    }

    fn take(&mut self, key: &[u8]) -> bool {
        let age = self.ages.remove(key);
        age.is_some_and(|age| self.by_age.remove(&age).is_some())
    }
}

impl Core {
    /// Keeps what was read, or forgets it (`keep` is none); durable some time soon.
    pub(crate) fn keep_reads(&self, reads: Vec<(Read, bool)>) -> Result<()> {
        let mut kept = self.reads.lock();
        let mut batch = Batch::new();
        for (read, keep) in reads {
            let key = key_of(&read);
            if keep {
                let at = kept.newest + 1;
                kept.add(&key, at);
                batch.put(key, record::to_bytes(&to_record(read, at)));
            } else if kept.take(&key) {
                batch.remove(key);
            }
        }
        while kept.ages.len() > KEPT {
            let Some((_, key)) = kept.by_age.pop_first() else { break };
            kept.ages.remove(&key);
            batch.remove(key);
        }
        self.store.defer(batch)?;
        Ok(())
    }

    /// What was kept, the oldest first. What cannot be read is dropped: nothing but a guess depends on it.
    pub(crate) fn kept_reads(&self) -> Result<Vec<Read>> {
        let mut kept = self.reads.lock();
        let mut batch = Batch::new();
        let mut reads = Vec::new();
        for pair in self.store.range(&record::node_key(FAMILY, b"")) {
            let (key, bytes) = pair?;
            match record::from_bytes::<ReadRecord>(&bytes, "record of a read") {
                Ok(read) => {
                    kept.add(&key, read.at);
                    reads.push((read.at, from_record(read)));
                }
                Err(_) => batch.remove(key),
            }
        }
        self.store.defer(batch)?;
        reads.sort_by_key(|(at, _)| *at);
        Ok(reads.into_iter().map(|(_, read)| read).collect())
    }
}

fn key_of(read: &Read) -> Vec<u8> {
    let (tgid, start) = read.process;
    let id = [
        read.boot.as_bytes(),
        &tgid.to_be_bytes(),
        &start.to_be_bytes(),
        &read.oid.space.0,
        &read.oid.object.0,
    ];
    record::node_key(FAMILY, &Hash::of(&id).0)
}

fn to_record(read: Read, at: u64) -> ReadRecord {
    let hashes = |version: &Version| version.hashes().to_vec();
    ReadRecord {
        boot: read.boot,
        process: read.process,
        object: (read.oid.space, read.oid.object),
        version: hashes(&read.version),
        buffer: read.buffer.as_ref().map(hashes),
        names: read.names.into_iter().map(|(room, name)| (room.space, room.object, name)).collect(),
        at,
        below: read.below.as_ref().map(hashes),
    }
}

fn from_record(record: ReadRecord) -> Read {
    let (space, object) = record.object;
    Read {
        boot: record.boot,
        process: record.process,
        oid: Oid { space, object },
        version: Version::new(record.version),
        buffer: record.buffer.map(Version::new),
        below: record.below.map(Version::new),
        names: record.names.into_iter().map(|(space, object, name)| (Oid { space, object }, name)).collect(),
    }
}
