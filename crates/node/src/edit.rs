//! Edits of one object: what a save, an append or a change of attributes becomes.

use crate::api::{Appended, Event, NewContent, Saved, Version};
use crate::blob;
use crate::clock;
use crate::core::{Core, Writer, no_object, no_space};
use crate::documents::{put_changes, small_bytes};
use crate::error::{Error, Result};
use crate::names::writable;
use crate::policy::{self, INLINE_BYTES};
use crate::record::{self, Bulk, PendingChange};
use crate::rules;
use crate::scratch::Scratch;
use crate::state::Newborn;
use crate::steps::{newborn_head, put_newborn};
use base::{Kind, Oid, limit};
use object::{Content, Made, Manifest, Meta, MetaEdit, Type};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use store::{Batch, Ticket};

/// Content on its way in, small or as a bulk file.
pub(crate) enum Incoming {
    Bytes(Vec<u8>),
    Bulk(Bulk),
    /// A bulk file that was cut before any lock was taken.
    Cut(Bulk, Box<Manifest>),
}

impl Incoming {
    fn size(&self) -> u64 {
        match self {
            Incoming::Bytes(bytes) => bytes.len() as u64,
            Incoming::Bulk(bulk) | Incoming::Cut(bulk, _) => bulk.size,
        }
    }
}

/// What becomes of the times of a newborn that is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    /// It was written just now.
    Now,
    /// Nothing of it changed.
    Stay,
    /// Somebody set the time of its content.
    Set(i64),
}

impl Core {
    /// Removes a bulk file that nothing names any more, once that is durable.
    pub(crate) fn discard(&self, ticket: Ticket, bulk: Option<Bulk>) {
        self.garbage.lock().extend(bulk.map(|bulk| (ticket, bulk.name)));
    }

    /// Takes content in: small content into memory, other content into a durable bulk file.
    pub(crate) fn take_in(&self, content: NewContent) -> Result<Incoming> {
        match content {
            NewContent::Bytes(bytes) if bytes.len() as u64 <= INLINE_BYTES => Ok(Incoming::Bytes(bytes)),
            NewContent::Bytes(bytes) if bytes.len() <= limit::TEXT_BYTES && policy::is_text(&bytes) => {
                Ok(Incoming::Bytes(bytes))
            }
            NewContent::Bytes(bytes) => Ok(Incoming::Bulk(blob::keep_bytes(&self.store, &bytes)?)),
            NewContent::File(file, size) => self.take_in_file(&file, size, None),
            NewContent::Scratch(scratch, size) => self.take_in_file(scratch.file(), size, Some(&scratch)),
        }
    }

    fn take_in_file(&self, file: &File, size: u64, scratch: Option<&Scratch>) -> Result<Incoming> {
        if size > blob::MOST_BYTES {
            return Err(blob::too_large());
        }
        if size <= limit::TEXT_BYTES as u64 {
            return self.take_in(NewContent::Bytes(read_all(file, size)?));
        }
        let bulk = blob::keep_file(&self.store, file, size)?;
        if let Some(ahead) = scratch.and_then(|scratch| scratch.ahead(size)) {
            self.ahead.lock().put(bulk.name, ahead);
        }
        Ok(Incoming::Bulk(bulk))
    }

    /// Saves new content as an edit of the version `base`.
    pub(crate) fn save(&self, oid: &Oid, base: &Version, content: NewContent) -> Result<Saved> {
        let content = self.cut(oid, self.take_in(content)?)?;
        let mut writer = self.write_of(oid);
        self.save_moved(&mut writer, oid, base, content)
    }

    pub(crate) fn save_here(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        base: &Version,
        content: Incoming,
    ) -> Result<Saved> {
        if let Some(newborn) = self.check_writable(oid)? {
            return self.save_newborn(writer, oid, newborn, content);
        }
        let Some(kind) = self.kind_to_save(oid)? else {
            // Its last name was removed here while it was open: what is written goes with it.
            return Ok(Saved { wrote: base.clone(), now: base.clone(), merged: false });
        };
        match content {
            Incoming::Bytes(bytes) if kind == Type::Text && saved_as_text(&bytes) => {
                let Ok(new) = String::from_utf8(bytes) else { return Err(no_object()) };
                let actor = self.actor(oid);
                let doc = self.doc(writer, oid)?;
                let beside = (doc.heads() != *base).then(|| (doc.text_at(base), doc.text()));
                match doc.edit_text(&actor, clock::now_ms(), base, &new)? {
                    Some(made) => {
                        let overlaps = match &beside {
                            None => Some(false),
                            Some((Ok(then), now)) => object::overlap(then, &new, now).then_some(true),
                            Some((Err(_), _)) => None,
                        };
                        overlaps.into_iter().for_each(|overlaps| self.note_overlap(*oid, overlaps));
                        self.keep_text(writer, oid, made, new.as_bytes())
                    }
                    None => self.unchanged(writer, oid, base, new.as_bytes()),
                }
            }
            content => self.save_register(writer, oid, base, kind, content),
        }
    }

