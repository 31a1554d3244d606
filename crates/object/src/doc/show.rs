//! What a document shows, read once after each change.

use super::bytes::VersionOf;
use super::room::{self, Doors};
use super::shape::{self, Born, Standing};
use super::{meta, text as texts};
use crate::body::{Content, Meta};
use crate::error::Result;
use crate::heads::Heads;
use crate::kind::Type;
use automerge::{Automerge, ChangeHash, ROOT, ReadDoc, Value};
use base::{Actor, Hash};

/// Who has the name.
#[derive(Clone, Debug)]
pub(super) struct Winner {
    pub(super) kind: Type,
    /// The Text object and its rendering below, where it is a text.
    pub(super) text: Option<automerge::ObjId>,
    pub(super) content: Content,
    pub(super) at: (u64, Actor),
}

/// What a document shows.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) born: Born,
    heads: Vec<ChangeHash>,
    version: Option<Heads>,
    pub(super) kind: Type,
    pub(super) winner: Option<Winner>,
    /// The text that has the name, empty where it is none.
    pub(super) text: String,
    pub(super) others: Vec<VersionOf>,
    pub(super) meta: Meta,
    pub(super) doors: Doors,
}

impl Shown {
    /// What a document shows before anything of it was read.
    pub(super) fn nothing(born: Born) -> Shown {
        Shown {
            born,
            heads: Vec::new(),
            version: None,
            kind: born.kind,
            winner: None,
            text: String::new(),
            others: Vec::new(),
            meta: Meta::default(),
            doors: Doors::default(),
        }
    }

    pub(super) fn heads(&self, born: &ChangeHash) -> Heads {
        if self.heads == [*born] {
            return Heads::default();
        }
        self.version.clone().unwrap_or_default()
    }

    /// The text that has the name.
    pub(super) fn text_id(&self) -> Option<&automerge::ObjId> {
        self.winner.as_ref()?.text.as_ref()
    }

    pub(super) fn set_heads(&mut self, am: &Automerge) {
        self.heads = am.get_heads();
        self.version = Some(Heads::new(self.heads.iter().map(|h| Hash(h.0)).collect()));
    }
}

/// Everything, from nothing.
pub(super) fn whole(am: &Automerge, born: Born) -> Result<Shown> {
    let mut shown = Shown::nothing(born);
    again(am, &mut shown, None)?;
    if born.kind == Type::Room {
        shown.doors = room::read(am);
    }
    Ok(shown)
}

/// All but the doors, which are kept up change by change. `text`: what the text that had the name until now says,
/// where the caller knows it.
pub(super) fn again(am: &Automerge, shown: &mut Shown, text: Option<String>) -> Result<()> {
    let text = shown.text_id().cloned().zip(text);
    shown.set_heads(am);
    shown.meta = meta::read(am);
    let mut bodies = shape::bodies(am, None, &shown.born)?;
    if bodies.is_empty() {
        // A room, or an object of a type that this version knows nothing of.
        shown.kind = shown.born.kind;
        shown.winner = None;
        return Ok(());
    }
    let sides = if shown.born.becomes(Type::Text) { texts::superseded(am, &bodies)? } else { Vec::new() };
    let first = bodies.remove(0);
    shown.kind = first.register.kind;
    let id = first.register.text_id();
    shown.text = match (text, &id) {
        (Some((of, text)), Some(id)) if of == *id => text,
        (_, Some(id)) => am.text(id)?,
        (_, None) => String::new(),
    };
    let winner = Winner { kind: shown.kind, text: id, content: first.register.content, at: first.at };
    let hash = match &winner.text {
        Some(_) if bodies.is_empty() && sides.is_empty() => None,
        Some(_) => Some(VersionOf::name(&Content::Bytes(shown.text.clone().into_bytes()))),
        None => Some(VersionOf::name(&winner.content)),
    };
    shown.others = others(am, bodies, sides, hash)?;
    shown.winner = Some(winner);
    Ok(())
}

// Versions with the same content show once.
fn others(
    am: &Automerge,
    bodies: Vec<Standing>,
    sides: Vec<VersionOf>,
    winner: Option<Hash>,
) -> Result<Vec<VersionOf>> {
    let dropped = |hash: &Hash| {
        matches!(am.get(ROOT, super::bytes::dropped_key(hash)), Ok(Some((Value::Scalar(_), _))))
    };
    let mut out: Vec<VersionOf> = Vec::new();
    for body in bodies {
        let content = match body.register.text_id() {
            Some(id) => Content::Bytes(am.text(&id)?.into_bytes()),
            None => body.register.content,
        };
        out.push(VersionOf::new(body.register.kind, content, body.at));
    }
    out.extend(sides);
    let mut seen: Vec<Hash> = winner.into_iter().collect();
    out.retain(|version| {
        let news = !seen.contains(&version.hash) && !dropped(&version.hash);
        seen.push(version.hash);
        news
    });
    Ok(out)
}
