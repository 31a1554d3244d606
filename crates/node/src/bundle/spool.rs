//! Where bundles lie: one file, or a folder (a stick) that many exports share.
//!
//! A bundle is written under a name that begins with a dot and ends with `.part`, and gets its own
//! when it is durable; so whatever has a bundle's name is whole. What each holds is kept in the
//! store: an export that was stopped goes on where it was, one that is repeated writes nothing twice,
//! and what the friend acknowledged is removed.

use super::file::OVERHEAD;
use super::pack::Target;
use crate::core::Core;
use crate::error::{During, Error, Result};
use crate::record::{self, CoverRecord};
use base::{Kind, PersonId, limit};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use store::Batch;

/// How a bundle's name in a spool ends.
const ENDING: &str = ".bundle";
/// Bytes of a disk that are left free.
const MARGIN: u64 = 1 << 20;

/// One bundle in one file.
pub(crate) struct Single {
    path: PathBuf,
}

impl Single {
    /// Errors: `Exists`.
    pub(crate) fn new(path: &Path) -> Result<Single> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::refused(Kind::Exists, format!("{} exists already", path.display())));
        }
        Ok(Single { path: path.to_owned() })
    }

    fn part(&self) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.part"))
    }
}

impl Target for Single {
    fn room(&mut self) -> Result<Option<u64>> {
        Ok(Some(u64::MAX / 2))
    }

    fn begin(&mut self, _: u64) -> Result<File> {
        begin(&self.part())
    }

    fn keep(&mut self, file: File, _: &CoverRecord) -> Result<()> {
        keep(&file, &self.part(), &self.path)
    }

    fn give_up(&mut self) {
        let _ = fs::remove_file(self.part());
    }
}

/// A folder of bundles.
pub(crate) struct Spool<'a> {
    core: &'a Core,
    dir: PathBuf,
    person: PersonId,
    /// Bytes of messages in one bundle, at most.
    most: u64,
    /// Bytes that all bundles in it may have together.
    total: u64,
    part: Option<PathBuf>,
}

impl<'a> Spool<'a> {
    /// Errors: `NotRoom` where it is no folder.
    pub(crate) fn new(core: &'a Core, dir: &Path, person: &PersonId, most: u64) -> Result<Spool<'a>> {
        if !fs::metadata(dir).during(|| format!("looking at {}", dir.display()))?.is_dir() {
            return Err(Error::refused(Kind::NotRoom, format!("{} is no folder", dir.display())));
        }
        let spool = Spool { core, dir: dir.to_owned(), person: *person, most, total: u64::MAX, part: None };
        spool.sweep()?;
        Ok(spool)
    }

    /// No more than so many bytes are to lie in it.
    pub(crate) fn bound(&mut self, total: u64) {
        self.total = total;
    }

    /// What the bundles that are there hold, as far as this node wrote them for this friend.
    pub(crate) fn there(&self) -> Result<Vec<CoverRecord>> {
        let mut there = Vec::new();
        for cover in self.core.covers(&self.person)? {
            if fs::metadata(self.path(cover.number)).is_ok_and(|meta| meta.len() == cover.size) {
                there.push(cover);
            }
        }
        Ok(there)
    }

    /// Removes bundles that nobody needs any more; how many those were.
    pub(crate) fn remove(&self, spent: &[CoverRecord]) -> Result<u64> {
        let mut batch = Batch::new();
        for cover in spent {
            let path = self.path(cover.number);
            fs::remove_file(&path).during(|| format!("removing {}", path.display()))?;
            batch.remove(cover_key(&self.person, cover.number));
        }
        if !batch.is_empty() {
            self.core.store.apply(batch)?;
        }
        Ok(spent.len() as u64)
    }

    /// Where a bundle is.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}{ENDING}"))
    }

    // What an export left that was killed; one that somebody is writing stays.
    fn sweep(&self) -> Result<()> {
        for path in list(&self.dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let inner = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".part"));
            let ours = inner.is_some_and(|inner| inner.ends_with(ENDING));
            let lock = |file: File| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            if ours && File::open(&path).is_ok_and(lock) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    fn part_of(&self, number: u64) -> PathBuf {
        self.dir.join(format!(".{number:016x}{ENDING}.part"))
    }
}

impl Target for Spool<'_> {
    fn room(&mut self) -> Result<Option<u64>> {
        let during = || format!("looking at {}", self.dir.display());
        let disk = rustix::fs::statvfs(&self.dir).map_err(std::io::Error::from).during(during)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let least = 2 * OVERHEAD;
        // The seal adds little: one part in four thousand, and the file system its own.
        let there = match self.total {
            u64::MAX => 0,
            _ => bundles_in(&self.dir)?
                .iter()
                .filter_map(|path| fs::metadata(path).ok())
                .map(|m| m.len())
                .sum(),
        };
        if there >= self.total {
            return Ok(None);
        }
        let room = free.saturating_sub(MARGIN.min(free / 16)) / 64 * 63;
        Ok((room >= least).then_some(room.min(self.most)))
    }

    fn begin(&mut self, number: u64) -> Result<File> {
        let part = self.part_of(number);
        let file = begin(&part)?;
        self.part = Some(part);
        Ok(file)
    }

    fn keep(&mut self, file: File, cover: &CoverRecord) -> Result<()> {
        keep(&file, &self.part_of(cover.number), &self.path(cover.number))?;
        self.part = None;
        self.core.keep_cover(&self.person, cover)
    }

    fn give_up(&mut self) {
        if let Some(part) = self.part.take() {
            let _ = fs::remove_file(part);
        }
    }
}

/// The bundles of a folder, in the order in which they were made.
pub(crate) fn bundles_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut all = list(dir)?;
    all.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(ENDING) && !name.starts_with('.') && path.is_file()
    });
    all.sort();
    Ok(all)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let during = || format!("listing {}", dir.display());
    let entries = fs::read_dir(dir).during(during)?;
    entries.map(|entry| entry.map(|entry| entry.path()).during(during)).collect()
}

fn begin(part: &Path) -> Result<File> {
    let during = || format!("making {}", part.display());
    let file =
        File::options().create(true).truncate(false).read(true).write(true).open(part).during(during)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let text = format!("{} is being written by another export", part.display());
        return Err(Error::refused(Kind::Busy, text));
    }
    file.set_len(0).during(during)?;
    Ok(file)
}

fn keep(file: &File, part: &Path, path: &Path) -> Result<()> {
    let during = || format!("writing {}", path.display());
    file.sync_all().during(during)?;
    fs::rename(part, path).during(during)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).during(during)
}

fn cover_key(person: &PersonId, number: u64) -> Vec<u8> {
    record::node_key("cover", &[&person.0[..], &number.to_be_bytes()].concat())
}

impl Core {
    fn covers(&self, person: &PersonId) -> Result<Vec<CoverRecord>> {
        let found = self.store.range(&record::node_key("cover", &person.0));
        found.map(|found| Ok(record::from_bytes(&found?.1, "record of a bundle")?)).collect()
    }

    fn keep_cover(&self, person: &PersonId, cover: &CoverRecord) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(cover_key(person, cover.number), record::to_bytes(cover));
        // Of one that is forgotten only what is in it would be written once more.
        let all = self.covers(person)?;
        let over = (all.len() + 1).saturating_sub(limit::SPOOL_BUNDLES);
        for old in all.iter().take(over) {
            batch.remove(cover_key(person, old.number));
        }
        let ticket = self.store.apply(batch)?;
        Ok(self.store.wait(ticket)?)
    }
}
