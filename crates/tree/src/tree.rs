//! The tree itself: walking, looking and listing.

use crate::content::Content;
use crate::control::Control;
use crate::copy::WorkingCopy;
use crate::departure::Departures;
use crate::error::{Error, Result, not_found, stale};
use crate::handle::Handles;
use crate::idle::Idle;
use crate::inode::{Inodes, Key, ROOT};
use crate::memory::Reads;
use crate::process::Processes;
use crate::remember::Remember;
use crate::watch::Invalidate;
use crate::{scratch, symlink};
use base::{Kind, Oid};
use crossbeam_channel::{Receiver, Sender};
use node::{Attr, Found, Node, Owner, Special, Target, What};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// Notices to the faces that wait.
const NOTICES: usize = 4096;

/// The tree of one node, for its faces. Cheap to clone.
#[derive(Clone)]
pub struct Tree(pub(crate) Arc<Inner>);

// Locks are taken one at a time, a copy's own excepted, and none but a copy's is held while the node works.
pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) root: Oid,
    pub(crate) inodes: Mutex<Inodes>,
    pub(crate) handles: Handles,
    pub(crate) copies: Mutex<HashMap<Oid, Weak<WorkingCopy>>>,
    pub(crate) processes: Processes,
    pub(crate) reads: Mutex<Reads>,
    pub(crate) departures: Mutex<Departures>,
    pub(crate) remember: Remember,
    pub(crate) idle: Idle,
    pub(crate) notices: (Sender<Invalidate>, Receiver<Invalidate>),
    pub(crate) behind: AtomicBool,
    /// Orders the names of rooms where they are listed; by a key of this run, so that nobody can make names that meet.
    pub(crate) order: RandomState,
}

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A directory.
    Room,
    /// A file.
    File,
    /// A symlink.
    Link,
    /// A pipe, a socket or a device.
    Special(Special),
}

/// What `stat` shows.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The number.
    pub ino: u64,
    /// What it is.
    pub sort: Sort,
    /// Bytes.
    pub size: u64,
    /// When the content last changed.
    pub mtime: SystemTime,
    /// When anything of it last changed.
    pub ctime: SystemTime,
    /// When it was last read.
    pub atime: SystemTime,
    /// Permission, set-id and sticky bits, within 07777.
    pub perm: u16,
    /// Names that lead to it; for a room, 2 and one for each room in it.
    pub links: u32,
    /// Who owns it.
    pub owner: Owner,
}

impl Stat {
    /// What is shown of a thing that nobody set anything of.
    pub fn plain(ino: u64, sort: Sort, size: u64, mtime: SystemTime, perm: u16) -> Stat {
        let owner = Owner::default();
        Stat { ino, sort, size, mtime, ctime: mtime, atime: mtime, perm, links: 1, owner }
    }
}

impl Tree {
    /// The tree over a running node.
    ///
    /// Errors: the thread that commits what is left alone cannot be started.
    pub fn new(node: Node) -> Result<Tree> {
        let root = node.root();
        let inner = Arc::new(Inner {
            node,
            root,
            inodes: Mutex::new(Inodes::new(root)),
            handles: Handles::default(),
            copies: Mutex::new(HashMap::new()),
            processes: Processes::default(),
            reads: Mutex::new(Reads::new()),
            departures: Mutex::new(Departures::default()),
            remember: Remember::default(),
            idle: Idle::default(),
            notices: crossbeam_channel::bounded(NOTICES),
            behind: AtomicBool::new(false),
            order: RandomState::new(),
        });
        Idle::start(&inner)?;
        let tree = Tree(inner);
        tree.recall();
        Remember::start(&tree)?;
        Ok(tree)
    }

    /// What the name `name` in `parent` leads to; the number stays until it is forgotten.
    ///
    /// Errors: no such name, or `parent` is no room.
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Stat> {
        let key = self.find(parent, name)?;
        let name = std::str::from_utf8(name).map_err(|_| not_found())?;
        self.enter(key, parent, name)
    }

    /// The kernel, or a face, forgot `n` of the lookups of a number.
    pub fn forget(&self, ino: u64, n: u64) {
        self.0.inodes.lock().forget(ino, n);
    }

