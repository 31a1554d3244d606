//! Changes from elsewhere: vetted, put in causal order, applied under guard.

use super::{BORN, Doc, load_saved, redo, room, show, text};
use crate::error::{Error, Result};
use crate::heads::{Clock, counted};
use crate::kind::Type;
use crate::vet::{self, Refusal, Vetted};
use automerge::{Automerge, Change, ChangeHash, PatchLog, ReadDoc};
use base::{Actor, DoorId};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Changes of one document that may wait for others they build on.
const WAITING: usize = 4096;

/// Changes in an order in which they can be applied.
#[derive(Default)]
struct Ready {
    changes: Vec<Given>,
    /// Each with the number of its last operation.
    hashes: BTreeMap<ChangeHash, u64>,
    clock: Clock,
    last_ops: BTreeMap<Actor, u64>,
}

impl Ready {
    fn add(&mut self, index: Option<usize>, change: Vetted) {
        let last_op = change.change.max_op();
        self.clock.insert(change.actor, change.seq);
        self.last_ops.insert(change.actor, last_op);
        self.hashes.insert(change.hash, last_op);
        self.changes.push((index, change));
    }
}

enum Fit {
    Known,
    Now,
    Later(Missing),
    /// And never, whatever comes: so what waited and was dropped is dropped again when an image is loaded.
    Not(Refusal),
}

/// What a change waits for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Change(ChangeHash),
    /// An actor's change of this number.
    Number(Actor, u64),
}

/// A change, and which of those given it is, if it is one of them.
type Given = (Option<usize>, Vetted);

/// A change that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of the changes given.
    pub index: usize,
    /// Why.
    pub why: Refusal,
}

/// What came of changes from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Whether the document has a new version.
    pub changed: bool,
    /// How many changes became part of it, those included that waited.
    pub taken: usize,
    /// How many of those given wait now for others that are missing.
    pub waiting: usize,
    /// Those not taken.
    pub refused: Vec<Refused>,
    /// What to append to the stored image, in this order: [`Doc::load`] of the image then gives this document
    /// again. The changes that became part of it (those included that waited, since where they came in tells which of
    /// two of one number was first), then those given that wait now. Never one that was refused.
    pub append: Vec<Vec<u8>>,
    /// The doors that are new or different.
    pub doors: BTreeSet<DoorId>,
}

impl Doc {
    /// Applies changes from elsewhere, in any order; those known already are ignored. `allows` says
    /// whether an actor is the signer's of the entry that the changes came in.
    ///
    /// One bad change spoils no other: it is refused, with its index and why; so is one that the engine gives up on, and
    /// the document is as if it had not come. Errors: [`Error::Panicked`] where the document is broken already.
    pub fn apply(&mut self, changes: &[Vec<u8>], allows: &dyn Fn(&Actor) -> bool) -> Result<Applied> {
        let mut applied = Applied::default();
        let mut given: Vec<Given> = Vec::new();
        for (index, bytes) in changes.iter().enumerate() {
            match vet::vet(bytes, allows) {
                Ok(change) => given.push((Some(index), change)),
                Err(why) => applied.refused.push(Refused { index, why }),
            }
        }
        self.guard(|doc| {
            let ready = doc.order(Ready::default(), given, &mut applied);
            doc.give(ready, &mut applied);
            Ok(())
        })?;
        applied.refused.sort_by_key(|refused| refused.index);
        Ok(applied)
    }

    /// Takes what was appended to an image, in the order in which it was taken then. A change that waited and was taken
    /// later comes a second time where that happened; one that was dropped instead is dropped again.
    pub(super) fn replay(&mut self, changes: Vec<&[u8]>) -> Result<()> {
        self.guard(|doc| {
            let mut ready = Ready::default();
            let mut held = Vec::new();
            for bytes in changes {
                let change = vet::vet(bytes, &|_| true).map_err(|_| Error::Image)?;
                match doc.fits(&ready, &change) {
                    Fit::Now => ready.add(None, change),
                    Fit::Later(_) => held.push((None, change)),
                    Fit::Known | Fit::Not(_) => {}
                }
            }
            let mut applied = Applied::default();
            let ready = doc.order(ready, held, &mut applied);
            doc.give(ready, &mut applied);
            Ok(())
        })
    }

