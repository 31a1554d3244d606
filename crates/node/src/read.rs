//! What the faces read: attributes, names, contents. Nothing here waits for the writer.

use crate::api::{Attr, Body, Description, Found, Statfs, Target as Leads, Version, What};
use crate::clock;
use crate::core::{Core, no_object, no_space};
use crate::documents::{Image, content_of, read_image, small_bytes};
use crate::error::{During, Error, Result};
use crate::local::Owner;
use crate::names::{must_be_room, must_show};
use crate::record;
use crate::state::{Space, State};
use crate::steps::leads;
use base::{Hash, Kind, ObjectId, Oid, SpaceId};
use object::{Content, Manifest, Target, Type};
use space::view::Shown;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a reader waits for bytes that are nowhere on this machine.
const FETCH_DEADLINE: Duration = Duration::from_secs(30);

// How long a reader waits for what is not here: ever anew while some of it comes.
struct Patience {
    here: Option<Vec<u8>>,
    until: Instant,
}

impl Patience {
    fn new(here: Option<Vec<u8>>, now: Instant) -> Patience {
        Patience { here, until: now + FETCH_DEADLINE }
    }

    fn until(&mut self, here: Option<Vec<u8>>, now: Instant) -> Instant {
        if here != self.here {
            *self = Patience::new(here, now);
        }
        self.until
    }
}

impl Core {
    /// What `stat` needs.
    pub(crate) fn attr(&self, oid: &Oid) -> Result<Attr> {
        let state = self.state.read();
        let space = state.space(&oid.space).ok_or_else(|| no_space(&oid.space))?;
        let Some(head) = space.heads.get(&oid.object) else {
            return if oid.object == oid.space.root() { Ok(empty_root(space)) } else { Err(no_object()) };
        };
        let newborn = space.pending.births.get(&oid.object);
        let what = what_of(head);
        let own = head.own.as_ref();
        Ok(Attr {
            what,
            size: head.size,
            mtime: clock::from_ns(head.mtime),
            perm: head.perm(),
            links: links(space, oid, what),
            version: head.heads.clone(),
            local: newborn.is_some_and(|n| n.local),
            mine: self.is_mine(&state, oid, head),
            writable: space.writable() && what != What::Other,
            ctime: clock::from_ns(head.ctime()),
            atime: clock::from_ns(head.atime()),
            owner: Owner { uid: own.and_then(|own| own.uid), gid: own.and_then(|own| own.gid) },
            special_bits: own.map_or(0, |own| own.special),
        })
    }

    // Whether I made it; a symlink also only as long as nobody else has written its text.
    fn is_mine(&self, state: &State, oid: &Oid, head: &crate::head::Head) -> bool {
        let own = self.own.read();
        let mut mine = own.actors(oid, &self.device);
        state.people.person_of(&head.author) == Some(self.me.person)
            && (head.kind != Type::Link || head.clock.keys().all(|actor| mine.any(|m| m == *actor)))
    }

    /// Where a name leads.
    pub(crate) fn lookup(&self, room: &Oid, name: &str) -> Result<Found> {
        let state = self.state.read();
        let space = state.space(&room.space).ok_or_else(|| no_space(&room.space))?;
        let shown = must_show(space, &room.object, name)?;
        found(&state, space, &shown).ok_or_else(no_object)
    }

    /// Names of a room in order, those after `after`.
    pub(crate) fn list(&self, room: &Oid, after: Option<&str>, max: usize) -> Result<Vec<Found>> {
        let state = self.state.read();
        let space = state.space(&room.space).ok_or_else(|| no_space(&room.space))?;
        must_be_room(space, &room.object)?;
        let list = space.view.list_from(room.object, after.unwrap_or(""));
        Ok(list.filter_map(|shown| found(&state, space, shown)).take(max).collect())
    }

    /// The room above, across spaces up to home.
    pub(crate) fn parent(&self, room: &Oid) -> Option<Oid> {
        let state = self.state.read();
        place(&state, room).map(|(parent, _)| parent)
    }

    /// The path of an object from home's root.
    pub(crate) fn path(&self, oid: &Oid) -> Option<String> {
        let state = self.state.read();
        path(&state, self.root(), oid)
    }

