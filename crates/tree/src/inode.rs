//! Numbers for the faces: which inode stands for what, under which names the kernel knows it, and
//! which of an object's inodes is the one that names lead to.
//!
//! A number is derived from the object's id, so that it is the same after a restart (git compares them);
//! where two want the same, the later takes the next free one.

use crate::caching::{self, Whole, Written};
use crate::control::Control;
use crate::copy::WorkingCopy;
use crate::handle::{Caching, How};
use crate::listing::Kept;
use crate::tree::Stat;
use base::{Hash, Oid};
use node::Version;
use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

/// The root's number.
pub const ROOT: u64 = 1;
/// Numbers below are the root's and the control files'.
const FIRST: u64 = 1 << 16;

/// What a number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// An object; its newest version.
    Object(Oid),
    /// Another version of an object, shown beside it.
    Version(Oid, Hash),
    /// A door, in a room, that follows another room: a symlink.
    Way {
        /// The room that holds the door.
        room: Oid,
        /// The room it leads to.
        to: Oid,
    },
    /// A control file.
    Control(Control),
}

/// An inode.
pub(crate) struct Inode {
    pub(crate) key: Key,
    /// The working copy last opened through it.
    pub(crate) copy: Weak<WorkingCopy>,
    /// Open handles.
    pub(crate) opens: usize,
    /// Of these, those that the kernel may serve by itself.
    pub(crate) alike: usize,
    /// The version whose pages the kernel may hold.
    pub(crate) cached: Option<Version>,
    /// Of a room: what the kernel may hold of its listing.
    pub(crate) kept: Kept,
    /// Its object's names lead to another inode now: this one serves its open handles only.
    pub(crate) apart: bool,
    /// What it was when its last name went.
    pub(crate) gone: Option<Stat>,
    lookups: u64,
    names: Vec<(u64, Arc<str>)>,
}

/// All inodes that the kernel or a handle holds.
pub(crate) struct Inodes {
    by_ino: HashMap<u64, Inode>,
    primary: HashMap<Key, u64>,
    told: HashMap<(u64, Arc<str>), u64>,
    pub(crate) written: Written,
    /// Who was last told to look a name up again, and for what.
    pub(crate) turned_away: Option<(u32, Oid)>,
}

impl Inodes {
    pub(crate) fn new(root: Oid) -> Inodes {
        let mut inodes = Inodes {
            by_ino: HashMap::new(),
            primary: HashMap::new(),
            told: HashMap::new(),
            written: Written::new(),
            turned_away: None,
        };
        inodes.insert(ROOT, Key::Object(root));
        inodes
    }

    pub(crate) fn get(&self, ino: u64) -> Option<&Inode> {
        self.by_ino.get(&ino)
    }

    pub(crate) fn get_mut(&mut self, ino: u64) -> Option<&mut Inode> {
        self.by_ino.get_mut(&ino)
    }

    /// The number that names of it lead to, if the kernel knows one.
    pub(crate) fn primary(&self, key: &Key) -> Option<u64> {
        self.primary.get(key).copied()
    }

    /// The number of a thing, without promising that it stays.
    pub(crate) fn number(&self, key: &Key) -> u64 {
        self.primary(key).unwrap_or_else(|| self.free(key))
    }

    /// The kernel looked a thing up under a name: its number, which stays until it is forgotten.
    pub(crate) fn look_up(&mut self, key: Key, parent: u64, name: &str) -> u64 {
        let ino = match self.primary(&key) {
            Some(ino) => ino,
            None => {
                let ino = self.free(&key);
                self.insert(ino, key);
                ino
            }
        };
        if let Some(inode) = self.by_ino.get_mut(&ino) {
            inode.lookups += 1;
            inode.gone = None;
        }
        self.tell(parent, name, ino);
        ino
    }

    /// The kernel knows a name as leading to a number.
    pub(crate) fn tell(&mut self, parent: u64, name: &str, ino: u64) {
        if self.told(parent, name) == Some(ino) {
            return;
        }
        self.untell(parent, name);
        let name: Arc<str> = name.into();
        if let Some(inode) = self.by_ino.get_mut(&ino) {
            inode.names.push((parent, name.clone()));
            self.told.insert((parent, name), ino);
        }
    }

    /// The kernel no longer knows a name. What it led to.
    pub(crate) fn untell(&mut self, parent: u64, name: &str) -> Option<u64> {
        let ino = self.told.remove(&(parent, name.into()))?;
        if let Some(inode) = self.by_ino.get_mut(&ino) {
            inode.names.retain(|(p, n)| !(*p == parent && &**n == name));
        }
        Some(ino)
    }

