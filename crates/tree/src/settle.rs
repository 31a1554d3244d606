//! What an open for writing means: which object, and which version of it what is written will be an edit of. It is
//! settled once, from what was read before; who writes through the handle later does not matter.

use crate::copy::WorkingCopy;
use crate::error::Result;
use crate::handle::{How, OpenFile};
use crate::memory::Place;
use crate::process::{ProcessKey, Who, ancestors};
use crate::tree::Tree;
use base::Oid;
use node::{Attr, Version, What};
use std::sync::Arc;

/// What somebody has in their buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) version: Version,
    /// What they had read before, and may have still: some programs read again only to compare.
    pub(crate) earlier: Vec<Version>,
}

/// Which object a save goes to, and what it is an edit of; the newest version, if none.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) oid: Oid,
    pub(crate) base: Option<Base>,
}

impl Tree {
    /// What a process means that opens, under some names that lead to `oid`, to write.
    pub(crate) fn meant(&self, who: Option<Who>, places: &[Place], oid: Oid, how: How) -> Meant {
        // Who may read first, or goes to the end, takes the file as it is.
        if !how.write || how.append || (how.read && !how.truncate) {
            return Meant { oid, base: None };
        }
        let oid = self.read_under(who, places, oid).unwrap_or(oid);
        self.based(who, oid, false)
    }

    /// As `meant`, where what was made beside a file takes its place.
    pub(crate) fn meant_by_replacing(&self, who: Option<Who>, place: Place, oid: Oid) -> Meant {
        let oid = self.read_under(who, &[place], oid).unwrap_or(oid);
        self.based(who, oid, true)
    }

    /// What a process read under a name that nothing has now, where a friend removed it: a save brings it back.
    pub(crate) fn removed_meanwhile(&self, who: Option<Who>, room: Oid, name: &str) -> Option<Oid> {
        let oid = self.0.reads.lock().under(who?.process, room, name)?;
        let oid = self.0.node.now_at(oid);
        let attr = self.0.node.attr(oid).ok().filter(is_file)?;
        (attr.links == 0 && attr.writable && !self.0.node.is_unlinked(oid)).then_some(oid)
    }

    // What the process read under one of these names, where a friend's file has taken it since.
    fn read_under(&self, who: Option<Who>, places: &[Place], oid: Oid) -> Option<Oid> {
        let process = who?.process;
        let node = &self.0.node;
        let former = places.iter().filter_map(|(room, name)| Some((node.formerly(*room)?, name.clone())));
        let places: Vec<Place> = former.chain(places.iter().cloned()).collect();
        let read = {
            let reads = self.0.reads.lock();
            places.iter().rev().find_map(|(room, name)| reads.under(process, *room, name))
        };
        let other = node.now_at(read?);
        let attr = node.attr(other).ok().filter(is_file)?;
        let kept = other != oid && other.space == oid.space && attr.writable && !attr.local;
        (kept && !node.is_unlinked(other)).then_some(other)
    }

    fn based(&self, who: Option<Who>, oid: Oid, replaces: bool) -> Meant {
        let newest = Meant { oid, base: None };
        let node = &self.0.node;
        let former = node.formerly(oid);
        let found = who.and_then(|who| {
            let ids = || std::iter::once(oid).chain(former);
            ids()
                .find_map(|id| Some((id, self.own_base(who.process, id, replaces)?)))
                .or_else(|| ids().find_map(|id| Some((id, self.base_of_others(who, id)?))))
        });
        let Some((id, base)) = found else { return newest };
        // What was read before its room was shared is a version of the shared file too, or else known to it by a save only.
        let meant = match node.carried(id, &base.version) {
            Some((oid, version)) => Meant { oid, base: Some(Base { version, ..base }) },
            None => Meant { oid: id, base: Some(base) },
        };
        let known = meant.base.as_ref().is_some_and(|base| {
            node.attr(meant.oid).is_ok_and(|attr| attr.version == base.version)
                || node.knows(meant.oid, &base.version)
        });
        if known { meant } else { newest }
    }

    fn own_base(&self, process: ProcessKey, oid: Oid, replaces: bool) -> Option<Base> {
        let mut reads = self.0.reads.lock();
        let version = if replaces { reads.last(process, oid) } else { reads.in_buffer(process, oid) };
        let earlier = reads.earlier(process, oid);
        version.map(|version| Base { version, earlier })
    }

    fn base_of_others(&self, who: Who, oid: Oid) -> Option<Base> {
        let above = ancestors(who.process);
        let mut reads = self.0.reads.lock();
        let lent = above.into_iter().find_map(|process| reads.lends(process, oid));
        let version = lent.or_else(|| reads.in_session(who.session?, oid))?;
        Some(Base { version, earlier: Vec::new() })
    }

    /// The copy that a handle opened to write holds: where it neither reads nor empties the file but puts bytes where
    /// its process saw them, these are the bytes that the process saw.
    pub(crate) fn hold_meant(&self, meant: &Meant, attr: &Attr, how: How) -> Result<Arc<WorkingCopy>> {
        if let Some(base) = &meant.base
            && attr.what == What::Text
            && base.version != attr.version
            && !how.truncate
            && let Ok(text) = self.0.node.text_at(meant.oid, &base.version)
        {
            let body = node::Body::Bytes(text.into_bytes().into());
            let content = crate::content::Content::of(body);
            let copy = WorkingCopy::new(meant.oid, base.version.clone(), content, attr);
            copy.handles.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(Arc::new(copy));
        }
        self.hold(meant.oid, attr)
    }

    /// Cuts an open file, or fills it up.
    pub(crate) fn resize_file(&self, file: &OpenFile, size: u64) -> Result<()> {
        let copy = file.copy();
        if size != 0 {
            return self.resize_copy(&copy, size, file.who);
        }
        let oid = copy.state().oid;
        // It may have read on since it opened the handle.
        let own = file.who.and_then(|who| self.own_base(who.process, oid, false));
        self.empty(&copy, own.or_else(|| file.base.clone()), file.who)
    }

    /// Cuts a file that is not open for it.
    pub(crate) fn resize_path(
        &self,
        ino: u64,
        oid: Oid,
        attr: &Attr,
        size: u64,
        who: Option<Who>,
    ) -> Result<()> {
        let how = How { write: true, truncate: size == 0, ..How::default() };
        let places = self.0.inodes.lock().places_of(ino);
        let meant = if size == 0 { self.meant(who, &places, oid, how) } else { Meant { oid, base: None } };
        let copy = self.hold(meant.oid, attr)?;
        let result = match size {
            0 => self.empty(&copy, meant.base, who),
            _ => self.resize_copy(&copy, size, who),
        };
        self.let_go(&copy);
        result
    }

    fn resize_copy(&self, copy: &Arc<WorkingCopy>, size: u64, who: Option<Who>) -> Result<()> {
        if copy.resize(size, who, &self.0.node)? {
            self.0.idle.watch(copy);
        }
        Ok(())
    }
}

fn is_file(attr: &Attr) -> bool {
    matches!(attr.what, What::Text | What::Whole | What::Blob)
}