    /// How many rooms are above a room within its space.
    pub(crate) fn depth_in_space(&self, room: &Oid) -> usize {
        let state = self.state.read();
        let Some(space) = state.space(&room.space) else { return 0 };
        let mut depth = 0;
        let mut at = room.object;
        while let Some((parent, _)) = space.view.place(at) {
            depth += 1;
            at = parent;
        }
        depth
    }

    /// The newest version of a file.
    pub(crate) fn read(&self, oid: &Oid) -> Result<(Version, Body)> {
        // The head and the image are read one after the other; if an edit came between, once more.
        for _ in 0..16 {
            let (before, newborn) = self.version(oid)?;
            // A newborn has one version whatever its bytes are: it is read as it is.
            if newborn {
                return Ok((before, self.load_body(oid)?));
            }
            if let Some(bytes) = self.rendered.lock().get(oid, &before) {
                return Ok((before, Body::Bytes(bytes)));
            }
            let body = self.load_body(oid)?;
            if let Body::Remote { .. } = body {
                // Whoever opened it goes on reading this version when a newer one has come.
                let _ = self.manifest_of(oid, &before);
            }
            if self.version(oid)?.0 == before {
                if let Body::Bytes(bytes) = &body {
                    self.rendered.lock().put(*oid, before.clone(), bytes.clone());
                }
                return Ok((before, body));
            }
        }
        let _writing = self.write();
        Ok((self.version(oid)?.0, self.load_body(oid)?))
    }

    /// Whether an object is not sealed yet.
    pub(crate) fn is_newborn(&self, oid: &Oid) -> bool {
        self.version(oid).is_ok_and(|(_, newborn)| newborn)
    }

    // The newest version, and whether the object is not sealed yet.
    fn version(&self, oid: &Oid) -> Result<(Version, bool)> {
        self.with_space(&oid.space, |space| {
            let head = space.heads.get(&oid.object).ok_or_else(no_object)?;
            Ok((head.heads.clone(), space.pending.births.contains_key(&oid.object)))
        })
    }

    fn load_body(&self, oid: &Oid) -> Result<Body> {
        let newborn =
            self.with_space(&oid.space, |space| Ok(space.pending.births.get(&oid.object).cloned()))?;
        if let Some(newborn) = newborn {
            return match newborn.bulk {
                Some(bulk) => Ok(Body::File(Arc::new(self.store.bulk().open(&bulk.name)?), bulk.size)),
                None => small_bytes(&newborn.birth.content).map(Body::Bytes).ok_or_else(no_object),
            };
        }
        self.body_of(&oid.space, &self.stored_content(oid)?)
    }

    // The content of the version that has the name, from the image.
    fn stored_content(&self, oid: &Oid) -> Result<Content> {
        match read_image(&self.store, &oid.space.tag(), &oid.object)? {
            Some(Image::Birth(birth)) => Ok(birth.content),
            Some(Image::Document(_)) => Ok(content_of(&self.open_doc(oid)?)),
            None => Err(no_object()),
        }
    }

    fn body_of(&self, space: &SpaceId, content: &Content) -> Result<Body> {
        let manifest = match content {
            Content::Manifest(manifest) => manifest,
            small => return small_bytes(small).map(Body::Bytes).ok_or_else(no_object),
        };
        match self.blob(&space.tag(), &manifest.hash())? {
            Some(blob) if blob.whole => {
                Ok(Body::File(Arc::new(self.store.bulk().open(&blob.bulk.name)?), manifest.size))
            }
            _ => Ok(Body::Remote { size: manifest.size }),
        }
    }

    /// Another version than the one that has the name.
    pub(crate) fn read_version(&self, oid: &Oid, version: &Hash) -> Result<Body> {
        let doc = self.open_doc(oid)?;
        let found = doc.versions().into_iter().find(|v| v.hash == *version);
        let found =
            found.ok_or_else(|| Error::refused(Kind::Stale, "that version is no longer kept beside"))?;
        self.body_of(&oid.space, &found.content)
    }

