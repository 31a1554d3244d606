//! What only this device knows of an object: its owner, its set-id and sticky bits, the times that POSIX
//! moves, attributes of the system's own, and that it is a pipe, a socket or a device.
//!
//! None of it comes from a friend, and none of it is sent: it is set here, kept here, and shown here. It is
//! stored under `l` beside the object's shown time, and lives in the object's head while the node runs.

use crate::clock;
use crate::core::{Core, no_object, no_space};
use crate::error::{Error, Result};
use crate::head::Head;
use crate::record::{self, LocalRecord, NodeRecord, OwnRecord, XattrRecord};
use crate::state::{Newborn, Space};
use base::{Kind, ObjectId, Oid, SpaceTag, limit};
use object::{Birth, Content, Meta, Type};
use std::time::SystemTime;
use store::Batch;

/// How old a time of reading may be that is still newer than the last change.
const READ_LATELY: i64 = 24 * 3600 * 1_000_000_000;

/// A thing that means something on one machine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device, by its number.
    Char(u32),
    /// A block device, by its number.
    Block(u32),
}

/// Who owns a thing here; None: whoever runs the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// What is to change of what only this device knows; None: stays. The time of change moves all the same.
#[derive(Clone, Debug, Default)]
pub struct LocalEdit {
    /// The user; None within: whoever runs the node.
    pub uid: Option<Option<u32>>,
    /// The group, alike.
    pub gid: Option<Option<u32>>,
    /// The set-id and sticky bits, within 07000.
    pub special: Option<u16>,
    /// When it was last read.
    pub atime: Option<SystemTime>,
    /// An attribute that is not the users' own: its new value, or none.
    pub xattr: Option<(String, Option<Vec<u8>>)>,
}

impl Head {
    /// What is stored of what only this device knows.
    pub(crate) fn to_local(&self) -> LocalRecord {
        LocalRecord { mtime: self.mtime, ctime: self.ctime, atime: self.atime, own: self.own.clone() }
    }

    /// Stores what the index and this device know of an object.
    pub(crate) fn put(&self, batch: &mut Batch, tag: &SpaceTag, object: &ObjectId) {
        batch.put(record::head_key(tag, object), record::to_bytes(&self.to_record()));
        batch.put(record::local_key(tag, object), record::to_bytes(&self.to_local()));
    }

    /// Takes back what was stored, the shown time included.
    pub(crate) fn set_local(&mut self, record: LocalRecord) {
        self.mtime = record.mtime;
        self.keep_local(record.ctime, record.atime, record.own);
    }

    /// Goes on with what another head of the same object knew, its shown time excepted.
    pub(crate) fn local_of(mut self, old: &Head) -> Head {
        self.keep_local(old.ctime, old.atime, old.own.clone());
        self
    }

    fn keep_local(&mut self, ctime: Option<i64>, atime: Option<i64>, own: Option<Box<OwnRecord>>) {
        (self.ctime, self.atime, self.own) = (ctime, atime, own);
    }

    /// When anything of it changed last.
    pub(crate) fn ctime(&self) -> i64 {
        self.ctime.unwrap_or(self.mtime)
    }

    /// When it was last read.
    pub(crate) fn atime(&self) -> i64 {
        self.atime.unwrap_or(self.mtime)
    }

    /// The thing that means something on this machine only.
    pub(crate) fn special(&self) -> Option<Special> {
        let node = self.own.as_ref()?.node?;
        Some(match node.kind {
            0 => Special::Fifo,
            1 => Special::Socket,
            2 => Special::Char(node.device),
            _ => Special::Block(node.device),
        })
    }

    fn edit_local(&mut self, edit: &LocalEdit, now: i64) -> Result<()> {
        let mut own = self.own.take().unwrap_or_default();
        let result = edit_own(&mut own, edit);
        self.own = Some(own).filter(|own| **own != OwnRecord::default());
        result?;
        self.atime = edit.atime.map(clock::to_ns).or(self.atime);
        self.ctime = Some(now);
        Ok(())
    }
}

fn edit_own(own: &mut OwnRecord, edit: &LocalEdit) -> Result<()> {
    own.uid = edit.uid.unwrap_or(own.uid);
    own.gid = edit.gid.unwrap_or(own.gid);
    own.special = edit.special.map_or(own.special, |bits| bits & 0o7000);
    let Some((name, value)) = &edit.xattr else { return Ok(()) };
    let mut xattrs: Vec<_> = own.xattrs.iter().filter(|x| x.name != *name).cloned().collect();
    xattrs.extend(value.clone().map(|value| XattrRecord { name: name.clone(), value }));
    if xattrs.iter().map(|x| x.name.len() + x.value.len()).sum::<usize>() > limit::XATTRS_BYTES {
        return Err(Error::refused(Kind::TooLarge, "the attributes are too large together"));
    }
    own.xattrs = xattrs;
    Ok(())
}

