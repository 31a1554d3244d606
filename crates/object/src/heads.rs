//! Versions of a document, and how much of it somebody has seen.

use automerge::{ActorId, ChangeHash};
use base::{Actor, Hash, cbor, id::first16};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The highest sequence number seen, by actor. The change derived from the birth is not counted, so
/// an object that nobody edited has the empty clock.
pub type Clock = BTreeMap<Actor, u64>;

/// A version of a document: the newest changes in it, sorted. Empty means "as born". Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Heads(Arc<[Hash]>);

impl Heads {
    /// The version with these newest changes, in any order.
    pub fn new(mut hashes: Vec<Hash>) -> Heads {
        hashes.sort_unstable();
        hashes.dedup();
        Heads(hashes.into())
    }

    /// The hashes, sorted.
    pub fn hashes(&self) -> &[Hash] {
        &self.0
    }

    /// Whether it is the object as it was born.
    pub fn is_born(&self) -> bool {
        self.0.is_empty()
    }

    /// The hashes one after the other, for keys and xattrs.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| hash.0).collect()
    }

    /// Reads what `to_bytes` wrote. Errors: a length that is not a multiple of a hash's.
    pub fn from_slice(bytes: &[u8]) -> Result<Heads, base::Error> {
        if !bytes.len().is_multiple_of(Hash::LEN) {
            return Err(base::Error::Malformed { what: "heads" });
        }
        Ok(Heads::new(bytes.chunks(Hash::LEN).map(Hash::from_slice).collect::<Result<_, _>>()?))
    }

    pub(crate) fn to_engine(&self, born: &ChangeHash) -> Vec<ChangeHash> {
        if self.is_born() {
            return vec![*born];
        }
        self.0.iter().map(|h| ChangeHash(h.0)).collect()
    }
}

impl<C> minicbor::Encode<C> for Heads {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        cbor::write_list(e, &self.0)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Heads {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Heads::new(cbor::list(d, base::limit::DEPS)?))
    }
}

/// What the engine puts before an actor's bytes when that actor writes again on a version older than
/// its last change, followed by a level from 1 up in LEB128.
const DERIVED: [u8; 4] = [0x13, 0xb2, 0x23, 0x09];

/// Whose an actor of the engine is: the actor itself, or the one it was derived from by the engine
/// for concurrent versions of one writer. None: nobody's, it has no such form.
pub(crate) fn owner(actor: &[u8]) -> Option<Actor> {
    if let Ok(plain) = Actor::from_slice(actor) {
        return Some(plain);
    }
    let rest = actor.strip_prefix(&DERIVED)?;
    let level = rest.len().checked_sub(Actor::LEN).filter(|n| (1..=5).contains(n))?;
    let (level, actor) = rest.split_at(level);
    let (last, first) = level.split_last()?;
    let minimal = *last != 0 && last & 0x80 == 0 && first.iter().all(|b| b & 0x80 != 0);
    if minimal { Actor::from_slice(actor).ok() } else { None }
}

/// The name under which a clock counts an actor of the engine: a derived one counts by itself.
pub(crate) fn counted(actor: &[u8]) -> Actor {
    Actor::from_slice(actor).unwrap_or_else(|_| Actor(first16(&Hash::of(&[b"chorus/derived/1", actor]))))
}

/// The bytes of the engine's actor for an actor at a level; the actor itself at 0.
pub(crate) fn derived(actor: &Actor, mut level: u32) -> Vec<u8> {
    if level == 0 {
        return actor.0.to_vec();
    }
    let mut out = DERIVED.to_vec();
    while level > 0x7f {
        out.push((level & 0x7f) as u8 | 0x80);
        level >>= 7;
    }
    out.push(level as u8);
    out.extend_from_slice(&actor.0);
    out
}

pub(crate) fn engine_actor(actor: &Actor) -> ActorId {
    ActorId::from(&actor.0[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_forms_of_an_actor_have_an_owner() {
        let actor = Actor([7; 16]);
        for level in [0, 1, 127, 128, 200, u32::MAX] {
            assert_eq!(owner(&super::derived(&actor, level)), Some(actor));
        }
        let derived = |level: &[u8]| [&DERIVED[..], level, &actor.0].concat();
        assert_eq!(super::derived(&actor, 128), derived(&[0x80, 1]));
        for wrong in [
            &derived(&[0])[..],
            &derived(&[]),
            &derived(&[0x81]),
            &derived(&[0x81, 0]),
            &derived(&[1])[1..],
            b"",
        ] {
            assert_eq!(owner(wrong), None);
        }
    }

    #[test]
    fn heads_round_trip() {
        let heads = Heads::new(vec![Hash([2; 32]), Hash([1; 32]), Hash([2; 32])]);
        assert_eq!(heads.hashes().len(), 2);
        assert_eq!(Heads::from_slice(&heads.to_bytes()), Ok(heads.clone()));
        assert_eq!(cbor::decode::<Heads>(&cbor::encode(&heads), "heads"), Ok(heads));
        assert!(Heads::from_slice(&[1; 31]).is_err());
    }
}
