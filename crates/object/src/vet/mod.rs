//! What is asked of a change before it is let near a document.
//!
//! A change is bytes from somebody else: a checksummed header, then columns of run-length encoded
//! operations. The engine believes what it parses, and panics, loops or fills the memory where it
//! should not have. So the frame and the lengths of the columns are read here first, without
//! building anything: the checksum, the one encoding, whose actor it is, how many operations the
//! runs really claim, and whether they have the form that edits made here have. Every rule depends on the change alone, never on what else has arrived: all
//! replicas refuse the same changes.
//!
//! What is not judged here is whether operations fit the document they name; that shows when they
//! are applied, under guard.

mod columns;
mod input;

use crate::heads::{counted, owner};
use automerge::{Change, ChangeHash};
use base::{Actor, Hash, limit};
use columns::columns;
use input::Input;
use std::panic::catch_unwind;

/// Operations in one change: a text at its limit, every letter replaced.
pub const CHANGE_OPS: usize = 2 * limit::TEXT_BYTES + 65_536;

/// Kinds of the engine's chunks.
const DOCUMENT: u8 = 0;
const CHANGE: u8 = 1;

/// No operation may be numbered higher: the engine stops at 32 bits, and whoever writes next needs room.
const HIGHEST_OP: u64 = 1 << 31;

/// Why a change was not taken. It harms nothing by lying in its entry; everything that builds on it
/// is not taken either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not the one encoding of a change.
    #[error("it is not a change")]
    Malformed,
    /// Its actor is not one of its signer's.
    #[error("it was written under the name of somebody else")]
    Actor,
    /// It builds on nothing, which only the change derived from a birth may.
    #[error("it does not build on the object's birth")]
    Rootless,
    /// It claims more operations than a change may have, or numbers them too high.
    #[error("it claims more than a change may hold")]
    Inflated,
    /// It holds operations of a kind or form that no object uses.
    #[error("it holds operations of an unknown kind")]
    Operation,
    /// Its actor has another change of the same number, or skipped some, or it does not build on the one before it.
    #[error("its number does not follow its author's last")]
    Sequence,
    /// Too many changes wait for others already; it can be tried again.
    #[error("too many changes wait for others that are missing")]
    Crowded,
}

/// A change whose frame was read and found in order.
#[derive(Clone, Debug)]
pub(crate) struct Vetted {
    pub(crate) hash: ChangeHash,
    pub(crate) actor: Actor,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) change: Change,
}

/// Reads a change's frame and columns. `allows` says whether an actor is its signer's.
pub(crate) fn vet(bytes: &[u8], allows: &dyn Fn(&Actor) -> bool) -> Result<Vetted, Refusal> {
    let (hash, data) = frame(bytes).ok_or(Refusal::Malformed)?;
    let mut input = Input(data);
    let head = head(&mut input).ok_or(Refusal::Malformed)?;
    let owner = owner(head.actor).ok_or(Refusal::Actor)?;
    if !allows(&owner) {
        return Err(Refusal::Actor);
    }
    if head.deps.is_empty() {
        return Err(Refusal::Rootless);
    }
    let columns = columns(&mut input, head.actors)?;
    if head.start_op.saturating_add(columns.cost.ops) > HIGHEST_OP {
        return Err(Refusal::Inflated);
    }
    if !columns.are_edits() {
        return Err(Refusal::Operation);
    }
    let change = parse(bytes).ok_or(Refusal::Malformed)?;
    Ok(Vetted {
        hash: ChangeHash(hash.0),
        actor: counted(head.actor),
        seq: head.seq,
        start_op: head.start_op,
        deps: head.deps,
        change,
    })
}

/// What a change costs whoever applies it, without building anything of it: its operations, or what they replace where
/// that is more. 0 for bytes that are refused anyhow.
///
/// A body may hold [`CHANGE_OPS`] of them in all its changes together ([`crate::Body::decode`]); whoever
/// gathers changes into one body counts with this.
pub fn operations(change: &[u8]) -> u64 {
    let tally = || {
        let mut input = Input(unframed(change, CHANGE)?.2);
        let head = head(&mut input)?;
        columns(&mut input, head.actors).ok()
    };
    tally().map_or(0, |columns| columns.cost.ops.max(columns.cost.predecessors))
}

// What remains to be found wrong costs no more than the operations counted above.
fn parse(bytes: &[u8]) -> Option<Change> {
    catch_unwind(|| Change::from_bytes(bytes.to_vec()).ok()).ok().flatten()
}

/// Whether these bytes are one saved document and nothing else, with its checksum in order. The engine would load
/// other things too, of which nothing here is ever made.
pub(crate) fn is_document(bytes: &[u8]) -> bool {
    unframed(bytes, DOCUMENT).is_some_and(|(checksum, hashed, _)| Hash::of(&[hashed]).0[..4] == *checksum)
}

/// How long the change is that these bytes begin with, by its own word.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let mut input = Input(bytes.get(9..)?);
    let len = usize::try_from(input.uleb()?).ok()?;
    (bytes.len() - input.0.len()).checked_add(len).filter(|n| *n <= bytes.len())
}

// The magic, four bytes of the hash, the chunk type (1: a change, not deflated; bodies are packed as
// a whole), the length.
fn frame(bytes: &[u8]) -> Option<(Hash, &[u8])> {
    let (checksum, hashed, data) = unframed(bytes, CHANGE)?;
    let hash = Hash::of(&[hashed]);
    if hash.0[..4] == *checksum { Some((hash, data)) } else { None }
}

// The checksum, what it is of, and what is inside.
fn unframed(bytes: &[u8], chunk: u8) -> Option<(&[u8], &[u8], &[u8])> {
    let mut input = Input(bytes);
    if input.take(4)? != [0x85, 0x6f, 0x4a, 0x83] {
        return None;
    }
    let checksum = input.take(4)?;
    let hashed = input.0;
    if input.take(1)? != [chunk] {
        return None;
    }
    let len = input.uleb()?;
    if len == input.0.len() as u64 { Some((checksum, hashed, input.0)) } else { None }
}

struct Head<'a> {
    deps: Vec<ChangeHash>,
    actor: &'a [u8],
    seq: u64,
    start_op: u64,
    actors: u64,
}

fn head<'a>(input: &mut Input<'a>) -> Option<Head<'a>> {
    let count = input.uleb()?;
    if count > limit::DEPS as u64 {
        return None;
    }
    let mut deps = Vec::new();
    for _ in 0..count {
        deps.push(ChangeHash(input.take(32)?.try_into().ok()?));
    }
    let actor = input.prefixed()?;
    let seq = input.uleb()?;
    let start_op = input.uleb()?;
    input.sleb()?;
    let message = input.prefixed()?;
    let others = input.uleb()?;
    for _ in 0..others {
        input.prefixed()?;
    }
    if seq == 0 || start_op == 0 || !message.is_empty() {
        return None;
    }
    Some(Head { deps, actor, seq, start_op, actors: others.checked_add(1)? })
}