    /// Adds bytes at the end of a text as it is now.
    pub(crate) fn append(&self, oid: &Oid, tail: &[u8]) -> Result<Appended> {
        let mut writer = self.write();
        let oid = &self.now_at(*oid);
        let kind = match self.check_writable(oid)? {
            Some(_) => None,
            None => self.kind_to_save(oid)?,
        };
        let text = std::str::from_utf8(tail).ok().filter(|t| !t.contains('\0'));
        let size = self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).map_or(0, |h| h.size)))?;
        let (Some(Type::Text), Some(tail)) = (kind, text) else {
            return Err(Error::refused(Kind::Unsupported, "only a text can be appended to"));
        };
        if size + tail.len() as u64 > limit::TEXT_BYTES as u64 {
            return Err(Error::refused(Kind::Unsupported, "the text would outgrow a text"));
        }
        let actor = self.actor(oid);
        let doc = self.doc(&mut writer, oid)?;
        let onto = doc.heads();
        let saved = match doc.append_text(&actor, clock::now_ms(), tail)? {
            Some(made) => {
                let now = doc.text();
                self.keep_text(&mut writer, oid, made, now.as_bytes())?
            }
            None => Saved { wrote: onto.clone(), now: onto.clone(), merged: false },
        };
        Ok(Appended { saved, onto })
    }

    // Whether it may be written at all; and the newborn, if it is one.
    fn check_writable(&self, oid: &Oid) -> Result<Option<Newborn>> {
        let state = self.state.read();
        let space = state.space(&oid.space).ok_or_else(|| no_space(&oid.space))?;
        writable(space)?;
        Ok(space.pending.births.get(&oid.object).cloned())
    }

    // The type of the object a save goes to; none if a local unlink has just removed its last name.
    fn kind_to_save(&self, oid: &Oid) -> Result<Option<Type>> {
        self.with_space(&oid.space, |space| {
            if space.is_unlinked(&oid.object) {
                return Ok(None);
            }
            let Some(head) = space.heads.get(&oid.object) else { return Ok(None) };
            match head.kind {
                Type::Text | Type::Whole | Type::Blob => Ok(Some(head.kind)),
                Type::Room => Err(Error::refused(Kind::IsRoom, "a room is not written like a file")),
                _ => Err(Error::refused(
                    Kind::ReadOnly,
                    "this version shows such an object but cannot change it",
                )),
            }
        })
    }

    fn save_newborn(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        mut newborn: Newborn,
        content: Incoming,
    ) -> Result<Saved> {
        let name = self.with_space(&oid.space, |space| {
            let doors = space.view.doors_of(oid.object);
            let door = doors.first().and_then(|(room, id)| space.view.door_state(*room, *id));
            Ok(door.map(|d| String::from_utf8_lossy(&d.name).into_owned()).unwrap_or_default())
        })?;
        let text = matches!(&content, Incoming::Bytes(bytes) if policy::is_text(bytes));
        let old_bulk = newborn.bulk.take();
        newborn.birth.kind = policy::born_kind(&name, content.size(), text);
        newborn.birth.meta.mtime = None;
        newborn.birth.content = Content::Empty;
        match content {
            Incoming::Bytes(bytes)
                if bytes.len() as u64 <= INLINE_BYTES || newborn.birth.kind == Type::Text =>
            {
                newborn.birth.content = Content::Bytes(bytes);
            }
            Incoming::Bytes(bytes) => newborn.bulk = Some(blob::keep_bytes(&self.store, &bytes)?),
            Incoming::Bulk(bulk) | Incoming::Cut(bulk, _) => newborn.bulk = Some(bulk),
        }
        let ticket = self.keep_newborn(writer, oid, newborn, Times::Now)?;
        self.rendered.lock().forget(oid);
        // What the journal of a moment ago names goes only once that journal cannot come back.
        self.discard(ticket, old_bulk);
        Ok(Saved { wrote: Version::default(), now: Version::default(), merged: false })
    }

    // Stores a newborn as it now is; from its first storing on it is anything to others too.
    fn keep_newborn(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        mut newborn: Newborn,
        times: Times,
    ) -> Result<Ticket> {
        // Who asked what it had been would build on a birth that never was.
        writer.docs.pop(oid);
        let mut batch = Batch::new();
        newborn.open = false;
        newborn.stored = true;
        self.with_space(&oid.space, |space| {
            put_newborn(&mut batch, space, &newborn);
            Ok(())
        })?;
        let mut head = newborn_head(&newborn, self.device);
        let shown = self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).cloned()))?;
        if let Some(shown) = shown {
            let now = head.ctime;
            head = head.local_of(&shown);
            head.ctime = if times == Times::Stay { shown.ctime } else { now };
            head.mtime = if times == Times::Stay { shown.mtime } else { head.mtime };
        }
        if let Times::Set(mtime) = times {
            head.mtime = mtime;
        }
        batch.put(record::local_key(&oid.space.tag(), &oid.object), record::to_bytes(&head.to_local()));
        self.with_space(&oid.space, |space| {
            space.put_rooms_of(&mut batch, &oid.object);
            Ok(())
        })?;
        let ticket = self.store.defer(batch)?;
        let idle = {
            let mut state = self.state.write();
            let Some(space) = state.space_mut(&oid.space) else { return Err(no_space(&oid.space)) };
            let idle = space.pending.since.is_none();
            space.view.born(oid.object, crate::steps::born_of(&newborn.birth), &mut Default::default());
            space.heads.insert(oid.object, head);
            if !newborn.local {
                space.pending.since.get_or_insert_with(Instant::now);
            }
            space.pending.births.insert(oid.object, newborn);
            idle && space.pending.since.is_some()
        };
        self.emit([Event::Content { oid: *oid, remote: false }]);
        if idle {
            self.wake_sealer();
        }
        Ok(ticket)
    }

    /// A newborn whose maker closed it without saving is an empty file.
    pub(crate) fn settle(&self, oid: &Oid) -> Result<()> {
        let mut writer = self.write_of(oid);
        match self.check_writable(oid)? {
            Some(newborn) if newborn.open => {
                self.keep_newborn(&mut writer, oid, newborn, Times::Stay).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn save_register(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        base: &Version,
        was: Type,
        content: Incoming,
    ) -> Result<Saved> {
        let text = matches!(&content, Incoming::Bytes(bytes) if policy::is_text(bytes));
        let kind = policy::saved_kind(was, content.size(), text);
        let (content, bulk) = match content {
            Incoming::Bytes(bytes) if bytes.len() as u64 <= INLINE_BYTES => (Content::Bytes(bytes), None),
            Incoming::Bytes(bytes) => self.chunked(oid, blob::keep_bytes(&self.store, &bytes)?)?,
            Incoming::Bulk(bulk) => self.chunked(oid, bulk)?,
            Incoming::Cut(bulk, manifest) if manifest.epoch == self.epoch_to_seal(&oid.space)?.0 => {
                (Content::Manifest(*manifest), Some(bulk))
            }
            // The key changed meanwhile: whoever may not read what is new must not have this one's.
            Incoming::Cut(bulk, _) => self.chunked(oid, bulk)?,
        };
        let actor = self.actor(oid);
        let doc = self.doc(writer, oid)?;
        let Some(made) = doc.set_content(&actor, clock::now_ms(), base, content.clone(), kind)? else {
            let now = doc.heads();
            self.rewritten(oid)?;
            return Ok(Saved { wrote: base.clone(), now, merged: false });
        };
        let mut batch = Batch::new();
        if let (Some(bulk), Content::Manifest(manifest)) = (bulk, &content) {
            blob::put_whole(&mut batch, &oid.space.tag(), manifest, bulk);
            self.note_replaced(bulk.size);
        }
        let saved =
            Saved { wrote: made.wrote.clone(), now: made.now.clone(), merged: made.wrote != made.now };
        self.keep_made(writer, oid, &made, batch, None)?;
        if let Some(bytes) = small_bytes(&content)
            && !saved.merged
        {
            self.rendered.lock().put(*oid, saved.now.clone(), bytes);
        }
        Ok(saved)
    }

    // Reading and hashing all of a large file takes its time: nobody waits for it but who saves. A newborn's is cut
    // when it is sealed.
    fn cut(&self, oid: &Oid, content: Incoming) -> Result<Incoming> {
        let Incoming::Bulk(bulk) = content else { return Ok(content) };
        let oid = &self.now_at(*oid);
        if self.with_space(&oid.space, |space| Ok(space.pending.births.contains_key(&oid.object)))? {
            return Ok(Incoming::Bulk(bulk));
        }
        let (epoch, secret) = self.epoch_to_seal(&oid.space)?;
        Ok(Incoming::Cut(bulk, Box::new(self.chunk(bulk, &epoch, &secret)?)))
    }

    fn chunked(&self, oid: &Oid, bulk: Bulk) -> Result<(Content, Option<Bulk>)> {
        let (epoch, secret) = self.epoch_to_seal(&oid.space)?;
        let manifest = self.chunk(bulk, &epoch, &secret)?;
        Ok((Content::Manifest(manifest), Some(bulk)))
    }

    // A save that changes nothing in the text may still be of an older version.
    fn unchanged(&self, writer: &mut Writer, oid: &Oid, base: &Version, written: &[u8]) -> Result<Saved> {
        let doc = self.doc(writer, oid)?;
        let now = doc.heads();
        let edited =
            self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).is_some_and(|h| h.edited)))?;
        let now = if edited { now } else { Version::default() };
        let merged = now != *base && self.doc(writer, oid)?.text().as_bytes() != written;
        self.rewritten(oid)?;
        Ok(Saved { wrote: base.clone(), now, merged })
    }

    fn keep_text(&self, writer: &mut Writer, oid: &Oid, made: Made, written: &[u8]) -> Result<Saved> {
        self.keep_made(writer, oid, &made, Batch::new(), None)?;
        let (shown, now): (Arc<[u8]>, _) = if made.wrote == made.now {
            (written.into(), made.now)
        } else {
            // The edit is kept; that a friend had made the same is another matter.
            if let Err(e) = self.settle_doubles(writer, oid) {
                self.problem(format!("a replacement that two made may stand twice: {e}"));
            }
            let doc = self.doc(writer, oid)?;
            (doc.text().into_bytes().into(), doc.heads())
        };
        let merged = &shown[..] != written;
        self.rendered.lock().put(*oid, now.clone(), shown);
        Ok(Saved { wrote: made.wrote, now, merged })
    }

    /// Stores a change that was made here: in the journal, in the image, in the head. Content
    /// changes move the time on; `mtime` says otherwise.
    pub(crate) fn keep_made(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        made: &Made,
        mut batch: Batch,
        mtime: Option<i64>,
    ) -> Result<()> {
        let tag = oid.space.tag();
        let mut head = self
            .with_space(&oid.space, |space| Ok(space.heads.get(&oid.object).cloned()))?
            .unwrap_or_else(|| crate::head::Head::new(Type::Room, self.device, clock::now_ns()));
        let n = writer.next_change;
        let pending = PendingChange {
            object: oid.object,
            run: self.run,
            bytes: made.change.clone(),
            incarnation: Some(self.incarnation()),
        };
        batch.put(record::pending_change_key(&tag, n), record::to_bytes(&pending));
        head.mtime = mtime.unwrap_or_else(clock::now_ns);
        head.ctime = Some(clock::now_ns());
        batch.put(record::local_key(&tag, &oid.object), record::to_bytes(&head.to_local()));
        let doc = self.doc(writer, oid)?;
        put_changes(&mut batch, &tag, &oid.object, &mut head, doc, std::slice::from_ref(&made.change));
        batch.put(record::head_key(&tag, &oid.object), record::to_bytes(&head.to_record()));
        if let Err(e) = self.store.apply(batch) {
            // The document has what the store has not: it is read again when next needed.
            writer.docs.pop(oid);
            return Err(e.into());
        }
        writer.next_change = n + 1;
        self.publish(oid, head, Some(n));
        Ok(())
    }

    // Shows readers a new head.
    fn publish(&self, oid: &Oid, head: crate::head::Head, change: Option<u64>) {
        let mut delta = Default::default();
        {
            let mut state = self.state.write();
            let Some(space) = state.space_mut(&oid.space) else { return };
            space.view.edited(oid.object, &head.clock, &mut delta);
            space.view.extra(oid.object, head.others.clone(), &mut delta);
            let room = head.kind == Type::Room;
            space.heads.insert(oid.object, head);
            if let Some(n) = change {
                space.pending.changes.insert(n, oid.object);
                if room {
                    space.pending.since.get_or_insert_with(Instant::now);
                }
            }
        }
        self.tell_names(&oid.space, &delta, false);
        self.emit([Event::Content { oid: *oid, remote: false }]);
        self.wake_sealer();
    }

    /// Removes another version that stands beside the one that has the name.
    pub(crate) fn drop_version(&self, oid: &Oid, version: &base::Hash) -> Result<()> {
        let mut writer = self.write();
        self.check_writable(oid)?;
        let actor = self.actor(oid);
        let doc = self.doc(&mut writer, oid)?;
        match doc.drop_version(&actor, clock::now_ms(), version)? {
            Some(made) => self.keep_made(&mut writer, oid, &made, Batch::new(), None),
            None => Ok(()),
        }
    }

    /// Sets permission bits and an explicit time.
    pub(crate) fn set_attr(&self, oid: &Oid, perm: Option<u16>, mtime: Option<SystemTime>) -> Result<()> {
        let perm = perm.map(|p| p & 0o777);
        let mtime = mtime.map(clock::to_ns);
        self.set_meta(oid, MetaEdit { perm, mtime, ..MetaEdit::default() })
    }

    /// Sets or removes attributes.
    pub(crate) fn set_meta(&self, oid: &Oid, edit: MetaEdit) -> Result<()> {
        if let Some(Some(rule)) = edit.xattrs.get(rules::SCRATCH) {
            rules::check(rule)?;
        }
        let mut writer = self.write_of(oid);
        let oid = &self.now_at(*oid);
        let newborn = self.check_writable(oid)?;
        if let Some(mut newborn) = newborn.filter(|n| n.birth.kind != Type::Room || n.local) {
            edit_newborn(&mut newborn.birth.meta, &edit)?;
            if newborn.stored {
                let shown = self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).map(|h| h.mtime)))?;
                let times = edit.mtime.or(shown).map_or(Times::Now, Times::Set);
                return self.keep_newborn(&mut writer, oid, newborn, times).map(drop);
            }
            writer.docs.pop(oid);
            let mut state = self.state.write();
            if let Some(space) = state.space_mut(&oid.space) {
                if let Some(head) = space.heads.get_mut(&oid.object) {
                    head.set_meta(&newborn.birth.meta);
                    head.mtime = newborn.birth.meta.mtime.unwrap_or(head.mtime);
                    head.ctime = Some(clock::now_ns());
                }
                space.pending.births.insert(oid.object, newborn);
            }
            return Ok(());
        }
        let known =
            self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).map(|h| (h.mtime, h.perm()))))?;
        let gone = self.with_space(&oid.space, |s| Ok(s.is_unlinked(&oid.object)))?;
        if known.is_none() && oid.object != oid.space.root() || gone {
            return if gone { Ok(()) } else { Err(no_object()) };
        }
        let (was, perm) = known.unwrap_or((clock::now_ns(), 0o755));
        // Nothing to say is nothing to send.
        if edit.xattrs.is_empty()
            && edit.mtime.is_none_or(|m| m == was)
            && edit.perm.is_none_or(|p| p == perm)
        {
            return Ok(());
        }
        let mtime = edit.mtime.unwrap_or(was);
        let actor = self.actor(oid);
        let doc = self.doc(&mut writer, oid)?;
        match doc.set_meta(&actor, clock::now_ms(), &edit)? {
            Some(made) => self.keep_made(&mut writer, oid, &made, Batch::new(), Some(mtime)),
            None => Ok(()),
        }
    }
}

