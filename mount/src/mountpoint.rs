//! The directory that is mounted on: looked at before, protected while mounted, cleaned of what a
//! crash left.

use crate::error::Error;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a mount of ours is called in the kernel's table.
pub(crate) const SOURCE: &str = "chorus";
/// What nobody may while it is mounted: a file that is written below would be hidden by the mount.
const WRITE: u32 = 0o222;
/// What its owner may otherwise.
const OWNER_WRITES: u32 = 0o200;
/// Dead mounts one above the other that are removed before giving up.
const LAYERS: usize = 8;

/// A directory that is fit to be mounted on.
pub(crate) struct Mountpoint {
    pub(crate) path: PathBuf,
    // Opened before mounting: leads below the mount.
    below: File,
    mode: u32,
}

impl Mountpoint {
    /// Looks at a directory, after removing dead mounts of ours from it.
    pub(crate) fn prepare(path: &Path) -> Result<Mountpoint, Error> {
        remove_dead(path)?;
        let io = |what| move |error| Error::Io { what, path: path.to_owned(), error };
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing(path.to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NotDirectory(path.to_owned()));
            }
            Err(error) => return Err(io("looking at the mountpoint")(error)),
        };
        if !path.is_dir() {
            return Err(Error::NotDirectory(path));
        }
        if table().iter().any(|mount| mount.path == path) {
            return Err(Error::Busy(path));
        }
        let mut names = path.read_dir().map_err(io("listing the mountpoint"))?;
        if names.next().is_some() {
            return Err(Error::NotEmpty(path));
        }
        let below = File::open(&path).map_err(io("opening the mountpoint"))?;
        let mode = below.metadata().map_err(io("looking at the mountpoint"))?.mode() & 0o7777;
        let was_left = mode & WRITE == 0;
        let mode = if was_left { mode | OWNER_WRITES } else { mode };
        let point = Mountpoint { path: path.clone(), below, mode };
        if was_left {
            // By a crash; fusermount wants to be able to write to it.
            point.set_mode(mode).map_err(io("changing the permissions of"))?;
        }
        Ok(point)
    }

    /// Makes what lies below read-only. True: it worked (it does not on a directory of somebody else).
    pub(crate) fn protect(&self) -> bool {
        self.set_mode(self.mode & !WRITE).is_ok()
    }

    /// Gives it back the permissions it had.
    pub(crate) fn restore(&self) {
        if let Err(error) = self.set_mode(self.mode) {
            tracing::debug!("{} keeps other permissions: {error}", self.path.display());
        }
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.below.set_permissions(Permissions::from_mode(mode))
    }
}

/// Takes a mount away even where somebody still uses it: it vanishes now, and ends with its last user.
pub(crate) fn detach(path: &Path) -> Result<(), String> {
    let direct = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
    if direct.is_ok() {
        return Ok(());
    }
    let mut reason = direct.err().map(|error| error.to_string()).unwrap_or_default();
    for helper in ["fusermount3", "fusermount"] {
        let run = Command::new(helper).args(["-u", "-z", "--"]).arg(path).stdin(Stdio::null()).output();
        match run {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => reason = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(_) => {}
        }
    }
    Err(reason)
}

/// Mounts of chorus whose node was killed, of those that this user may look at. It asks each mount, and waits where a
/// node that lives does not answer.
pub fn dead() -> Vec<PathBuf> {
    let ours = table().into_iter().filter(|mount| mount.ours).map(|mount| mount.path);
    ours.filter(|path| is_dead(path)).collect()
}

// Not by `stat`, which the kernel may still answer for the dead.
fn is_dead(path: &Path) -> bool {
    let gone = rustix::io::Errno::NOTCONN.raw_os_error();
    std::fs::read_dir(path).is_err_and(|error| error.raw_os_error() == Some(gone))
}

fn remove_dead(path: &Path) -> Result<(), Error> {
    for _ in 0..LAYERS {
        if !is_dead(path) {
            return Ok(());
        }
        // The path cannot be made canonical while it is dead; its parent can.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let full = match (parent.canonicalize(), path.file_name()) {
            (Ok(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        };
        if !table().iter().any(|mount| mount.path == full && mount.ours) {
            return Err(Error::Busy(full));
        }
        tracing::info!("removing the dead mount that was left on {}", full.display());
        detach(&full).map_err(|reason| Error::Dead { path: full.clone(), reason })?;
    }
    Ok(())
}

struct Mounted {
    path: PathBuf,
    ours: bool,
}

// What is mounted, as this process sees it.
fn table() -> Vec<Mounted> {
    let text = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|b| *b == b'\n').filter_map(mounted).collect()
}

// 36 35 98:0 /mnt1 /mnt/point rw,noatime master:1 - fuse.chorus chorus rw
fn mounted(line: &[u8]) -> Option<Mounted> {
    use std::os::unix::ffi::OsStringExt;
    let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let path = PathBuf::from(std::ffi::OsString::from_vec(unescaped(fields.get(4)?)));
    let dash = fields.iter().position(|field| *field == b"-")?;
    let (kind, source) = (fields.get(dash + 1)?, fields.get(dash + 2)?);
    let ours = *kind == b"fuse.chorus" || (kind.starts_with(b"fuse") && *source == SOURCE.as_bytes());
    Some(Mounted { path, ours })
}

// Blanks and backslashes are written as `\040` and so on.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let octal = field.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| field[at] == b'\\') {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(field[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let ours =
            mounted(b"36 35 0:5 / /home/a\\040b rw,nosuid shared:1 - fuse chorus rw,user_id=0").unwrap();
        assert!(ours.ours && ours.path == Path::new("/home/a b"));
        let helper = mounted(b"36 35 0:5 / /m rw - fuse.chorus chorus rw").unwrap();
        assert!(helper.ours);
        let other = mounted(b"36 35 0:5 / /m rw - fuse.sshfs host: rw").unwrap();
        assert!(!other.ours);
        assert!(mounted(b"").is_none());
        assert!(table().iter().any(|mount| mount.path == Path::new("/")));
    }

    #[test]
    fn what_is_not_fit_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let error = |path: &Path| Mountpoint::prepare(path).err().unwrap();
        assert!(matches!(error(&dir.path().join("none")), Error::Missing(_)));
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert!(matches!(error(&file), Error::NotDirectory(_)));
        assert!(matches!(error(&file.join("below")), Error::NotDirectory(_)));
        assert!(matches!(error(dir.path()), Error::NotEmpty(_)));
        assert!(matches!(error(Path::new("/proc")), Error::Busy(_)));
        assert!(error(dir.path()).to_string().contains("not empty"));
    }

    #[test]
    fn what_lies_below_is_protected_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || dir.path().metadata().unwrap().mode() & 0o777;
        for (before, protected) in [(0o700, 0o500), (0o755, 0o555), (0o750, 0o550)] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(before)).unwrap();
            let point = Mountpoint::prepare(dir.path()).unwrap();
            assert!(point.protect());
            assert_eq!(mode(), protected);
            point.restore();
            assert_eq!(mode(), before);
            point.protect();
            drop(Mountpoint::prepare(dir.path()).unwrap());
            assert_eq!(
                mode(),
                before,
                "what a crash left is made usable again, and no more open than it was"
            );
        }
    }
}
