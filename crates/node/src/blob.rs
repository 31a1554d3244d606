//! Large content: bulk files, and the sealed chunks they are sent as.
//!
//! A bulk file holds plain bytes. Chunks are cut by content (FastCDC, Xia et al. 2016, in the
//! 2020 variant), sealed under a key that follows from their bytes, and sealed again whenever a
//! friend asks; nothing sealed is kept.

use crate::core::Core;
use crate::error::{During, Error, Result};
use crate::home::random_bytes;
use crate::record::{self, BlobRecord, Bulk, ChunkRecord};
use crate::scratch::Ahead;
use base::{ChunkId, EpochId, Hash, Kind, SpaceTag, limit};
use crypto::EpochSecret;
use fastcdc::v2020::StreamCDC;
use object::{Chunking, Manifest, ManifestChunk};
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use store::{Batch, Store};

/// Threads that hash and seal.
const SEALERS: usize = 2;

/// Bytes of a file that this version can share: as many chunks of the average size as a manifest names.
pub(crate) const MOST_BYTES: u64 = limit::MANIFEST_CHUNKS as u64 * (2 << 20);

/// The refusal of a larger one.
pub(crate) fn too_large() -> Error {
    Error::refused(Kind::TooLarge, "this version shares files of up to about 8 GiB; the file was not saved")
}

/// Keeps bytes as a bulk file; durable when it returns.
pub(crate) fn keep_bytes(store: &Store, bytes: &[u8]) -> Result<Bulk> {
    let mut temp = store.bulk().create_temp()?;
    temp.file.write_all(bytes).during(|| "writing a large file to the store".into())?;
    let name = random_bytes()?;
    store.bulk().persist(temp, &name)?;
    Ok(Bulk { name, size: bytes.len() as u64 })
}

/// Keeps the first `size` bytes of a file as a bulk file; durable when it returns.
pub(crate) fn keep_file(store: &Store, file: &File, size: u64) -> Result<Bulk> {
    let during = || "writing a large file to the store".to_string();
    // A working copy of just these bytes becomes the bulk file itself.
    let name = random_bytes()?;
    if file.metadata().during(during)?.len() == size && store.bulk().adopt(file, &name)? {
        return Ok(Bulk { name, size });
    }
    let temp = store.bulk().create_temp()?;
    copy_range(file, &temp.file, size).during(during)?;
    store.bulk().persist(temp, &name)?;
    Ok(Bulk { name, size })
}

/// Makes a file the first `size` bytes of another, shared where the disk can; without the files' own offsets, which
/// others share. Errors: those of the disk.
pub(crate) fn copy_range(from: &File, to: &File, size: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (0u64, 0u64);
    while read_at < size {
        let want = usize::try_from(size - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), want) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(
                rustix::io::Errno::XDEV
                | rustix::io::Errno::NOSYS
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::INVAL,
            ) => {
                let mut bytes = vec![0; want.min(1 << 20)];
                let came = match from.read_at(&mut bytes, read_at) {
                    Ok(0) => break,
                    Ok(came) => came,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                to.write_all_at(&bytes[..came], write_at)?;
                read_at += came as u64;
                write_at += came as u64;
            }
            Err(error) => return Err(error.into()),
        }
    }
    to.set_len(size)?;
    Ok(())
}

/// Into how large chunks a file is cut.
pub(crate) fn chunking_for(size: u64) -> Chunking {
    let (min, avg, max) = match size {
        0..=0x3ff_ffff => (64 << 10, 256 << 10, 1 << 20),
        0x400_0000..=0xbfff_ffff => (256 << 10, 1 << 20, 4 << 20),
        _ => (1 << 20, 2 << 20, 4 << 20),
    };
    Chunking { min, avg, max }
}

/// Names the sealed form of a chunk.
pub(crate) fn named(secret: &EpochSecret, plain: &[u8]) -> ManifestChunk {
    let (id, _, hash) = crypto::seal_chunk(secret, plain);
    ManifestChunk { id, plain: hash, len: plain.len() as u32 }
}

/// Cuts a bulk file and names the sealed form of each chunk; the first are known where somebody went ahead.
fn chunk(
    store: &Store,
    bulk: Bulk,
    epoch: &EpochId,
    secret: &EpochSecret,
    ahead: Option<Ahead>,
) -> Result<Manifest> {
    let chunking = chunking_for(bulk.size);
    let ahead = ahead.filter(|ahead| ahead.epoch == *epoch);
    let mut chunks = ahead.map(|ahead| ahead.chunks).unwrap_or_default();
    let mut file = store.bulk().open(&bulk.name)?;
    let from = chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
    file.seek(SeekFrom::Start(from)).during(|| "reading back a large file".into())?;
    let (cut, to_seal) = crossbeam_channel::bounded::<(usize, Vec<u8>)>(2 * SEALERS);
    let (sealed, done) = crossbeam_channel::unbounded();
    let rest = std::thread::scope(|scope| {
        for _ in 0..SEALERS {
            let (to_seal, sealed) = (to_seal.clone(), sealed.clone());
            scope.spawn(move || {
                for (n, plain) in to_seal {
                    let _ = sealed.send((n, named(secret, &plain)));
                }
            });
        }
        drop((to_seal, sealed));
        let cutter = StreamCDC::new(
            BufReader::with_capacity(1 << 20, file),
            chunking.min as usize,
            chunking.avg as usize,
            chunking.max as usize,
        );
        for (n, piece) in cutter.enumerate() {
            let piece =
                piece.map_err(|e| Error::refused(Kind::Io, format!("reading back a large file: {e}")))?;
            let _ = cut.send((n, piece.data));
        }
        drop(cut);
        let mut rest: Vec<_> = done.iter().collect();
        rest.sort_by_key(|(n, _)| *n);
        Ok::<_, Error>(rest.into_iter().map(|(_, chunk)| chunk))
    })?;
    chunks.extend(rest);
    if chunks.len() > limit::MANIFEST_CHUNKS {
        return Err(too_large());
    }
    Ok(Manifest { size: bulk.size, chunking, epoch: *epoch, level: 0, chunks })
}

