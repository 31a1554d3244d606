//! Taking a bundle: all of it is checked before any of it is taken; then its messages go to the
//! machine as if they came on a link, and through the same judgement.
//!
//! What is here already is passed over, so a bundle may be taken twice, and one that was left in the
//! middle goes on. What it says of frontiers counts only if no newer bundle of that device was here.

use super::bring::{Bring, Settle};
use super::file::Reader;
use super::plan::stopping;
use super::spool::bundles_in;
use super::{Listener, Progress};
use crate::core::Core;
use crate::error::{During, Error, Result};
use crate::link::ToLink;
use crate::record::{self, CarriedRecord, ChunkRecord};
use base::{ChunkId, Entry, Hash, Kind, LogId, PersonId, SpaceId, SpaceTag, limit};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::Duration;
use sync::{Envelope, Opening};

/// How often somebody who waits looks whether there is still something to wait for.
const LOOK_UP: Duration = Duration::from_secs(1);
/// Chunks on their way into their blobs at a time.
const BRINGING: usize = 8;
/// How often a bundle is gone through: entries may wait for others that come behind them.
const PASSES: usize = 16;
/// Logs that are named because something before them is not here.
const NAMED: usize = 16;

/// What came of an import.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Bundles taken.
    pub bundles: u64,
    /// Who they are from, by petname.
    pub from: BTreeSet<String>,
    /// Entries that were new.
    pub entries: u64,
    /// Entries that were here.
    pub known: u64,
    /// Chunks of large files that were new.
    pub chunks: u64,
    /// Chunks that were here, or that no file needs.
    pub known_chunks: u64,
    /// Entries of rooms that are not joined here.
    pub unjoined: u64,
    /// Entries that did not count; `status` says why.
    pub left_out: u64,
    /// What has to come first, a line each.
    pub lacking: Vec<String>,
    /// Bundles of a folder that are sealed for somebody else.
    pub foreign: u64,
    /// Bundles of a folder that could not be taken, and why.
    pub bad: Vec<String>,
}

impl Core {
    /// Takes a bundle, or all that a folder holds. Errors as of [`Reader::open`], and `Denied` where it
    /// is of nobody who is known; of a folder, those of its bundles are in the answer.
    pub(crate) fn import(&self, path: &Path, tell: Listener<'_>) -> Result<Imported> {
        let meta = std::fs::metadata(path).during(|| format!("reading {}", path.display()))?;
        let mut done = Imported::default();
        if !meta.is_dir() {
            self.import_one(path, &mut done, tell)?;
            return Ok(done);
        }
        for bundle in bundles_in(path)? {
            match self.import_one(&bundle, &mut done, tell) {
                Ok(_) => {}
                Err(Error::Refused { kind: Kind::Denied, .. }) => done.foreign += 1,
                Err(e) if matches!(e.kind(), Kind::Interrupted | Kind::NoSpace | Kind::Poisoned) => {
                    return Err(e);
                }
                Err(e) => done.bad.push(e.to_string()),
            }
        }
        Ok(done)
    }

    /// Checks a bundle whole and takes it.
    pub(crate) fn import_one(
        &self,
        path: &Path,
        done: &mut Imported,
        tell: Listener<'_>,
    ) -> Result<PersonId> {
        let (opening, person) = self.check_bundle(path, tell)?;
        self.is_known_to(&opening.from)?;
        let mut carried = self.carried_from(&opening.from)?;
        let newest = opening.number > carried.newest;
        let mut taking = Taking {
            core: self,
            opening: &opening,
            newest,
            wants: Vec::new(),
            bringing: VecDeque::new(),
            blobs: BTreeSet::new(),
            lacking: BTreeMap::new(),
            unjoined: 0,
            left_out: 0,
            done,
        };
        taking.all(path, tell)?;
        let wants = std::mem::take(&mut taking.wants);
        if newest {
            carried = CarriedRecord { newest: opening.number, wants };
            self.keep_carried(&opening.from, &carried)?;
        }
        self.store.sync()?;
        let (kept, remembered) = crossbeam_channel::bounded(1);
        self.tell_link(ToLink::Remember { done: kept });
        self.await_word(&remembered)?;
        done.bundles += 1;
        done.from.insert(self.name_of_device(&opening.from));
        Ok(person)
    }