    /// What `stat` shows of a number.
    ///
    /// Errors: the number is unknown, or what it stood for is gone.
    pub fn getattr(&self, ino: u64) -> Result<Stat> {
        let (key, copy, apart, gone) = {
            let inodes = self.0.inodes.lock();
            let inode = inodes.get(ino).ok_or_else(stale)?;
            (inode.key.clone(), inode.copy.upgrade(), inode.apart, inode.gone)
        };
        match gone {
            Some(gone) => Ok(stat_gone(gone, copy.as_deref())),
            None => self.stat(ino, &key, copy.as_deref(), apart),
        }
    }

    /// Whether what a symlink or file shows may be written by this person at all.
    ///
    /// Errors: as `getattr`.
    pub(crate) fn attr_of(&self, ino: u64) -> Result<(Oid, Attr)> {
        let oid = self.oid_of(ino)?;
        Ok((oid, self.0.node.attr(oid)?))
    }

    /// The text of a symlink.
    ///
    /// Errors: it is none.
    pub fn readlink(&self, ino: u64) -> Result<Vec<u8>> {
        let key = self.key_of(ino)?;
        match &key {
            Key::Way { room, to } => Ok(self.way_text(*room, *to)),
            Key::Object(oid) => {
                let attr = self.0.node.attr(*oid)?;
                if attr.what != What::Link {
                    return Err(Error::refused(Kind::Invalid, "not a symlink"));
                }
                self.link_text(ino, *oid, attr.mine)
            }
            _ => Err(Error::refused(Kind::Invalid, "not a symlink")),
        }
    }

    /// Bytes and objects of the disk below.
    ///
    /// Errors: the node's.
    pub fn statfs(&self) -> Result<node::Statfs> {
        Ok(self.0.node.statfs()?)
    }

    pub(crate) fn key_of(&self, ino: u64) -> Result<Key> {
        self.0.inodes.lock().get(ino).map(|inode| inode.key.clone()).ok_or_else(stale)
    }

    /// The object behind a number.
    pub(crate) fn oid_of(&self, ino: u64) -> Result<Oid> {
        match self.key_of(ino)? {
            Key::Object(oid) | Key::Version(oid, _) => Ok(oid),
            Key::Way { to, .. } => Ok(to),
            Key::Control(_) => Err(control_is_fixed()),
        }
    }

    /// The room behind a number, to change names in.
    pub(crate) fn room_of(&self, ino: u64) -> Result<Oid> {
        match self.key_of(ino)? {
            Key::Object(oid) => Ok(oid),
            Key::Control(_) => Err(control_is_fixed()),
            _ => Err(not_a_room()),
        }
    }

    /// What a name leads to, without looking it up for the kernel.
    pub(crate) fn find(&self, parent: u64, name: &[u8]) -> Result<Key> {
        let room = match self.key_of(parent)? {
            Key::Object(room) => room,
            Key::Control(Control::Chorus) => return Control::find(name).map(Key::Control),
            _ => return Err(not_a_room()),
        };
        if scratch::is_reserved(name) {
            return if room == self.0.root && name == b".chorus" {
                Ok(Key::Control(Control::Chorus))
            } else {
                Err(not_found())
            };
        }
        if name.len() > base::limit::NAME_BYTES {
            return Err(Error::refused(Kind::NameTooLong, "the name is longer than 255 bytes"));
        }
        let name = std::str::from_utf8(name).map_err(|_| not_found())?;
        Ok(key_of_found(room, &self.0.node.lookup(room, name)?))
    }

    /// Looks a thing up under a name for the kernel.
    pub(crate) fn enter(&self, key: Key, parent: u64, name: &str) -> Result<Stat> {
        let (ino, copy) = {
            let mut inodes = self.0.inodes.lock();
            let ino = inodes.look_up(key.clone(), parent, name);
            (ino, inodes.get(ino).and_then(|inode| inode.copy.upgrade()))
        };
        self.stat(ino, &key, copy.as_deref(), false).inspect_err(|_| self.forget(ino, 1))
    }

