//! What an entry of content holds: births and changes. `schema/body.cddl`.
//!
//! The envelope around it is frozen; a body carries its own version. One of a version that this
//! build does not know is [`Error::Version`]: kept, relayed, applied after an upgrade. How the bytes
//! are packed and sealed is `crypto`'s.

use crate::error::{Error, Result};
use crate::kind::Type;
use crate::manifest::Manifest;
use crate::vet::{CHANGE_OPS, operations};
use base::{Incarnation, ObjectId, cbor, limit};
use minicbor::data::Type as Cbor;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decoder, Encoder};
use std::collections::BTreeMap;

/// The version of the body that this build writes.
const VERSION: u64 = 1;
/// The version of a body in which a change was made under an earlier incarnation of its author's home.
const VERSION_MOVED: u64 = 2;

/// What travels of a file besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, within 0777; none where nobody set them.
    pub perm: Option<u16>,
    /// Modification time in nanoseconds since the epoch, where somebody set it explicitly.
    pub mtime: Option<i64>,
    /// Users' extended attributes, by full name (`user.…`). Which of them are shown says [`shows_xattr`].
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// The first content of an object, or one version of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// None: a room.
    Empty,
    /// A text, a small file, a symlink's target.
    Bytes(Vec<u8>),
    /// A larger file.
    Manifest(Manifest),
}

/// The record that makes an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its id in its space.
    pub id: ObjectId,
    /// What it is.
    pub kind: Type,
    /// What travels besides its bytes. A room's is empty: two births of one room are equal.
    pub meta: Meta,
    /// Its first content.
    pub content: Content,
}

/// One CRDT change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object it changes.
    pub object: ObjectId,
    /// The change, as [`crate::Made`] gave it.
    pub bytes: Vec<u8>,
    /// The incarnation of the author's home in which it was made, where that is not its log's: it waited
    /// to be sealed while the home was copied or restored.
    pub incarnation: Option<Incarnation>,
}

/// One thing in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A new object.
    Birth(Birth),
    /// A change of one.
    Change(Change),
}

/// What an entry of content holds, before packing and sealing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The author's time in milliseconds since the epoch; believed by nobody but shown.
    pub time: i64,
    /// Births and changes, in the order they were made.
    pub items: Vec<Item>,
}

impl Body {
    /// The bytes that are packed and sealed.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a body. Errors: [`Error::Version`] where it was written by a newer version, malformed or
    /// over a limit of the format otherwise: so where its changes claim more than [`CHANGE_OPS`] operations together
    /// ([`Body::operations`]), which a few bytes can.
    pub fn decode(bytes: &[u8]) -> Result<Body> {
        if bytes.len() > limit::BODY_BYTES {
            return Err(base::Error::Limit { what: "body", limit: limit::BODY_BYTES }.into());
        }
        let mut d = Decoder::new(bytes);
        let version = d.array().and_then(|_| d.u64()).map_err(|_| base::Error::Malformed { what: "body" })?;
        if version != VERSION && version != VERSION_MOVED {
            return Err(Error::Version { version });
        }
        let body: Body = cbor::decode(bytes, "body")?;
        if body.operations() > CHANGE_OPS as u64 {
            return Err(base::Error::Limit { what: "operations in a body", limit: CHANGE_OPS }.into());
        }
        Ok(body)
    }

    // Only what an older build could not judge has a version that it leaves for later.
    fn version(&self) -> u64 {
        let moved = |item: &Item| matches!(item, Item::Change(change) if change.incarnation.is_some());
        if self.items.iter().any(moved) { VERSION_MOVED } else { VERSION }
    }

    /// What all its changes cost together, as [`operations`] counts it. Whoever makes a body keeps it within
    /// [`CHANGE_OPS`].
    pub fn operations(&self) -> u64 {
        let cost = |item: &Item| match item {
            Item::Birth(_) => 0,
            Item::Change(change) => operations(&change.bytes),
        };
        self.items.iter().map(cost).fold(0, u64::saturating_add)
    }
}

impl Birth {
    /// The birth alone, as images of objects that nobody edited hold it.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads what `to_bytes` wrote. Errors: as [`Body::decode`] has them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Birth> {
        Ok(cbor::decode(bytes, "birth")?)
    }

    /// Whether it keeps the rules of the format, which every replica judges alike: content that fits the
    /// type, permission bits, limits, and nothing on a room.
    pub fn check(&self) -> std::result::Result<(), &'static str> {
        self.meta.check()?;
        match (self.kind, &self.content) {
            (Type::Room, Content::Empty) if self.meta == Meta::default() => Ok(()),
            (Type::Room, _) => Err("birth of a room"),
            (Type::Text, Content::Bytes(bytes)) if bytes.len() <= limit::TEXT_BORN_BYTES => {
                std::str::from_utf8(bytes).map(|_| ()).map_err(|_| "birth of a text that is none")
            }
            (Type::Text, _) => Err("birth of a text"),
            (Type::Link, Content::Bytes(bytes)) if bytes.len() <= limit::LINK_BYTES => Ok(()),
            (Type::Link, _) => Err("birth of a link"),
            (Type::Unknown(_), _) => Ok(()),
            (_, Content::Empty) => Err("birth without content"),
            _ => Ok(()),
        }
    }
}

