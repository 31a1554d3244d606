//! What processes lately moved or removed: a name that one empties and fills again keeps its object.

use crate::process::ProcessKey;
use base::Oid;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Moves and removals remembered.
const DEPARTURES: usize = 256;
/// How long a name that a process emptied waits for the same process to fill it again.
const RETURNS_WITHIN: Duration = Duration::from_secs(10);

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

    fn oid(n: u8) -> Oid {
        Oid { space: SpaceId([0; 32]), object: ObjectId([n; 16]) }
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