    /// Where the kernel believes a name leads.
    pub(crate) fn told(&self, parent: u64, name: &str) -> Option<u64> {
        self.told.get(&(parent, name.into())).copied()
    }

    /// Every name the kernel knows, and every number.
    pub(crate) fn everything(&self) -> (Vec<(u64, Arc<str>)>, Vec<u64>) {
        (self.told.keys().cloned().collect(), self.by_ino.keys().copied().collect())
    }

    /// The rooms that hold the names of a number.
    pub(crate) fn rooms_of(&self, ino: u64) -> Vec<Oid> {
        let rooms = self.names_of(ino).iter().filter_map(|(parent, _)| match &self.by_ino.get(parent)?.key {
            Key::Object(room) => Some(*room),
            _ => None,
        });
        rooms.collect()
    }

    /// The names of a number, with the rooms that hold them.
    pub(crate) fn places_of(&self, ino: u64) -> Vec<(Oid, Arc<str>)> {
        let places =
            self.names_of(ino).iter().filter_map(|(parent, name)| match &self.by_ino.get(parent)?.key {
                Key::Object(room) => Some((*room, name.clone())),
                _ => None,
            });
        places.collect()
    }

    /// The names of a number, with the numbers of their rooms.
    pub(crate) fn names_of(&self, ino: u64) -> &[(u64, Arc<str>)] {
        self.by_ino.get(&ino).map(|inode| inode.names.as_slice()).unwrap_or_default()
    }

    /// From now on a number stands for something else, whose names lead to it.
    pub(crate) fn turn_into(&mut self, ino: u64, key: Key) {
        let Some(inode) = self.by_ino.get_mut(&ino) else { return };
        let old = std::mem::replace(&mut inode.key, key.clone());
        inode.apart = false;
        inode.gone = None;
        if self.primary.get(&old) == Some(&ino) {
            self.primary.remove(&old);
        }
        if let Some(before) = self.primary.insert(key, ino)
            && before != ino
        {
            self.set_apart_ino(before);
        }
    }

    /// The names of an object get a new number when they are next looked up; the one they had goes on serving
    /// its handles. The names to be forgotten by the kernel.
    pub(crate) fn set_apart(&mut self, key: &Key) -> Vec<(u64, Arc<str>)> {
        match self.primary.remove(key) {
            Some(ino) if ino != ROOT => self.set_apart_ino(ino),
            _ => Vec::new(),
        }
    }

    fn set_apart_ino(&mut self, ino: u64) -> Vec<(u64, Arc<str>)> {
        let Some(inode) = self.by_ino.get_mut(&ino) else { return Vec::new() };
        inode.apart = true;
        let names = std::mem::take(&mut inode.names);
        for name in &names {
            self.told.remove(name);
            if let Some(room) = self.by_ino.get_mut(&name.0) {
                room.kept.renumber();
            }
        }
        names
    }

    /// A handle was opened through a number; on `copy`, unless that holds the bytes of another object.
    pub(crate) fn opened(
        &mut self,
        ino: u64,
        copy: Option<&Arc<WorkingCopy>>,
        how: How,
        whole: Option<(Oid, Whole)>,
    ) -> (Caching, Option<Arc<File>>) {
        let Some(inode) = self.by_ino.get_mut(&ino) else { return (Caching::Direct, None) };
        inode.copy = copy.map_or_else(|| inode.copy.clone(), Arc::downgrade);
        caching::choose(inode, how, whole, &mut self.written)
    }

    /// A handle was closed, one that the kernel may have served or not.
    pub(crate) fn closed(&mut self, ino: u64, whole: bool) {
        if let Some(inode) = self.by_ino.get_mut(&ino) {
            inode.opens = inode.opens.saturating_sub(1);
            inode.alike = inode.alike.saturating_sub(usize::from(whole));
        }
        self.collect(ino);
    }

    /// The kernel forgot `n` of the lookups of a number.
    pub(crate) fn forget(&mut self, ino: u64, n: u64) {
        if let Some(inode) = self.by_ino.get_mut(&ino) {
            inode.lookups = inode.lookups.saturating_sub(n);
        }
        self.collect(ino);
    }

