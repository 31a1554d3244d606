//! Changes of attributes: size, permissions, times, extended attributes.

use crate::error::{Error, Result};
use crate::inode::Key;
use crate::process::Caller;
use crate::tree::{Stat, Tree};
use base::{Kind, Oid, limit};
use node::What;
use std::time::SystemTime;

/// What is to change; None: stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Bytes.
    pub size: Option<u64>,
    /// Permission bits; those outside 0777 are dropped, they never travel.
    pub perm: Option<u16>,
    /// When the content last changed.
    pub mtime: Option<SystemTime>,
}

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
        if changes.perm.is_some() || changes.mtime.is_some() {
            self.set_attributes(ino, changes)?;
        }
        self.getattr(ino)
    }

    /// The value of an extended attribute.
    ///
    /// Errors: there is none of that name, or it is of a kind that is not kept (only `user.*` is).
    pub fn xattr(&self, ino: u64, name: &[u8]) -> Result<Vec<u8>> {
        let name = user_name(name)?;
        let key = self.key_of(ino)?;
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
            Key::Object(oid) | Key::Version(oid, _) => Ok(self.0.node.xattrs(oid)?),
            _ => Ok(Vec::new()),
        }
    }

    /// Sets an extended attribute; `exists`: it must (true) or must not (false) have been there.
    ///
    /// Errors: not a `user.*` name, one of the tree's own, too large, or not to be written.
    pub fn set_xattr(&self, ino: u64, name: &[u8], value: &[u8], exists: Option<bool>) -> Result<()> {
        let name = own_refused(user_name(name)?)?;
        if value.len() > limit::XATTR_BYTES {
            return Err(Error::refused(Kind::TooLarge, "the attribute's value is too large"));
        }
        let oid = self.oid_of(ino)?;
        match exists.map(|must| (must, self.0.node.xattr(oid, name).is_ok())) {
            Some((true, false)) => return Err(no_attribute()),
            Some((false, true)) => {
                return Err(Error::refused(Kind::Exists, "the attribute is there already"));
            }
            _ => {}
        }
        Ok(self.0.node.set_xattr(oid, name, value)?)
    }

    /// Removes an extended attribute.
    ///
    /// Errors: as `set_xattr`; there is none.
    pub fn remove_xattr(&self, ino: u64, name: &[u8]) -> Result<()> {
        let name = own_refused(user_name(name)?)?;
        Ok(self.0.node.remove_xattr(self.oid_of(ino)?, name)?)
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
        Ok(self.0.node.set_attr(oid, perm, changes.mtime)?)
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

fn user_name(name: &[u8]) -> Result<&str> {
    match std::str::from_utf8(name) {
        Ok(name) if name.len() > 255 => {
            Err(Error::refused(Kind::TooLarge, "the attribute's name is too long"))
        }
        Ok(name) if name.starts_with("user.") && name.len() > 5 => Ok(name),
        _ => Err(Error::refused(Kind::Unsupported, "only attributes named user.* are kept")),
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
