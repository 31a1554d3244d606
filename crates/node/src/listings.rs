//! Which listing of a room is the newest one: a number that is another one after each change of its names.

use base::Oid;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Rooms whose numbers are kept; with more, all of them count as changed.
const KEPT: usize = 65_536;

/// The numbers that were asked for since the rooms' names last changed.
#[derive(Default)]
pub(crate) struct Listings(Mutex<Numbers>);

#[derive(Default)]
struct Numbers {
    of: HashMap<Oid, u64>,
    last: u64,
}

impl Listings {
    /// The number of a room's listing as it is now: never 0, and never one that another listing had.
    pub(crate) fn number(&self, room: Oid) -> u64 {
        let mut numbers = self.0.lock();
        if let Some(number) = numbers.of.get(&room) {
            return *number;
        }
        if numbers.of.len() >= KEPT {
            numbers.of.clear();
        }
        numbers.last += 1;
        let number = numbers.last;
        numbers.of.insert(room, number);
        number
    }

    /// Names of these rooms lead elsewhere; to be said after they do. Who asked before and lists now lists too much
    /// for the number, never too little.
    pub(crate) fn changed(&self, rooms: impl Iterator<Item = Oid>) {
        let mut numbers = self.0.lock();
        if !numbers.of.is_empty() {
            for room in rooms {
                numbers.of.remove(&room);
            }
        }
    }

    /// Any room may list other names now.
    pub(crate) fn all_changed(&self) {
        self.0.lock().of.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    fn room(n: u32) -> Oid {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Oid { space: SpaceId([1; 32]), object: ObjectId(id) }
    }

    #[test]
    fn a_listing_keeps_its_number_until_a_name_changes() {
        let listings = Listings::default();
        let (first, other) = (listings.number(room(1)), listings.number(room(2)));
        assert!(first != other && first != 0 && other != 0);
        assert_eq!((listings.number(room(1)), listings.number(room(2))), (first, other));
        listings.changed([room(1)].into_iter());
        let second = listings.number(room(1));
        assert!(second != first && second != other);
        assert_eq!(listings.number(room(2)), other);
        listings.all_changed();
        assert!(![first, second, other].contains(&listings.number(room(2))));
    }

    #[test]
    fn no_more_rooms_are_kept_than_allowed() {
        let listings = Listings::default();
        let first = listings.number(room(0));
        for n in 1..=KEPT as u32 {
            listings.number(room(n));
        }
        assert!(listings.0.lock().of.len() <= KEPT);
        assert_ne!(listings.number(room(0)), first);
    }
}
