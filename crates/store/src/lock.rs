//! The lock that keeps a second process out, and says which process holds it.

use crate::Error;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

// When this process closes the store while another of its threads starts a program, that program holds the
// lock until it has begun. So our own number is waited for a little.
const PATIENCE: Duration = Duration::from_millis(500);

/// Held as long as the store is open; the system lets go of it when the process ends, however.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Lock, Error> {
        let path = dir.join("LOCK");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let pid = holder(&file);
                    if pid != Some(std::process::id()) || Instant::now() > until {
                        return Err(Error::Running { pid });
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(e) => return Err(Error::io("locking", &path)(e.into())),
            }
        }
        // The number only informs, so a disk too full for it does not matter.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { _file: file })
    }
}

fn holder(file: &File) -> Option<u32> {
    let mut bytes = [0; 16];
    let len = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..len]).ok()?.trim().parse().ok()
}