    /// Bytes of a blob that is not wholly here: waits for the chunks, up to a deadline that begins anew whenever some
    /// of it comes. The last bytes of a file come last, and over a slow link that is no reason to refuse them.
    pub(crate) fn read_remote(
        &self,
        oid: &Oid,
        version: &Version,
        offset: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let manifest = self.manifest_of(oid, version)?;
        let end = offset.saturating_add(len as u64).min(manifest.size);
        if offset >= end {
            return Ok(Vec::new());
        }
        let tag = oid.space.tag();
        let content = manifest.hash;
        let mut patience = Patience::new(self.here_of(&tag, &content), Instant::now());
        let mut asked = false;
        loop {
            let deadline = patience.until(self.here_of(&tag, &content), Instant::now());
            let seen = *self.arrivals.0.lock();
            if let Some(bulk) = self.bulk_with(&tag, &content, |has| manifest.covered(offset, end, has))? {
                let mut bytes = vec![0; (end - offset) as usize];
                let file = self.store.bulk().open(&bulk.name)?;
                file.read_exact_at(&mut bytes, offset).during(|| "reading a large file".into())?;
                return Ok(bytes);
            }
            if !asked {
                let wanted = Box::new(manifest.manifest.clone());
                self.tell_link(crate::link::ToLink::Fetch { tag, manifest: wanted });
                asked = true;
            }
            let mut arrivals = self.arrivals.0.lock();
            if *arrivals == seen && self.arrivals.1.wait_until(&mut arrivals, deadline).timed_out() {
                return Err(Error::refused(
                    Kind::Unreachable,
                    "these bytes are not on this machine, and no friend who has them answers",
                ));
            }
        }
    }

    // Which chunks of a blob that is being fetched are here, a bit each.
    fn here_of(&self, tag: &base::SpaceTag, content: &Hash) -> Option<Vec<u8>> {
        self.partial.read().get(&(*tag, *content)).map(|blob| blob.have.clone())
    }

    /// The bytes of a blob's version, once all of them are here.
    pub(crate) fn whole(&self, oid: &Oid, version: &Version) -> Option<Body> {
        let manifest = self.manifest_of(oid, version).ok()?;
        let tag = oid.space.tag();
        if self.partial.read().contains_key(&(tag, manifest.hash)) {
            return None;
        }
        let blob = self.blob(&tag, &manifest.hash).ok()?.filter(|blob| blob.whole)?;
        Some(Body::File(Arc::new(self.store.bulk().open(&blob.bulk.name).ok()?), manifest.size))
    }

    // The bulk file of a content, if what is here of it is enough.
    fn bulk_with(
        &self,
        tag: &base::SpaceTag,
        content: &Hash,
        enough: impl Fn(&dyn Fn(u32) -> bool) -> bool,
    ) -> Result<Option<record::Bulk>> {
        if let Some(blob) = self.partial.read().get(&(*tag, *content)) {
            return Ok(enough(&|index| blob.has(index)).then_some(blob.bulk));
        }
        let blob = self.blob(tag, content)?;
        Ok(blob.filter(|blob| enough(&|index| blob.has(index))).map(|blob| blob.bulk))
    }

    // The manifest that a reader goes by, kept from one read to the next.
    fn manifest_of(&self, oid: &Oid, version: &Version) -> Result<Arc<Layout>> {
        let key = (*oid, version.clone());
        if let Some(layout) = self.layouts.lock().get(&key) {
            return Ok(layout.clone());
        }
        let stale = || Error::refused(Kind::Stale, "a newer version came before these bytes were asked for");
        if self.version(oid)?.0 != *version {
            return Err(stale());
        }
        let Content::Manifest(manifest) = self.stored_content(oid)? else { return Err(no_object()) };
        if self.version(oid)?.0 != *version {
            return Err(stale());
        }
        let layout = Arc::new(Layout::of(manifest));
        self.layouts.lock().put(key, layout.clone());
        Ok(layout)
    }

    /// The text of a symlink.
    pub(crate) fn read_link(&self, oid: &Oid) -> Result<Vec<u8>> {
        match self.read(oid)? {
            (_, Body::Bytes(bytes)) => Ok(bytes.to_vec()),
            _ => Err(Error::refused(Kind::Invalid, "not a symlink")),
        }
    }

