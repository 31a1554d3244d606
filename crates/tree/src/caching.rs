//! What the kernel may keep of a file's bytes, and when it may read them past us.
//!
//! Its pages are one set an inode, and would mix versions: they are kept as long as all who read through them read
//! the same. Large files that are whole on this machine only; texts are always asked for.

use crate::content::Content;
use crate::copy::WorkingCopy;
use crate::error::{Error, Result};
use crate::handle::{Caching, How};
use crate::inode::{Inode, Key};
use crate::process::Caller;
use crate::tree::Tree;
use crate::watch::Invalidate;
use base::{Kind, Oid};
use lru::LruCache;
use node::Version;
use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// A version that lies in a file which never changes.
pub(crate) type Whole = (Version, Arc<File>, u64);

/// What a handle is to an inode, counted there.
pub(crate) struct Seat {
    pub(crate) ino: u64,
    /// Its bytes are not those of the object that the inode stands for.
    pub(crate) elsewhere: bool,
    pub(crate) caching: Caching,
    /// The file that the kernel may serve it from.
    pub(crate) whole: Option<Arc<File>>,
}

/// Objects that were opened here to be written, the latest of them.
#[derive(Debug)]
pub(crate) struct Written(LruCache<Oid, ()>);

/// How many are remembered.
const WRITTEN: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

impl Written {
    pub(crate) fn new() -> Written {
        Written(LruCache::new(WRITTEN))
    }

    /// An object is opened to be written.
    pub(crate) fn note(&mut self, oid: Oid) {
        self.0.put(oid, ());
    }
}

/// What may be done with a handle opened on an inode now, given the version of its object that it shows if that may be
/// cached; and the file that the kernel may read from by itself, for all handles of the inode or else for none. Counts
/// the handle.
///
/// What the kernel reads by itself shows nothing of what somebody here writes from then on, and cannot be mapped by
/// who writes. So that is for what was made once and not written since; who opens it to write gets another inode.
pub(crate) fn choose(
    inode: &mut Inode,
    how: How,
    whole: Option<(Oid, Whole)>,
    written: &mut Written,
) -> (Caching, Option<Arc<File>>) {
    let alike = inode.opens == inode.alike;
    inode.opens += 1;
    let Some((oid, (version, file, size))) = whole else { return (Caching::Direct, None) };
    if how.write {
        written.note(oid);
    }
    let through = alike
        && !how.write
        && version == Version::default()
        && !written.0.contains(&oid)
        && file.metadata().is_ok_and(|meta| meta.len() == size);
    if !through && inode.alike > 0 {
        return (Caching::Direct, None);
    }
    let caching = match &inode.cached {
        Some(cached) if *cached == version => Caching::Keep,
        Some(_) if inode.opens > 1 => return (Caching::Direct, None),
        _ => {
            inode.cached = Some(version);
            Caching::Fresh
        }
    };
    inode.alike += usize::from(through);
    (caching, through.then_some(file))
}

impl Tree {
    /// Counts a handle to be opened on an inode.
    ///
    /// Errors: it needs another inode, which the name leads to when it is looked up again: who writes must not share one
    /// with those whom the kernel serves by itself, nor one version of a large file with another. Who asks twice in a
    /// row for the same cannot be helped.
    pub(crate) fn seat(&self, ino: u64, copy: &Arc<WorkingCopy>, how: How, caller: Caller) -> Result<Seat> {
        let (oid, large, whole) = {
            let state = copy.state();
            let large = !matches!(state.content, Content::Shared(_) | Content::Memory(_));
            let same = !state.is_changed() && !state.orphan && !how.truncate;
            let whole = match &state.content {
                Content::Frozen(file, size) if same => Some((state.base.clone(), file.clone(), *size)),
                _ => None,
            };
            (state.oid, large, whole)
        };
        let key = Key::Object(oid);
        let mut inodes = self.0.inodes.lock();
        let again = inodes.turned_away.take_if(|last| *last == (caller.tid, oid)).is_some();
        let Some(inode) = inodes.get(ino) else {
            return Ok(Seat { ino, elsewhere: false, caching: Caching::Direct, whole: None });
        };
        let elsewhere = matches!(inode.key, Key::Object(named) if named != oid);
        let other = || inode.copy.upgrade().is_some_and(|open| !Arc::ptr_eq(&open, copy));
        let taken = inode.opens > 0 && (inode.alike > 0 && how.write || large && other());
        if taken && !again && caller.tid != 0 {
            inodes.turned_away = Some((caller.tid, oid));
            if how.write {
                inodes.written.note(oid);
            }
            // The kernel may not know yet that the name leads elsewhere already.
            if inodes.primary(&key) == Some(ino) {
                for (parent, name) in inodes.set_apart(&key) {
                    self.notice(Invalidate::Name { parent, name: name.to_string() });
                }
            }
            return Err(Error::refused(Kind::Stale, "another version of it is open; it is looked up again"));
        }
        let whole = whole.filter(|_| inode.key == key).map(|whole| (oid, whole));
        let (caching, whole) = inodes.opened(ino, (!elsewhere).then_some(copy), how, whole);
        Ok(Seat { ino, elsewhere, caching, whole })
    }

    /// What was counted is not opened after all.
    pub(crate) fn leave(&self, seat: &Seat) {
        self.0.inodes.lock().closed(seat.ino, seat.whole.is_some());
    }
}