    /// How many numbers are held.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_ino.len()
    }

    fn collect(&mut self, ino: u64) {
        let Some(inode) = self.by_ino.get(&ino) else { return };
        if ino == ROOT || inode.lookups > 0 || inode.opens > 0 {
            return;
        }
        let Some(inode) = self.by_ino.remove(&ino) else { return };
        for name in inode.names {
            self.told.remove(&name);
        }
        if self.primary.get(&inode.key) == Some(&ino) {
            self.primary.remove(&inode.key);
        }
    }

    fn insert(&mut self, ino: u64, key: Key) {
        self.primary.insert(key.clone(), ino);
        let inode = Inode {
            key,
            copy: Weak::new(),
            opens: 0,
            alike: 0,
            cached: None,
            kept: Kept::default(),
            apart: false,
            gone: None,
            lookups: 0,
            names: Vec::new(),
        };
        self.by_ino.insert(ino, inode);
    }

    fn free(&self, key: &Key) -> u64 {
        let mut ino = derived(key);
        if let Key::Control(_) = key {
            return ino;
        }
        while ino < FIRST || self.by_ino.contains_key(&ino) {
            ino = ino.wrapping_add(1).max(FIRST);
        }
        ino
    }
}

fn derived(key: &Key) -> u64 {
    let first = |bytes: &[u8]| bytes.iter().take(8).fold(0u64, |n, b| (n << 8) | u64::from(*b));
    let of = |oid: &Oid| first(&oid.object.0) ^ first(&oid.space.0);
    match key {
        Key::Object(oid) => of(oid),
        Key::Version(oid, hash) => of(oid) ^ first(&hash.0),
        Key::Way { room, to } => of(room).rotate_left(1) ^ of(to),
        Key::Control(control) => control.ino(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    fn oid(n: u8) -> Oid {
        Oid { space: SpaceId([1; 32]), object: ObjectId([n; 16]) }
    }

    fn key(n: u8) -> Key {
        Key::Object(oid(n))
    }

    #[test]
    fn numbers_stay_and_come_back_the_same() {
        let mut inodes = Inodes::new(oid(0));
        let ino = inodes.look_up(key(5), ROOT, "a");
        assert_eq!(inodes.look_up(key(5), ROOT, "b"), ino);
        inodes.forget(ino, 1);
        assert_eq!(inodes.told(ROOT, "a"), Some(ino));
        inodes.forget(ino, 1);
        assert_eq!((inodes.told(ROOT, "a"), inodes.len()), (None, 1));
        assert_eq!(inodes.look_up(key(5), ROOT, "a"), ino);
        inodes.forget(ROOT, 100);
        assert!(inodes.get(ROOT).is_some());
    }

    #[test]
    fn a_number_that_is_taken_is_passed_over() {
        let mut inodes = Inodes::new(oid(0));
        let a = inodes.look_up(key(5), ROOT, "a");
        let same = Key::Object(Oid {
            space: SpaceId([1; 32]),
            object: ObjectId({
                let mut b = [5; 16];
                b[15] = 9;
                b
            }),
        });
        let b = inodes.look_up(same, ROOT, "b");
        assert_eq!(b, a + 1);
    }

    #[test]
    fn a_temporary_renamed_over_an_object_lends_it_its_number() {
        let mut inodes = Inodes::new(oid(0));
        let file = inodes.look_up(key(5), ROOT, "f");
        let temp = inodes.look_up(key(6), ROOT, "t");
        inodes.untell(ROOT, "t");
        inodes.tell(ROOT, "f", temp);
        inodes.turn_into(temp, key(5));
        assert_eq!(inodes.look_up(key(5), ROOT, "f"), temp);
        assert_eq!(inodes.primary(&key(6)), None);
        let old = inodes.get(file).unwrap();
        assert!(old.apart && old.key == key(5));
        inodes.forget(file, 1);
        assert_eq!(inodes.primary(&key(5)), Some(temp));
    }

    #[test]
    fn a_backup_keeps_the_number_and_the_object_gets_another() {
        let mut inodes = Inodes::new(oid(0));
        let file = inodes.look_up(key(5), ROOT, "f");
        inodes.untell(ROOT, "f");
        inodes.tell(ROOT, "f~", file);
        inodes.turn_into(file, key(9));
        let new = inodes.look_up(key(5), ROOT, "f");
        assert_ne!(new, file);
        assert_eq!(inodes.look_up(key(9), ROOT, "f~"), file);
    }

    #[test]
    fn what_is_set_apart_serves_on_and_names_get_a_new_number() {
        let mut inodes = Inodes::new(oid(0));
        let ino = inodes.look_up(key(5), ROOT, "f");
        assert_eq!(inodes.set_apart(&key(5)), [(ROOT, "f".into())]);
        let new = inodes.look_up(key(5), ROOT, "f");
        assert!(new != ino && inodes.get(ino).unwrap().apart);
        inodes.forget(ino, 1);
        assert_eq!((inodes.primary(&key(5)), inodes.get(ino).is_none()), (Some(new), true));
    }
}
