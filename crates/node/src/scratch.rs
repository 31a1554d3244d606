//! Files that working copies are written into. A large one is cut, named and brought to the disk while it is still
//! being written: most programs write from the beginning to the end, and then wait for the close.

use crate::blob::{chunking_for, copy_range, named};
use crate::core::Core;
use base::{EpochId, Oid};
use crossbeam_channel::{Receiver, Sender};
use fastcdc::v2020::FastCDC;
use object::ManifestChunk;
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Files smaller than this are cut when they are saved.
const AHEAD_FROM: u64 = 64 << 20;
/// Bytes looked at in one go.
const WINDOW: u64 = 16 << 20;
/// Bytes after which what was cut is brought to the disk.
const SYNC_BYTES: u64 = 64 << 20;

/// A file without a name that one working copy writes.
#[derive(Debug)]
pub struct Scratch {
    file: Arc<File>,
    progress: Mutex<Progress>,
    /// What it is a version of, and who cuts it; none where nobody does.
    cutter: Option<(Oid, Sender<ToCut>)>,
}

#[derive(Debug)]
struct Progress {
    /// Bytes that were written one after the other from the beginning.
    written: u64,
    /// Up to here nothing was written a second time.
    intact: u64,
    /// Bytes that were cut, into these chunks, in this epoch.
    cut: u64,
    chunks: Vec<ManifestChunk>,
    epoch: Option<EpochId>,
    /// Somebody is at it.
    cutting: bool,
    /// It is cut no further.
    over: bool,
}

/// The first chunks of a file, cut before it was saved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ahead {
    pub(crate) epoch: EpochId,
    pub(crate) chunks: Vec<ManifestChunk>,
}

impl From<File> for Scratch {
    fn from(file: File) -> Scratch {
        let progress = Progress {
            written: 0,
            intact: u64::MAX,
            cut: 0,
            chunks: Vec::new(),
            epoch: None,
            cutting: false,
            over: false,
        };
        Scratch { file: Arc::new(file), progress: Mutex::new(progress), cutter: None }
    }
}

impl Scratch {
    /// The file, to be read.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Puts bytes at `at`. Errors: those of the disk.
    pub fn write_at(self: &Arc<Scratch>, bytes: &[u8], at: u64) -> io::Result<()> {
        self.touch(at);
        self.file.write_all_at(bytes, at)?;
        let end = at + bytes.len() as u64;
        let mut progress = self.progress.lock();
        if at > progress.written || end <= progress.written {
            return Ok(());
        }
        progress.written = end;
        let ripe = end >= AHEAD_FROM && end - progress.cut >= WINDOW;
        if let Some((_, cutter)) = &self.cutter
            && ripe
            && !progress.cutting
            && !progress.over
        {
            progress.cutting = cutter.send(ToCut::Written(self.clone())).is_ok();
        }
        Ok(())
    }

