//! Text: edits of an old version, spliced by whole words.

use super::shape::{self, Standing, TEXT, TEXT_END};
use super::show::Shown;
use super::{Doc, Made, VersionOf};
use crate::body::Content;
use crate::diff::{Splice, diff};
use crate::error::{Error, Result};
use crate::heads::{Heads, counted};
use crate::kind::Type;
use crate::vet::CHANGE_OPS;
use automerge::transaction::{Transactable, Transaction};
use automerge::{Automerge, ChangeHash, ObjId, PatchAction, PatchLog, ROOT, ReadDoc, ValueRef};
use base::{Actor, limit};

/// Insertions into an old version above which a copy of that version is cheaper.
const APART: usize = 8;

impl Doc {
    /// The text as it is now; empty where the object is none.
    pub fn text(&self) -> String {
        self.shown.text.clone()
    }

    /// The same, borrowed.
    pub fn as_text(&self) -> &str {
        &self.shown.text
    }

    /// How long the text is, in bytes.
    pub fn text_len(&self) -> u64 {
        self.shown.text.len() as u64
    }

    /// The text at a version. Errors: a version that is not here, an object that was no text then.
    pub fn text_at(&self, version: &Heads) -> Result<String> {
        let heads = self.at(version)?;
        self.peek(|doc| Ok(doc.text_and_id_at(&heads)?.1))
    }

    /// Of changes that have come, in their order, whether each touches the same words as what `before` had and it had
    /// not. None where it builds on all of `before`, by itself or by one that came with it.
    pub fn overlaps(&self, changes: &[Vec<u8>], before: &Heads) -> Vec<Option<bool>> {
        let mut before = before.to_engine(&self.born);
        let each = |change: &Vec<u8>| {
            let change = automerge::Change::from_bytes(change.clone()).ok()?;
            if before.iter().all(|hash| change.deps().contains(hash)) {
                before = vec![change.hash()];
                return None;
            }
            self.overlap_of(&change, &before)
        };
        changes.iter().map(each).collect()
    }

    fn overlap_of(&self, change: &automerge::Change, before: &[ChangeHash]) -> Option<bool> {
        let text = |heads: &[ChangeHash]| Some(self.peek(|doc| doc.text_and_id_at(heads)).ok()?.1);
        let texts = (text(change.deps()), text(before), text(&[change.hash()]));
        match texts {
            (Some(base), Some(mine), Some(theirs)) => Some(crate::overlap::overlap(&base, &mine, &theirs)),
            _ => Some(false),
        }
    }

    /// Makes the text of version `base` into `new`, and merges that with what others wrote meanwhile.
    ///
    /// None if the text at `base` is `new`. Errors: a version that is not here, an object that was no
    /// text then, a text over its limit (which then becomes a blob by [`Doc::set_content`]).
    pub fn edit_text(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        base: &Heads,
        new: &str,
    ) -> Result<Option<Made>> {
        if new.len() > limit::TEXT_BYTES {
            return Err(Error::TooLarge { what: "text", limit: limit::TEXT_BYTES });
        }
        let heads = self.at(base)?;
        let current = *base == self.heads();
        let (id, old) = self.peek(|doc| match &doc.shown.winner {
            Some(winner) if current => match &winner.text {
                Some(id) => Ok((id.clone(), doc.shown.text.clone())),
                None => Err(Error::Unfit { wanted: "text" }),
            },
            _ => doc.text_and_id_at(&heads),
        })?;
        let splices = diff(&old, new);
        if splices.is_empty() {
            return Ok(None);
        }
        self.splice(actor, time_ms, &heads, &id, &splices, Some(new.to_owned())).map(Some)
    }

    /// Adds to the end of the text as it is now. None for nothing. Errors as [`Doc::edit_text`] has them.
    pub fn append_text(&mut self, actor: &Actor, time_ms: i64, tail: &str) -> Result<Option<Made>> {
        if self.shown.text.len() + tail.len() > limit::TEXT_BYTES {
            return Err(Error::TooLarge { what: "text", limit: limit::TEXT_BYTES });
        }
        let id = self.shown.winner.as_ref().and_then(|winner| winner.text.clone());
        let id = id.ok_or(Error::Unfit { wanted: "text" })?;
        if tail.is_empty() {
            return Ok(None);
        }
        let heads = self.heads().to_engine(&self.born);
        let splices = [Splice { at: self.shown.text.len(), delete: 0, insert: tail.to_owned() }];
        let then = format!("{}{tail}", self.shown.text);
        self.splice(actor, time_ms, &heads, &id, &splices, Some(then)).map(Some)
    }