    // Reads it to its end: every seal, every message, the signature; nothing is kept of it.
    fn check_bundle(&self, path: &Path, tell: Listener<'_>) -> Result<(Opening, PersonId)> {
        let mut reader = Reader::open(path, &self.keys.seal)?;
        let opening = reader.opening()?;
        let refused = |text: &str| {
            Err(Error::refused(
                Kind::Denied,
                format!("{} is {text}; nothing of it was taken", path.display()),
            ))
        };
        if opening.to != self.me.person {
            return refused("for somebody else");
        }
        let friend = {
            let state = self.state.read();
            state
                .peers
                .values()
                .find(|peer| state.devices(peer).contains(&opening.from))
                .map(|peer| peer.person)
        };
        let Some(friend) = friend else { return refused("from nobody you know") };
        while reader.read()?.is_some() {
            if self.is_stopping() {
                return Err(stopping());
            }
            let (done, total) = reader.progress();
            tell(Progress { what: "checking", done, total });
        }
        Ok((opening, friend))
    }
}

struct Taking<'a> {
    core: &'a Core,
    opening: &'a Opening,
    newest: bool,
    wants: Vec<(SpaceTag, ChunkId)>,
    // Chunks under way, the oldest first.
    bringing: VecDeque<Receiver<bool>>,
    blobs: BTreeSet<(SpaceTag, Hash)>,
    // Of logs with a hole: where they go on in this bundle.
    lacking: BTreeMap<(SpaceTag, LogId), u64>,
    unjoined: u64,
    left_out: u64,
    done: &'a mut Imported,
}

