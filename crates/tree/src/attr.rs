//! Changes of attributes: size, permissions, times, extended attributes.

use crate::error::{Error, Result};
use crate::inode::Key;
use crate::process::Caller;
use crate::tree::{Sort, Stat, Tree};
use base::{Kind, Oid, limit};
use node::{LocalEdit, Owner, What};
use std::time::SystemTime;

/// What is to change; None: stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Bytes.
    pub size: Option<u64>,
    /// Permission, set-id and sticky bits, within 07777. Those outside 0777 never travel.
    pub perm: Option<u16>,
    /// When the content last changed.
    pub mtime: Option<SystemTime>,
    /// When it was last read.
    pub atime: Option<SystemTime>,
    /// The user who owns it; None within: whoever mounted.
    pub uid: Option<Option<u32>>,
    /// The group, alike.
    pub gid: Option<Option<u32>>,
    /// Whether set-id bits go with a new owner or size.
    pub drops_set_id: bool,
}

impl Changes {
    fn of_attributes(&self) -> bool {
        self.perm.is_some()
            || self.mtime.is_some()
            || self.atime.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
    }
}

/// The set-id bits.
const SET_ID: u16 = 0o6000;
/// The set-group-id bit, on a room: what is made in it belongs to its group.
const SET_GROUP_ID: u16 = 0o2000;
/// The beginnings of names of attributes that are kept on this device alone.
const LOCAL: [&str; 2] = ["security.", "trusted."];

/// Attributes that the tree answers itself. They are reachable and not listed, so that copies of a file do not
/// try to carry them.
const OWN: &str = "user.chorus.";

impl Tree {
    /// Changes attributes, through an open handle where there is one.
    ///
    /// Errors: it may not be written, or the disk is full.
    pub fn setattr(&self, ino: u64, changes: Changes, handle: Option<u64>, caller: Caller) -> Result<Stat> {
        if let Some(size) = changes.size {
            self.resize(ino, size, handle, caller)?;
        }
        if changes.drops_set_id {
            self.drop_set_id(ino)?;
        }
        if changes.of_attributes() {
            self.set_attributes(ino, changes)?;
        }
        self.getattr(ino)
    }

    /// A file was written, or changed hands, by somebody who may not keep its set-id bits.
    ///
    /// Errors: the file is gone.
    pub fn drop_set_id(&self, ino: u64) -> Result<()> {
        let stat = self.getattr(ino)?;
        if stat.sort != Sort::File || stat.perm & SET_ID == 0 {
            return Ok(());
        }
        // Without permission to execute, the group's bit asks for mandatory locks, and stays.
        let stays = if stat.perm & 0o010 == 0 { 0o3000 } else { 0o1000 };
        self.set_attributes(ino, Changes { perm: Some(stat.perm & (0o777 | stays)), ..Changes::default() })
    }

    /// Gives what was just made to its maker, with its set-id and sticky bits; in a room with the
    /// set-group-id bit it belongs to the room's group. What to show of it.
    ///
    /// Errors: it is gone again.
    pub fn adopt(&self, parent: u64, made: Stat, mut owner: Owner, mut special: u16) -> Result<Stat> {
        let room = self.getattr(parent)?;
        if room.perm & SET_GROUP_ID != 0 {
            owner.gid = room.owner.gid;
            special |= if made.sort == Sort::Room { SET_GROUP_ID } else { 0 };
        }
        if owner == Owner::default() && special & 0o7000 == 0 {
            return Ok(made);
        }
        let edit = LocalEdit {
            uid: Some(owner.uid),
            gid: Some(owner.gid),
            special: Some(special & 0o7000),
            ..LocalEdit::default()
        };
        self.0.node.set_local(self.oid_of(made.ino)?, &edit)?;
        self.getattr(made.ino)
    }

    /// Somebody reads a thing.
    pub fn was_read(&self, ino: u64) {
        if let Ok(Key::Object(oid)) = self.key_of(ino) {
            self.0.node.was_read(oid);
        }
    }

