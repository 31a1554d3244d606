//! What each process last read of each object, and under which name: what it saves is an edit of that.
//!
//! A process that saves without having read is taken to know what the processes above it, and then what its session, read
//! last: `cat F; echo x > F` in one shell, `sed … F > G; mv G F`.

use crate::process::{ProcessKey, Who};
use base::Oid;
use lru::LruCache;
use node::Version;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Objects remembered of one process.
const OF_ONE: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// (process, object) pairs remembered in all.
const IN_ALL: usize = 16_384;
/// Versions remembered that a process has read without saving.
const EARLIER: usize = 4;
/// Names remembered of an object that a process has read.
const NAMES: usize = 4;

/// A name in a room.
pub(crate) type Place = (Oid, Arc<str>);

/// Who is remembered to have read something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    Process(ProcessKey),
    Session(ProcessKey),
}

/// A version that was read, and, where it held edits not yet committed, the working copy that will say
/// which version those became.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    pub(crate) uncommitted: Option<u64>,
    /// What was read before, where `version` was only read to be copied to a backup.
    pub(crate) buffer: Option<Version>,
    /// What a process below this one wrote as an edit of `version`.
    pub(crate) below: Option<Version>,
    /// What it read before without having saved since, the oldest first: it may have read again only to compare.
    pub(crate) earlier: Vec<Version>,
    /// The names under which it was read, the newest last.
    pub(crate) names: Vec<Place>,
}

/// What reading was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Exactly this version was read.
    Plain,
    /// Exactly this version was written.
    Written,
    /// It was added to what this version says, by somebody who need not have read that.
    Appended(Version),
    /// The version plus edits that this working copy still holds.
    Uncommitted(u64),
    /// To set a copy aside; in its buffers the process has what it read before that.
    Copying(Option<Version>),
}

/// The version that each process has in its buffers.
pub(crate) struct Reads {
    of: HashMap<Reader, LruCache<Oid, Seen>>,
    named: HashMap<Place, Vec<(ProcessKey, Oid)>>,
    // How many have read each.
    readers: HashMap<Oid, usize>,
    count: usize,
    fresh: HashSet<(ProcessKey, Oid)>,
}

impl Reads {
    pub(crate) fn new() -> Reads {
        Reads {
            of: HashMap::new(),
            named: HashMap::new(),
            readers: HashMap::new(),
            count: 0,
            fresh: HashSet::new(),
        }
    }

    /// A process has read, or written, a version. Who added to a version knows it whole only if it knew what it added to.
    pub(crate) fn note(&mut self, who: Who, oid: Oid, version: Version, reading: Reading) {
        if let Some(session) = who.session.map(Reader::Session)
            && self.knows_enough(session, oid, &reading)
        {
            self.put(session, oid, version.clone(), reading.clone());
        }
        let process = Reader::Process(who.process);
        if self.knows_enough(process, oid, &reading) {
            self.put(process, oid, version, reading);
            self.fresh.insert((who.process, oid));
        }
    }

    fn knows_enough(&self, reader: Reader, oid: Oid, reading: &Reading) -> bool {
        let Reading::Appended(to) = reading else { return true };
        self.of.get(&reader).and_then(|seen| seen.peek(&oid)).is_some_and(|seen| seen.version == *to)
    }

    /// Whether anybody is remembered to have read an object.
    pub(crate) fn is_known(&self, oid: Oid) -> bool {
        self.readers.contains_key(&oid)
    }

    /// The object was read under this name, and is what the process means by it.
    pub(crate) fn note_name(&mut self, process: ProcessKey, oid: Oid, place: Place) {
        let Some(seen) = self.of.get_mut(&Reader::Process(process)).and_then(|seen| seen.peek_mut(&oid))
        else {
            return;
        };
        let known = self.named.entry(place.clone()).or_default();
        match known.iter_mut().find(|(who, _)| *who == process) {
            Some((_, there)) if *there == oid => return,
            Some((_, there)) => *there = oid,
            None => known.push((process, oid)),
        }
        self.fresh.insert((process, oid));
        let dropped = (seen.names.len() >= NAMES).then(|| seen.names.remove(0));
        seen.names.retain(|name| *name != place);
        seen.names.push(place);
        if let Some(dropped) = dropped {
            self.unname(process, oid, &dropped);
        }
    }

    /// Somebody here gave a name to something else on purpose: nobody means by it any more what they read there.
    pub(crate) fn given(&mut self, room: Oid, name: &str) {
        if !self.named.is_empty() {
            self.named.remove(&(room, name.into()));
        }
    }

