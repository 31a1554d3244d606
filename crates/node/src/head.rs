//! The head of an object: all that is known of it without opening its document.

use crate::record::{HeadRecord, OwnRecord};
use crate::rules::Rule;
use base::{DeviceId, Hash};
use object::{Clock, Heads, Meta, Type};

/// What the index knows of an object.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Type,
    /// Whether it has a document; an unedited object is its birth.
    pub(crate) edited: bool,
    /// Bytes of its content.
    pub(crate) size: u64,
    pub(crate) perm: Option<u16>,
    /// A room's: which names are scratch in it.
    pub(crate) rule: Option<Rule>,
    pub(crate) heads: Heads,
    pub(crate) clock: Clock,
    /// The hash of its content: of the manifest for chunked content, of the bytes where they are
    /// still those of the birth.
    pub(crate) content: Option<Hash>,
    pub(crate) chunked: bool,
    /// The other versions that stand beside it, by the hash of their content.
    pub(crate) others: Vec<Hash>,
    /// Who signed its birth.
    pub(crate) author: DeviceId,
    /// Nanoseconds since 1970, as this device shows it.
    pub(crate) mtime: i64,
    /// When anything of it changed, and when it was read; None: as `mtime`.
    pub(crate) ctime: Option<i64>,
    pub(crate) atime: Option<i64>,
    /// What was set on this device and never travels.
    pub(crate) own: Option<Box<OwnRecord>>,
    /// Pieces of its image, and bytes of the first and of the others.
    pub(crate) pieces: u32,
    pub(crate) snapshot: u64,
    pub(crate) appended: u64,
}

impl Head {
    /// An object that has just been born.
    pub(crate) fn new(kind: Type, author: DeviceId, mtime: i64) -> Head {
        Head {
            kind,
            edited: false,
            size: 0,
            perm: None,
            rule: None,
            heads: Heads::default(),
            clock: Clock::new(),
            content: None,
            chunked: false,
            others: Vec::new(),
            author,
            mtime,
            ctime: None,
            atime: None,
            own: None,
            pieces: 0,
            snapshot: 0,
            appended: 0,
        }
    }

    pub(crate) fn to_record(&self) -> HeadRecord {
        HeadRecord {
            kind: self.kind.code(),
            edited: self.edited,
            size: self.size,
            perm: self.perm,
            heads: self.heads.hashes().to_vec(),
            clock: self.clock.iter().map(|(a, n)| (*a, *n)).collect(),
            content: self.content,
            others: self.others.clone(),
            author: self.author,
            pieces: self.pieces,
            snapshot: self.snapshot,
            appended: self.appended,
            mtime: self.mtime,
            chunked: self.chunked,
            rule: self.rule.as_ref().map(Rule::text),
        }
    }

    pub(crate) fn from_record(record: HeadRecord) -> Head {
        Head {
            kind: Type::from_code(record.kind),
            edited: record.edited,
            size: record.size,
            perm: record.perm,
            rule: record.rule.as_ref().and_then(|text| Rule::read(text.as_bytes())),
            heads: Heads::new(record.heads),
            clock: record.clock.into_iter().collect(),
            content: record.content,
            chunked: record.chunked,
            others: record.others,
            author: record.author,
            mtime: record.mtime,
            ctime: None,
            atime: None,
            own: None,
            pieces: record.pieces,
            snapshot: record.snapshot,
            appended: record.appended,
        }
    }

    /// Takes over what is set on the object, for everybody.
    pub(crate) fn set_meta(&mut self, meta: &Meta) {
        self.perm = meta.perm;
        self.rule = Rule::of(meta).filter(|_| self.kind == Type::Room);
    }

    /// What the view is told of the object's birth. Content is compared only between unedited files.
    pub(crate) fn born(&self) -> space::view::Born {
        use space::view::{Born, BornKind};
        let kind = match self.kind {
            Type::Room => BornKind::Room,
            Type::Link => BornKind::Link,
            other => BornKind::File(other.code()),
        };
        Born { kind, content: self.content.filter(|_| !self.edited) }
    }

    /// The permission bits shown: what was set, else what such a thing has.
    pub(crate) fn perm(&self) -> u16 {
        self.perm.unwrap_or(match self.kind {
            Type::Room => 0o755,
            Type::Link => 0o777,
            _ => 0o644,
        })
    }
}