    /// Cuts it to a size, or fills it up with zeros. Errors: those of the disk.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.touch(size);
        self.file.set_len(size)
    }

    /// Fills it with the first `size` bytes of another file, sharing them where the disk can. Errors: those of the disk.
    pub fn copy_from(&self, from: &File, size: u64) -> io::Result<()> {
        self.touch(0);
        copy_range(from, &self.file, size)
    }

    /// Makes zeros of a range and gives its space back. Errors: where the disk cannot do that.
    pub fn punch(&self, from: u64, end: u64) -> io::Result<()> {
        self.touch(from);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&*self.file, hole, from, end - from)?)
    }

    // Something from there on is about to change; whoever is cutting it must hear of that before.
    fn touch(&self, at: u64) {
        let mut progress = self.progress.lock();
        if at < progress.written {
            progress.intact = progress.intact.min(at);
        }
    }

    /// What was cut of its first `size` bytes and is still so. It is cut no further.
    pub(crate) fn ahead(&self, size: u64) -> Option<Ahead> {
        let mut progress = self.progress.lock();
        progress.over = true;
        let most = progress.intact.min(size);
        let mut end = 0;
        let chunks = std::mem::take(&mut progress.chunks).into_iter().take_while(|chunk| {
            end += u64::from(chunk.len);
            end <= most
        });
        let chunks: Vec<_> = chunks.collect();
        let same = chunking_for(size) == chunking_for(AHEAD_FROM);
        progress.epoch.filter(|_| same && !chunks.is_empty()).map(|epoch| Ahead { epoch, chunks })
    }

    // Cuts what there is to cut now. False: nothing more comes of it.
    fn cut(self: &Arc<Scratch>, core: &Core) -> bool {
        let Some((oid, _)) = &self.cutter else { return false };
        let Some((epoch, secret)) = core.epoch_to_cut(oid) else { return false };
        let chunking = chunking_for(AHEAD_FROM);
        let (min, avg, max) = (chunking.min as usize, chunking.avg as usize, chunking.max as usize);
        let mut window = vec![0; WINDOW as usize];
        let mut synced = self.progress.lock().cut;
        loop {
            let from = {
                let mut progress = self.progress.lock();
                // Larger files are cut into larger chunks.
                let outgrown = chunking_for(progress.written) != chunking;
                let abandoned = Arc::strong_count(self) == 1;
                if progress.over || abandoned || outgrown || progress.intact < progress.written {
                    return false;
                }
                if *progress.epoch.get_or_insert(epoch) != epoch || core.stopping.load(Ordering::Relaxed) {
                    return false;
                }
                if progress.written - progress.cut < WINDOW {
                    progress.cutting = false;
                    return true;
                }
                progress.cut
            };
            if self.file.read_exact_at(&mut window, from).is_err() {
                return false;
            }
            let cutter = FastCDC::new(&window, min, avg, max);
            let mut start = 0;
            // Where a chunk ends shows in what follows, up to the largest.
            while window.len() - start >= max {
                let (_, end) = cutter.cut(start, window.len() - start);
                let piece = named(&secret, &window[start..end]);
                let mut progress = self.progress.lock();
                if progress.over || progress.intact < from + end as u64 {
                    return false;
                }
                progress.chunks.push(piece);
                progress.cut = from + end as u64;
                start = end;
            }
            if from + start as u64 - synced >= SYNC_BYTES {
                synced = from + start as u64;
                // Whoever saves hears of what goes wrong here.
                let _ = self.file.sync_data();
            }
        }
    }
}

/// What the thread that cuts is told.
#[derive(Debug)]
pub(crate) enum ToCut {
    /// More of a file was written.
    Written(Arc<Scratch>),
    /// The node stops.
    Stop,
}

/// Cuts what is being written until it is told to stop.
pub(crate) fn cut_loop(core: &Core, inbox: &Receiver<ToCut>) {
    for message in inbox {
        let ToCut::Written(scratch) = message else { return };
        if !scratch.cut(core) {
            scratch.progress.lock().over = true;
        }
    }
}

impl Core {
    /// A file without a name, for a working copy of an object.
    pub(crate) fn scratch(&self, oid: Oid) -> crate::error::Result<Scratch> {
        let file = self.store.bulk().scratch()?;
        Ok(Scratch { cutter: Some((oid, self.cutting.0.clone())), ..Scratch::from(file) })
    }