    /// The value of an extended attribute.
    ///
    /// Errors: there is none of that name, or it is of a kind that is not kept (only `user.*` is).
    pub fn xattr(&self, ino: u64, name: &[u8]) -> Result<Vec<u8>> {
        let name = attribute_name(name)?;
        let key = self.key_of(ino)?;
        if is_local(name) {
            let found = match &key {
                Key::Object(oid) => self.0.node.local_xattrs(*oid)?.into_iter().find(|(n, _)| n == name),
                _ => None,
            };
            return found.map(|(_, value)| value).ok_or_else(no_attribute);
        }
        if let (Key::Object(oid) | Key::Version(oid, _), Some(own)) = (&key, name.strip_prefix(OWN)) {
            return self.own_xattr(*oid, own);
        }
        match key {
            Key::Object(oid) | Key::Version(oid, _) => Ok(self.0.node.xattr(oid, name)?),
            _ => Err(no_attribute()),
        }
    }

    /// The names of a thing's extended attributes.
    ///
    /// Errors: the thing is gone.
    pub fn xattrs(&self, ino: u64) -> Result<Vec<String>> {
        match self.key_of(ino)? {
            Key::Object(oid) => {
                let local = self.0.node.local_xattrs(oid)?.into_iter().map(|(name, _)| name);
                Ok(self.0.node.xattrs(oid)?.into_iter().chain(local).collect())
            }
            Key::Version(oid, _) => Ok(self.0.node.xattrs(oid)?),
            _ => Ok(Vec::new()),
        }
    }

    /// Sets an extended attribute; `exists`: it must (true) or must not (false) have been there.
    ///
    /// Errors: not a `user.*` name, one of the tree's own, too large, or not to be written.
    pub fn set_xattr(&self, ino: u64, name: &[u8], value: &[u8], exists: Option<bool>) -> Result<()> {
        let name = own_refused(attribute_name(name)?)?;
        if value.len() > limit::XATTR_BYTES {
            return Err(Error::refused(Kind::TooLarge, "the attribute's value is too large"));
        }
        let oid = self.oid_of(ino)?;
        match exists.map(|must| (must, self.xattr(ino, name.as_bytes()).is_ok())) {
            Some((true, false)) => return Err(no_attribute()),
            Some((false, true)) => {
                return Err(Error::refused(Kind::Exists, "the attribute is there already"));
            }
            _ => {}
        }
        if is_local(name) {
            return self.set_local_xattr(oid, name, Some(value.to_vec()));
        }
        Ok(self.0.node.set_xattr(oid, name, value)?)
    }

    /// Removes an extended attribute.
    ///
    /// Errors: as `set_xattr`; there is none.
    pub fn remove_xattr(&self, ino: u64, name: &[u8]) -> Result<()> {
        let name = own_refused(attribute_name(name)?)?;
        let oid = self.oid_of(ino)?;
        if is_local(name) {
            self.xattr(ino, name.as_bytes())?;
            return self.set_local_xattr(oid, name, None);
        }
        Ok(self.0.node.remove_xattr(oid, name)?)
    }

    fn set_local_xattr(&self, oid: Oid, name: &str, value: Option<Vec<u8>>) -> Result<()> {
        let xattr = Some((name.to_owned(), value));
        Ok(self.0.node.set_local(oid, &LocalEdit { xattr, ..LocalEdit::default() })?)
    }

    fn resize(&self, ino: u64, size: u64, handle: Option<u64>, caller: Caller) -> Result<()> {
        if let Some(file) = handle.and_then(|handle| self.0.handles.file(handle).ok()) {
            if !file.how.write {
                return Err(Error::refused(Kind::Denied, "not open for writing"));
            }
            file.wrote.store(true, std::sync::atomic::Ordering::Relaxed);
            return self.resize_file(&file, size);
        }
        let (oid, attr) = self.attr_of(ino)?;
        match attr.what {
            What::Room => return Err(Error::refused(Kind::IsRoom, "it is a room")),
            What::Link => return Err(Error::refused(Kind::Invalid, "a symlink has no size to set")),
            _ if !attr.writable => {
                return Err(Error::refused(
                    Kind::ReadOnly,
                    "your role in this space lets you read, not write",
                ));
            }
            _ => {}
        }
        let who = self.0.processes.identify(caller);
        self.resize_path(ino, oid, &attr, size, who)
    }

