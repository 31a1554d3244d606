//! What each process last read of each object, and what it lately moved or removed: the two things
//! that tell an editor's save from an ordinary write.

use crate::process::ProcessKey;
use base::Oid;
use lru::LruCache;
use node::Version;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// (process, object) pairs remembered.
const READS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Moves and removals remembered.
const DEPARTURES: usize = 256;
/// How long a name that a process emptied waits for the same process to fill it again.
const RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// A version that was read, and, where it held edits not yet committed, the working copy that will say
/// which version those became.
#[derive(Clone, Debug)]
struct Seen {
    version: Version,
    uncommitted: Option<u64>,
    // What was read before, where `version` was only read to be copied to a backup.
    buffer: Option<Version>,
}

/// The version that each process has in its buffers.
pub(crate) struct Reads {
    seen: LruCache<(ProcessKey, Oid), Seen>,
}

impl Reads {
    pub(crate) fn new() -> Reads {
        Reads { seen: LruCache::new(READS) }
    }

    /// A process has read, or written, exactly this version.
    pub(crate) fn note(&mut self, who: ProcessKey, oid: Oid, version: Version) {
        self.seen.put((who, oid), Seen { version, uncommitted: None, buffer: None });
    }

    /// A process has read this version plus edits that working copy `copy` still holds.
    pub(crate) fn note_uncommitted(&mut self, who: ProcessKey, oid: Oid, version: Version, copy: u64) {
        self.seen.put((who, oid), Seen { version, uncommitted: Some(copy), buffer: None });
    }

    /// A process has read this version to set a copy aside; in its buffers it has what it read before that.
    pub(crate) fn note_copied(
        &mut self,
        who: ProcessKey,
        oid: Oid,
        version: Version,
        before: Option<Version>,
    ) {
        self.seen.put((who, oid), Seen { version, uncommitted: None, buffer: before });
    }

    /// The working copy's edits became a version.
    pub(crate) fn committed(&mut self, copy: u64, version: &Version) {
        for (_, seen) in self.seen.iter_mut().filter(|(_, seen)| seen.uncommitted == Some(copy)) {
            *seen = Seen { version: version.clone(), uncommitted: None, buffer: seen.buffer.clone() };
        }
    }

    /// What a process has in its buffers of an object: what it saves in place is an edit of that.
    pub(crate) fn in_buffer(&mut self, who: Option<ProcessKey>, oid: Oid) -> Option<Version> {
        self.seen.get(&(who?, oid)).map(|seen| seen.buffer.as_ref().unwrap_or(&seen.version).clone())
    }

    /// What a process last read of an object: what it makes beside it and moves over it is an edit of that.
    pub(crate) fn last(&mut self, who: Option<ProcessKey>, oid: Oid) -> Option<Version> {
        self.seen.get(&(who?, oid)).map(|seen| seen.version.clone())
    }
}

/// How a name came to be free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// The object was renamed to here.
    Moved(Oid, String),
    /// The object's last door was removed.
    Removed,
}

struct Departed {
    who: ProcessKey,
    at: Instant,
    room: Oid,
    name: String,
    oid: Oid,
    how: Departure,
}

/// Names that processes lately emptied.
#[derive(Default)]
pub(crate) struct Departures {
    recent: VecDeque<Departed>,
}

impl Departures {
    /// A process took `oid` away from (`room`, `name`).
    pub(crate) fn note(
        &mut self,
        who: ProcessKey,
        room: Oid,
        name: &str,
        oid: Oid,
        how: Departure,
        now: Instant,
    ) {
        self.forget(room, name);
        if self.recent.len() >= DEPARTURES {
            self.recent.pop_front();
        }
        self.recent.push_back(Departed { who, at: now, room, name: name.to_owned(), oid, how });
    }

    /// What the same process lately took away from that name; asked once.
    pub(crate) fn take(
        &mut self,
        who: ProcessKey,
        room: Oid,
        name: &str,
        now: Instant,
    ) -> Option<(Oid, Departure)> {
        while self.recent.front().is_some_and(|old| now.duration_since(old.at) > RETURNS_WITHIN) {
            self.recent.pop_front();
        }
        let at = self.recent.iter().position(|d| d.who == who && d.room == room && d.name == name)?;
        self.recent.remove(at).map(|departed| (departed.oid, departed.how))
    }

    /// The name is taken by something else, or what was moved has moved on: nothing to return to.
    pub(crate) fn forget(&mut self, room: Oid, name: &str) {
        self.recent.retain(|d| {
            let moved_there = matches!(&d.how, Departure::Moved(to, at) if *to == room && at == name);
            !moved_there && (d.room != room || d.name != name)
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    const P: ProcessKey = ProcessKey { tgid: 7, start: 1 };
    const Q: ProcessKey = ProcessKey { tgid: 7, start: 2 };

    fn version(n: u8) -> Version {
        Version::new(vec![base::Hash([n; 32])])
    }

    fn oid(n: u8) -> Oid {
        Oid { space: SpaceId([0; 32]), object: ObjectId([n; 16]) }
    }

    #[test]
    fn a_version_read_before_its_commit_becomes_what_was_committed() {
        let mut reads = Reads::new();
        reads.note(P, oid(1), Version::default());
        reads.note_uncommitted(Q, oid(1), Version::default(), 9);
        assert_eq!(reads.last(Some(P), oid(2)), None);
        assert_eq!(reads.last(None, oid(1)), None);
        reads.committed(8, &Version::default());
        assert_eq!(reads.seen.peek(&(Q, oid(1))).unwrap().uncommitted, Some(9));
        reads.committed(9, &Version::default());
        assert_eq!(reads.seen.peek(&(Q, oid(1))).unwrap().uncommitted, None);
    }

    #[test]
    fn reading_for_a_backup_fills_no_buffer() {
        let (old, new) = (version(1), version(2));
        let mut reads = Reads::new();
        reads.note(P, oid(1), old.clone());
        reads.note_copied(P, oid(1), new.clone(), Some(old.clone()));
        assert_eq!(
            (reads.in_buffer(Some(P), oid(1)), reads.last(Some(P), oid(1))),
            (Some(old), Some(new.clone()))
        );
        reads.note_copied(P, oid(2), new.clone(), None);
        assert_eq!(reads.in_buffer(Some(P), oid(2)), Some(new));
    }

    #[test]
    fn the_table_of_reads_is_bounded() {
        let mut reads = Reads::new();
        for tgid in 0..5000 {
            reads.note(ProcessKey { tgid, start: 0 }, oid(1), Version::default());
        }
        assert_eq!(reads.seen.len(), READS.get());
    }

    #[test]
    fn only_the_same_process_soon_after_gets_its_name_back() {
        let now = Instant::now();
        let mut departures = Departures::default();
        let moved = Departure::Moved(oid(0), "f~".to_owned());
        departures.note(P, oid(0), "f", oid(1), moved.clone(), now);
        assert_eq!(departures.take(Q, oid(0), "f", now), None);
        assert_eq!(departures.take(P, oid(0), "g", now), None);
        assert_eq!(departures.take(P, oid(0), "f", now), Some((oid(1), moved.clone())));
        assert_eq!(departures.take(P, oid(0), "f", now), None);
        departures.note(P, oid(0), "f", oid(1), Departure::Removed, now);
        assert_eq!(departures.take(P, oid(0), "f", now + RETURNS_WITHIN * 2), None);
        departures.note(P, oid(0), "f", oid(1), moved, now);
        departures.forget(oid(0), "f~");
        assert!(departures.is_empty());
    }
}