/// Records that a content is here, whole, in a bulk file.
pub(crate) fn put_whole(batch: &mut Batch, tag: &SpaceTag, manifest: &Manifest, bulk: Bulk) {
    let record = BlobRecord { bulk, whole: true, have: Vec::new() };
    batch.put(record::blob_key(tag, &manifest.hash()), record::to_bytes(&record));
    put_chunks(batch, tag, manifest);
}

fn put_chunks(batch: &mut Batch, tag: &SpaceTag, manifest: &Manifest) {
    for (id, record) in chunk_records(manifest) {
        batch.put(record::chunk_key(tag, &id), record::to_bytes(&record));
    }
}

/// Where each chunk of a content is to be found.
pub(crate) fn chunk_records(manifest: &Manifest) -> impl Iterator<Item = (ChunkId, ChunkRecord)> + '_ {
    let content = manifest.hash();
    let mut next = 0;
    manifest.chunks.iter().enumerate().map(move |(index, chunk)| {
        let offset = next;
        next += u64::from(chunk.len);
        let record = ChunkRecord {
            content,
            index: index as u32,
            offset,
            len: chunk.len,
            epoch: manifest.epoch,
            plain: chunk.plain,
        };
        (chunk.id, record)
    })
}

impl BlobRecord {
    /// Whether a chunk's bytes are here.
    pub(crate) fn has(&self, index: u32) -> bool {
        self.whole || self.have.get(index as usize / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Notes that a chunk's bytes are here.
    pub(crate) fn note(&mut self, index: u32) {
        let at = index as usize / 8;
        if self.have.len() <= at {
            self.have.resize(at + 1, 0);
        }
        self.have[at] |= 1 << (index % 8);
    }
}

impl Core {
    /// Cuts a bulk file and names the sealed form of each chunk.
    pub(crate) fn chunk(&self, bulk: Bulk, epoch: &EpochId, secret: &EpochSecret) -> Result<Manifest> {
        let ahead = self.ahead.lock().pop(&bulk.name);
        chunk(&self.store, bulk, epoch, secret, ahead)
    }

    /// What is here of a content.
    pub(crate) fn blob(&self, tag: &SpaceTag, content: &Hash) -> Result<Option<BlobRecord>> {
        match self.store.get(&record::blob_key(tag, content))? {
            Some(bytes) => Ok(Some(record::from_bytes(&bytes, "blob record")?)),
            None => Ok(None),
        }
    }

    /// The sealed form of a chunk whose bytes are here; none if they are not.
    pub(crate) fn sealed_chunk(&self, tag: &SpaceTag, id: &ChunkId) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.store.get(&record::chunk_key(tag, id))? else { return Ok(None) };
        let at: ChunkRecord = record::from_bytes(&bytes, "chunk record")?;
        let Some(blob) = self.blob(tag, &at.content)? else { return Ok(None) };
        if !blob.has(at.index) {
            return Ok(None);
        }
        let Some(secret) = self.epoch_secret(tag, &at.epoch) else { return Ok(None) };
        if at.len as usize > limit::CHUNK_BYTES {
            return Ok(None);
        }
        let file = self.store.bulk().open(&blob.bulk.name)?;
        let mut plain = vec![0; at.len as usize];
        file.read_exact_at(&mut plain, at.offset).during(|| "reading a large file".into())?;
        let (found, sealed) = crypto::seal_chunk_again(&secret, &at.plain, &plain);
        if found != *id {
            return Err(Error::refused(Kind::Corrupt, "a large file on this disk is damaged"));
        }
        Ok(Some(sealed))
    }

    /// Records where the chunks of a content will be; those that another content has stay with it.
    pub(crate) fn put_new_chunks(
        &self,
        batch: &mut Batch,
        tag: &SpaceTag,
        manifest: &Manifest,
    ) -> Result<()> {
        for (id, record) in chunk_records(manifest) {
            let key = record::chunk_key(tag, &id);
            let stands = match self.store.get(&key)? {
                Some(bytes) => {
                    let at: ChunkRecord = record::from_bytes(&bytes, "chunk record")?;
                    self.blob(tag, &at.content)?.is_some_and(|blob| blob.has(at.index))
                }
                None => false,
            };
            if !stands {
                batch.put(key, record::to_bytes(&record));
            }
        }
        Ok(())
    }

    pub(crate) fn epoch_secret(&self, tag: &SpaceTag, epoch: &EpochId) -> Option<EpochSecret> {
        self.state.read().spaces.get(tag)?.epochs.get(epoch).cloned()
    }
}