impl Taking<'_> {
    fn all(&mut self, path: &Path, tell: Listener<'_>) -> Result<()> {
        for pass in 0..PASSES {
            let before = self.done.entries;
            self.lacking.clear();
            (self.unjoined, self.left_out) = (0, 0);
            self.once(path, pass == 0, tell)?;
            let open = !self.lacking.is_empty() || self.left_out + self.unjoined > 0;
            if !open || self.done.entries == before {
                break;
            }
        }
        if !self.blobs.is_empty() {
            let (done, settled) = crossbeam_channel::bounded(1);
            let blobs = self.blobs.iter().copied().collect();
            self.core.tell_link(ToLink::Settle(Settle { blobs, done }));
            if !self.core.await_word(&settled)? {
                let text = "large files of it could not be kept; `chorus status` says why";
                return Err(Error::refused(Kind::NoSpace, text));
            }
        }
        self.done.unjoined += self.unjoined;
        self.done.left_out += self.left_out;
        for ((tag, log), first) in &self.lacking {
            let line = self.core.describe_hole(tag, log, *first);
            self.done.lacking.push(line);
        }
        Ok(())
    }

    fn once(&mut self, path: &Path, first: bool, tell: Listener<'_>) -> Result<()> {
        let mut reader = Reader::open(path, &self.core.keys.seal)?;
        if reader.opening()? != *self.opening {
            return Err(Error::refused(Kind::Stale, format!("{} changed while it was read", path.display())));
        }
        while let Some(envelope) = reader.read()? {
            if self.core.is_stopping() {
                return Err(stopping());
            }
            self.take(envelope, first)?;
            let (done, total) = reader.progress();
            tell(Progress { what: "taking", done, total });
        }
        while let Some(open) = self.bringing.pop_front() {
            self.brought(&open);
        }
        Ok(())
    }

    fn take(&mut self, envelope: Envelope, first: bool) -> Result<()> {
        match envelope {
            Envelope::Entries(entries) => self.entries(entries, first),
            Envelope::Chunk { tag, id, bytes: Some(bytes) } => self.chunk(tag, id, bytes, first),
            // Operations and statements are a set: what is old in it changes nothing.
            Envelope::Share { .. } if first => self.hand_over(envelope),
            Envelope::Frontier(_) if first && self.newest => self.hand_over(envelope),
            Envelope::Want(want) if first && self.newest => {
                let room = limit::BUNDLE_WANTS.saturating_sub(self.wants.len());
                self.wants.extend(want.chunks.into_iter().take(room));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    // As on a link; comes back when everything in it was judged.
    fn hand_over(&self, envelope: Envelope) -> Result<()> {
        let (done, judged) = crossbeam_channel::bounded(1);
        let (peer, envelope) = (self.opening.from, Box::new(envelope));
        self.core.tell_link(ToLink::Carried { peer, envelope, done });
        self.core.await_word(&judged)
    }

    fn entries(&mut self, entries: Vec<Vec<u8>>, first: bool) -> Result<()> {
        let mut new = Vec::new();
        let mut heads = Vec::new();
        for bytes in entries {
            match Entry::decode(bytes.as_slice()) {
                Ok(entry) if self.core.entry_record(&entry.hash())?.is_some() => {
                    self.done.known += u64::from(first);
                }
                // On a link it would not have been sent.
                Ok(entry) if self.core.space_of_tag(&tag_of(&entry)).is_none() => self.unjoined += 1,
                Ok(entry) => {
                    let header = entry.header();
                    heads.push((tag_of(&entry), header.log, header.seq, header.prev, entry.hash()));
                    new.push(bytes);
                }
                Err(_) => self.left_out += 1,
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.hand_over(Envelope::Entries(new))?;
        for (tag, log, seq, prev, hash) in heads {
            if self.core.entry_record(&hash)?.is_some() {
                self.done.entries += 1;
            } else if let Some(prev) = prev
                && self.core.entry_record(&prev)?.is_none()
            {
                if self.lacking.len() < NAMED || self.lacking.contains_key(&(tag, log)) {
                    let at = self.lacking.entry((tag, log)).or_insert(seq);
                    *at = (*at).min(seq);
                }
            } else {
                self.left_out += 1;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, tag: SpaceTag, id: ChunkId, bytes: Vec<u8>, first: bool) -> Result<()> {
        let needed = self.core.blob_of_chunk(&tag, &id)?;
        let Some(content) = needed else {
            self.done.known_chunks += u64::from(first);
            return Ok(());
        };
        if self.bringing.len() >= BRINGING
            && let Some(oldest) = self.bringing.pop_front()
        {
            self.brought(&oldest);
        }
        let (done, open): (Sender<bool>, _) = crossbeam_channel::bounded(1);
        self.core.tell_link(ToLink::Bring(Bring { tag, id, bytes, content, done }));
        self.bringing.push_back(open);
        self.blobs.insert((tag, content));
        Ok(())
    }

    fn brought(&mut self, open: &Receiver<bool>) {
        match open.recv() {
            Ok(true) => self.done.chunks += 1,
            _ => self.done.known_chunks += 1,
        }
    }
}

impl Core {
    // Waits for another thread, as long as this node can do anything.
    fn await_word<T>(&self, word: &Receiver<T>) -> Result<T> {
        loop {
            match word.recv_timeout(LOOK_UP) {
                Ok(word) => return Ok(word),
                Err(RecvTimeoutError::Timeout) if !self.is_stopping() => {}
                Err(_) => return Err(stopping()),
            }
            if self.store.is_poisoned() {
                self.store.sync()?;
            }
        }
    }

    /// The content that lacks a chunk; none if it is here or nothing needs it.
    pub(crate) fn blob_of_chunk(&self, tag: &SpaceTag, id: &ChunkId) -> Result<Option<Hash>> {
        let Some(bytes) = self.store.get(&record::chunk_key(tag, id))? else { return Ok(None) };
        let at: ChunkRecord = record::from_bytes(&bytes, "chunk record")?;
        let here = self.partial.read().get(&(*tag, at.content)).cloned();
        let here = match here {
            Some(blob) => Some(blob),
            None => self.blob(tag, &at.content)?,
        };
        Ok((!here.is_some_and(|blob| blob.has(at.index))).then_some(at.content))
    }

    // "of bob in garden: entries up to 16 come first, and 12 are here".
    fn describe_hole(&self, tag: &SpaceTag, log: &LogId, first: u64) -> String {
        let state = self.state.read();
        let room = match state.spaces.get(tag) {
            Some(space) => format!("of {} in {}", self.name_of_log(&state, log), space.name),
            None => "of what somebody says of their devices".into(),
        };
        let logs = state.spaces.get(tag).map(|space| &space.logs);
        let here = logs.and_then(|logs| logs.tips.get(log)).and_then(|tips| tips.last());
        let here = here.map_or(0, |(seq, _)| seq.saturating_add(1));
        format!("{room}: it goes on after entry {first}, and {here} are here")
    }

    fn name_of_log(&self, state: &crate::state::State, log: &LogId) -> String {
        if log.device == self.device {
            return "this device".into();
        }
        let person = state.people.person_of(&log.device);
        let name = person.and_then(|person| state.petname(&person).map(str::to_owned));
        name.unwrap_or_else(|| crypto::fingerprint(&log.device.0))
    }
}

fn tag_of(entry: &Entry) -> SpaceTag {
    if entry.header().is_genesis() { SpaceId(entry.hash().0).tag() } else { entry.header().tag }
}