    /// A process read this back when an earlier run of the node served it.
    pub(crate) fn recall(&mut self, process: ProcessKey, oid: Oid, seen: Seen) {
        let (version, names, below) = (seen.version, seen.names, seen.below);
        self.put(
            Reader::Process(process),
            oid,
            version,
            seen.buffer.map_or(Reading::Plain, |b| Reading::Copying(Some(b))),
        );
        names.into_iter().for_each(|place| self.note_name(process, oid, place));
        if let Some(seen) = self.of.get_mut(&Reader::Process(process)).and_then(|seen| seen.peek_mut(&oid)) {
            seen.below = below;
        }
        self.fresh.remove(&(process, oid));
    }

    /// The working copy's edits became a version.
    pub(crate) fn committed(&mut self, copy: u64, version: &Version) {
        for (reader, table) in &mut self.of {
            for (oid, seen) in table.iter_mut().filter(|(_, seen)| seen.uncommitted == Some(copy)) {
                (seen.version, seen.uncommitted) = (version.clone(), None);
                if let Reader::Process(process) = reader {
                    self.fresh.insert((*process, *oid));
                }
            }
        }
    }

    /// A process below these wrote `version` as an edit of `base`. Others below one that goes by `base` go on from
    /// there, while it has in its own buffers what it had.
    pub(crate) fn written_below(
        &mut self,
        above: &[ProcessKey],
        oid: Oid,
        base: &Version,
        version: &Version,
    ) {
        for process in above {
            let seen = self.of.get_mut(&Reader::Process(*process)).and_then(|seen| seen.peek_mut(&oid));
            if let Some(seen) = seen.filter(|seen| seen.below.as_ref().unwrap_or(&seen.version) == base) {
                seen.below = Some(version.clone());
                self.fresh.insert((*process, oid));
            }
        }
    }

    /// What a process has in its buffers of an object: what it saves in place is an edit of that.
    pub(crate) fn in_buffer(&mut self, process: ProcessKey, oid: Oid) -> Option<Version> {
        let seen = self.seen(Reader::Process(process), oid)?;
        Some(seen.buffer.as_ref().unwrap_or(&seen.version).clone())
    }

    /// What a process last read of an object: what it makes beside it and moves over it is an edit of that.
    pub(crate) fn last(&mut self, process: ProcessKey, oid: Oid) -> Option<Version> {
        Some(self.seen(Reader::Process(process), oid)?.version.clone())
    }

    /// What a process had read before that, and may still have in its buffers.
    pub(crate) fn earlier(&mut self, process: ProcessKey, oid: Oid) -> Vec<Version> {
        self.seen(Reader::Process(process), oid).map(|seen| seen.earlier.clone()).unwrap_or_default()
    }

    /// What those below a process go by.
    pub(crate) fn lends(&mut self, process: ProcessKey, oid: Oid) -> Option<Version> {
        let seen = self.seen(Reader::Process(process), oid)?;
        Some(seen.below.as_ref().unwrap_or(&seen.version).clone())
    }

    /// What any process of a session last read or wrote of an object.
    pub(crate) fn in_session(&mut self, session: ProcessKey, oid: Oid) -> Option<Version> {
        Some(self.seen(Reader::Session(session), oid)?.version.clone())
    }

    /// What a process read under a name.
    pub(crate) fn under(&self, process: ProcessKey, room: Oid, name: &str) -> Option<Oid> {
        let known = self.named.get(&(room, name.into()))?;
        known.iter().find(|(who, _)| *who == process).map(|(_, oid)| *oid)
    }

