//! Documents: opened from their images, kept a while, written back as snapshot and changes.

use crate::core::{Core, Writer, no_object};
use crate::error::{Error, Result};
use crate::head::Head;
use crate::record;
use base::{ObjectId, Oid, SpaceTag};
use object::{Birth, Content, Doc, Meta, Type};
use std::sync::Arc;
use store::{Batch, Store};

// The first byte of an image's first piece.
const BIRTH: u8 = 0;
const SNAPSHOT: u8 = 1;

/// Changes are appended to an image until they outgrow its snapshot, and this many bytes.
const APPENDED_BYTES: u64 = 64 << 10;

impl Core {
    /// The document of an object, opened if need be. The caller holds the writer's lock.
    pub(crate) fn doc<'w>(&self, writer: &'w mut Writer, oid: &Oid) -> Result<&'w mut Doc> {
        self.drop_forgotten(writer);
        if !writer.docs.contains(oid) {
            let doc = self.open_doc(oid)?;
            writer.docs.put(*oid, doc);
        }
        writer.docs.get_mut(oid).ok_or_else(no_object)
    }

    /// As `doc`, for somebody who puts it back among the writer's, or lets it go if it is not as stored any more.
    pub(crate) fn take_doc(&self, oid: &Oid) -> Result<Doc> {
        let kept = {
            let mut writer = self.writer.lock();
            self.drop_forgotten(&mut writer);
            writer.docs.pop(oid)
        };
        kept.map_or_else(|| self.open_doc(oid), Ok)
    }

    fn drop_forgotten(&self, writer: &mut Writer) {
        for oid in std::mem::take(&mut *self.forgotten.lock()) {
            writer.docs.pop(&oid);
        }
    }

    /// Opens a document from its image.
    pub(crate) fn open_doc(&self, oid: &Oid) -> Result<Doc> {
        match read_image(&self.store, &oid.space.tag(), &oid.object)? {
            Some(Image::Birth(birth)) => Ok(Doc::born(&birth)?),
            Some(Image::Document(bytes)) => Ok(Doc::load(&bytes)?),
            None if oid.object == oid.space.root() => Ok(Doc::born(&root_birth(&oid.object))?),
            None => match self.pending_birth(oid) {
                Some(birth) => Ok(Doc::born(&birth)?),
                None => Err(no_object()),
            },
        }
    }

    fn pending_birth(&self, oid: &Oid) -> Option<Birth> {
        let state = self.state.read();
        state.space(&oid.space)?.pending.births.get(&oid.object).map(|n| n.birth.clone())
    }
}

/// The birth that the root of a space has without anybody sending it.
pub(crate) fn root_birth(root: &ObjectId) -> Birth {
    Birth { id: *root, kind: Type::Room, meta: Meta::default(), content: Content::Empty }
}

/// An object's image.
pub(crate) enum Image {
    /// Unedited: the birth itself.
    Birth(Birth),
    /// A snapshot, with the changes since.
    Document(Vec<u8>),
}

/// Reads an image.
pub(crate) fn read_image(store: &Store, tag: &SpaceTag, object: &ObjectId) -> Result<Option<Image>> {
    let mut pieces = store.range(&record::image_of(tag, object));
    let Some(first) = pieces.next() else { return Ok(None) };
    let (_, first) = first?;
    match first.split_first() {
        Some((&BIRTH, bytes)) => Ok(Some(Image::Birth(Birth::from_bytes(bytes)?))),
        Some((&SNAPSHOT, bytes)) => {
            let mut image = bytes.to_vec();
            for piece in pieces {
                image.extend(piece?.1);
            }
            Ok(Some(Image::Document(image)))
        }
        _ => Err(Error::Base(base::Error::Malformed { what: "image" })),
    }
}

/// Writes a birth as an object's image.
pub(crate) fn put_birth(batch: &mut Batch, tag: &SpaceTag, birth: &Birth, head: &mut Head) {
    let mut piece = vec![BIRTH];
    piece.extend(birth.to_bytes());
    head.pieces = 1;
    head.snapshot = piece.len() as u64;
    head.appended = 0;
    batch.put(record::image_key(tag, &birth.id, 0), piece);
}

/// Writes changes after an object's image, or a new snapshot once they outgrew it; brings the head
/// up to the document.
pub(crate) fn put_changes(
    batch: &mut Batch,
    tag: &SpaceTag,
    id: &ObjectId,
    head: &mut Head,
    doc: &mut Doc,
    changes: &[Vec<u8>],
) {
    let bytes: u64 = changes.iter().map(|c| c.len() as u64).sum();
    let grown = head.appended + bytes;
    let wanted = !head.edited || head.pieces == 0 || grown > head.snapshot.max(APPENDED_BYTES);
    let snapshot = if wanted { snapshot(doc) } else { None };
    if let Some(piece) = snapshot {
        for n in 1..head.pieces {
            batch.remove(record::image_key(tag, id, n));
        }
        head.snapshot = piece.len() as u64;
        head.appended = 0;
        head.pieces = 1;
        batch.put(record::image_key(tag, id, 0), piece);
    } else {
        batch.put(record::image_key(tag, id, head.pieces), changes.concat());
        head.pieces += 1;
        head.appended = grown;
    }
    head.edited = true;
    read_head(head, doc);
}

// A snapshot takes the place of what it was made from only if it loads again.
fn snapshot(doc: &Doc) -> Option<Vec<u8>> {
    let saved = doc.save();
    if Doc::load(&saved).is_err() {
        tracing::warn!("a snapshot would not load again; the changes are kept instead");
        return None;
    }
    let mut piece = vec![SNAPSHOT];
    piece.extend(saved);
    Some(piece)
}

/// Brings a head up to its document.
pub(crate) fn read_head(head: &mut Head, doc: &Doc) {
    head.kind = doc.kind();
    head.heads = doc.heads();
    head.clock = doc.clock();
    head.set_meta(&doc.meta());
    head.others.clear();
    match head.kind {
        Type::Room => head.size = 0,
        Type::Text => {
            head.size = doc.text_len();
            head.content = None;
            head.chunked = false;
        }
        _ => {
            let versions = doc.versions();
            let mut hashes = versions.iter().map(|v| v.hash);
            let first = hashes.next();
            head.others = hashes.filter(|h| Some(*h) != first).collect();
            if let Some(version) = versions.first() {
                crate::steps::set_content(head, &version.content);
            }
            head.content = first;
        }
    }
}

/// The content that a document shows: of the version that has the name.
pub(crate) fn content_of(doc: &Doc) -> Content {
    match doc.kind() {
        Type::Room => Content::Empty,
        Type::Text => Content::Bytes(doc.text().into_bytes()),
        _ => doc.versions().into_iter().next().map_or(Content::Bytes(Vec::new()), |v| v.content),
    }
}

/// The bytes of small content; none for chunked content.
pub(crate) fn small_bytes(content: &Content) -> Option<Arc<[u8]>> {
    match content {
        Content::Bytes(bytes) => Some(bytes.as_slice().into()),
        Content::Empty => Some(Arc::from([])),
        Content::Manifest(_) => None,
    }
}