    fn set_attributes(&self, ino: u64, changes: Changes) -> Result<()> {
        let oid = self.oid_of(ino)?;
        let perm = changes.perm.map(|perm| perm & 0o777);
        if self.set_gone(ino, &changes) {
            return Ok(());
        }
        let copy = self.0.inodes.lock().get(ino).and_then(|inode| inode.copy.upgrade());
        if let Some(copy) = &copy {
            // A time that is set after the last write must not be moved by the commit of that write.
            if changes.mtime.is_some() {
                self.commit(copy)?;
            }
            let mut state = copy.state();
            if let Some(mtime) = changes.mtime {
                state.set_mtime(mtime);
            }
            if let Some(perm) = perm {
                state.set_perm(perm);
            }
            if state.orphan {
                return Ok(());
            }
        }
        if perm.is_some() || changes.mtime.is_some() {
            self.0.node.set_attr(oid, perm, changes.mtime)?;
        }
        let edit = LocalEdit {
            uid: changes.uid,
            gid: changes.gid,
            special: changes.perm.map(|perm| perm & 0o7000),
            atime: changes.atime,
            xattr: None,
        };
        Ok(self.0.node.set_local(oid, &edit)?)
    }

    // What no name leads to any more has its attributes only as long as it is open.
    fn set_gone(&self, ino: u64, changes: &Changes) -> bool {
        let mut inodes = self.0.inodes.lock();
        let Some(inode) = inodes.get_mut(ino) else { return false };
        let Some(gone) = inode.gone.as_mut() else { return false };
        gone.perm = changes.perm.unwrap_or(gone.perm);
        gone.atime = changes.atime.unwrap_or(gone.atime);
        gone.mtime = changes.mtime.unwrap_or(gone.mtime);
        gone.owner.uid = changes.uid.unwrap_or(gone.owner.uid);
        gone.owner.gid = changes.gid.unwrap_or(gone.owner.gid);
        gone.ctime = node::now();
        let copy = inode.copy.upgrade();
        drop(inodes);
        if let (Some(copy), Some(mtime)) = (copy, changes.mtime) {
            copy.state().set_mtime(mtime);
        }
        true
    }

    fn own_xattr(&self, oid: Oid, name: &str) -> Result<Vec<u8>> {
        let described = || self.0.node.describe(oid);
        let text = match name {
            "id" => oid.object.hex(),
            "type" => described()?.kind.to_owned(),
            "heads" => described()?.heads.join(","),
            "space" => described()?.space,
            "role" => format!("{:?}", described()?.role.ok_or_else(no_attribute)?).to_lowercase(),
            "target" if self.0.node.attr(oid)?.what == What::Link => {
                return Ok(self.0.node.read_link(oid)?);
            }
            _ => return Err(no_attribute()),
        };
        Ok(text.into_bytes())
    }
}

fn is_local(name: &str) -> bool {
    LOCAL.iter().any(|beginning| name.starts_with(beginning))
}

fn attribute_name(name: &[u8]) -> Result<&str> {
    match std::str::from_utf8(name) {
        Ok(name) if name.len() > 255 => {
            Err(Error::refused(Kind::TooLarge, "the attribute's name is too long"))
        }
        Ok(name) if name.starts_with("user.") && name.len() > 5 => Ok(name),
        Ok(name) if LOCAL.iter().any(|start| name.len() > start.len() && name.starts_with(start)) => Ok(name),
        _ => Err(Error::refused(Kind::Unsupported, "attributes of that kind are not kept")),
    }
}

fn own_refused(name: &str) -> Result<&str> {
    if name.starts_with(OWN) {
        return Err(Error::refused(
            Kind::Invalid,
            "attributes named user.chorus.* say what is, and cannot be set",
        ));
    }
    Ok(name)
}

fn no_attribute() -> Error {
    Error::refused(Kind::NoAttribute, "no such attribute")
}
