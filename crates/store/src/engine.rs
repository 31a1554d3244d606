//! sled, tamed: its panics become errors, its flush becomes durable, its readers do not wait for a
//! flush.

use crate::mark::{self, Witness};
use crate::reserve::Reserve;
use crate::{Error, Options};
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The directory of the database inside the store's.
pub(crate) const DB: &str = "db";
const DB_FILE: &str = "db";

/// What the engine says when it gives up after a million steps through a tree that leads nowhere.
const WENT_IN_CIRCLES: [&str; 2] = ["cannot find pid", "tree traversal"];

/// Bytes of pages the engine keeps in memory.
const CACHE_BYTES: u64 = 64 << 20;

/// The open database.
pub(crate) struct Engine {
    // None only while it is being dropped.
    db: Option<sled::Db>,
    dir: PathBuf,
    db_file: PathBuf,
    // Our own handle on the engine's file, opened before anything is written, so that no error of
    // a write-back goes by unseen.
    file: File,
    witness: Witness,
    pub(crate) reserve: Arc<Reserve>,
    // A flush holds the engine's global lock for reading, a batch takes it for writing, and its
    // queue is fair: without this, readers would queue behind a batch that waits for a flush.
    gate: Mutex<()>,
    // Why nothing more is asked of it: in a damaged tree it goes in circles, for long, and with all memory there is.
    lost: OnceLock<String>,
    fail_sync: Option<Arc<AtomicBool>>,
}

/// What a batch becomes in the engine.
#[derive(Default)]
pub(crate) struct Records(sled::Batch);

impl Records {
    pub(crate) fn put(&mut self, key: Vec<u8>, record: Vec<u8>) {
        self.0.insert(key, record);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.0.remove(key);
    }
}

impl Engine {
    /// Opens the database in `dir`, makes its files durable, and leaves what it holds unjudged.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Engine, Error> {
        let path = dir.join(DB);
        let config = sled::Config::new()
            .path(&path)
            .cache_capacity(CACHE_BYTES)
            // Our committer decides when; the engine's own flusher would only get in its way.
            .flush_every_ms(None);
        let db = open_patiently(dir, &config)?;
        let db_file = path.join(DB_FILE);
        let handle = || {
            OpenOptions::new().read(true).write(true).open(&db_file).map_err(Error::io("opening", &db_file))
        };
        let (file, spare) = (handle()?, handle()?);
        // The engine syncs neither its configuration nor the names of its files.
        for entry in fs::read_dir(&path).map_err(Error::io("listing", &path))? {
            let found = entry.map_err(Error::io("listing", &path))?.path();
            File::open(&found).and_then(|f| f.sync_all()).map_err(Error::io("syncing", &found))?;
        }
        mark::sync_dir(&path)?;
        mark::sync_dir(dir)?;
        Ok(Engine {
            db: Some(db),
            reserve: Arc::new(Reserve::new(spare, db_file.clone(), options.reserve_bytes)),
            dir: dir.to_owned(),
            db_file,
            file,
            witness: Witness::open(dir)?,
            gate: Mutex::new(()),
            lost: OnceLock::new(),
            fail_sync: options.fail_sync.clone(),
        })
    }

    /// The directory of the store.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The record under a key of the engine.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, Error> {
        self.call(|db| db.get(key))
    }

    /// The records from one key to below another (or to the end), in order.
    pub(crate) fn iter(&self, from: Vec<u8>, below: Option<Vec<u8>>) -> Result<sled::Iter, Error> {
        self.call(|db| {
            Ok(match below {
                Some(below) => db.range(from..below),
                None => db.range(from..),
            })
        })
    }

    /// One step of an iteration.
    pub(crate) fn step<T>(&self, step: impl FnOnce() -> Option<sled::Result<T>>) -> Option<Result<T, Error>> {
        self.call(|_| step().transpose()).transpose()
    }

    /// Writes a batch: visible when this returns, not yet durable. After an error part of it may be there.
    pub(crate) fn write(&self, records: Records) -> Result<(), Error> {
        let _gate = self.gate.lock();
        self.call(|db| db.apply_batch(records.0))
    }

    /// Makes durable what was applied before. After an error nothing is known of what is on disk.
    pub(crate) fn sync(&self, seq: u64) -> Result<(), Error> {
        {
            let _gate = self.gate.lock();
            self.call(|db| db.flush())?;
            self.reserve.flushed();
        }
        self.file.sync_all().map_err(Error::io("syncing", &self.db_file))?;
        if self.fail_sync.as_ref().is_some_and(|f| f.load(Ordering::SeqCst)) {
            return Err(Error::io("syncing", &self.db_file)(io::Error::other("failure asked for by a test")));
        }
        // Only a help in finding damage, so its failure harms nothing that was promised.
        if let Err(error) = self.witness.write(seq) {
            tracing::warn!(%error, "the durable mark was not written");
        }
        Ok(())
    }

    /// The last batch known to be durable, by the mark beside the database.
    pub(crate) fn witnessed(&self) -> u64 {
        self.witness.read()
    }

    fn call<T>(&self, f: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, Error> {
        let Some(db) = &self.db else { return Err(Error::Closed) };
        if let Some(why) = self.lost.get() {
            return Err(Error::corrupt(&self.dir, why.clone()));
        }
        let result = guarded(&self.dir, || f(db));
        if let Err(Error::Corrupt { what, .. }) = &result
            && WENT_IN_CIRCLES.iter().any(|said| what.contains(said))
        {
            let _ = self.lost.set(what.clone());
        }
        result
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // The engine panics where its last sync fails; we made ours before.
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!("the database did not close by itself");
        }
    }
}

// Threads of an engine that was just closed may hold its lock for a moment longer. No other
// process does: we hold the lock of the store.
fn open_patiently(dir: &Path, config: &sled::Config) -> Result<sled::Db, Error> {
    let until = Instant::now() + Duration::from_secs(3);
    loop {
        match guarded(dir, || config.open()) {
            Err(Error::Io { source, .. }) if is_locked(&source) => {
                if Instant::now() > until {
                    return Err(Error::Running { pid: None });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

// Runs a call of the engine; a panic is an error, since the engine panics on damaged files.
fn guarded<T>(dir: &Path, f: impl FnOnce() -> sled::Result<T>) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(source))) => Err(Error::io("reading or writing", &dir.join(DB))(source)),
        Ok(Err(other)) => Err(Error::corrupt(dir, other.to_string())),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(Error::corrupt(dir, format!("the database gave up: {said}")))
        }
    }
}
