//! A mount from its beginning to its end.

use crate::error::Error;
use crate::face::Face;
use crate::hand::Target;
use crate::mountpoint::{Mountpoint, SOURCE, detach};
use crate::replay::{Answers, Replaying};
use crate::users::{self, User};
use fuser::{BackgroundSession, Config, INodeNo, MountOption, Notifier, Session, SessionACL};
use parking_lot::Mutex;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tree::{Invalidate, Tree, Watch, WatchEnd};

/// Threads that serve the kernel.
const THREADS: usize = 3;
/// How long forgetting a name waits for the replay of another.
const TURN: Duration = Duration::from_millis(200);

/// How to mount.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Lets other users of this machine in: for tests that run as several users, never otherwise.
    pub allow_other: bool,
    /// Wakes programs that watch files (inotify) when a friend changes something.
    pub wake: bool,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions { allow_other: false, wake: true }
    }
}

/// How a mount ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is gone.
    Unmounted,
    /// Somebody still uses it: it has vanished from the tree of directories, and ends when they do. These
    /// are known to; there may be others, whom this user may not look at.
    WhenUnused(Vec<User>),
}

/// A mounted tree. Dropping it unmounts.
pub struct Mount {
    tree: Tree,
    point: Mountpoint,
    session: Option<BackgroundSession>,
    notifying: Option<(WatchEnd, JoinHandle<()>)>,
    replaying: Option<Replaying>,
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
        let answers = Answers::new(tree.clone());
        let face = Face::new(tree.clone(), answers.clone());
        let session = Session::new(face, &point.path, &config(options)).map_err(|error| {
            point.restore();
            match error.kind() {
                std::io::ErrorKind::NotFound => Error::NoFuse(error.to_string()),
                // The device is opened before anything else, as the user who mounts.
                _ if error.raw_os_error() == Some(rustix::io::Errno::ACCESS.raw_os_error()) => Error::Closed,
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
        let mut mount = Mount { tree, point, session: Some(spawned), notifying: None, replaying: None };
        let names = Arc::new(Mutex::new(()));
        let thread = {
            let (answers, names) = (answers.clone(), names.clone());
            std::thread::Builder::new()
                .name("chorus-notify".to_owned())
                .spawn(move || notify(&watch, &notifier, &answers, &names))
        };
        let thread =
            thread.map_err(|error| Error::Io { what: "serving", path: mount.point.path.clone(), error })?;
        mount.notifying = Some((end, thread));
        let dev = mount.answers(below)?;
        if options.wake {
            let target = Target { path: mount.point.path.clone(), dev, names };
            mount.replaying = Replaying::start(answers, target);
        }
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
    fn answers(&self, below: u64) -> Result<u64, Error> {
        let io = |error| Error::Io { what: "waiting for the mount on", path: self.point.path.clone(), error };
        let seen = std::fs::metadata(&self.point.path).map_err(io)?;
        if seen.dev() == below {
            return Err(io(std::io::Error::other("something else was mounted or unmounted there meanwhile")));
        }
        Ok(seen.dev())
    }

    fn end(&mut self) -> Result<Ended, Error> {
        let Some(session) = self.session.take() else { return Ok(Ended::Unmounted) };
        // What it has open would be in the way.
        if let Some(replaying) = self.replaying.take() {
            replaying.stop();
        }
        self.tree.commit_all();
        let unmounted = rustix::mount::unmount(&self.point.path, rustix::mount::UnmountFlags::empty());
        let ended = match unmounted {
            Ok(()) => Ended::Unmounted,
            Err(_) if quietly_unmounted(&self.point.path) => Ended::Unmounted,
            Err(_) => {
                // While they can still be told by its name.
                let users = users::of(&self.point.path);
                detach(&self.point.path).map_err(|reason| Error::Io {
                    what: "unmounting",
                    path: self.point.path.clone(),
                    error: std::io::Error::other(reason),
                })?;
                Ended::WhenUnused(users)
            }
        };
        self.point.restore();
        match &ended {
            // Its threads end by themselves. What else the session holds would only unmount once more.
            Ended::Unmounted => drop(session.guard.join()),
            // They serve those who still use it, until this process ends.
            Ended::WhenUnused(_) => std::mem::forget(session),
        }
        if let Some((end, thread)) = self.notifying.take() {
            drop(end);
            let _ = thread.join();
        }
        // Handles whose release the kernel no longer told.
        match &ended {
            Ended::Unmounted => self.tree.finish(),
            Ended::WhenUnused(_) => self.tree.commit_all(),
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

// The kernel may hold its own locks until an answer of ours comes; this thread owes none and holds none. It does
// not wait inside the kernel for a replay, which is in there itself: were the process killed then, the device would
// stay open, and neither would ever end.
fn notify(watch: &Watch, notifier: &Notifier, answers: &Answers, names: &Mutex<()>) {
    while let Some(news) = watch.next() {
        for one in &news.old {
            let told = match one {
                Invalidate::Name { parent, name } => {
                    let _turn = names.try_lock_for(TURN);
                    notifier.inval_entry(INodeNo(*parent), OsStr::new(name))
                }
                Invalidate::Attr { ino } => notifier.inval_inode(INodeNo(*ino), -1, 0),
                Invalidate::Content { ino } => notifier.inval_inode(INodeNo(*ino), 0, 0),
            };
            if let Err(error) = told {
                tracing::trace!("{one:?}: {error}");
            }
        }
        answers.hear(news);
    }
}