    fn stat(&self, ino: u64, key: &Key, copy: Option<&WorkingCopy>, apart: bool) -> Result<Stat> {
        let node = &self.0.node;
        let fixed = |sort, size, perm| Stat::plain(ino, sort, size, node::now(), perm);
        match key {
            Key::Control(control) if control.is_room() => Ok(fixed(Sort::Room, 0, 0o555)),
            // Its size is known when it is read; readers ask until the end.
            Key::Control(_) => Ok(fixed(Sort::File, 0, 0o444)),
            Key::Way { room, to } => {
                let attr = node.attr(*to)?;
                let size = self.way_text(*room, *to).len() as u64;
                Ok(Stat::plain(ino, Sort::Link, size, attr.mtime, 0o777))
            }
            Key::Version(oid, hash) => {
                let attr = node.attr(*oid)?;
                let size = Content::of(node.read_version(*oid, *hash)?).size();
                Ok(Stat::plain(ino, Sort::File, size, attr.mtime, attr.perm))
            }
            Key::Object(oid) => {
                let shown = copy.map(WorkingCopy::show);
                if let Some(shown) = shown.as_ref().filter(|shown| shown.orphan) {
                    let (size, mtime, perm) = (shown.size, shown.mtime, shown.perm);
                    return Ok(Stat { links: 0, ..Stat::plain(ino, Sort::File, size, mtime, perm) });
                }
                let mut stat = self.stat_object(ino, *oid, &node.attr(*oid)?)?;
                if let Some(shown) = shown.filter(|shown| apart || shown.changed) {
                    (stat.size, stat.mtime) = (shown.size, shown.mtime);
                    stat.ctime = stat.ctime.max(shown.written);
                }
                Ok(stat)
            }
        }
    }

    pub(crate) fn stat_object(&self, ino: u64, oid: Oid, attr: &Attr) -> Result<Stat> {
        let (sort, perm) = match attr.what {
            What::Room => (Sort::Room, attr.perm),
            What::Link => (Sort::Link, 0o777),
            What::Special(special) => (Sort::Special(special), attr.perm),
            _ => (Sort::File, attr.perm),
        };
        let size = match attr.what {
            What::Room => 0,
            What::Link if !attr.mine => self.link_text(ino, oid, false)?.len() as u64,
            _ => attr.size,
        };
        let links = attr.links.max(1);
        let perm = (perm & 0o777) | (attr.special_bits & 0o7000);
        let (ctime, atime, owner) = (attr.ctime, attr.atime, attr.owner);
        Ok(Stat { ino, sort, size, mtime: attr.mtime, ctime, atime, perm, links, owner })
    }

    fn link_text(&self, ino: u64, oid: Oid, mine: bool) -> Result<Vec<u8>> {
        let target = self.0.node.read_link(oid)?;
        if mine {
            return Ok(target);
        }
        // Seen from the shallowest of the rooms that hold it: what is contained there is contained in all.
        let rooms = self.0.inodes.lock().rooms_of(ino);
        let depth = rooms.into_iter().map(|room| self.0.node.depth_in_space(room)).min().unwrap_or(0);
        Ok(symlink::shown(target, depth))
    }

    fn way_text(&self, room: Oid, to: Oid) -> Vec<u8> {
        match (self.0.node.path(room), self.0.node.path(to)) {
            (Some(from), Some(to)) => symlink::relative(&from, &to).into_bytes(),
            _ => symlink::shown(b"/lost".to_vec(), 0),
        }
    }

    pub(crate) fn parent_of(&self, key: &Key) -> u64 {
        match key {
            Key::Object(room) => {
                let parent = self.0.node.parent(*room);
                parent.and_then(|parent| self.0.inodes.lock().primary(&Key::Object(parent))).unwrap_or(ROOT)
            }
            _ => ROOT,
        }
    }
}

// What is shown of what no name leads to any more: as it was, with the bytes that its handles wrote.
fn stat_gone(mut gone: Stat, copy: Option<&WorkingCopy>) -> Stat {
    if let Some(shown) = copy.map(WorkingCopy::show).filter(|shown| shown.orphan) {
        (gone.size, gone.mtime) = (shown.size, shown.mtime);
        gone.ctime = gone.ctime.max(shown.written);
    }
    gone
}

pub(crate) fn key_of_found(room: Oid, found: &Found) -> Key {
    match (found.target, found.version) {
        (Target::LinkTo(to), _) => Key::Way { room, to },
        (Target::Object(oid), Some(hash)) => Key::Version(oid, hash),
        (Target::Object(oid), None) => Key::Object(oid),
    }
}

pub(crate) fn not_a_room() -> Error {
    Error::refused(Kind::NotRoom, "not a room")
}

fn control_is_fixed() -> Error {
    Error::refused(Kind::Denied, "control files are always there and cannot be changed that way")
}
