//! Handing what was written to the node, and what the bytes of the open file are afterwards.

use super::{Change, State, WorkingCopy};
use crate::content::Content;
use crate::error::Result;
use crate::process::Who;
use base::{Kind, Oid};
use node::{Appended, NewContent, Node, Saved, Version, What};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// What a commit did.
pub(crate) struct Committed {
    /// The object that was saved.
    pub(crate) oid: Oid,
    /// What became of it.
    pub(crate) saved: Saved,
    /// Whose edit it was.
    pub(crate) writer: Option<Who>,
    /// What it was an edit of.
    pub(crate) base: Version,
    /// Whether it only added something.
    pub(crate) appended: bool,
    /// The size and the times of bytes and attributes that somebody was shown before.
    pub(crate) shown: Option<(u64, SystemTime, SystemTime)>,
    /// Somebody read the bytes before they were a version.
    pub(crate) peeked: bool,
    /// It was added to a version that nobody here had read.
    pub(crate) unread: bool,
}

impl WorkingCopy {
    /// Hands what was done to the node, as an edit of the base; afterwards the base is what was written. None:
    /// there was nothing to hand over.
    pub(crate) fn commit(&self, node: &Node) -> Result<Option<Committed>> {
        let _one = self.commit.lock();
        let mut state = self.state.lock();
        if state.orphan || state.change == Change::None {
            return Ok(None);
        }
        let change = std::mem::replace(&mut state.change, Change::None);
        let (oid, mut base, writer) = (state.oid, state.base.clone(), state.writer);
        let earlier = std::mem::take(&mut state.earlier);
        let (newborn, written) = (state.newborn, state.written);
        let tail = match change {
            Change::Appended(from) if !state.newborn => state.content.tail(from),
            _ => None,
        };
        // A blob that grew, and what would make a text one, are saved whole.
        let tail = tail.filter(|tail| {
            !tail.contains(&0)
                && std::str::from_utf8(tail).is_ok()
                && node.attr(oid).is_ok_and(|a| a.what == What::Text)
        });
        // Nobody but those who add has it open: it need not stay one version. Before an object is sealed all share its bytes.
        let alone = self.handles.load(Ordering::Relaxed) == self.adders.load(Ordering::Relaxed);
        state.adding = tail.is_some() && alone && !node.is_newborn(oid);
        let adding = state.adding;
        let unbased = state.unbased.clone();
        let content = state.content.snapshot();
        state.committing = true;
        drop(state);

        if let (false, Ok(NewContent::Bytes(bytes))) = (earlier.is_empty(), &content) {
            base = node.likeliest(oid, &base, &earlier, bytes);
        }
        let handed = content.and_then(|content| hand_over(node, oid, &base, tail, &unbased, content));
        if let Ok((saved, _)) = &handed
            && let Err(error) = node.written_at(oid, &saved.wrote, written)
        {
            tracing::warn!("when a file was written is not kept: {error}");
        }
        let unread = matches!(&handed, Ok((_, Then::Unread(_))));
        let newest = (unread && adding).then(|| node.read(oid));

        let mut state = self.state.lock();
        (state.committing, state.adding) = (false, false);
        let (saved, then) = match handed {
            Ok(handed) => handed,
            Err(error) => {
                // What was written meanwhile and what was not taken are one change again.
                state.change = if state.change == Change::None { change } else { Change::Edited };
                return Err(error);
            }
        };
        state.newborn = false;
        match (then, newest) {
            (Then::Based, _) => (state.base, state.unbased) = (saved.wrote.clone(), Vec::new()),
            (Then::BasedBut, _) => state.base = saved.wrote.clone(),
            (Then::Unread(tail), Some(Ok((version, body)))) => {
                if !state.go_on_with(version, Content::of(body), node) {
                    state.unbased.extend(tail);
                }
            }
            (Then::Unread(tail), _) => state.unbased.extend(tail),
        }
        let shown = std::mem::take(&mut state.shown);
        let peeked = std::mem::take(&mut state.peeked);
        let appended = matches!(change, Change::Appended(_)) && !newborn;
        Ok(Some(Committed { oid, saved, writer, base, appended, shown, peeked, unread }))
    }
}

impl State {
    /// The bytes are those of this version.
    pub(crate) fn go_on_from(&mut self, version: Version) {
        self.base = version;
        self.unbased.clear();
    }

    // Goes on with other bytes, and what was added meanwhile. False: it cannot, and goes on with what it has.
    fn go_on_with(&mut self, version: Version, mut content: Content, node: &Node) -> bool {
        let size = content.size();
        match self.change {
            Change::None => {}
            Change::Appended(from) => {
                let oid = self.oid;
                let more = self.content.read(from, usize::MAX);
                let added = more.and_then(|more| {
                    content.write(size, &more.unwrap_or_default(), &|| Ok(node.scratch(oid)?))
                });
                if let Err(error) = added {
                    tracing::warn!("what a file shows now could not be taken over: {error}");
                    return false;
                }
                self.change = Change::Appended(size);
            }
            // Cut in this moment: an edit of what it was.
            _ => return false,
        }
        self.content = content;
        self.go_on_from(version);
        true
    }
}

/// What the bytes are once they were handed over.
enum Then {
    /// The version that was made.
    Based,
    /// The version that was made, and the end that was not in the base either.
    BasedBut,
    /// What they were an edit of, and this, which went to the end of a version that nobody here had read.
    Unread(Vec<u8>),
}

// An append goes to the end as it is now; where there can be none, the whole is saved, without the end that others have
// already.
fn hand_over(
    node: &Node,
    oid: Oid,
    base: &Version,
    tail: Option<Vec<u8>>,
    unbased: &[u8],
    mut content: NewContent,
) -> Result<(Saved, Then)> {
    if let Some(tail) = tail {
        match node.append(oid, &tail) {
            Ok(Appended { saved, onto }) if onto == *base && unbased.is_empty() => {
                return Ok((saved, Then::Based));
            }
            Ok(Appended { saved, .. }) => return Ok((Saved { merged: true, ..saved }, Then::Unread(tail))),
            Err(error) if error.kind() != Kind::Unsupported => return Err(error.into()),
            Err(_) => {}
        }
    }
    let then = match &mut content {
        NewContent::Bytes(bytes) if !unbased.is_empty() && bytes.ends_with(unbased) => {
            bytes.truncate(bytes.len() - unbased.len());
            Then::BasedBut
        }
        _ => Then::Based,
    };
    Ok((node.save(oid, base, content)?, then))
}
