//! Meta: permission bits, mtime, users' extended attributes. Each is a register; the later has it.

use super::{Doc, Made};
use crate::body::{Meta, shows_xattr};
use crate::error::{Error, Result};
use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use base::{Actor, limit};
use std::collections::BTreeMap;

const PERM: &str = "perm";
const MTIME: &str = "mtime";
const XATTR: &str = "x/";
/// Behind every key that begins with `x/`.
const XATTR_END: &str = "x0";

/// What to change of an object's meta; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaEdit {
    /// New permission bits, within 0777.
    pub perm: Option<u16>,
    /// A new modification time, in nanoseconds since the epoch.
    pub mtime: Option<i64>,
    /// Extended attributes to set, or to remove where there is no value.
    pub xattrs: BTreeMap<String, Option<Vec<u8>>>,
}

pub(super) fn put_birth(tx: &mut Transaction<'_>, meta: &Meta) -> Result<()> {
    let xattrs = meta.xattrs.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    put(tx, &MetaEdit { perm: meta.perm, mtime: meta.mtime, xattrs })
}

fn put(tx: &mut Transaction<'_>, edit: &MetaEdit) -> Result<()> {
    if let Some(perm) = edit.perm {
        tx.put(ROOT, PERM, ScalarValue::Int(i64::from(perm)))?;
    }
    if let Some(mtime) = edit.mtime {
        tx.put(ROOT, MTIME, ScalarValue::Int(mtime))?;
    }
    for (name, value) in &edit.xattrs {
        let key = format!("{XATTR}{name}");
        match value {
            Some(value) => tx.put(ROOT, key, ScalarValue::Bytes(value.clone()))?,
            None => tx.delete(ROOT, key)?,
        }
    }
    Ok(())
}

/// What makes no sense is skipped.
pub(super) fn read(am: &Automerge) -> Meta {
    let number = |key: &str| am.get(ROOT, key).ok().flatten().and_then(|(value, _)| value.as_i64());
    let mut meta = Meta {
        perm: number(PERM).and_then(|perm| u16::try_from(perm).ok()).filter(|perm| *perm <= 0o777),
        mtime: number(MTIME),
        xattrs: BTreeMap::new(),
    };
    let mut total = 0;
    for item in am.map_range(ROOT, XATTR.to_owned()..XATTR_END.to_owned()) {
        let automerge::ValueRef::Scalar(automerge::ScalarValueRef::Bytes(value)) = &item.value else {
            continue;
        };
        let Some(name) = item.key.strip_prefix(XATTR) else { continue };
        if !shows_xattr(name) || value.len() > limit::XATTR_BYTES {
            continue;
        }
        total += name.len() + value.len();
        if total <= limit::XATTRS_BYTES {
            meta.xattrs.insert(name.to_owned(), value.to_vec());
        }
    }
    meta
}

impl Doc {
    /// Permission bits, mtime and extended attributes as they are.
    pub fn meta(&self) -> Meta {
        self.shown.meta.clone()
    }

    /// Changes meta, on the version that the document has. None if nothing changes. Errors: a limit; an
    /// extended attribute to be set whose name is not shown ([`shows_xattr`]).
    pub fn set_meta(&mut self, actor: &Actor, time_ms: i64, edit: &MetaEdit) -> Result<Option<Made>> {
        let edit = self.needed(edit);
        if edit.xattrs.iter().any(|(name, value)| value.is_some() && !shows_xattr(name)) {
            return Err(Error::Attribute);
        }
        if edit == MetaEdit::default() {
            return Ok(None);
        }
        self.after(&edit).check().map_err(|what| Error::TooLarge { what, limit: limit::XATTRS_BYTES })?;
        self.guard(|doc| {
            let heads = doc.am.get_heads();
            let made = doc.commit(actor, time_ms, &heads, |tx| put(tx, &edit))?;
            doc.shown.meta = read(&doc.am);
            Ok(Some(made))
        })
    }

    // Without what is so already.
    fn needed(&self, edit: &MetaEdit) -> MetaEdit {
        let now = &self.shown.meta;
        let differs = |(name, value): &(&String, &Option<Vec<u8>>)| now.xattrs.get(*name) != value.as_ref();
        MetaEdit {
            perm: edit.perm.filter(|perm| now.perm != Some(*perm)),
            mtime: edit.mtime.filter(|mtime| now.mtime != Some(*mtime)),
            xattrs: edit
                .xattrs
                .iter()
                .filter(differs)
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    fn after(&self, edit: &MetaEdit) -> Meta {
        let mut meta = self.meta();
        meta.perm = edit.perm.or(meta.perm);
        for (name, value) in &edit.xattrs {
            match value {
                Some(value) => meta.xattrs.insert(name.clone(), value.clone()),
                None => meta.xattrs.remove(name),
            };
        }
        meta
    }
}