    /// What was noted of processes since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> Vec<(ProcessKey, Oid, Option<Seen>)> {
        let fresh = std::mem::take(&mut self.fresh);
        let seen = |(process, oid): (ProcessKey, Oid)| {
            let seen = self.of.get(&Reader::Process(process)).and_then(|seen| seen.peek(&oid)).cloned();
            (process, oid, seen)
        };
        fresh.into_iter().map(seen).collect()
    }

    /// Everything counts as fresh again.
    pub(crate) fn freshen(&mut self) {
        for (reader, table) in &self.of {
            if let Reader::Process(process) = reader {
                self.fresh.extend(table.iter().map(|(oid, _)| (*process, *oid)));
            }
        }
    }

    fn seen(&mut self, reader: Reader, oid: Oid) -> Option<&Seen> {
        self.of.get_mut(&reader)?.get(&oid)
    }

    fn put(&mut self, reader: Reader, oid: Oid, version: Version, reading: Reading) {
        if self.count >= IN_ALL {
            self.make_room();
        }
        let table = self.of.entry(reader).or_insert_with(|| LruCache::new(OF_ONE));
        let before = table.pop(&oid);
        let had = before.is_some();
        self.count -= usize::from(had);
        *self.readers.entry(oid).or_default() += usize::from(!had);
        let Seen { names, mut earlier, version: old, .. } = before.unwrap_or_default();
        if had {
            earlier.retain(|known| *known != old && *known != version);
            earlier.extend((old != version).then_some(old));
            earlier.drain(..earlier.len().saturating_sub(EARLIER));
        }
        if reading == Reading::Written {
            earlier.clear();
        }
        let mut seen = Seen { version, names, earlier, ..Seen::default() };
        match reading {
            Reading::Plain | Reading::Written | Reading::Appended(_) => {}
            Reading::Uncommitted(copy) => seen.uncommitted = Some(copy),
            Reading::Copying(before) => seen.buffer = before,
        }
        let pushed = table.push(oid, seen);
        self.count += 1;
        if let Some((old, seen)) = pushed {
            self.forget(reader, old, seen);
        }
    }

    // The dead first: a search through everything must not make an editor's buffer forgotten.
    fn make_room(&mut self) {
        let alive = |reader: &Reader| match reader {
            Reader::Process(key) | Reader::Session(key) => crate::process::is_alive(*key),
        };
        let dead: Vec<Reader> = self.of.keys().filter(|reader| !alive(reader)).copied().collect();
        for reader in dead {
            self.forget_all(reader);
        }
        while self.count > IN_ALL / 2 {
            let Some(most) = self.of.iter().max_by_key(|(_, seen)| seen.len()).map(|(reader, _)| *reader)
            else {
                return;
            };
            let Some((oid, seen)) = self.of.get_mut(&most).and_then(LruCache::pop_lru) else { return };
            self.forget(most, oid, seen);
        }
    }

    fn forget_all(&mut self, reader: Reader) {
        let Some(table) = self.of.remove(&reader) else { return };
        for (oid, seen) in table {
            self.forget(reader, oid, seen);
        }
    }

    // What was dropped from a table is dropped from what goes by names.
    fn forget(&mut self, reader: Reader, oid: Oid, seen: Seen) {
        self.count -= 1;
        if let Entry::Occupied(mut readers) = self.readers.entry(oid) {
            *readers.get_mut() -= 1;
            if *readers.get() == 0 {
                readers.remove();
            }
        }
        let Reader::Process(process) = reader else { return };
        self.fresh.insert((process, oid));
        seen.names.iter().for_each(|place| self.unname(process, oid, place));
    }

    fn unname(&mut self, process: ProcessKey, oid: Oid, place: &Place) {
        if let Some(known) = self.named.get_mut(place) {
            known.retain(|known| *known != (process, oid));
            if known.is_empty() {
                self.named.remove(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    const P: ProcessKey = ProcessKey { tgid: 7, start: 1 };
    const Q: ProcessKey = ProcessKey { tgid: 7, start: 2 };
    const SHELL: ProcessKey = ProcessKey { tgid: 6, start: 1 };

    fn who(process: ProcessKey) -> Who {
        Who { process, session: Some(SHELL) }
    }

    fn version(n: u8) -> Version {
        Version::new(vec![base::Hash([n; 32])])
    }

    fn oid(n: u8) -> Oid {
        Oid { space: SpaceId([0; 32]), object: ObjectId([n; 16]) }
    }

    #[test]
    fn a_version_read_before_its_commit_becomes_what_was_committed() {
        let mut reads = Reads::new();
        reads.note(who(P), oid(1), version(1), Reading::Plain);
        reads.note(who(Q), oid(1), version(1), Reading::Uncommitted(9));
        assert_eq!(reads.last(P, oid(2)), None);
        reads.committed(8, &version(8));
        assert_eq!(reads.last(Q, oid(1)), Some(version(1)));
        reads.committed(9, &version(9));
        assert_eq!((reads.last(P, oid(1)), reads.last(Q, oid(1))), (Some(version(1)), Some(version(9))));
        assert_eq!(reads.in_session(SHELL, oid(1)), Some(version(9)));
    }

    #[test]
    fn reading_for_a_backup_fills_no_buffer() {
        let (old, new) = (version(1), version(2));
        let mut reads = Reads::new();
        reads.note(who(P), oid(1), old.clone(), Reading::Plain);
        reads.note(who(P), oid(1), new.clone(), Reading::Copying(Some(old.clone())));
        assert_eq!((reads.in_buffer(P, oid(1)), reads.last(P, oid(1))), (Some(old), Some(new.clone())));
        reads.note(who(P), oid(2), new.clone(), Reading::Copying(None));
        assert_eq!(reads.in_buffer(P, oid(2)), Some(new));
    }

    #[test]
    fn who_searches_everything_forgets_nobody_elses_buffer() {
        let mut reads = Reads::new();
        let me = ProcessKey { tgid: std::process::id(), start: 0 };
        reads.note(Who { process: P, session: None }, oid(1), version(1), Reading::Plain);
        for n in 0..40_000u32 {
            let mut object = [0; 16];
            object[..4].copy_from_slice(&n.to_be_bytes());
            let oid = Oid { space: SpaceId([0; 32]), object: ObjectId(object) };
            reads.note(Who { process: me, session: None }, oid, version(2), Reading::Plain);
            reads.note_name(me, oid, (oid, "f".into()));
        }
        assert_eq!(reads.last(P, oid(1)), Some(version(1)));
        assert!(reads.count <= IN_ALL && reads.named.len() <= OF_ONE.get());
        assert_eq!(reads.count, reads.of.values().map(LruCache::len).sum::<usize>());
        for n in 0..IN_ALL as u64 {
            reads.note(who(ProcessKey { tgid: u32::MAX, start: n }), oid(1), version(1), Reading::Plain);
        }
        assert!(reads.count <= IN_ALL);
        assert_eq!(reads.readers.values().sum::<usize>(), reads.count);
    }

    #[test]
    fn a_name_means_what_was_read_under_it_until_it_is_given_away_here() {
        let mut reads = Reads::new();
        let room = oid(0);
        reads.note(who(P), oid(1), version(1), Reading::Plain);
        reads.note_name(P, oid(1), (room, "f".into()));
        assert_eq!((reads.under(P, room, "f"), reads.under(Q, room, "f")), (Some(oid(1)), None));
        reads.note(who(P), oid(2), version(1), Reading::Plain);
        reads.note_name(P, oid(2), (room, "f".into()));
        assert_eq!(reads.under(P, room, "f"), Some(oid(2)));
        reads.given(room, "f");
        assert_eq!(reads.under(P, room, "f"), None);
        for n in 0..9 {
            reads.note_name(P, oid(1), (room, format!("{n}").into()));
        }
        assert_eq!((reads.under(P, room, "0"), reads.under(P, room, "8")), (None, Some(oid(1))));
    }

    #[test]
    fn what_one_below_wrote_the_next_below_goes_on_from() {
        let mut reads = Reads::new();
        reads.note(who(P), oid(1), version(1), Reading::Plain);
        assert_eq!(reads.lends(P, oid(1)), Some(version(1)));
        reads.written_below(&[SHELL, P], oid(1), &version(1), &version(2));
        assert_eq!((reads.lends(P, oid(1)), reads.last(P, oid(1))), (Some(version(2)), Some(version(1))));
        // With a friend's words between, which nobody here has read.
        reads.written_below(&[P], oid(1), &version(7), &version(8));
        assert_eq!(reads.lends(P, oid(1)), Some(version(2)));
        reads.note(who(P), oid(1), version(3), Reading::Plain);
        assert_eq!(reads.lends(P, oid(1)), Some(version(3)));
    }

    #[test]
    fn who_adds_to_what_it_has_not_read_knows_no_more_than_before() {
        let mut reads = Reads::new();
        reads.note(who(P), oid(1), version(1), Reading::Plain);
        reads.note(who(Q), oid(1), version(2), Reading::Appended(version(1)));
        assert_eq!((reads.last(Q, oid(1)), reads.in_session(SHELL, oid(1))), (None, Some(version(2))));
        reads.note(who(P), oid(1), version(4), Reading::Appended(version(3)));
        assert_eq!(
            (reads.last(P, oid(1)), reads.in_session(SHELL, oid(1))),
            (Some(version(1)), Some(version(2)))
        );
    }

    #[test]
    fn what_is_recalled_is_not_news() {
        let mut reads = Reads::new();
        reads.note(who(P), oid(1), version(1), Reading::Plain);
        reads.note_name(P, oid(1), (oid(0), "f".into()));
        let mut fresh = reads.take_fresh();
        let (process, object, seen) = fresh.pop().unwrap();
        assert!(fresh.is_empty() && reads.take_fresh().is_empty());
        let mut again = Reads::new();
        again.recall(process, object, seen.unwrap());
        assert!(again.take_fresh().is_empty());
        assert_eq!((again.last(P, oid(1)), again.under(P, oid(0), "f")), (Some(version(1)), Some(oid(1))));
        again.freshen();
        assert_eq!(again.take_fresh().len(), 1);
    }
}