    // Under what an object's chunks would be sealed now; none for what stays here.
    fn epoch_to_cut(&self, oid: &Oid) -> Option<(EpochId, crypto::EpochSecret)> {
        let oid = self.now_at(*oid);
        let state = self.state.read();
        let space = state.space(&oid.space)?;
        if space.pending.births.get(&oid.object).is_some_and(|newborn| newborn.local) {
            return None;
        }
        drop(state);
        self.epoch_to_seal(&oid.space).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Replicas;

    const SIZE: u64 = 100 << 20;

    // Ends the thread that cuts, also where an assertion fails.
    struct Stop(Sender<ToCut>);

    impl Drop for Stop {
        fn drop(&mut self) {
            let _ = self.0.send(ToCut::Stop);
        }
    }

    fn random(bytes: u64) -> Vec<u8> {
        let mut random = vec![0; bytes as usize];
        getrandom::fill(&mut random).unwrap();
        random
    }

    // Saves the file, and sees that all of it is named rightly. Answers what was cut ahead.
    fn saved(core: &Core, scratch: &Arc<Scratch>, oid: Oid) -> Option<Ahead> {
        let size = scratch.file.metadata().unwrap().len();
        let bulk = crate::blob::keep_file(&core.store, &scratch.file, size).unwrap();
        let ahead = scratch.ahead(size);
        ahead.clone().map(|ahead| core.ahead.lock().put(bulk.name, ahead));
        let (epoch, secret) = core.epoch_to_seal(&oid.space).unwrap();
        let manifest = core.chunk(bulk, &epoch, &secret).unwrap();
        let mut at = 0;
        for chunk in &manifest.chunks {
            let mut plain = vec![0; chunk.len as usize];
            scratch.file.read_exact_at(&mut plain, at).unwrap();
            assert_eq!(&named(&secret, &plain), chunk, "the chunk at {at}");
            at += u64::from(chunk.len);
        }
        assert_eq!((at, manifest.size), (size, size));
        ahead
    }

    // Writes a file from its beginning to its end, with what the thread that cuts does in between, then does
    // something else to it.
    fn cut_with(change: impl Fn(&Arc<Scratch>)) -> Option<Ahead> {
        let replicas = Replicas::new(1);
        let (core, oid) = (replicas.core(0), replicas.root());
        let scratch = Arc::new(core.scratch(oid).unwrap());
        for (n, part) in random(SIZE).chunks(3 << 20).enumerate() {
            scratch.write_at(part, n as u64 * (3 << 20)).unwrap();
            if let Ok(ToCut::Written(told)) = core.cutting.1.try_recv() {
                assert!(told.cut(core));
            }
        }
        change(&scratch);
        saved(core, &scratch, oid)
    }

    fn bytes(ahead: Option<Ahead>) -> u64 {
        ahead.map_or(0, |ahead| ahead.chunks.iter().map(|chunk| u64::from(chunk.len)).sum())
    }

    #[test]
    fn what_is_written_in_order_is_cut_before_it_is_saved() {
        assert!(bytes(cut_with(|_| ())) > SIZE - WINDOW - (8 << 20));
    }

    #[test]
    fn what_changes_after_it_was_cut_is_cut_again() {
        let at = 30 << 20;
        for change in [
            (|s: &Arc<Scratch>| s.write_at(b"other", 30 << 20).unwrap()) as fn(&Arc<Scratch>),
            |s| s.punch(30 << 20, 31 << 20).unwrap(),
            |s| {
                s.set_len(30 << 20).unwrap();
                s.set_len(70 << 20).unwrap();
            },
        ] {
            let ahead = bytes(cut_with(change));
            assert!(ahead <= at && ahead + (4 << 20) > at, "{ahead}");
        }
        assert_eq!(cut_with(|s| s.write_at(b"the beginning", 0).unwrap()), None);
        // Too small by now, and cut into smaller ones.
        assert_eq!(cut_with(|s| s.set_len(20 << 20).unwrap()), None);
    }

    #[test]
    fn whatever_happens_while_it_is_cut_the_chunks_are_those_of_the_bytes() {
        let replicas = Replicas::new(1);
        let (core, oid) = (replicas.core(0), replicas.root());
        std::thread::scope(|scope| {
            scope.spawn(|| cut_loop(core, &core.cutting.1));
            let _stop = Stop(core.cutting.0.clone());
            for n in 0..6 {
                let scratch = Arc::new(core.scratch(oid).unwrap());
                let mut size = 0;
                while size < SIZE {
                    scratch.write_at(&random(1 << 20), size).unwrap();
                    size += 1 << 20;
                    let dice = u64::from_le_bytes(random(8).try_into().unwrap());
                    // Near the end, where somebody is cutting, as well as anywhere.
                    let at =
                        size - 1 - (dice >> 16) % size.min(if dice & 256 == 0 { size } else { 30 << 20 });
                    let is_cutting = |p: &Progress| p.cutting && !p.over;
                    while dice % 64 < 3 && dice & 512 == 0 && is_cutting(&scratch.progress.lock()) {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                    match dice % 64 {
                        _ if n == 0 || size <= AHEAD_FROM => {}
                        0 => scratch.write_at(b"something else", at.min(size - 14)).unwrap(),
                        1 => scratch.punch(at, (at + 5000).min(size)).unwrap(),
                        2 if at > SIZE / 2 => {
                            scratch.set_len(at).unwrap();
                            scratch.set_len(size).unwrap();
                        }
                        _ => {}
                    }
                }
                while n == 0 && scratch.progress.lock().cut == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                let ahead = bytes(saved(core, &scratch, oid));
                assert!(n > 0 || ahead > 0, "nothing was cut ahead");
            }
        });
    }
}
