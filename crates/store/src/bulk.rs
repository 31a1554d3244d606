//! Bulk files: large data beside the database, one file each, named by sixteen bytes.
//!
//! A file is written as a temporary and gets its name only when its bytes are durable; a record
//! that names it is applied after that. So a file no record names is garbage, and a record that
//! names a missing file is damage. What is in the files is not looked at here.

use crate::Error;
use crate::mark::sync_dir;
use crate::reserve::Reserve;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// The name of a bulk file.
pub type BulkName = [u8; 16];

const FILES: &str = "bulk";
const TEMPS: &str = "tmp";

/// Looks after the bulk files of a store; every call may be made from many threads at once.
pub struct Bulk {
    files: PathBuf,
    temps: PathBuf,
    next_temp: AtomicU64,
    reserve: Option<Arc<Reserve>>,
}

impl std::fmt::Debug for Bulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bulk").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A bulk file being written. Dropped without `persist`, it is gone.
#[derive(Debug)]
pub struct Temp {
    /// The file, for reading and writing.
    pub file: File,
    path: PathBuf,
    kept: bool,
}

impl Temp {
    /// Where it is until it gets its name.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed when the store is opened.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Bulk {
    /// Opens the bulk files of the store in `dir`; removes what was being written when the last
    /// process ended, and says what that was.
    pub(crate) fn at(dir: &Path) -> Result<(Bulk, Vec<String>), Error> {
        let (files, temps) = (dir.join(FILES), dir.join(TEMPS));
        fs::create_dir_all(&temps).map_err(Error::io("making", &temps))?;
        make_shelves(&files)?;
        let mut removed = Vec::new();
        for entry in list(&temps)?.into_iter().flatten() {
            let entry = entry.map_err(Error::io("listing", &temps))?;
            fs::remove_file(entry.path()).map_err(Error::io("removing", &entry.path()))?;
            removed.push(entry.file_name().to_string_lossy().into_owned());
        }
        removed.sort();
        let bulk = Bulk { files, temps, next_temp: AtomicU64::new(0), reserve: None };
        Ok((bulk, removed))
    }

    /// Lets the reserve decide whether a file may be begun.
    pub(crate) fn guard_by(&mut self, reserve: Arc<Reserve>) {
        self.reserve = Some(reserve);
    }

    /// Begins a file. `NoSpace` where the disk is nearly full; a write into the file may still
    /// meet a disk that filled up meanwhile.
    pub fn create_temp(&self) -> Result<Temp, Error> {
        self.room()?;
        let path = self.temps.join(self.next_temp.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        Ok(Temp { file: file.map_err(|e| self.failed("making", &path, e))?, path, kept: false })
    }

    /// Gives a file its name, durably: bytes and name survive a power cut when this returns. A
    /// file of that name is replaced.
    pub fn persist(&self, mut temp: Temp, name: &BulkName) -> Result<(), Error> {
        temp.file.sync_all().map_err(|e| self.failed("syncing", &temp.path, e))?;
        let path = self.path(name);
        fs::rename(&temp.path, &path).map_err(|e| self.failed("naming", &path, e))?;
        temp.kept = true;
        sync_parent(&path)
    }

    /// Gives a scratch file a name, durably and without copying it; nobody may write to it afterwards.
    /// Answers false, and does nothing, where it cannot be had that way: it has a name already, or
    /// the filesystem cannot name it.
    pub fn adopt(&self, file: &File, name: &BulkName) -> Result<bool, Error> {
        use std::os::fd::AsRawFd;
        let path = self.path(name);
        let nameless = |e| Error::io("looking at", &path)(e);
        if std::os::unix::fs::MetadataExt::nlink(&file.metadata().map_err(nameless)?) != 0 {
            return Ok(false);
        }
        file.sync_all().map_err(|e| self.failed("syncing", &path, e))?;
        let here = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = rustix::fs::AtFlags::SYMLINK_FOLLOW;
        match rustix::fs::linkat(rustix::fs::CWD, here, rustix::fs::CWD, &path, follow) {
            Ok(()) => sync_parent(&path).map(|()| true),
            Err(rustix::io::Errno::NOSPC) => {
                Err(self.failed("naming", &path, rustix::io::Errno::NOSPC.into()))
            }
            Err(_) => Ok(false),
        }
    }

    /// Opens a file for reading; kind `NotFound` where there is none.
    pub fn open(&self, name: &BulkName) -> Result<File, Error> {
        let path = self.path(name);
        File::open(&path).map_err(Error::io("opening", &path))
    }

    /// Opens a file for reading and writing, making an empty one where there is none: for files
    /// that are filled piece by piece. Its name is durable; its bytes are when the caller syncs them.
    pub fn open_rw(&self, name: &BulkName) -> Result<File, Error> {
        let path = self.path(name);
        let mut open = OpenOptions::new();
        open.read(true).write(true);
        match open.open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => return other.map_err(Error::io("opening", &path)),
        }
        self.room()?;
        let file = open.create(true).open(&path).map_err(|e| self.failed("making", &path, e))?;
        sync_parent(&path)?;
        Ok(file)
    }