    // Splices of a version of the text, in order and apart. `then`: the text after them, where it is known.
    pub(super) fn splice(
        &mut self,
        actor: &Actor,
        time_ms: i64,
        heads: &[ChangeHash],
        id: &ObjId,
        splices: &[Splice],
        then: Option<String>,
    ) -> Result<Made> {
        let ops: usize = splices.iter().map(|splice| splice.delete + splice.insert.len()).sum();
        if ops > CHANGE_OPS {
            return Err(Error::TooLarge { what: "edit", limit: CHANGE_OPS });
        }
        let current = self.heads().to_engine(&self.born) == heads;
        let inserts = splices.iter().filter(|splice| !splice.insert.is_empty()).count();
        let id = id.clone();
        self.guard(|doc| {
            let made = if !current && inserts > APART {
                doc.commit_apart(actor, time_ms, heads, |tx| put_splices(tx, &id, splices))?
            } else {
                doc.commit(actor, time_ms, heads, |tx| put_splices(tx, &id, splices))?
            };
            super::show::again(&doc.am, &mut doc.shown, then.filter(|_| current))?;
            Ok(made)
        })
    }

    fn text_and_id_at(&self, heads: &[ChangeHash]) -> Result<(ObjId, String)> {
        let bodies = shape::bodies(&self.am, Some(heads), &self.shown.born)?;
        let id =
            bodies.first().and_then(|body| body.register.text_id()).ok_or(Error::Unfit { wanted: "text" })?;
        let text = self.am.text_at(&id, heads)?;
        Ok((id, text))
    }
}

/// The text that has the name after changes were applied whose patches are in `log`; none where they tell of more
/// than words that came and went, or do not fit. Reading a text anew takes a hundred times as long.
pub(super) fn patched(am: &Automerge, log: &mut PatchLog, shown: &Shown) -> Option<String> {
    let id = shown.text_id()?;
    let mut text = shown.text.clone();
    for patch in am.make_patches(log).into_iter().filter(|patch| patch.obj == *id) {
        match patch.action {
            PatchAction::SpliceText { index, value, .. } if text.is_char_boundary(index) => {
                text.insert_str(index, &value.make_string());
            }
            PatchAction::DeleteSeq { index, length } => {
                let end = index.checked_add(length)?;
                text.get(index..end)?;
                text.replace_range(index..end, "");
            }
            _ => return None,
        }
    }
    (am.length(id) == text.len()).then_some(text)
}

// From the end, so that what comes before keeps its place; first what only goes, so that in the change deletions
// behind an insertion are those of the same splice (see `doubles`).
fn put_splices(tx: &mut Transaction<'_>, id: &ObjId, splices: &[Splice]) -> Result<()> {
    let only_goes = |splice: &&Splice| splice.insert.is_empty();
    for splice in splices.iter().rev().filter(only_goes) {
        tx.splice_text(id, splice.at, splice.delete as isize, "")?;
    }
    let mut gone: usize = splices.iter().filter(only_goes).map(|splice| splice.delete).sum();
    for splice in splices.iter().rev() {
        if splice.insert.is_empty() {
            gone -= splice.delete;
        } else {
            tx.splice_text(id, splice.at - gone, splice.delete as isize, &splice.insert)?;
        }
    }
    Ok(())
}

/// Texts that were replaced by other content while somebody still wrote into them.
pub(super) fn superseded(am: &Automerge, bodies: &[Standing]) -> Result<Vec<VersionOf>> {
    let mut out = Vec::new();
    let seen: Vec<ChangeHash> = bodies.iter().map(|body| body.change).collect();
    for item in am.map_range(ROOT, TEXT.to_owned()..TEXT_END.to_owned()) {
        let id = item.id();
        let (ValueRef::Object(automerge::ObjType::Text), ObjId::Id(counter, actor, _)) = (&item.value, &id)
        else {
            continue;
        };
        let named = Some((*counter, actor.to_bytes().to_vec()));
        if bodies.iter().any(|body| body.register.text == named) {
            continue;
        }
        let now = am.text(&id)?;
        if am.text_at(&id, &seen).unwrap_or_default() != now {
            let at = (*counter, counted(actor.to_bytes()));
            out.push(VersionOf::new(Type::Text, Content::Bytes(now.into_bytes()), at));
        }
    }
    Ok(out)
}
