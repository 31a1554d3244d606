//! The keys of a document and the values under them.

use crate::body::Content;
use crate::error::{Error, Result};
use crate::heads::counted;
use crate::kind::Type;
use automerge::{ActorId, Automerge, ChangeHash, ObjId, ROOT, ReadDoc, ScalarValue, Value};
use base::{Actor, cbor, limit};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};

pub(super) const BODY: &str = "body";
pub(super) const TEXT: &str = "text";
/// Behind every key that begins with `text`, then nothing or a slash.
pub(super) const TEXT_END: &str = "text0";

/// A value of the register `body`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Register {
    pub(super) kind: Type,
    /// The Text object, where the content is one.
    pub(super) text: Option<(u64, Vec<u8>)>,
    pub(super) content: Content,
}

impl Register {
    pub(super) fn of_text(id: &ObjId) -> Register {
        let text = match id {
            ObjId::Id(counter, actor, _) => Some((*counter, actor.to_bytes().to_vec())),
            ObjId::Root => None,
        };
        Register { kind: Type::Text, text, content: Content::Empty }
    }

    pub(super) fn to_value(&self) -> ScalarValue {
        ScalarValue::Bytes(cbor::encode(self))
    }

    pub(super) fn text_id(&self) -> Option<ObjId> {
        let (counter, actor) = self.text.as_ref()?;
        Some(ObjId::Id(*counter, ActorId::from(&actor[..]), 0))
    }
}

impl<C> minicbor::Encode<C> for Register {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> std::result::Result<(), minicbor::encode::Error<W::Error>> {
        match &self.text {
            Some((counter, actor)) => e.array(3)?.encode(self.kind)?.u64(*counter)?.bytes(actor)?.ok(),
            None => e.array(2)?.encode(self.kind)?.encode(&self.content)?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Register {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> std::result::Result<Self, DecodeError> {
        match d.array()? {
            Some(2) => Ok(Register { kind: d.decode()?, text: None, content: d.decode()? }),
            Some(3) => Ok(Register {
                kind: d.decode()?,
                text: Some((d.u64()?, d.bytes()?.to_vec())),
                content: Content::Empty,
            }),
            _ => Err(DecodeError::message("register")),
        }
    }
}

/// A value of the register with where it stands: (operation, actor), later is greater.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) register: Register,
    pub(super) at: (u64, Actor),
    /// The change that made it.
    pub(super) change: ChangeHash,
}

/// How an object came to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Born {
    /// The change derived from its birth.
    pub(super) hash: ChangeHash,
    /// As what: rooms and links stay what they are, and nothing else becomes one.
    pub(super) kind: Type,
}

impl Born {
    /// Reads the birth back from the change derived from it. A room's is empty.
    pub(super) fn of(am: &Automerge, hash: ChangeHash) -> Result<Born> {
        let Some((value, _)) = am.get_at(ROOT, BODY, &[hash])? else {
            return Ok(Born { hash, kind: Type::Room });
        };
        let register = value.as_bytes().and_then(|bytes| cbor::decode::<Register>(bytes, "register").ok());
        Ok(Born { hash, kind: register.ok_or(Error::Image)?.kind })
    }

    /// Whether an object born so may be of this type.
    pub(super) fn becomes(&self, kind: Type) -> bool {
        match self.kind {
            Type::Room | Type::Link => kind == self.kind,
            _ => !matches!(kind, Type::Room | Type::Link),
        }
    }

    // Whatever a change writes is a claim: a register counts only if it holds what its type does.
    fn takes(&self, register: &Register) -> bool {
        let fits = match (register.kind, &register.text, &register.content) {
            (Type::Text, text, _) => text.is_some(),
            (_, Some(_), _) | (_, _, Content::Empty) | (Type::Room, ..) => false,
            (Type::Link, _, Content::Bytes(bytes)) => bytes.len() <= limit::LINK_BYTES,
            (Type::Link, _, Content::Manifest(_)) => false,
            _ => true,
        };
        fits && self.becomes(register.kind)
    }
}

/// The values of `body` at a version, the latest first; what makes no sense is skipped. Where nothing is left,
/// because somebody deleted it or wrote what no object holds, it is what it was born as.
pub(super) fn bodies(am: &Automerge, heads: Option<&[ChangeHash]>, born: &Born) -> Result<Vec<Standing>> {
    let values = match heads {
        Some(heads) => am.get_all_at(ROOT, BODY, heads)?,
        None => am.get_all(ROOT, BODY)?,
    };
    let mut all = standing(am, &values, born);
    if all.is_empty() && born.kind != Type::Room {
        all = standing(am, &am.get_all_at(ROOT, BODY, &[born.hash])?, born);
    }
    all.sort_by_key(|standing| std::cmp::Reverse(standing.at));
    Ok(all)
}

fn standing(am: &Automerge, values: &[(Value<'_>, ObjId)], born: &Born) -> Vec<Standing> {
    values.iter().filter_map(|(value, id)| one(am, value, id, born)).collect()
}

fn one(am: &Automerge, value: &Value<'_>, id: &ObjId, born: &Born) -> Option<Standing> {
    let register: Register = cbor::decode(value.as_bytes()?, "register").ok()?;
    let ObjId::Id(counter, actor, _) = id else { return None };
    if !born.takes(&register) {
        return None;
    }
    // One that names no Text object here is garbage.
    if register.text_id().is_some_and(|text| am.object_type(&text) != Ok(automerge::ObjType::Text)) {
        return None;
    }
    Some(Standing { register, at: (*counter, counted(actor.to_bytes())), change: am.hash_for_opid(id)? })
}
