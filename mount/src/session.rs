//! A mount from its beginning to its end.

use crate::error::Error;
use crate::filesystem::Face;
use crate::mountpoint::{Mountpoint, SOURCE, detach};
use fuser::{BackgroundSession, Config, INodeNo, MountOption, Notifier, Session, SessionACL};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::JoinHandle;
use tree::{Invalidate, Tree, Watch, WatchEnd};

/// Threads that serve the kernel.
const THREADS: usize = 3;

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// Lets other users of this machine in: for tests that run as several users, never otherwise.
    pub allow_other: bool,
}

/// How a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is gone.
    Unmounted,
    /// Somebody still uses it: it has vanished from the tree of directories, and ends when they do.
    WhenUnused,
}

/// A mounted tree. Dropping it unmounts.
pub struct Mount {
    tree: Tree,
    point: Mountpoint,
    session: Option<BackgroundSession>,
    notifying: Option<(WatchEnd, JoinHandle<()>)>,
}

impl Mount {
    /// Mounts the tree on a directory, and returns once it answers.
    ///
    /// Errors: the directory is missing, none, in use or not empty; there is no FUSE. Nothing is changed then.
    pub fn start(tree: Tree, mountpoint: &Path, options: &MountOptions) -> Result<Mount, Error> {
        let point = Mountpoint::prepare(mountpoint)?;
        let io = |what| {
            let path = point.path.clone();
            move |error| Error::Io { what, path, error }
        };
        let below = std::fs::metadata(&point.path).map_err(io("looking at"))?.dev();
        let session =
            Session::new(Face::new(tree.clone()), &point.path, &config(options)).map_err(|error| {
                point.restore();
                match error.kind() {
                    std::io::ErrorKind::NotFound => Error::NoFuse(error.to_string()),
                    _ => Error::Io { what: "mounting on", path: point.path.clone(), error },
                }
            })?;
        if !point.protect() {
            tracing::debug!("{} belongs to somebody else and stays as it is", point.path.display());
        }
        // Before the first request: nothing that changes from now on may be missed.
        let (watch, end) = tree.watch();
        let notifier = session.notifier();
        let spawned = session.spawn().map_err(io("serving"))?;
        let mut mount = Mount { tree, point, session: Some(spawned), notifying: None };
        let thread = std::thread::Builder::new()
            .name("chorus-notify".to_owned())
            .spawn(move || notify(&watch, &notifier));
        let thread =
            thread.map_err(|error| Error::Io { what: "serving", path: mount.point.path.clone(), error })?;
        mount.notifying = Some((end, thread));
        mount.answers(below)?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point.path
    }

    /// Unmounts. What was written through the mount is handed to the node first.
    ///
    /// Errors: it can neither be unmounted nor made to vanish.
    pub fn stop(mut self) -> Result<Ended, Error> {
        self.end()
    }

    // This thread serves nothing, so it may ask.
    fn answers(&self, below: u64) -> Result<(), Error> {
        let io = |error| Error::Io { what: "waiting for the mount on", path: self.point.path.clone(), error };
        let seen = std::fs::metadata(&self.point.path).map_err(io)?;
        if seen.dev() == below {
            return Err(io(std::io::Error::other("something else was mounted or unmounted there meanwhile")));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Ended, Error> {
        let Some(session) = self.session.take() else { return Ok(Ended::Unmounted) };
        self.tree.commit_all();
        let unmounted = rustix::mount::unmount(&self.point.path, rustix::mount::UnmountFlags::empty());
        let ended = match unmounted {
            Ok(()) => Ended::Unmounted,
            Err(_) if quietly_unmounted(&self.point.path) => Ended::Unmounted,
            Err(_) => {
                detach(&self.point.path).map_err(|reason| Error::Io {
                    what: "unmounting",
                    path: self.point.path.clone(),
                    error: std::io::Error::other(reason),
                })?;
                Ended::WhenUnused
            }
        };
        self.point.restore();
        match ended {
            // Its threads end by themselves. What else the session holds would only unmount once more.
            Ended::Unmounted => drop(session.guard.join()),
            // They serve those who still use it, until this process ends.
            Ended::WhenUnused => std::mem::forget(session),
        }
        if let Some((end, thread)) = self.notifying.take() {
            drop(end);
            let _ = thread.join();
        }
        // Handles whose release the kernel no longer told.
        match ended {
            Ended::Unmounted => self.tree.finish(),
            Ended::WhenUnused => self.tree.commit_all(),
        }
        Ok(ended)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{error}");
        }
    }
}

// As an ordinary user, the helper unmounts.
fn quietly_unmounted(path: &Path) -> bool {
    use std::process::{Command, Stdio};
    let mut helper = Command::new("fusermount3");
    let run =
        helper.args(["-u", "--"]).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::Subtype("chorus".to_owned()),
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::DefaultPermissions,
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(THREADS);
    config.clone_fd = true;
    config
}

// The kernel may hold its own locks until an answer of ours comes; this thread owes none and holds none.
fn notify(watch: &Watch, notifier: &Notifier) {
    while let Some(news) = watch.next() {
        for one in news {
            let told = match &one {
                Invalidate::Name { parent, name } => notifier.inval_entry(INodeNo(*parent), OsStr::new(name)),
                Invalidate::Attr { ino } => notifier.inval_inode(INodeNo(*ino), -1, 0),
                Invalidate::Content { ino } => notifier.inval_inode(INodeNo(*ino), 0, 0),
            };
            if let Err(error) = told {
                tracing::trace!("{one:?}: {error}");
            }
        }
    }
}