impl Core {
    /// Changes what only this device knows of an object; that it was changed shows in its time of change.
    pub(crate) fn set_local(&self, oid: &Oid, edit: &LocalEdit) -> Result<()> {
        let _writing = self.write_of(oid);
        let oid = self.now_at(*oid);
        let batch = {
            let mut state = self.state.write();
            let space = state.space_mut(&oid.space).ok_or_else(|| no_space(&oid.space))?;
            space.root_head(&oid.object, self.device);
            let head = space.heads.get_mut(&oid.object).ok_or_else(no_object)?;
            head.edit_local(edit, clock::now_ns())?;
            local_batch(space, &oid.object)
        };
        if let Some(batch) = batch {
            self.store.defer(batch)?;
        }
        self.emit([crate::api::Event::Attr { oid, remote: false }]);
        Ok(())
    }

    /// The bytes of a version were written when their writer says, not when they were handed over.
    pub(crate) fn written_at(&self, oid: &Oid, wrote: &crate::api::Version, at: SystemTime) -> Result<()> {
        let _writing = self.write_of(oid);
        let oid = self.now_at(*oid);
        let at = clock::to_ns(at);
        let batch = {
            let mut state = self.state.write();
            let Some(space) = state.space_mut(&oid.space) else { return Ok(()) };
            let Some(head) = space.heads.get_mut(&oid.object) else { return Ok(()) };
            // With a friend's words in it, it is as new as they are.
            if head.heads != *wrote || at >= head.mtime {
                return Ok(());
            }
            (head.mtime, head.ctime) = (at, Some(at));
            local_batch(space, &oid.object)
        };
        if let Some(batch) = batch {
            self.store.defer(batch)?;
        }
        Ok(())
    }

    /// What an object holds was written once more: nothing that anybody else has to know, but whoever asks for the time
    /// here means this. The caller holds the writer's lock.
    pub(crate) fn rewritten(&self, oid: &Oid) -> Result<()> {
        let batch = {
            let mut state = self.state.write();
            let space = state.space_mut(&oid.space).ok_or_else(|| no_space(&oid.space))?;
            let head = space.heads.get_mut(&oid.object).ok_or_else(no_object)?;
            head.mtime = clock::now_ns();
            head.ctime = Some(head.mtime);
            local_batch(space, &oid.object)
        };
        if let Some(batch) = batch {
            self.store.defer(batch)?;
        }
        self.emit([crate::api::Event::Attr { oid: *oid, remote: false }]);
        Ok(())
    }

    /// Somebody reads an object: its time moves as with `relatime`, and is stored with the next change.
    pub(crate) fn was_read(&self, oid: &Oid) {
        let now = clock::now_ns();
        let due = |head: &Head| {
            let atime = head.atime();
            atime <= head.mtime || atime <= head.ctime() || now.saturating_sub(atime) > READ_LATELY
        };
        let is_due = {
            let state = self.state.read();
            state.space(&oid.space).and_then(|s| s.heads.get(&oid.object)).is_some_and(due)
        };
        if is_due
            && let Some(space) = self.state.write().space_mut(&oid.space)
            && let Some(head) = space.heads.get_mut(&oid.object)
        {
            head.atime = Some(now);
        }
    }

    /// Makes a pipe, a socket or a device: a thing of this device alone.
    pub(crate) fn make_special(&self, room: Oid, name: &str, perm: u16, special: Special) -> Result<Oid> {
        let meta = Meta { perm: Some(perm & 0o777), ..Meta::default() };
        let id = crate::core::new_object()?;
        let birth = Birth { id, kind: Type::Text, meta, content: Content::Bytes(Vec::new()) };
        let oid = self.give_birth(room, name, birth, false, true)?;
        let (kind, device) = match special {
            Special::Fifo => (0, 0),
            Special::Socket => (1, 0),
            Special::Char(device) => (2, device),
            Special::Block(device) => (3, device),
        };
        {
            let mut state = self.state.write();
            let space = state.space_mut(&oid.space).ok_or_else(|| no_space(&oid.space))?;
            let head = space.heads.get_mut(&oid.object).ok_or_else(no_object)?;
            head.own.get_or_insert_default().node = Some(NodeRecord { kind, device });
        }
        self.keep_local(&oid)?;
        Ok(oid)
    }

