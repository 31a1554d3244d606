//! Taking a friend's edit of a text by making it again.
//!
//! The engine applies a change from elsewhere by walking over the whole text, which takes a hundred times as
//! long as making the same edit here. Where a change builds on exactly what is here, the same words go in
//! and out at the same places under the same name; whether that made the very same change, its hash tells.

use crate::vet::Vetted;
use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, Cursor, ObjId, ReadDoc, ScalarValue, legacy};

/// Operations, and places in the text, above which the engine's own way is as good.
const OPS: usize = 1 << 14;
const PLACES: usize = 64;

// Words that go in behind an element, or elements that go.
enum Run {
    In(Option<legacy::OpId>, String),
    Out(legacy::OpId, usize),
}

/// The document after a change, and its text; none where it is not that simple.
pub(super) fn redo(am: &Automerge, id: &ObjId, text: &str, change: &Vetted) -> Option<(Automerge, String)> {
    let mut heads = am.get_heads();
    let mut deps = change.deps.clone();
    heads.sort_unstable();
    deps.sort_unstable();
    if heads != deps || change.change.len() > OPS {
        return None;
    }
    let decoded = change.change.decode();
    let runs = runs(&decoded, id)?;
    let mut text = text.to_owned();
    let mut am = am.clone();
    am.set_actor(decoded.actor_id.clone());
    let mut tx = am.transaction();
    for run in &runs {
        put(&mut tx, id, &mut text, run)?;
    }
    let mut options = CommitOptions::default().with_time(decoded.time);
    options.message = decoded.message;
    let made = tx.commit_with(options).0?;
    (made == change.hash).then_some((am, text))
}

fn runs(change: &legacy::Change, id: &ObjId) -> Option<Vec<Run>> {
    let ObjId::Id(counter, maker, _) = id else { return None };
    let object = legacy::ObjectId::Id(legacy::OpId(*counter, maker.clone()));
    let mut runs: Vec<Run> = Vec::new();
    // The element that the last operation made or took away.
    let mut last: Option<legacy::OpId> = None;
    for (op, number) in change.operations.iter().zip(change.start_op.get()..) {
        let legacy::Key::Seq(key) = &op.key else { return None };
        if op.obj != object {
            return None;
        }
        match (&op.action, op.insert) {
            (legacy::OpType::Put(ScalarValue::Str(word)), true) => {
                let behind = key.as_opid().cloned();
                match runs.last_mut() {
                    Some(Run::In(_, words)) if behind == last => words.push_str(word),
                    _ => runs.push(Run::In(behind, word.to_string())),
                }
                last = Some(legacy::OpId(number, change.actor_id.clone()));
            }
            (legacy::OpType::Delete, false) => {
                let element = key.as_opid()?.clone();
                match runs.last_mut() {
                    Some(Run::Out(_, n)) if follows(&last, &element) => *n += 1,
                    _ => runs.push(Run::Out(element.clone(), 1)),
                }
                last = Some(element);
            }
            _ => return None,
        }
        if runs.len() > PLACES {
            return None;
        }
    }
    Some(runs)
}

// Elements of one piece of text are numbered one after the other.
fn follows(last: &Option<legacy::OpId>, next: &legacy::OpId) -> bool {
    last.as_ref().is_some_and(|last| last.1 == next.1 && last.0.checked_add(1) == Some(next.0))
}

fn put(tx: &mut Transaction<'_>, id: &ObjId, text: &mut String, run: &Run) -> Option<()> {
    match run {
        Run::In(behind, words) => {
            let at = match behind {
                Some(element) => {
                    let at = place(tx, id, element)?;
                    at + text.get(at..)?.chars().next()?.len_utf8()
                }
                None => 0,
            };
            tx.splice_text(id, at, 0, words).ok()?;
            text.insert_str(at, words);
        }
        Run::Out(first, n) => {
            let at = place(tx, id, first)?;
            let bytes: usize = text.get(at..)?.chars().take(*n).map(char::len_utf8).sum();
            tx.splice_text(id, at, isize::try_from(bytes).ok()?, "").ok()?;
            text.replace_range(at..at + bytes, "");
        }
    }
    Some(())
}

// Where an element stands, in bytes; that it is still there, the hash of what is made tells.
fn place(tx: &Transaction<'_>, id: &ObjId, element: &legacy::OpId) -> Option<usize> {
    let legacy::OpId(counter, actor) = element;
    let cursor = Cursor::try_from(format!("{counter}@{}", actor.to_hex_string())).ok()?;
    tx.get_cursor_position(id, &cursor, None).ok()
}