    /// A file without a name, gone when it is closed or the process ends.
    pub fn scratch(&self) -> Result<File, Error> {
        self.room()?;
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match rustix::fs::open(&self.temps, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
            Err(e) => return Err(self.failed("making a scratch file in", &self.temps, e.into())),
        }
        let temp = self.create_temp()?;
        temp.file.try_clone().map_err(Error::io("opening", &temp.path))
    }

    /// Removes a file; whether there was one. The removal becomes durable by and by: a file that
    /// comes back after a power cut is garbage like any other.
    pub fn remove(&self, name: &BulkName) -> Result<bool, Error> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("removing", &path)(e)),
        }
    }

    /// Whether there is a file of this name.
    pub fn exists(&self, name: &BulkName) -> Result<bool, Error> {
        Ok(self.len(name)?.is_some())
    }

    /// How long a file is, in bytes; none where there is none.
    pub fn len(&self, name: &BulkName) -> Result<Option<u64>, Error> {
        let path = self.path(name);
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("looking at", &path)(e)),
        }
    }

    /// When a file was last written; none where there is none.
    pub fn made(&self, name: &BulkName) -> Result<Option<SystemTime>, Error> {
        let path = self.path(name);
        match fs::metadata(&path).and_then(|meta| meta.modified()) {
            Ok(made) => Ok(Some(made)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("looking at", &path)(e)),
        }
    }

    /// The names of all files, in no order. What is not named like a bulk file is passed over.
    pub fn names(&self) -> Result<Names, Error> {
        Ok(Names { files: self.files.clone(), shelves: list(&self.files)?, shelf: None })
    }

    /// Removes every file for which `keep` answers no, and says which those were.
    pub fn retain(&self, keep: &dyn Fn(&BulkName) -> bool) -> Result<Vec<BulkName>, Error> {
        let mut removed = Vec::new();
        for name in self.names()? {
            let name = name?;
            if !keep(&name) && self.remove(&name)? {
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Where a file of this name is or would be.
    pub fn path(&self, name: &BulkName) -> PathBuf {
        let hex = hex(name);
        self.files.join(&hex[..2]).join(&hex[2..])
    }

    fn room(&self) -> Result<(), Error> {
        self.reserve.as_ref().map_or(Ok(()), |reserve| reserve.admit_file())
    }

    fn failed(&self, doing: &'static str, path: &Path, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace { free: 0, need: 1 },
            _ => Error::io(doing, path)(error),
        }
    }
}

/// The names of bulk files, one after the other.
#[derive(Debug)]
pub struct Names {
    files: PathBuf,
    shelves: Option<ReadDir>,
    shelf: Option<(String, ReadDir)>,
}

impl Iterator for Names {
    type Item = Result<BulkName, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((prefix, entries)) = &mut self.shelf {
                match entries.next() {
                    Some(Ok(entry)) => {
                        match entry.file_name().to_str().and_then(|rest| unhex(prefix, rest)) {
                            Some(name) => return Some(Ok(name)),
                            None => continue,
                        }
                    }
                    Some(Err(e)) => return Some(Err(Error::io("listing", &self.files)(e))),
                    None => self.shelf = None,
                }
            }
            let entry = match self.shelves.as_mut()?.next()? {
                Ok(entry) => entry,
                Err(e) => return Some(Err(Error::io("listing", &self.files)(e))),
            };
            let Ok(prefix) = entry.file_name().into_string() else { continue };
            if prefix.len() != 2 || !entry.path().is_dir() {
                continue;
            }
            match list(&entry.path()) {
                Ok(entries) => self.shelf = entries.map(|entries| (prefix, entries)),
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

// All directories at once, so that no file's name has to wait until its directory's is durable.
fn make_shelves(files: &Path) -> Result<(), Error> {
    fs::create_dir_all(files).map_err(Error::io("making", files))?;
    let mut made = false;
    for n in 0..=u8::MAX {
        let shelf = files.join(format!("{n:02x}"));
        match fs::create_dir(&shelf) {
            Ok(()) => made = true,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("making", &shelf)(e)),
        }
    }
    if made { sync_dir(files) } else { Ok(()) }
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    path.parent().map_or(Ok(()), sync_dir)
}

fn list(dir: &Path) -> Result<Option<ReadDir>, Error> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(Some(entries)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("listing", dir)(e)),
    }
}

fn hex(name: &BulkName) -> String {
    base::ObjectId(*name).hex()
}

fn unhex(prefix: &str, rest: &str) -> Option<BulkName> {
    base::ObjectId::from_hex(&format!("{prefix}{rest}")).ok().map(|id| id.0)
}