// The same as an edit of a document, for what has none yet.
fn edit_newborn(meta: &mut Meta, edit: &MetaEdit) -> Result<()> {
    meta.perm = edit.perm.or(meta.perm);
    meta.mtime = edit.mtime.or(meta.mtime);
    for (name, value) in &edit.xattrs {
        match value {
            Some(_) if !object::shows_xattr(name) => {
                return Err(Error::refused(
                    Kind::Unsupported,
                    "only attributes that begin with user. are kept",
                ));
            }
            Some(value) if value.len() > limit::XATTR_BYTES => {
                return Err(Error::refused(Kind::TooLarge, "the attribute is too large"));
            }
            Some(value) => drop(meta.xattrs.insert(name.clone(), value.clone())),
            None => drop(meta.xattrs.remove(name)),
        }
    }
    if meta.xattrs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() > limit::XATTRS_BYTES {
        return Err(Error::refused(Kind::TooLarge, "the attributes are too large together"));
    }
    Ok(())
}

fn saved_as_text(bytes: &[u8]) -> bool {
    bytes.len() <= limit::TEXT_BYTES && policy::is_text(bytes)
}

pub(crate) fn read_all(file: &File, size: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).map_err(|_| no_object())?];
    file.read_exact_at(&mut bytes, 0)
        .map_err(|error| Error::Io { what: "reading what was written".into(), error })?;
    Ok(bytes)
}
