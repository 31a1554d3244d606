//! What was open in a room of home when the room became a space goes on in the space: whoever still
//! has the old file or stands in the old room need not know.

use crate::api::{Saved, Version};
use crate::clock;
use crate::copying::Copies;
use crate::core::{Core, Writer};
use crate::edit::Incoming;
use crate::error::Result;
use base::{Oid, SpaceId};
use lru::LruCache;
use object::{Doc, Type};
use parking_lot::RwLock;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// How many objects are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(1 << 16).unwrap();

/// Where the objects of shared rooms went in this run, and where from.
pub(crate) struct Moved(RwLock<LruCache<Oid, There>>, RwLock<LruCache<Oid, Oid>>);

// The copy, and which of its versions is which of the original's.
#[derive(Clone)]
struct There {
    to: Oid,
    was: Version,
    is: Version,
    // The original with the edits of versions that the copy never had: kept nowhere else, and only for
    // merging the next of them.
    aside: Option<Arc<Doc>>,
}

impl Moved {
    pub(crate) fn new() -> Moved {
        Moved(RwLock::new(LruCache::new(MOST)), RwLock::new(LruCache::new(MOST)))
    }

    fn get(&self, oid: &Oid) -> Option<There> {
        self.0.read().peek(oid).cloned()
    }
}

impl Core {
    /// Notes where a room and all in it went. The caller holds the writer's lock since both were alike.
    pub(crate) fn note_moved(&self, from: &SpaceId, copies: &Copies) {
        let state = self.state.read();
        let version = |oid: &Oid| {
            let head = state.space(&oid.space).and_then(|space| space.heads.get(&oid.object));
            head.map(|head| head.heads.clone()).unwrap_or_default()
        };
        let (mut moved, mut back) = (self.moved.0.write(), self.moved.1.write());
        for (object, (to, _)) in copies {
            let old = Oid { space: *from, object: *object };
            back.put(*to, old);
            moved.put(old, There { to: *to, was: version(&old), is: version(to), aside: None });
        }
    }

    /// Where an object is now.
    pub(crate) fn now_at(&self, oid: Oid) -> Oid {
        self.moved.get(&oid).map_or(oid, |there| there.to)
    }

    /// What an object was before its room was shared.
    pub(crate) fn formerly(&self, oid: &Oid) -> Option<Oid> {
        self.moved.1.read().peek(oid).copied()
    }

    /// How many objects went elsewhere with a room that was shared.
    pub(crate) fn count_moved(&self) -> usize {
        self.moved.0.read().len()
    }

    /// A version of what an object was, as a version of what it is now. None where it has no counterpart.
    pub(crate) fn carried(&self, oid: &Oid, version: &Version) -> Option<(Oid, Version)> {
        let Some(there) = self.moved.get(oid) else { return Some((*oid, version.clone())) };
        if *version == there.was {
            return Some((there.to, there.is));
        }
        let known = !version.is_born() && self.knows(&there.to, version);
        known.then(|| (there.to, version.clone()))
    }

    /// Whether a version of an object is one that this node can go by.
    pub(crate) fn knows(&self, oid: &Oid, version: &Version) -> bool {
        self.doc(&mut self.write(), oid).is_ok_and(|doc| doc.knows(version))
    }

    /// Of several versions that somebody has read, the one that new content is most likely an edit of: the nearest.
    /// What is exactly an earlier one is that one wanted back, and an edit of the last.
    pub(crate) fn likeliest(&self, oid: &Oid, last: &Version, earlier: &[Version], bytes: &[u8]) -> Version {
        let Ok(new) = std::str::from_utf8(bytes) else { return last.clone() };
        let away = |version: &Version| {
            let text = self.text_at(oid, version).ok()?;
            Some(object::distance(&text, new))
        };
        let Some(mut least) = away(last) else { return last.clone() };
        let mut nearest = last;
        for version in earlier.iter().rev() {
            match away(version) {
                Some(0) => return last.clone(),
                Some(distance) if distance < least => (nearest, least) = (version, distance),
                _ => {}
            }
        }
        nearest.clone()
    }

    /// A text as it was at a version. Errors: it was none then, or the version is not here.
    pub(crate) fn text_at(&self, oid: &Oid, version: &Version) -> Result<String> {
        Ok(self.doc(&mut self.write(), oid)?.text_at(version)?)
    }

    /// Saves at the copy what is an edit of a version of either. Bytes that are no text and build on what the
    /// copy never had go to the original, which then shows again: nothing that was written is lost.
    pub(crate) fn save_moved(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        base: &Version,
        content: Incoming,
    ) -> Result<Saved> {
        let Some(there) = self.moved.get(oid) else { return self.save_here(writer, oid, base, content) };
        let known = if *base == there.was {
            there.is
        } else if !base.is_born() && self.doc(writer, &there.to)?.knows(base) {
            base.clone()
        } else {
            return self.save_aside(writer, oid, there, base, content);
        };
        let saved = self.save_here(writer, &there.to, &known, content)?;
        // Who saved nothing new still has the original's version.
        let wrote = if saved.wrote == known { base.clone() } else { saved.wrote };
        Ok(Saved { wrote, ..saved })
    }

    // Merged with the rest of the original first, as it would have been, and then with the copy.
    fn save_aside(
        &self,
        writer: &mut Writer,
        oid: &Oid,
        there: There,
        base: &Version,
        content: Incoming,
    ) -> Result<Saved> {
        let aside = match &there.aside {
            Some(doc) => doc.clone(),
            None => Arc::new(self.open_doc(oid)?),
        };
        let new = match &content {
            Incoming::Bytes(bytes) if aside.kind() == Type::Text && aside.knows(base) => {
                std::str::from_utf8(bytes).ok()
            }
            _ => None,
        };
        let Some(new) = new else { return self.save_here(writer, oid, base, content) };
        let mut doc = Doc::clone(&aside);
        let wrote = match doc.edit_text(&self.actor(oid), clock::now_ms(), base, new)? {
            Some(made) => made.wrote,
            None => base.clone(),
        };
        let merged = Incoming::Bytes(doc.text().into_bytes());
        let saved = self.save_here(writer, &there.to, &there.is, merged)?;
        let there = There { was: doc.heads(), is: saved.wrote, aside: Some(Arc::new(doc)), ..there };
        self.moved.0.write().put(*oid, there);
        Ok(Saved { wrote, now: saved.now, merged: true })
    }
}