/// Whether an extended attribute of this name, which somebody else may have given, is shown: only users' own, without
/// control characters, and none that a program gives a meaning by its prefix (`user.xdg.`: where a file came from;
/// `user.chorus.`: what this program says of it). Others are passed over in documents.
pub fn shows_xattr(name: &str) -> bool {
    let own = name.strip_prefix("user.").filter(|own| !own.is_empty());
    own.is_some_and(|own| !own.starts_with("xdg.") && !own.starts_with("chorus."))
        && name.len() <= limit::NAME_BYTES
        && !name.contains(char::is_control)
}

impl Meta {
    /// The same with those extended attributes only that are shown.
    pub fn shown(mut self) -> Meta {
        self.xattrs.retain(|name, _| shows_xattr(name));
        self
    }

    pub(crate) fn check(&self) -> std::result::Result<(), &'static str> {
        if self.perm.is_some_and(|perm| perm > 0o777) {
            return Err("permission bits");
        }
        let fits = |(name, value): (&String, &Vec<u8>)| {
            name.len() <= limit::NAME_BYTES && value.len() <= limit::XATTR_BYTES
        };
        // Desktops write `user.xdg.` onto what they download: that is no reason to lose the file.
        let passes = |name: &String| {
            shows_xattr(name) || name.starts_with("user.xdg.") && !name.contains(char::is_control)
        };
        if !self.xattrs.keys().all(passes) {
            return Err("name of an extended attribute");
        }
        let total: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if total > limit::XATTRS_BYTES || !self.xattrs.iter().all(fits) {
            return Err("extended attributes");
        }
        Ok(())
    }
}

impl<C> minicbor::Encode<C> for Meta {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        e.array(3)?.encode(self.perm)?.encode(self.mtime)?;
        e.array(self.xattrs.len() as u64)?;
        for (name, value) in &self.xattrs {
            e.array(2)?.str(name)?.bytes(value)?;
        }
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Meta {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        cbor::expect_array(d, 3)?;
        let mut meta = Meta { perm: d.decode()?, mtime: d.decode()?, ..Meta::default() };
        for _ in 0..cbor::array_len(d, limit::XATTRS_BYTES)? {
            cbor::expect_array(d, 2)?;
            let name = d.str()?.to_owned();
            meta.xattrs.insert(name, cbor::bytes_within(d, limit::XATTR_BYTES)?.to_vec());
        }
        Ok(meta)
    }
}

impl<C> minicbor::Encode<C> for Content {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        match self {
            Content::Empty => e.null()?.ok(),
            Content::Bytes(bytes) => e.bytes(bytes)?.ok(),
            Content::Manifest(manifest) => e.encode(manifest)?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Content {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        match d.datatype()? {
            Cbor::Null => d.null().map(|()| Content::Empty),
            Cbor::Bytes => Ok(Content::Bytes(cbor::bytes_within(d, limit::BODY_BYTES)?.to_vec())),
            _ => Ok(Content::Manifest(d.decode()?)),
        }
    }
}

impl Birth {
    fn fields<W: Write>(&self, e: &mut Encoder<W>) -> std::result::Result<(), EncodeError<W::Error>> {
        e.encode(self.id)?.encode(self.kind)?.encode(&self.meta)?.encode(&self.content)?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> std::result::Result<Birth, DecodeError> {
        let birth = Birth { id: d.decode()?, kind: d.decode()?, meta: d.decode()?, content: d.decode()? };
        birth.check().map_err(DecodeError::message)?;
        Ok(birth)
    }
}

impl<C> minicbor::Encode<C> for Birth {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        self.fields(e.array(4)?)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Birth {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        cbor::expect_array(d, 4)?;
        Birth::read(d)
    }
}

impl<C> minicbor::Encode<C> for Item {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        match self {
            Item::Birth(birth) => birth.fields(e.array(5)?.u8(0)?),
            Item::Change(change) => {
                e.array(if change.incarnation.is_some() { 4 } else { 3 })?.u8(1)?;
                e.encode(change.object)?.bytes(&change.bytes)?;
                match &change.incarnation {
                    Some(incarnation) => e.encode(incarnation)?.ok(),
                    None => Ok(()),
                }
            }
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Item {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        match (d.array()?, d.u8()?) {
            (Some(5), 0) => {
                let birth =
                    Birth { id: d.decode()?, kind: d.decode()?, meta: d.decode()?, content: d.decode()? };
                birth.check().map_err(DecodeError::message)?;
                Ok(Item::Birth(birth))
            }
            (Some(n @ (3 | 4)), 1) => {
                let object = d.decode()?;
                let bytes = cbor::bytes_within(d, limit::BODY_BYTES)?.to_vec();
                let incarnation = if n == 4 { Some(d.decode()?) } else { None };
                Ok(Item::Change(Change { object, bytes, incarnation }))
            }
            _ => Err(DecodeError::message("item")),
        }
    }
}

impl<C> minicbor::Encode<C> for Body {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), EncodeError<W::Error>> {
        e.array(3)?.u64(self.version())?.i64(self.time)?;
        cbor::write_list(e, &self.items)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Body {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        cbor::expect_array(d, 3)?;
        let version = d.u64()?;
        let body = Body { time: d.i64()?, items: cbor::list(d, limit::BODY_ITEMS)? };
        if version != body.version() {
            return Err(DecodeError::message("body version"));
        }
        Ok(body)
    }
}
