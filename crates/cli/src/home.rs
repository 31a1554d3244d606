//! Where a node keeps everything, and where its files are in there.

use crate::fail::Failure;
use base::Kind;
use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The home of a node, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// The folder that was named, else the user's data directory (XDG) with `chorus` in it.
    pub(crate) fn find(named: Option<&Path>) -> Result<Home, Failure> {
        if let Some(dir) = named {
            return Ok(Home { dir: absolute(dir)? });
        }
        if let Some(data) = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|d| d.is_absolute()) {
            return Ok(Home { dir: data.join("chorus") });
        }
        Ok(Home { dir: user_home()?.join(".local/share/chorus") })
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name of the control socket in it.
    pub(crate) const SOCKET: &'static str = "control.sock";

    /// Where a detached node writes what it says.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Refuses a home of somebody else, root too: what is made in there would be closed to its owner.
    pub(crate) fn must_be_mine(&self) -> Result<(), Failure> {
        let meta = match std::fs::metadata(&self.dir) {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::io("looking at the home", &self.dir, &e)),
        };
        let me = rustix::process::geteuid().as_raw();
        if meta.uid() == me {
            return Ok(());
        }
        Err(Failure::with_hint(
            Kind::Denied,
            format!("the home {} belongs to user {}, and you are user {me}", self.dir.display(), meta.uid()),
            "run this as its owner, or name a home of your own with --home",
        ))
    }

    /// Whether an identity was ever made in it.
    pub(crate) fn has_identity(&self) -> bool {
        self.dir.join("keys").join("device").exists()
    }
}

/// `~/Chorus`.
pub(crate) fn default_mountpoint() -> Result<PathBuf, Failure> {
    Ok(user_home()?.join("Chorus"))
}

fn user_home() -> Result<PathBuf, Failure> {
    env::var_os("HOME").map(PathBuf::from).filter(|d| d.is_absolute()).ok_or_else(|| {
        Failure::with_hint(
            Kind::NotFound,
            "HOME is not set, so there is no place to keep things",
            "name a folder: `chorus --home DIR …`, or set CHORUS_HOME",
        )
    })
}

/// The path from the file system's root, nothing resolved.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::io("naming", path, &e))
}