    // What can be applied, each after what it builds on; the rest waits. The engine gets nothing that it would
    // have to keep, or that does not follow its author's last.
    fn order(&mut self, mut ready: Ready, given: Vec<Given>, applied: &mut Applied) -> Ready {
        let waited: BTreeSet<ChangeHash> = self.waiting.iter().map(|change| change.hash).collect();
        let place = |change: &Vetted| (change.start_op, change.hash);
        let mut open: BTreeMap<(u64, ChangeHash), Given> = BTreeMap::new();
        for (index, change) in given.into_iter().chain(self.waiting.drain(..).map(|change| (None, change))) {
            open.entry(place(&change)).or_insert((index, change));
        }
        let mut blocked: BTreeMap<Missing, Vec<Given>> = BTreeMap::new();
        while let Some((_, (index, change))) = open.pop_first() {
            match self.fits(&ready, &change) {
                Fit::Known => {}
                Fit::Later(missing) => blocked.entry(missing).or_default().push((index, change)),
                Fit::Not(why) => applied.refused.extend(index.map(|index| Refused { index, why })),
                Fit::Now => {
                    let came = [Missing::Change(change.hash), Missing::Number(change.actor, change.seq)];
                    ready.add(index, change);
                    let free = came.iter().filter_map(|came| blocked.remove(came)).flatten();
                    open.extend(free.map(|given| (place(&given.1), given)));
                }
            }
        }
        // What was taken may be another of the same number as one that would wait.
        let mut rest: Vec<Given> = blocked.into_values().flatten().collect();
        rest.retain(|(index, change)| match self.fits(&ready, change) {
            Fit::Not(why) => {
                applied.refused.extend(index.map(|index| Refused { index, why }));
                false
            }
            _ => true,
        });
        self.wait(rest, &waited, applied);
        ready
    }

    fn fits(&self, ready: &Ready, change: &Vetted) -> Fit {
        let known = |hash: &ChangeHash| ready.hashes.contains_key(hash) || has(&self.am, hash);
        let last =
            |actor: &Actor| ready.clock.get(actor).or_else(|| self.clock.get(actor)).copied().unwrap_or(0);
        if known(&change.hash) {
            return Fit::Known;
        }
        if change.seq <= last(&change.actor) {
            return Fit::Not(Refusal::Sequence);
        }
        if self.shown.born.kind == Type::Room && change.change.len() > room::OPS {
            return Fit::Not(Refusal::Inflated);
        }
        if let Some(dep) = change.deps.iter().find(|dep| !known(dep)) {
            return Fit::Later(Missing::Change(*dep));
        }
        if last(&change.actor) != change.seq - 1 {
            return Fit::Later(Missing::Number(change.actor, change.seq - 1));
        }
        if !self.follows(ready, change) {
            return Fit::Not(Refusal::Sequence);
        }
        // The engine takes it for granted that it knows whoever an operation names.
        let mut named = change.change.other_actor_ids().iter().map(|other| counted(other.to_bytes()));
        match named.find(|other| other.0 != BORN && last(other) == 0) {
            Some(other) => Fit::Later(Missing::Number(other, 1)),
            None => Fit::Now,
        }
    }

    // Whether a change, all of whose past is here, builds on its author's last one and numbers its operations above
    // all that it builds on. The engine would take others, and not load what it saves then.
    fn follows(&self, ready: &Ready, change: &Vetted) -> bool {
        let engine = |hash: &ChangeHash| self.am.get_change_meta_by_hash(hash).map(|change| change.max_op);
        let last_op =
            |hash: &ChangeHash| ready.hashes.get(hash).copied().or_else(|| engine(hash)).unwrap_or(0);
        let past = change.deps.iter().map(last_op).max().unwrap_or(0);
        let own = ready.last_ops.get(&change.actor).or_else(|| self.last_ops.get(&change.actor));
        change.start_op > past && own.is_none_or(|own| *own <= past)
    }

    // Those that waited already come first: nobody who sends more takes their place.
    fn wait(&mut self, mut rest: Vec<Given>, waited: &BTreeSet<ChangeHash>, applied: &mut Applied) {
        rest.sort_by_key(|(_, change)| (!waited.contains(&change.hash), change.start_op, change.hash));
        for (index, change) in rest {
            if self.waiting.len() >= WAITING {
                applied.refused.extend(index.map(|index| Refused { index, why: Refusal::Crowded }));
                continue;
            }
            applied.waiting += usize::from(index.is_some());
            if !waited.contains(&change.hash) {
                applied.append.push(change.change.raw_bytes().to_vec());
            }
            self.waiting.push(change);
        }
    }