    /// Stores what this device knows of an object, its times too, which nothing else will store of what is never sealed.
    pub(crate) fn keep_local(&self, oid: &Oid) -> Result<()> {
        let batch = self.with_space(&oid.space, |space| Ok(local_batch(space, &oid.object)))?;
        if let Some(batch) = batch {
            self.store.defer(batch)?;
        }
        Ok(())
    }

    /// The attributes that are not the users' own.
    pub(crate) fn local_xattrs(&self, oid: &Oid) -> Result<Vec<(String, Vec<u8>)>> {
        self.with_space(&oid.space, |space| {
            let own = space.heads.get(&oid.object).and_then(|head| head.own.as_ref());
            let xattrs = own.into_iter().flat_map(|own| own.xattrs.iter());
            Ok(xattrs.map(|x| (x.name.clone(), x.value.clone())).collect())
        })
    }

    /// What only this device knows of one object holds of its copy too.
    pub(crate) fn copy_local(&self, from: &Oid, to: &Oid) -> Result<()> {
        let own = self.with_space(&from.space, |space| {
            Ok(space.heads.get(&from.object).and_then(|head| head.own.clone()))
        })?;
        let _writing = self.write();
        let batch = {
            let mut state = self.state.write();
            let space = state.space_mut(&to.space).ok_or_else(|| no_space(&to.space))?;
            space.root_head(&to.object, self.device);
            let head = space.heads.get_mut(&to.object).ok_or_else(no_object)?;
            if head.own == own {
                return Ok(());
            }
            head.own = own;
            local_batch(space, &to.object)
        };
        if let Some(batch) = batch {
            self.store.defer(batch)?;
        }
        Ok(())
    }

    /// What was stored of an object by this device, if anything.
    pub(crate) fn stored_local(&self, oid: &Oid) -> Result<Option<LocalRecord>> {
        match self.store.get(&record::local_key(&oid.space.tag(), &oid.object))? {
            Some(bytes) => Ok(Some(record::from_bytes(&bytes, "local attributes")?)),
            None => Ok(None),
        }
    }

    /// Gives the heads of a space what this device knows of their objects.
    pub(crate) fn load_local(&self, space: &mut Space) -> Result<()> {
        for found in self.store.range(&record::locals_of(&space.tag)) {
            let (key, value) = found?;
            let id = ObjectId::from_slice(&key[key.len() - ObjectId::LEN..])?;
            let local: LocalRecord = record::from_bytes(&value, "local attributes")?;
            space.root_head(&id, self.device);
            if let Some(head) = space.heads.get_mut(&id) {
                head.set_local(local);
            }
        }
        Ok(())
    }
}

impl Space {
    /// Makes the head that a root gets with its first change, if this is the root and it has none.
    pub(crate) fn root_head(&mut self, object: &ObjectId, device: base::DeviceId) {
        if *object == self.id.root() && !self.heads.contains_key(object) {
            let mut head = Head::new(Type::Room, device, self.since);
            head.atime = Some(self.since);
            self.heads.insert(*object, head);
        }
    }

    /// Stores the times of rooms of this device alone that hold an object: they moved when it was only in memory,
    /// and no sealing will store them.
    pub(crate) fn put_rooms_of(&self, batch: &mut Batch, object: &ObjectId) {
        for (room, _) in self.view.doors_of(*object) {
            if let Some(head) = self.heads.get(&room).filter(|_| self.is_local(&room)) {
                batch.put(record::local_key(&self.tag, &room), record::to_bytes(&head.to_local()));
            }
        }
    }

    /// Something other than the content of an object changes: its names.
    pub(crate) fn touch(&mut self, object: &ObjectId, now: i64) {
        if let Some(head) = self.heads.get_mut(object) {
            head.ctime = Some(now);
        }
    }

    /// Whether an object is of this device alone and stays so whatever it is called.
    pub(crate) fn is_special(&self, object: &ObjectId) -> bool {
        self.heads.get(object).is_some_and(|head| head.special().is_some())
    }
}

// What to store of an object; nothing of one that is only in memory yet.
fn local_batch(space: &Space, object: &ObjectId) -> Option<Batch> {
    let stored = |newborn: &Newborn| newborn.stored || newborn.birth.kind == Type::Room;
    if space.pending.births.get(object).is_some_and(|newborn| !stored(newborn)) {
        return None;
    }
    let mut batch = Batch::new();
    let local = space.heads.get(object)?.to_local();
    batch.put(record::local_key(&space.tag, object), record::to_bytes(&local));
    Some(batch)
}
