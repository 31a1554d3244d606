//! What a room lists: from where to where, and what the kernel may keep of it.
//!
//! Names come in the order of a hash of them, and where to go on is that hash, as in ext4's directories: it means the
//! same to every handle, whatever came and went, so the kernel may list for one handle what it kept from another.

use crate::control::Control;
use crate::error::Result;
use crate::handle::{Caching, Handle};
use crate::inode::{Inodes, Key};
use crate::scratch;
use crate::tree::{Sort, Stat, Tree, key_of_found, not_a_room};
use base::Oid;
use node::{Found, Target, What};
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names fetched from the node at a time.
const PAGE: usize = 512;
/// Where to go on after `.` and `..`.
const DOTS: u64 = 2;
/// How long a listing may be kept. Not as long as names and attributes are believed: they come with it, twenty at a time,
/// and would be asked for one by one.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// One name of a listing.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The number it has, or will have when looked up.
    pub ino: u64,
    /// What it is.
    pub sort: Sort,
    /// The name.
    pub name: String,
    /// Where to go on after it.
    pub next: u64,
}

/// An opened room.
#[derive(Clone, Copy, Debug)]
pub struct OpenedRoom {
    /// The handle's number.
    pub handle: u64,
    /// What may be cached of its names.
    pub caching: Caching,
}

/// An open room.
pub(crate) struct OpenRoom {
    ino: u64,
    /// Its names since its beginning was last asked for, in their order.
    names: Mutex<Option<Vec<Listed>>>,
}

/// A name in an open room.
#[derive(Clone, Debug)]
struct Listed {
    /// Where to go on after it.
    next: u64,
    name: String,
    key: Key,
    sort: Sort,
}

/// What the kernel may hold of a room's listing. It has one set of pages for all handles of an inode, and what it asked for
/// through one handle it may keep after another was opened: so it may keep only while all of them list the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    /// The number of the listing that it may hold; 0: none.
    number: u64,
    /// When it was first asked for.
    since: Option<Instant>,
    /// The kernel has dropped what it held before: it has done something with a handle that was told so.
    begun: bool,
    /// Handles that are open.
    open: usize,
}

impl Kept {
    /// A handle is opened on the listing of this number.
    fn open(&mut self, number: u64) -> Caching {
        self.open += 1;
        let fresh = self.open > 1 || self.since.is_some_and(|since| since.elapsed() < KEPT_FOR);
        match self.open {
            _ if number != 0 && self.number == number && fresh => {
                if self.begun {
                    Caching::Keep
                } else {
                    Caching::Fresh
                }
            }
            1 if number != 0 => {
                (self.number, self.since, self.begun) = (number, Some(Instant::now()), false);
                Caching::Fresh
            }
            _ => {
                self.number = 0;
                Caching::Direct
            }
        }
    }

    fn begin(&mut self) {
        self.begun = true;
    }

    fn close(&mut self) {
        self.begin();
        self.open = self.open.saturating_sub(1);
    }

    /// A name has another number than was listed.
    pub(crate) fn renumber(&mut self) {
        self.number = 0;
    }
}

impl Inodes {
    fn open_room(&mut self, ino: u64, number: u64) -> Caching {
        self.get_mut(ino).map_or(Caching::Direct, |inode| inode.kept.open(number))
    }

    fn close_room(&mut self, ino: u64) {
        if let Some(inode) = self.get_mut(ino) {
            inode.kept.close();
        }
    }
}

impl Tree {
    /// Opens a room for listing.
    ///
    /// Errors: it is no room.
    pub fn open_room(&self, ino: u64) -> Result<OpenedRoom> {
        let number = match self.key_of(ino)? {
            Key::Control(control) if control.is_room() => 0,
            // Before anything is listed: what is listed then is not older than its number.
            Key::Object(oid) if self.0.node.attr(oid)?.what == What::Room => self.0.node.listing(oid),
            _ => return Err(not_a_room()),
        };
        let caching = self.0.inodes.lock().open_room(ino, number);
        let room = OpenRoom { ino, names: Mutex::default() };
        Ok(OpenedRoom { handle: self.0.handles.insert(Handle::Room(Arc::new(room))), caching })
    }

    /// At most `max` names of an open room from where `from` says (0: the beginning, else an entry's `next`), `.`
    /// and `..` first. What is there all the while is listed once; what comes or goes meanwhile, once or not at all.
    ///
    /// Errors: the handle is none of a room.
    pub fn list(&self, handle: u64, from: u64, max: usize) -> Result<Vec<Entry>> {
        let Handle::Room(room) = self.0.handles.get(handle)? else { return Err(not_a_room()) };
        let key = self.key_of(room.ino)?;
        let mut names = room.names.lock();
        if from == 0 {
            *names = None;
        }
        let mut out = Vec::new();
        for (at, name) in [".", ".."].into_iter().enumerate().skip(from.min(DOTS) as usize) {
            let ino = if at == 0 { room.ino } else { self.parent_of(&key) };
            out.push(Entry { ino, sort: Sort::Room, name: name.to_owned(), next: at as u64 + 1 });
        }
        let names = match &mut *names {
            Some(names) => names,
            none => none.insert(self.names_of(&key)?),
        };
        let start = names.partition_point(|listed| listed.next <= from);
        let mut inodes = self.0.inodes.lock();
        if let Some(inode) = inodes.get_mut(room.ino) {
            inode.kept.begin();
        }
        for listed in names.iter().skip(start).take(max) {
            let ino = inodes.number(&listed.key);
            out.push(Entry { ino, sort: listed.sort, name: listed.name.clone(), next: listed.next });
        }
        Ok(out)
    }

