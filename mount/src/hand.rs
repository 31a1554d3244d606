//! The thread that repeats friends' changes by ordinary calls on the mount.
//!
//! It has descriptors of its own: a process that ends (or is killed) while one of its threads waits for its own
//! FUSE device would otherwise wait for ever, since the waiting thread would keep the device open.

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::{Errno, Result};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tree::{Act, Sort, Spot};

/// The descriptors that stay: for what is logged.
const STANDARD: i32 = 2;
/// A name that there never is, to ask for.
const NOWHERE: &str = ".room";

/// What the thread is to do.
pub(crate) enum Order {
    /// Ask for something, so that the filesystem sees who asks.
    Show,
    /// Repeat a change.
    Act(Act),
    /// Nothing for now: what is open would keep the mount from being unmounted.
    Rest,
}

/// The thread, from outside.
pub(crate) struct Hand {
    /// What it is to do; it ends when this is dropped.
    pub(crate) orders: Sender<Order>,
    /// What became of each order.
    pub(crate) done: Receiver<Result<()>>,
    /// Disconnected once it has ended.
    pub(crate) ended: Receiver<()>,
}

/// Where the calls go.
#[derive(Clone)]
pub(crate) struct Target {
    /// The mountpoint.
    pub(crate) path: PathBuf,
    /// The device it must be of.
    pub(crate) dev: u64,
    /// Held while names are looked up or changed; who tells the kernel to forget a name takes it too, so that
    /// it does not wait for the kernel's own lock on the room.
    pub(crate) names: Arc<Mutex<()>>,
}

struct Calls {
    target: Target,
    root: Option<OwnedFd>,
    room: Option<(Spot, OwnedFd)>,
}

// The id of the thread, known as long as it lives: afterwards it may be anybody's.
struct Known(Arc<AtomicU32>);

impl Drop for Known {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

/// Starts the thread; `tid` is its id as long as it lives. None: it cannot have descriptors of its own, or there
/// can be no thread.
pub(crate) fn start(target: Target, tid: Arc<AtomicU32>) -> Option<Hand> {
    let (orders, to_do) = bounded(1);
    let (did, done) = bounded(1);
    let (ready, begun) = bounded(1);
    let (alive, ended) = bounded::<()>(0);
    let run = move || {
        let _alive = alive;
        let known = Known(tid);
        let begun = own_descriptors();
        let failed = begun.is_err();
        known.0.store(rustix::thread::gettid().as_raw_nonzero().get() as u32, Ordering::SeqCst);
        let _ = ready.send(begun);
        if failed {
            return;
        }
        let mut calls = Calls { target, root: None, room: None };
        while let Ok(order) = to_do.recv() {
            if did.send(calls.perform(order)).is_err() {
                return;
            }
        }
    };
    let spawned = std::thread::Builder::new().name("chorus-replay".to_owned()).spawn(run);
    let own = spawned.and_then(|_| begun.recv().unwrap_or_else(|gone| Err(std::io::Error::other(gone))));
    if let Err(error) = own {
        tracing::warn!("programs that watch files will not hear of friends' changes: {error}");
        return None;
    }
    Some(Hand { orders, done, ended })
}

/// Leaves this thread only the descriptors for what is logged, and them apart from the other threads'.
pub(crate) fn own_descriptors() -> std::io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES)?;
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/thread-self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd > STANDARD) {
        // The one that the listing itself used is closed by now.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

impl Calls {
    fn perform(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Show => {
                let root = self.root()?;
                match rustix::fs::statat(root, NOWHERE, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => Ok(()),
                    other => other.map(drop),
                }
            }
            Order::Act(act) => self.act(&act),
            Order::Rest => {
                (self.room, self.root) = (None, None);
                Ok(())
            }
        }
    }

    fn act(&mut self, act: &Act) -> Result<()> {
        let names = self.target.names.clone();
        let held = names.lock();
        match act {
            Act::Appear { at, sort: Sort::File, filled } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let file = self.open(at, flags)?;
                drop(held);
                if *filled { touch(&file) } else { Ok(()) }
            }
            Act::Appear { at, sort: Sort::Room, .. } => {
                rustix::fs::mkdirat(self.room(at)?, &*at.name, Mode::RWXU)
            }
            Act::Appear { at, sort: Sort::Link, .. } => rustix::fs::symlinkat(".", self.room(at)?, &*at.name),
            // What a friend makes is never one.
            Act::Appear { sort: Sort::Special(_), .. } => Ok(()),
            Act::Vanish { at, sort } => {
                let flags = if *sort == Sort::Room { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                rustix::fs::unlinkat(self.room(at)?, &*at.name, flags)
            }
            Act::Move { from, to } => {
                // Opened anew, both are held at once.
                let new = self.walk(to)?;
                let old = self.room(from)?;
                rustix::fs::renameat(old, &*from.name, new, &*to.name)
            }
            Act::Modify { at } => match self.open(at, OFlags::WRONLY | OFlags::NONBLOCK) {
                Ok(file) => {
                    drop(held);
                    touch(&file)
                }
                // Not writable by its permissions, or a program that runs.
                Err(_) => self.times(at, UTIME_OMIT),
            },
            Act::Attrib { at } => self.times(at, UTIME_NOW),
        }
    }

    fn times(&mut self, at: &Spot, access: i64) -> Result<()> {
        let time = |nsec| Timespec { tv_sec: 0, tv_nsec: nsec };
        let times = Timestamps { last_access: time(access), last_modification: time(UTIME_NOW) };
        rustix::fs::utimensat(self.room(at)?, &*at.name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn open(&mut self, at: &Spot, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
        rustix::fs::openat2(self.room(at)?, &*at.name, flags, mode, within())
    }

    // The last room stays open: what arrives, arrives in one.
    fn room(&mut self, at: &Spot) -> Result<&OwnedFd> {
        let same = self.room.as_ref().is_some_and(|(last, _)| last.parent == at.parent);
        if !same {
            let opened = self.walk(at)?;
            return Ok(&self.room.insert((at.clone(), opened)).1);
        }
        self.room.as_ref().map(|(_, room)| room).ok_or(Errno::NOENT)
    }

    fn walk(&mut self, at: &Spot) -> Result<OwnedFd> {
        let path = if at.path.is_empty() { "." } else { &*at.path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat2(self.root()?, path, flags, Mode::empty(), within())
    }

    fn root(&mut self) -> Result<&OwnedFd> {
        if self.root.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = rustix::fs::open(&self.target.path, flags, Mode::empty())?;
            // It may have been unmounted, or something else mounted above it.
            if rustix::fs::fstat(&root)?.st_dev != self.target.dev {
                return Err(Errno::NODEV);
            }
            self.root = Some(root);
        }
        self.root.as_ref().ok_or(Errno::NODEV)
    }
}

// Nothing that is mounted inside, and no symlink, is followed.
fn within() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

// To the size it has: even if somebody took it for a change it would be none.
fn touch(file: &OwnedFd) -> Result<()> {
    let size = rustix::fs::fstat(file)?.st_size;
    rustix::fs::ftruncate(file, u64::try_from(size).unwrap_or(0))
}
