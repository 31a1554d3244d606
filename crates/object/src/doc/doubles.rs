//! The same replacement by two people shows once.
//!
//! Two changes made the *same replacement* where both deleted the same letters (by identity, not by place) and put the
//! same text instead. Neither can have seen the other then. Both insertions show until
//! the author of the later change, by (start operation, actor), takes its own back by deleting it: one author for
//! every pair, so nobody waits for anybody and nothing is taken back twice. It is an ordinary change, and travels as such.
//!
//! Only what is still whole is compared: an insertion that somebody edited since is no double, and the
//! one that stays must be there to stay. Pure insertions are left alone: two people who
//! append the same line may well both mean it (`+1`), and dropping words is worse than showing them twice.
//!
//! Looked at are the changes that came or were made since the last look, and those concurrent with them;
//! after loading, all that the heads do not have in common.

use super::{Doc, Made};
use crate::diff::Splice;
use crate::error::Result;
use crate::heads::{counted, owner};
use automerge::legacy::{ElementId, Key, ObjectId, OpId, OpType};
use automerge::{Change, ChangeHash, Cursor, ObjId, ReadDoc, ScalarValue};
use base::Actor;
use std::collections::{BTreeMap, BTreeSet};

/// Changes remembered for the next look.
const FRESH: usize = 8192;
/// Changes looked at, the newest.
const LOOKED_AT: usize = 4096;
/// Operations of a change above which it is no replacement to look for.
const OPS: usize = 65_536;

/// What was deleted, and what came instead.
type Replacement = (Vec<(u64, Vec<u8>)>, String);

/// One insertion: the letters are numbered from `first` on, by `actor`.
struct Insertion {
    /// (start operation, actor) of the change: the greater is later.
    at: (u64, Actor),
    actor: Vec<u8>,
    first: u64,
    last: u64,
}

impl Doc {
    /// Deletes what `mine` inserted where somebody's earlier change made the same replacement. To be called
    /// after [`Doc::apply`], and after an edit of an older version. `mine` says whether an actor is
    /// one of this device's, in this run or an earlier one.
    ///
    /// None where there is nothing to take back; so always at a second call.
    pub fn take_back_doubles(
        &mut self,
        mine: &dyn Fn(&Actor) -> bool,
        actor: &Actor,
        time_ms: i64,
    ) -> Result<Option<Made>> {
        let fresh = std::mem::take(&mut self.fresh);
        let Some(id) = self.shown.winner.as_ref().and_then(|winner| winner.text.clone()) else {
            return Ok(None);
        };
        if fresh.is_empty() {
            return Ok(None);
        }
        let splices = self.guard(|doc| Ok(doc.doubles(&id, doc.concurrent(&fresh), mine)))?;
        if splices.is_empty() {
            return Ok(None);
        }
        let heads = self.heads().to_engine(&self.born);
        let made = self.splice(actor, time_ms, &heads, &id, &splices, None)?;
        self.fresh.clear();
        Ok(Some(made))
    }

    pub(super) fn remember(&mut self, hash: ChangeHash) {
        if self.fresh.len() < FRESH {
            self.fresh.insert(hash);
        }
    }

    /// After loading: whatever was not compared before the node stopped lies beside a head.
    pub(super) fn remember_concurrent(&mut self) -> Result<()> {
        self.fresh.clear();
        let heads = self.am.get_heads();
        if heads.len() < 2 {
            return Ok(());
        }
        self.guard(|doc| {
            for head in heads.iter().take(16) {
                let beside: Vec<ChangeHash> =
                    doc.am.get_changes_meta(&[*head]).iter().map(|c| c.hash).collect();
                beside.into_iter().for_each(|hash| doc.remember(hash));
            }
            Ok(())
        })
    }

    // The changes, among those since the fresh ones' bases, that have others beside them.
    fn concurrent(&self, fresh: &BTreeSet<ChangeHash>) -> Vec<Change> {
        let mut bases: BTreeSet<Vec<ChangeHash>> = BTreeSet::new();
        for hash in fresh {
            let Some(change) = self.am.get_change_meta_by_hash(hash) else { continue };
            if !change.deps.iter().any(|dep| fresh.contains(dep)) {
                bases.insert(change.deps);
            }
        }
        if bases.len() > 16 {
            bases = BTreeSet::from([vec![self.born]]);
        }
        let mut deps: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
        let mut order: Vec<ChangeHash> = Vec::new();
        for base in &bases {
            for change in self.am.get_changes_meta(base) {
                if deps.insert(change.hash, change.deps).is_none() {
                    order.push(change.hash);
                }
            }
        }
        if bases.len() > 1 {
            // Lists joined: back into an order in which bases come first.
            let numbers: BTreeMap<ChangeHash, u64> = self
                .am
                .get_changes_meta(&[])
                .into_iter()
                .zip(0..)
                .map(|(change, n)| (change.hash, n))
                .collect();
            order.sort_by_key(|hash| numbers.get(hash));
        }
        order.drain(..order.len().saturating_sub(LOOKED_AT));
        let beside = beside(&order, &deps);
        beside.iter().filter_map(|hash| self.am.get_change_by_hash(hash)).collect()
    }

