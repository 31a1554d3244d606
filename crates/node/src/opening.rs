//! Beside the thread that fetches: threads that open chunks, and one that waits for the disk.

use crate::chunks::ToChunks;
use crate::error::{During, Result};
use crate::record::BlobRecord;
use base::{ChunkId, Hash, SpaceTag};
use crossbeam_channel::{Receiver, Sender};
use crypto::EpochSecret;
use std::fs::File;

/// Threads that open chunks.
pub(crate) const OPENERS: usize = 2;

/// A chunk that arrived, and what manifests say of its plain bytes: the first that is true counts.
pub(crate) struct Opening {
    pub(crate) tag: SpaceTag,
    pub(crate) id: ChunkId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) said: Vec<Said>,
}

/// What a manifest says of a chunk.
pub(crate) struct Said {
    pub(crate) hash: Hash,
    pub(crate) len: u32,
    pub(crate) secret: EpochSecret,
}

impl Opening {
    /// The plain bytes, and their hash. A manifest may lie about a chunk that another names rightly.
    pub(crate) fn open(&self) -> Option<(Vec<u8>, Hash)> {
        self.said.iter().find_map(|said| {
            let plain = crypto::open_chunk_checked(&said.secret, &self.id, &said.hash, &self.bytes).ok()?;
            (plain.len() == said.len as usize).then_some((plain, said.hash))
        })
    }
}

/// Opens chunks until nobody sends any more.
pub(crate) fn open_loop(jobs: &Receiver<Opening>, done: &Sender<ToChunks>) {
    for job in jobs {
        let opened = job.open();
        let _ = done.send(ToChunks::Opened { tag: job.tag, id: job.id, opened });
    }
}

/// A partial file to be made durable, and what is true of it then.
pub(crate) struct Syncing {
    pub(crate) key: (SpaceTag, Hash),
    pub(crate) file: File,
    pub(crate) blob: BlobRecord,
    pub(crate) whole: bool,
}

impl Syncing {
    /// Waits for the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().during(|| "writing a large file".into())
    }
}

/// Makes files durable until nobody sends any more.
pub(crate) fn sync_loop(jobs: &Receiver<Syncing>, done: &Sender<ToChunks>) {
    for job in jobs {
        let result = job.sync();
        let _ = done.send(ToChunks::Synced { job, result });
    }
}