    /// What a face shows beside the content.
    pub(crate) fn describe(&self, oid: &Oid) -> Result<Description> {
        let state = self.state.read();
        let space = state.space(&oid.space).ok_or_else(|| no_space(&oid.space))?;
        let head = space.heads.get(&oid.object);
        if head.is_none() && oid.object != oid.space.root() {
            return Err(no_object());
        }
        Ok(Description {
            kind: head.map_or("room", |h| h.kind.word()),
            heads: head.map(|h| h.heads.hashes().iter().map(Hash::hex).collect()).unwrap_or_default(),
            space: space.name.clone(),
            role: space.role,
        })
    }

    /// A user's extended attribute.
    pub(crate) fn xattrs(&self, oid: &Oid) -> Result<std::collections::BTreeMap<String, Vec<u8>>> {
        let head = self.with_space(&oid.space, |s| Ok(s.heads.get(&oid.object).map(|h| h.edited)))?;
        let newborn =
            self.with_space(&oid.space, |s| Ok(s.pending.births.get(&oid.object).map(|n| n.birth.clone())))?;
        match (newborn, head) {
            (Some(birth), Some(false)) => Ok(birth.meta.shown().xattrs),
            (_, None) => Ok(Default::default()),
            (_, Some(true)) => Ok(self.open_doc(oid)?.meta().xattrs),
            (_, Some(false)) => match read_image(&self.store, &oid.space.tag(), &oid.object)? {
                Some(Image::Birth(birth)) => Ok(birth.meta.shown().xattrs),
                _ => Ok(Default::default()),
            },
        }
    }

    /// The disk below.
    pub(crate) fn statfs(&self) -> Result<Statfs> {
        let stat = rustix::fs::statvfs(self.store.dir())
            .map_err(|e| Error::Io { what: "asking the disk".into(), error: e.into() })?;
        let files = self.state.read().spaces.values().map(|s| s.heads.len() as u64).sum();
        Ok(Statfs { total: stat.f_blocks * stat.f_frsize, free: stat.f_bavail * stat.f_frsize, files })
    }

    /// The object at a path from home's root.
    pub(crate) fn resolve(&self, path: &str) -> Result<Oid> {
        let mut at = self.root();
        for name in path.split('/').filter(|n| !n.is_empty() && *n != ".") {
            at = match name {
                ".." => self.parent(&at).unwrap_or(at),
                name => self
                    .lookup(&at, name)
                    .map_err(|e| Error::refused(e.kind(), format!("{}: {e}", base::print::safe(path))))?
                    .target
                    .oid(),
            };
        }
        Ok(at)
    }
}

/// Where the chunks of a content lie.
pub(crate) struct Layout {
    manifest: Manifest,
    hash: Hash,
    size: u64,
    /// The end of each chunk, rising.
    ends: Vec<u64>,
}

impl Layout {
    fn of(manifest: Manifest) -> Layout {
        let ends = manifest.chunks.iter().scan(0, |end, chunk| {
            *end += u64::from(chunk.len);
            Some(*end)
        });
        Layout { hash: manifest.hash(), size: manifest.size, ends: ends.collect(), manifest }
    }

    fn covered(&self, offset: u64, end: u64, has: &dyn Fn(u32) -> bool) -> bool {
        let first = self.ends.partition_point(|chunk_end| *chunk_end <= offset);
        let last = self.ends.partition_point(|chunk_end| *chunk_end < end);
        (first..=last.min(self.ends.len().saturating_sub(1))).all(|index| has(index as u32))
    }
}

fn empty_root(space: &Space) -> Attr {
    Attr {
        what: What::Room,
        size: 0,
        mtime: clock::from_ns(space.since),
        perm: 0o755,
        links: 2 + space.view.rooms_in(space.id.root()) as u32,
        version: Version::default(),
        local: false,
        mine: true,
        writable: space.writable(),
        ctime: clock::from_ns(space.since),
        atime: clock::from_ns(space.since),
        owner: Owner::default(),
        special_bits: 0,
    }
}

