//! Bundles: what a friend lacks as sealed files, for a stick, a messenger or a network that only
//! stores and forwards.
//!
//! `plan` says what belongs in (the frontiers of what is shared, the entries past what the friend is
//! known to have, the chunks of their large files); `pack` writes it as one bundle or several;
//! `spool` keeps a folder of them from growing with every export; `file` is one bundle as bytes;
//! `take` checks one whole and hands it to the machine as if it came on a link, its chunks to the
//! thread that fetches (`bring`). `known` keeps what friends acknowledged over a restart.

mod bring;
mod file;
mod head;
mod known;
mod pack;
mod plan;
mod spool;
mod take;

pub(crate) use bring::{Bring, Settle};
pub(crate) use known::{Carried, Outline, outline};
pub use pack::Exported;
pub(crate) use spool::bundles_in;
pub use take::Imported;

use crate::core::Core;
use crate::error::{Error, Result};
use base::{ChunkId, Kind, PersonId, SpaceTag, limit};
use file::Writer;
use spool::{Single, Spool};
use std::collections::BTreeSet;
use std::path::Path;
use sync::{LogRange, Opening};

/// How far a long work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a word.
    pub what: &'static str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all, as far as is known.
    pub total: u64,
}

/// Hears how far a long work is.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(Progress);

impl crate::Node {
    /// Writes what a friend lacks (or, with `all`, everything) as one bundle in a new file. Errors: `NotFound`,
    /// `Exists`, `NoSpace`; nothing is left of the file then.
    pub fn bundle_to_file(&self, to: &str, file: &Path, all: bool, tell: Listener<'_>) -> Result<Exported> {
        let core = self.core();
        let friend = core.friend(to)?;
        core.seal_all(true)?;
        let mut single = Single::new(file)?;
        let plan = core.plan_bundle(&friend.person, all, &[])?;
        let done = core.pack(&plan, &mut single, tell)?;
        if done.bundles == 0 {
            let needed = plan.bytes;
            return Err(Error::refused(
                Kind::NoSpace,
                format!(
                    "{} needs about {needed} bytes, and there is less room; nothing was written",
                    file.display()
                ),
            ));
        }
        Ok(done)
    }

    /// The same into a folder that holds bundles: without what those there hold already, in bundles of a
    /// moderate size, as many as there is room for; those that the friend acknowledged are removed.
    pub fn bundle_to_spool(&self, to: &str, dir: &Path, all: bool, tell: Listener<'_>) -> Result<Exported> {
        let core = self.core();
        let friend = core.friend(to)?;
        core.seal_all(true)?;
        core.export_to_spool(&friend.person, dir, all, limit::SPOOL_BUNDLE_BYTES, tell)
    }

    /// Takes a bundle, or all those in a folder. All of a bundle is checked before any of it is taken.
    pub fn bundle_import(&self, path: &Path, tell: Listener<'_>) -> Result<Imported> {
        self.core().import(path, tell)
    }
}

impl Core {
    /// Brings a folder up to what a friend lacks now.
    pub(crate) fn export_to_spool(
        &self,
        person: &PersonId,
        dir: &Path,
        all: bool,
        most: u64,
        tell: Listener<'_>,
    ) -> Result<Exported> {
        let mut spool = Spool::new(self, dir, person, most)?;
        let there = spool.there()?;
        let plan = self.plan_bundle(person, all, &there)?;
        let removed = spool.remove(&plan.spent)?;
        let mut done = self.pack(&plan, &mut spool, tell)?;
        done.removed = removed;
        Ok(done)
    }

    /// Brings what waits for a friend over DTN up to what they lack now: nothing where they lack nothing.
    pub(crate) fn export_to_dtn(&self, person: &PersonId, dir: &Path, most: u64) -> Result<Exported> {
        let mut spool = Spool::new(self, dir, person, most)?;
        spool.bound(limit::DTN_SPOOL_BYTES);
        let there = spool.there()?;
        let plan = self.plan_bundle(person, false, &there)?;
        let removed = spool.remove(&plan.spent)?;
        let mut done = Exported::default();
        if plan.entries > 0 || !plan.chunks.is_empty() {
            done = self.pack(&plan, &mut spool, &mut |_| {})?;
        }
        done.removed = removed;
        Ok(done)
    }

    /// What tells a friend how far this node is, and nothing else.
    pub(crate) fn ack_bundle(&self, person: &PersonId) -> Result<Vec<u8>> {
        let (to, head) = self.ack_for(person)?;
        let opening = Opening { from: self.device, to: *person, number: self.next_bundle()? };
        let mut writer = Writer::begin(Vec::new(), &opening, &to)?;
        for envelope in &head {
            writer.add(envelope)?;
        }
        Ok(writer.finish(&self.keys.device, person)?.0)
    }

    /// What a friend lacks and asked for, to see whether it changed; none while they are connected.
    pub(crate) fn dtn_outline(&self, person: &PersonId) -> Result<Option<Lack>> {
        let devices = self.recipient(person)?.1;
        let links = self.links.lock().clone();
        if devices.iter().any(|device| links.get(device).is_some_and(|link| link.connected)) {
            return Ok(None);
        }
        let fetching = self.fetching.load(std::sync::atomic::Ordering::Relaxed);
        Ok(Some((self.outline_of(&devices, false)?.lacking, self.wanted_by(&devices)?, fetching)))
    }
}

/// What a friend lacks and asked for, and how many large files are on their way to this node.
pub(crate) type Lack = (Vec<LogRange>, BTreeSet<(SpaceTag, ChunkId)>, usize);
