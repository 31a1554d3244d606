//! Marks: the small files beside the database that say its format, that it was closed cleanly,
//! and up to which batch it is durable.

use crate::Error;
use crate::stamp::{NUMBER_BYTES, format_of, format_words, number, number_of};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The one format of the store.
pub const FORMAT: u64 = 1;

const FORMAT_FILE: &str = "FORMAT";
const CLEAN_FILE: &str = "clean";
const DURABLE_FILE: &str = "durable";

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("syncing", dir))
}

/// Whether the store has a format mark; an error where it is newer than this build or unreadable.
pub(crate) fn read_format(dir: &Path) -> Result<bool, Error> {
    let path = dir.join(FORMAT_FILE);
    let text = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io("reading", &path)(e)),
    };
    let found = format_of(&text).ok_or_else(|| Error::corrupt(dir, "its FORMAT file says no format"))?;
    match found {
        FORMAT => Ok(true),
        _ => Err(Error::Newer { dir: dir.to_owned(), found, known: FORMAT }),
    }
}

/// Writes the format mark, durably; the last step of making a store.
pub(crate) fn write_format(dir: &Path) -> Result<(), Error> {
    replace(dir, FORMAT_FILE, format_words(FORMAT).as_bytes())
}

/// The number of the last batch before a clean close; none where the last close was not clean.
pub(crate) fn read_clean(dir: &Path) -> Option<u64> {
    fs::read(dir.join(CLEAN_FILE)).ok().and_then(|bytes| number_of(&bytes))
}

/// Says that the store was closed cleanly after this batch.
pub(crate) fn write_clean(dir: &Path, seq: u64) -> Result<(), Error> {
    replace(dir, CLEAN_FILE, &number(seq))
}

/// Takes the clean mark away, durably, before anything is changed.
pub(crate) fn remove_clean(dir: &Path) -> Result<(), Error> {
    remove(dir, CLEAN_FILE)
}

/// Takes a format mark away that says nothing.
pub(crate) fn remove_format(dir: &Path) -> Result<(), Error> {
    remove(dir, FORMAT_FILE)
}

fn remove(dir: &Path, name: &str) -> Result<(), Error> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Ok(()) => sync_dir(dir),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("removing", &path)(e)),
    }
}

/// The witness: the number of a batch that is durable for certain. It is written after each sync
/// and not synced itself, so it may lag but never leads: a database that ends before it has lost
/// something that it had promised.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
}

impl Witness {
    /// Opens or makes the witness of a store.
    pub(crate) fn open(dir: &Path) -> Result<Witness, Error> {
        let path = dir.join(DURABLE_FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        Ok(Witness { file: file.map_err(Error::io("opening", &path))? })
    }

    /// The number it says; zero where it says none.
    pub(crate) fn read(&self) -> u64 {
        let mut bytes = [0; NUMBER_BYTES];
        self.file.read_exact_at(&mut bytes, 0).ok().and_then(|()| number_of(&bytes)).unwrap_or(0)
    }

    /// Says that everything up to this batch is durable.
    pub(crate) fn write(&self, seq: u64) -> io::Result<()> {
        self.file.write_all_at(&number(seq), 0)
    }
}

/// Forgets what the database had promised; for a database that was set aside.
pub(crate) fn forget_promises(dir: &Path) -> Result<(), Error> {
    remove_clean(dir)?;
    let witness = Witness::open(dir)?;
    let path = dir.join(DURABLE_FILE);
    witness.file.set_len(0).and_then(|()| witness.file.sync_all()).map_err(Error::io("emptying", &path))
}

fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let path = dir.join(name);
    let temp = dir.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, &path)
    };
    write().map_err(Error::io("writing", &path))?;
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_mark_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_clean(dir.path()), None);
        write_clean(dir.path(), 77).unwrap();
        assert_eq!(read_clean(dir.path()), Some(77));
        fs::write(dir.path().join(CLEAN_FILE), [1; 12]).unwrap();
        assert_eq!(read_clean(dir.path()), None);
        remove_clean(dir.path()).unwrap();
        remove_clean(dir.path()).unwrap();
        let witness = Witness::open(dir.path()).unwrap();
        assert_eq!(witness.read(), 0);
        witness.write(5).unwrap();
        assert_eq!(Witness::open(dir.path()).unwrap().read(), 5);
        forget_promises(dir.path()).unwrap();
        assert_eq!(witness.read(), 0);
    }
}