    fn doubles(&self, id: &ObjId, changes: Vec<Change>, mine: &dyn Fn(&Actor) -> bool) -> Vec<Splice> {
        let mut made: BTreeMap<Replacement, Vec<Insertion>> = BTreeMap::new();
        for change in changes.iter().filter(|change| change.len() <= OPS) {
            replacements(change, id, &mut made);
        }
        let mut splices = Vec::new();
        for ((_, text), mut insertions) in made {
            insertions.sort_by_key(|insertion| insertion.at);
            let mut there = insertions.iter().filter_map(|i| Some((i, self.place(id, i, &text)?)));
            // The earliest that is there stays.
            if there.next().is_none() {
                continue;
            }
            let back =
                there.filter(|(insertion, _)| owner(&insertion.actor).is_some_and(|actor| mine(&actor)));
            splices.extend(back.map(|(_, at)| Splice { at, delete: text.len(), insert: String::new() }));
        }
        splices.sort_by_key(|splice| splice.at);
        splices
    }

    // Where an insertion is, if it is there whole.
    fn place(&self, id: &ObjId, insertion: &Insertion, text: &str) -> Option<usize> {
        let letter = |counter: u64| {
            let actor = automerge::ActorId::from(&insertion.actor[..]);
            let cursor = Cursor::try_from(format!("{counter}@{}", actor.to_hex_string())).ok()?;
            let at = self.am.get_cursor_position(id, &cursor, None).ok()?;
            let (_, found) = self.am.get(id, at).ok()??;
            (found == ObjId::Id(counter, actor, 0)).then_some(at)
        };
        let (first, last) = (letter(insertion.first)?, letter(insertion.last)?);
        let end = last + text.chars().next_back()?.len_utf8();
        (self.shown.text.get(first..end)? == text).then_some(first)
    }
}

// Which changes have, among these, one that they neither build on nor are built upon by. Bases come first.
fn beside(order: &[ChangeHash], deps: &BTreeMap<ChangeHash, Vec<ChangeHash>>) -> Vec<ChangeHash> {
    let numbers: BTreeMap<ChangeHash, usize> = order.iter().copied().zip(0..).collect();
    let words = order.len().div_ceil(64);
    let mut below = vec![0u64; words * order.len()];
    let mut related = vec![0usize; order.len()];
    for (n, hash) in order.iter().enumerate() {
        let mut row = vec![0u64; words];
        for dep in deps.get(hash).into_iter().flatten().filter_map(|dep| numbers.get(dep)) {
            row[dep / 64] |= 1 << (dep % 64);
            row.iter_mut().zip(&below[dep * words..(dep + 1) * words]).for_each(|(to, from)| *to |= from);
        }
        for at in 0..n {
            if row[at / 64] >> (at % 64) & 1 == 1 {
                related[at] += 1;
                related[n] += 1;
            }
        }
        below[n * words..(n + 1) * words].copy_from_slice(&row);
    }
    order.iter().zip(related).filter(|(_, n)| n + 1 < order.len()).map(|(hash, _)| *hash).collect()
}

/// A splice as it is found in a change again: the letters inserted, then the letters deleted.
#[derive(Default)]
struct Run {
    first: u64,
    last: u64,
    text: String,
    deleted: Vec<(u64, Vec<u8>)>,
}

fn replacements(change: &Change, id: &ObjId, out: &mut BTreeMap<Replacement, Vec<Insertion>>) {
    let mut run = Run::default();
    let mut close = |run: Run| {
        if run.text.is_empty() || run.deleted.is_empty() {
            return;
        }
        let mut deleted = run.deleted;
        deleted.sort();
        let actor = change.actor_id().to_bytes().to_vec();
        let at = (change.start_op().get(), counted(&actor));
        out.entry((deleted, run.text)).or_default().push(Insertion {
            at,
            actor,
            first: run.first,
            last: run.last,
        });
    };
    let expanded = change.decode();
    for (op, counter) in expanded.operations.iter().zip(change.start_op().get()..) {
        let here = matches!((&op.obj, id), (ObjectId::Id(a), ObjId::Id(counter, actor, _)) if a.0 == *counter && a.1 == *actor);
        let Key::Seq(element) = &op.key else { continue };
        if !here {
            continue;
        }
        match &op.action {
            OpType::Put(ScalarValue::Str(letter)) if op.insert => {
                let follows = matches!(element, ElementId::Id(OpId(n, actor))
                    if *n == run.last && actor == change.actor_id() && run.deleted.is_empty() && !run.text.is_empty());
                if !follows || counter != run.last + 1 {
                    close(std::mem::take(&mut run));
                    run.first = counter;
                }
                run.last = counter;
                run.text.push_str(letter);
            }
            OpType::Delete => {
                if let ElementId::Id(OpId(n, actor)) = element {
                    run.deleted.push((*n, actor.to_bytes().to_vec()));
                }
            }
            _ => {}
        }
    }
    close(run);
}