    // All at once; where that fails, by halves, until those that the engine cannot take stand alone.
    fn give(&mut self, ready: Ready, applied: &mut Applied) {
        let mut append = Vec::new();
        let mut parts = vec![ready.changes];
        let mut spoilt = false;
        while let Some(mut part) = parts.pop() {
            if spoilt {
                self.leave_out(&mut part, applied);
            }
            if part.is_empty() {
                continue;
            }
            // Cheap: the engine shares what does not change.
            let before = self.clone();
            let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(&part)));
            if let Ok(Ok(doors)) = attempt {
                applied.doors.extend(doors);
                applied.taken += part.len();
                applied.changed = true;
                append.extend(part.iter().map(|(_, change)| change.change.raw_bytes().to_vec()));
                continue;
            }
            *self = before;
            spoilt = true;
            if let [(index, _)] = part.as_slice() {
                applied.refused.extend(index.map(|index| Refused { index, why: Refusal::Malformed }));
                continue;
            }
            let later = part.split_off(part.len() / 2);
            parts.extend([later, part]);
        }
        append.append(&mut applied.append);
        applied.append = append;
    }

    // What builds on a change that was just refused.
    fn leave_out(&self, part: &mut Vec<Given>, applied: &mut Applied) {
        let mut so_far = Ready::default();
        for (index, change) in std::mem::take(part) {
            match self.fits(&so_far, &change) {
                Fit::Now => so_far.add(index, change),
                Fit::Not(why) => applied.refused.extend(index.map(|index| Refused { index, why })),
                _ => applied.refused.extend(index.map(|index| Refused { index, why: Refusal::Malformed })),
            }
        }
        *part = so_far.changes;
    }

    fn attempt(&mut self, part: &[Given]) -> Result<BTreeSet<DoorId>> {
        let mut touched = BTreeSet::new();
        let before = self.am.get_heads();
        for (_, change) in part {
            self.count(change.actor, change.seq, change.change.max_op());
            self.remember(change.hash);
            if self.shown.born.kind == Type::Room {
                self.shown.doors.take(&change.change, &mut touched);
            }
        }
        if let ([(_, change)], Some(id)) = (part, self.shown.text_id())
            && let Some((am, text)) = redo::redo(&self.am, id, &self.shown.text, change)
        {
            self.am = am;
            show::again(&self.am, &mut self.shown, Some(text))?;
            return Ok(touched);
        }
        let mut log = match self.shown.text_id() {
            Some(_) => PatchLog::active(),
            None => PatchLog::inactive(),
        };
        let changes: Vec<Change> = part.iter().map(|(_, change)| change.change.clone()).collect();
        self.am.apply_changes_log_patches(changes, &mut log)?;
        if !again(&self.am, &before, part) {
            return Err(Error::Image);
        }
        // The engine takes changes after which it cannot load what it saves. In rooms, which may be large, operations
        // are few and plain, and looked at one by one.
        if self.shown.born.kind != Type::Room && !loads(&self.am) {
            return Err(Error::Image);
        }
        let text = text::patched(&self.am, &mut log, &self.shown);
        show::again(&self.am, &mut self.shown, text)?;
        Ok(touched)
    }
}

// Whether the engine makes the same changes again of the operations that it took from them: that is how it loads what
// it saved.
fn again(am: &Automerge, before: &[ChangeHash], part: &[Given]) -> bool {
    let made: Vec<Change> = match part {
        [(_, change)] => am.get_change_by_hash(&change.hash).into_iter().collect(),
        _ => am.get_changes(before),
    };
    let made: BTreeSet<&[u8]> = made.iter().map(Change::raw_bytes).collect();
    part.iter().all(|(_, change)| made.contains(change.change.raw_bytes()))
}

// Whether the engine loads what it saves.
fn loads(am: &Automerge) -> bool {
    load_saved(&am.save()).is_ok_and(|again| again.get_heads() == am.get_heads())
}

/// Whether the engine has a change.
pub(super) fn has(am: &Automerge, hash: &ChangeHash) -> bool {
    am.get_missing_deps(&[*hash]).is_empty()
}