    /// Looks up the entry that `list` gave as the one before `next`. None: `.`, `..`, or gone meanwhile.
    pub fn enter_listed(&self, handle: u64, next: u64) -> Option<Stat> {
        let Ok(Handle::Room(room)) = self.0.handles.get(handle) else { return None };
        let listed = {
            let names = room.names.lock();
            let names = names.as_ref()?;
            names.get(names.binary_search_by_key(&next, |listed| listed.next).ok()?)?.clone()
        };
        self.enter(listed.key, room.ino, &listed.name).ok()
    }

    /// Closes a room.
    pub fn close_room(&self, handle: u64) {
        if let Some(Handle::Room(room)) = self.0.handles.remove(handle) {
            self.0.inodes.lock().close_room(room.ino);
        }
    }

    // In the order in which they are listed.
    fn names_of(&self, key: &Key) -> Result<Vec<Listed>> {
        let mut names = match key {
            Key::Object(room) => self.names_of_room(*room)?,
            _ => Control::all()
                .map(|(name, file)| self.listed(name.to_owned(), Key::Control(file), Sort::File))
                .collect(),
        };
        names.sort_unstable_by(|a, b| (a.next, &a.name).cmp(&(b.next, &b.name)));
        // Two names of one hash.
        let mut last = DOTS;
        for listed in &mut names {
            listed.next = listed.next.max(last + 1);
            last = listed.next;
        }
        Ok(names)
    }

    fn names_of_room(&self, room: Oid) -> Result<Vec<Listed>> {
        let mut names = Vec::new();
        // The last name the node gave, also where it was one that is not shown.
        let mut after: Option<String> = None;
        loop {
            let page = self.0.node.list(room, after.as_deref(), PAGE)?;
            let complete = page.len() < PAGE;
            after = page.last().map(|found| found.name.clone());
            let shown = page.into_iter().filter(|found| !scratch::is_reserved(found.name.as_bytes()));
            names.extend(shown.map(|found| {
                let (key, sort) = (key_of_found(room, &found), sort_of(&found));
                self.listed(found.name, key, sort)
            }));
            if complete {
                return Ok(names);
            }
        }
    }

    fn listed(&self, name: String, key: Key, sort: Sort) -> Listed {
        // What programs take for a signed number, and room for those that move up.
        let next = self.0.order.hash_one(&name) >> 2;
        Listed { next, name, key, sort }
    }
}

fn sort_of(found: &Found) -> Sort {
    match (found.target, found.what) {
        (Target::LinkTo(_), _) | (_, What::Link) => Sort::Link,
        (_, What::Room) => Sort::Room,
        (_, What::Special(special)) => Sort::Special(special),
        _ => Sort::File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_a_listing_while_all_handles_list_the_same() {
        let mut kept = Kept::default();
        assert_eq!([kept.open(1), kept.open(1)], [Caching::Fresh, Caching::Fresh]);
        kept.begin();
        assert_eq!(kept.open(1), Caching::Keep);
        kept.close();
        // The first two may still put into its pages what they list.
        assert_eq!([kept.open(2), kept.open(2)], [Caching::Direct, Caching::Direct]);
        (0..3).for_each(|_| kept.close());
        assert_eq!(kept.open(2), Caching::Direct);
        (0..2).for_each(|_| kept.close());
        assert_eq!(kept.open(2), Caching::Fresh);
        kept.close();
        assert_eq!(kept.open(2), Caching::Keep);
        kept.renumber();
        assert_eq!(kept.open(2), Caching::Direct);
        (0..2).for_each(|_| kept.close());
        assert_eq!(kept.open(2), Caching::Fresh);
        kept.begin();
        assert_eq!(kept.open(2), Caching::Keep);
    }

    #[test]
    fn a_listing_is_not_kept_for_longer_than_what_came_with_it() {
        let mut kept = Kept::default();
        kept.open(1);
        kept.close();
        kept.since = Instant::now().checked_sub(KEPT_FOR);
        assert_eq!(kept.open(1), Caching::Fresh);
        kept.close();
        assert_eq!(kept.open(1), Caching::Keep);
    }

    #[test]
    fn what_lists_nothing_of_a_room_is_never_kept() {
        let mut kept = Kept::default();
        for _ in 0..2 {
            assert_eq!(kept.open(0), Caching::Direct);
            kept.close();
        }
    }
}
