//! Opening a store: who may, what was left behind, whether it is whole.

use crate::bulk::Bulk;
use crate::commit::Commit;
use crate::engine::{DB, Engine};
use crate::lock::Lock;
use crate::mark::{self, Witness};
use crate::record::{self, Meta};
use crate::write::Writing;
use crate::{Error, Inner, Store, check};
use parking_lot::Mutex;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a batch waits for company before it is made durable, where nobody waits for it.
    pub group_commit: Duration,
    /// Bytes that must stay free on the disk; below, edits are refused with `NoSpace`. A batch marked by
    /// [`crate::Batch::frees_space`] may use three quarters of them.
    pub reserve_bytes: u64,
    /// Open even where the quick check finds damage: intact values can be read, damaged ones
    /// answer `Corrupt` and can be replaced. For rebuilding; the faults are in the report.
    pub salvage: bool,
    /// Run the quick check also after a clean close: about 1.5 s for a million keys. Without it, sled passes over
    /// damaged parts of its log in silence, and old values can come back as if they were the last.
    pub check: bool,
    /// For tests: while true, every sync fails.
    #[doc(hidden)]
    pub fail_sync: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            group_commit: Duration::from_millis(5),
            reserve_bytes: 16 << 20,
            salvage: false,
            check: true,
            fail_sync: None,
        }
    }
}

/// An open store, and what was found when it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was found.
    pub report: OpenReport,
}

/// What was found when a store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// It was closed cleanly, or is new.
    pub clean: bool,
    /// There was none.
    pub new: bool,
    /// Files that were being written when the last process ended, now removed.
    pub removed_bulk: Vec<String>,
    /// What the quick check found wrong; only with [`Options::salvage`].
    pub faults: Vec<String>,
}

pub(crate) fn open(dir: &Path, options: Options) -> Result<Opened, Error> {
    fs::create_dir_all(dir).map_err(Error::io("making", dir))?;
    let lock = Lock::take(dir)?;
    let formatted = mark::read_format(dir)?;
    if !formatted {
        clear_unfinished(dir)?;
    }
    let marked = mark::read_clean(dir);
    let new = !dir.join(DB).exists() && marked.is_none() && Witness::open(dir)?.read() == 0;
    let (mut bulk, removed_bulk) = Bulk::at(dir)?;
    mark::remove_clean(dir)?;
    let engine = Arc::new(Engine::open(dir, &options)?);
    let (meta, faults) = judge(&engine, &options, marked, new)?;
    if !formatted {
        mark::write_format(dir)?;
    }
    bulk.guard_by(engine.reserve.clone());
    let commit = Arc::new(Commit::new(meta.seq, options.group_commit));
    let writing = Arc::new(Writing::new(engine.clone(), commit.clone(), meta));
    let committer = Commit::start(writing.clone()).map_err(Error::io("starting the committer of", dir))?;
    let inner = Inner { committer: Mutex::new(Some(committer)), commit, writing, bulk, engine, _lock: lock };
    let report = OpenReport { clean: new || marked.is_some(), new, removed_bulk, faults };
    Ok(Opened { store: Store { inner: Arc::new(inner) }, report })
}

// Whether the database is whole and as new as was promised.
fn judge(
    engine: &Engine,
    options: &Options,
    marked: Option<u64>,
    new: bool,
) -> Result<(Meta, Vec<String>), Error> {
    let mut faults = Vec::new();
    let meta = match engine.get(record::META_KEY)? {
        None => Meta::default(),
        Some(record) => record::read_meta(&record).unwrap_or_else(|| {
            faults.push("the record that counts the others is damaged".to_owned());
            Meta::default()
        }),
    };
    let promised = engine.witnessed().max(marked.unwrap_or(0));
    if promised > meta.seq {
        faults.push(format!("it ends at batch {}, and batch {promised} was durable", meta.seq));
    } else if marked.is_some_and(|marked| marked != meta.seq) {
        faults.push(format!("it goes on after the batch {promised}, with which it was closed"));
    }
    let mut found = meta;
    if !new && (marked.is_none() || options.check || !faults.is_empty()) {
        let (check, counted) = check::run(engine, &meta)?;
        faults.extend(check.faults);
        found = counted;
    }
    match faults.first() {
        None => Ok((meta, faults)),
        Some(_) if options.salvage => Ok((Meta { seq: promised.max(found.seq), ..found }, faults)),
        Some(first) => {
            let more = faults.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            Err(Error::corrupt(engine.dir(), format!("{first}{more}")))
        }
    }
}

// A database without a format mark: either its making was cut short, and then nothing was ever
// promised, or the mark was lost.
fn clear_unfinished(dir: &Path) -> Result<(), Error> {
    if !dir.join(DB).exists() {
        return Ok(());
    }
    if Witness::open(dir)?.read() > 0 || mark::read_clean(dir).is_some() {
        return Err(Error::corrupt(dir, "its FORMAT file is missing"));
    }
    set_aside(dir).map(|_| ())
}

pub(crate) fn quarantine(dir: &Path) -> Result<Option<PathBuf>, Error> {
    let _lock = Lock::take(dir)?;
    match mark::read_format(dir) {
        Err(Error::Corrupt { .. }) => mark::remove_format(dir)?,
        other => drop(other?),
    }
    let aside = if dir.join(DB).exists() { Some(set_aside(dir)?) } else { None };
    mark::forget_promises(dir)?;
    Ok(aside)
}

fn set_aside(dir: &Path) -> Result<PathBuf, Error> {
    let aside =
        (1u32..).map(|n| dir.join(format!("{DB}.corrupt-{n}"))).find(|p| !p.exists()).unwrap_or_default();
    fs::rename(dir.join(DB), &aside).map_err(Error::io("setting aside", &dir.join(DB)))?;
    mark::sync_dir(dir)?;
    Ok(aside)
}

/// The blocks of all files below a directory, in bytes. Files that vanish meanwhile count nothing.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64, Error> {
    let mut total = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("listing", &dir)(e)),
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("listing", &dir))?;
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(entry.path()),
                Ok(meta) => total += meta.blocks() * 512,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("looking at", &entry.path())(e)),
            }
        }
    }
    Ok(total)
}