// As everywhere: a room is named where it is, by itself, and by each room in it.
fn links(space: &Space, oid: &Oid, what: What) -> u32 {
    let links = match what {
        What::Room => 2 + space.view.rooms_in(oid.object),
        _ => space.view.links(oid.object),
    };
    u32::try_from(links).unwrap_or(u32::MAX)
}

fn what_of(head: &crate::head::Head) -> What {
    head.special().map_or_else(|| what(head.kind), What::Special)
}

/// What a face makes of an object's type.
pub(crate) fn what(kind: Type) -> What {
    match kind {
        Type::Room => What::Room,
        Type::Text => What::Text,
        Type::Whole => What::Whole,
        Type::Blob => What::Blob,
        Type::Link => What::Link,
        _ => What::Other,
    }
}

fn found(state: &State, space: &Space, shown: &Shown) -> Option<Found> {
    let target = leads(&space.id, shown);
    let what = match (&shown.target, target) {
        (_, Leads::LinkTo(_)) => What::Link,
        // A door to a space that is not held here leads nowhere yet.
        (Target { space: Some(other), .. }, _) => state.space(other).map(|_| What::Room)?,
        (Target { object, .. }, _) => what_of(space.heads.get(object)?),
    };
    Some(Found { name: shown.name.to_string(), target, what, version: shown.version })
}

/// Where a room is: the room above it, across spaces, and its name there.
pub(crate) fn place(state: &State, room: &Oid) -> Option<(Oid, String)> {
    let space = state.space(&room.space)?;
    if room.object != room.space.root() {
        return space
            .view
            .place(room.object)
            .map(|(parent, name)| (Oid { space: room.space, object: parent }, name));
    }
    if space.is_home {
        return None;
    }
    let home = state.spaces.get(&state.home)?;
    let (parent, _, name) = space_door(home, &room.object)?;
    Some((Oid { space: home.id, object: parent }, name))
}

/// The door in home that leads to a space's root.
pub(crate) fn space_door(home: &Space, root: &ObjectId) -> Option<(ObjectId, base::DoorId, String)> {
    home.view.doors_of(*root).into_iter().find_map(|(room, door)| {
        let shown = home.view.shown_of(room, door)?;
        Some((room, door, shown.name.to_string()))
    })
}

/// The path of an object from home's root.
pub(crate) fn path(state: &State, root: Oid, oid: &Oid) -> Option<String> {
    let mut names = Vec::new();
    let mut at = *oid;
    let space = state.space(&oid.space)?;
    if !space.is_room(&oid.object) {
        let (room, door) = space
            .view
            .doors_of(oid.object)
            .into_iter()
            .find(|(room, door)| space.view.shown_of(*room, *door).is_some())?;
        names.push(space.view.shown_of(room, door)?.name.to_string());
        at.object = room;
    }
    while at != root {
        let (parent, name) = place(state, &at)?;
        names.push(name);
        at = parent;
    }
    names.reverse();
    Some(format!("/{}", names.join("/")))
}

/// The manifests among an object's versions.
pub(crate) fn manifests(core: &Core, oid: &Oid) -> Result<Vec<Manifest>> {
    let contents = match read_image(&core.store, &oid.space.tag(), &oid.object)? {
        Some(Image::Birth(birth)) => vec![birth.content],
        Some(Image::Document(_)) => core.open_doc(oid)?.versions().into_iter().map(|v| v.content).collect(),
        None => Vec::new(),
    };
    let manifests = contents.into_iter().filter_map(|content| match content {
        Content::Manifest(manifest) => Some(manifest),
        _ => None,
    });
    Ok(manifests.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_waits_as_long_as_some_of_the_file_comes_and_then_gives_up() {
        let start = Instant::now();
        let later = |seconds: u64| start + Duration::from_secs(seconds);
        let mut patience = Patience::new(None, start);
        assert_eq!(patience.until(None, later(20)), later(30), "nothing came");
        assert_eq!(patience.until(Some(vec![0b1]), later(20)), later(50));
        assert_eq!(patience.until(Some(vec![0b11]), later(49)), later(79));
        assert_eq!(patience.until(Some(vec![0b11]), later(78)), later(79), "nothing more came");
    }
}
