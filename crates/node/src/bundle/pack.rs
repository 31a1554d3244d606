//! Writing what was planned, as one bundle or as many as it takes.

use super::file::{OVERHEAD, Writer};
use super::plan::Plan;
use super::{Listener, Progress};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::record::CoverRecord;
use base::Kind;
use std::fs::File;
use std::io::BufWriter;
use sync::{Envelope, LogRange, Opening};

/// Bytes of entries in one envelope.
const BATCH: usize = 1 << 20;

/// What came of an export.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// Bundles written.
    pub bundles: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Chunks of large files in them.
    pub chunks: u64,
    /// Entries and chunks that bundles in the spool held already.
    pub covered: u64,
    /// Bundles removed from the spool: the friend acknowledged what was in them.
    pub removed: u64,
    /// Entries and chunks that did not fit.
    pub left: u64,
    /// Bytes of these.
    pub left_bytes: u64,
}

/// Where bundles are written to.
pub(crate) trait Target {
    /// Bytes of messages that one more bundle may have; none where no more fits.
    fn room(&mut self) -> Result<Option<u64>>;
    /// A file for it.
    fn begin(&mut self, number: u64) -> Result<File>;
    /// It is written: from now on it is there under its name.
    fn keep(&mut self, file: File, cover: &CoverRecord) -> Result<()>;
    /// It could not be written.
    fn give_up(&mut self);
}

struct Open {
    writer: Writer<BufWriter<File>>,
    cover: CoverRecord,
    most: u64,
    entries: u64,
    bytes: u64,
    // Whether there is more in it than its beginning.
    filled: bool,
}

struct Packer<'a> {
    core: &'a Core,
    plan: &'a Plan,
    target: &'a mut dyn Target,
    open: Option<Open>,
    full: bool,
    done: Exported,
    bytes: u64,
    // Chunks of which the bytes were gone, or are not recorded yet.
    skipped: u64,
}

impl Core {
    /// Writes the planned bundles. A target without room ends it: what is written stays, and the answer
    /// says how much is not.
    pub(crate) fn pack(&self, plan: &Plan, target: &mut dyn Target, tell: Listener<'_>) -> Result<Exported> {
        let mut packer = Packer {
            core: self,
            plan,
            target,
            open: None,
            full: false,
            done: Exported::default(),
            bytes: 0,
            skipped: 0,
        };
        let packed = packer.all(tell);
        if packed.is_err() {
            packer.open = None;
            packer.target.give_up();
        }
        packed?;
        let mut done = packer.done;
        done.covered = plan.covered;
        done.left = (plan.entries + plan.chunks.len() as u64)
            .saturating_sub(done.entries + done.chunks + packer.skipped);
        done.left_bytes = if done.left > 0 { plan.bytes.saturating_sub(packer.bytes) } else { 0 };
        Ok(done)
    }
}

impl Packer<'_> {
    fn all(&mut self, tell: Listener<'_>) -> Result<()> {
        let core = self.core;
        // Also with nothing to send: where this node stands acknowledges what came before.
        if !self.begin()? {
            return Ok(());
        }
        for range in &self.plan.ranges {
            core.each_batch(range, self.batch(), &mut |entries, part| {
                let (count, bytes) = (entries.len() as u64, entries.iter().map(|e| e.len() as u64).sum());
                self.put(&Envelope::Entries(entries), bytes, |cover| note(cover, part))?;
                if !self.full {
                    self.open.iter_mut().for_each(|open| open.entries += count);
                }
                tell(self.progress());
                Ok(())
            })?;
        }
        for (tag, id, len) in &self.plan.chunks {
            let Some(bytes) = core.sealed_chunk(tag, id)? else {
                self.skipped += 1;
                continue;
            };
            let envelope = Envelope::Chunk { tag: *tag, id: *id, bytes: Some(bytes) };
            self.put(&envelope, u64::from(*len), |cover| cover.chunks.push((*tag, *id)))?;
            tell(self.progress());
        }
        self.end()
    }

    fn progress(&self) -> Progress {
        let open = self.open.as_ref().map_or(0, |open| open.bytes);
        Progress { what: "writing", done: self.bytes + open, total: self.plan.bytes }
    }

    // Small bundles are filled with small envelopes.
    fn batch(&self) -> usize {
        let most = self.open.as_ref().map_or(u64::MAX, |open| open.most / 8);
        (most.clamp(16 << 10, BATCH as u64)) as usize
    }

    fn put(&mut self, envelope: &Envelope, bytes: u64, note: impl Fn(&mut CoverRecord)) -> Result<()> {
        if self.full {
            return Ok(());
        }
        let fits = |open: &Open| !open.filled || open.writer.len() + bytes + OVERHEAD <= open.most;
        if !self.open.as_ref().is_some_and(fits) {
            self.end()?;
            if !self.begin()? {
                return Ok(());
            }
        }
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        if let Err(e) = open.writer.add(envelope) {
            return self.ran_out(e);
        }
        open.filled = true;
        note(&mut open.cover);
        open.bytes += bytes;
        Ok(())
    }

    // Begins a bundle; false where no more fits.
    fn begin(&mut self) -> Result<bool> {
        let Some(most) = self.target.room()? else {
            self.full = true;
            return Ok(false);
        };
        let number = self.core.next_bundle()?;
        let file = self.target.begin(number)?;
        let opening = Opening { from: self.core.device, to: self.plan.to.person, number };
        let mut writer = Writer::begin(BufWriter::with_capacity(1 << 18, file), &opening, &self.plan.to)?;
        // Each stands for itself, unless what it begins with were most of it.
        let head: u64 = self.plan.head.iter().map(|envelope| envelope.encode().len() as u64).sum();
        if self.done.bundles == 0 || head <= most / 8 {
            for envelope in &self.plan.head {
                if let Err(e) = writer.add(envelope) {
                    self.ran_out(e)?;
                    return Ok(false);
                }
            }
        }
        let cover = CoverRecord { number, ..CoverRecord::default() };
        self.open = Some(Open { writer, cover, most, entries: 0, bytes: 0, filled: false });
        Ok(true)
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let finished = open.writer.finish(&self.core.keys.device, &self.plan.to.person);
        let kept = finished.and_then(|(out, size)| {
            open.cover.size = size;
            let file = out.into_inner().map_err(|e| e.into_error());
            let file = crate::error::During::during(file, || "writing the bundle".into())?;
            self.target.keep(file, &open.cover)
        });
        match kept {
            Ok(()) => {
                self.done.bundles += 1;
                self.done.bytes += open.cover.size;
                self.bytes += open.bytes;
                self.done.entries += open.entries;
                self.done.chunks += open.cover.chunks.len() as u64;
                Ok(())
            }
            Err(e) => self.ran_out(e),
        }
    }

    // What was in a bundle that could not be written is not written.
    fn ran_out(&mut self, error: Error) -> Result<()> {
        self.open = None;
        self.target.give_up();
        if error.kind() != Kind::NoSpace {
            return Err(error);
        }
        self.full = true;
        Ok(())
    }
}

fn note(cover: &mut CoverRecord, part: LogRange) {
    match cover.ranges.last_mut() {
        Some((tag, log, _, to)) if (*tag, *log) == (part.tag, part.log) && *to + 1 == part.from => {
            *to = part.to
        }
        _ => cover.ranges.push((part.tag, part.log, part.from, part.to)),
    }
}
