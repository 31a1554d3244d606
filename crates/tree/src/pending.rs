//! What is to be replayed and was not yet: at most one thing a name and one an object, in the order in which
//! they were first heard of, and no more of them than a bound.

use base::Oid;
use node::Target;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names and objects that wait at once; beyond that only the room is remembered.
pub(crate) const MOST: usize = 16_384;
/// How long a change waits for more of its kind, and for the other half of a move.
pub(crate) const SETTLES: Duration = Duration::from_millis(20);

/// A name in a room.
pub(crate) type Place = (Oid, Arc<str>);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Its attributes changed.
    Attr,
    /// Its bytes changed.
    Content,
    /// One and the other.
    Both,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A name no longer leads to where whoever watches believes it does.
    Name(Place, Option<Target>),
    /// An object changed.
    Object(Oid, Touch),
    /// Of a room it is only known that there was too much.
    Room(Oid),
}

#[derive(Clone, PartialEq, Eq)]
enum Item {
    Name(Place),
    Object(Oid),
}

/// The queue.
#[derive(Default)]
pub(crate) struct Pending {
    next: u64,
    order: BTreeMap<u64, (Instant, Item)>,
    // Where the name led when whoever watches last heard of it.
    names: BTreeMap<Place, (u64, Option<Target>)>,
    objects: HashMap<Oid, (u64, Touch)>,
    left: HashMap<Oid, Place>,
    arrived: HashMap<Oid, Place>,
    flooded: BTreeSet<Oid>,
}

impl Pending {
    /// A name leads to something else than `before`. False: there is too much already, and only the room is kept.
    pub(crate) fn name(
        &mut self,
        room: Oid,
        name: &str,
        before: Option<Target>,
        after: Option<Oid>,
        now: Instant,
    ) -> bool {
        let place: Place = (room, name.into());
        if !self.names.contains_key(&place) {
            if self.is_full() {
                return !self.flooded.insert(room);
            }
            let number = self.queue(Item::Name(place.clone()), now);
            self.names.insert(place.clone(), (number, before));
            if let Some(Target::Object(oid)) = before {
                self.left.insert(oid, place.clone());
            }
        }
        if let Some(oid) = after {
            // Only a hint, which is looked at again before it is used.
            if self.arrived.len() >= 2 * MOST {
                self.arrived.clear();
            }
            self.arrived.insert(oid, place);
        }
        true
    }

    /// An object changed. False: there is too much already, and this is not kept.
    pub(crate) fn object(&mut self, oid: Oid, touch: Touch, now: Instant) -> bool {
        if let Some((_, before)) = self.objects.get_mut(&oid) {
            if *before != touch {
                *before = Touch::Both;
            }
            return true;
        }
        if self.is_full() {
            return false;
        }
        let number = self.queue(Item::Object(oid), now);
        self.objects.insert(oid, (number, touch));
        true
    }

    /// So much happened that it is only known to have been in this room.
    pub(crate) fn room(&mut self, room: Oid) {
        self.flooded.insert(room);
    }

    /// When the next is due; none: there is nothing.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.order.first_key_value() {
            Some((_, (due, _))) => Some(*due),
            None => self.flooded.first().map(|_| Instant::now()),
        }
    }

    /// Takes what is due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Due> {
        let Some((_, (due, item))) = self.order.first_key_value() else {
            return self.flooded.pop_first().map(Due::Room);
        };
        if *due > now {
            return None;
        }
        match item.clone() {
            Item::Name(place) => self.take_name(&place).map(|believed| Due::Name(place, believed)),
            Item::Object(oid) => self.take_object(&oid).map(|touch| Due::Object(oid, touch)),
        }
    }

    /// Takes a name, wherever it stands; where it is believed to lead.
    pub(crate) fn take_name(&mut self, place: &Place) -> Option<Option<Target>> {
        let (number, believed) = self.names.remove(place)?;
        self.order.remove(&number);
        if let Some(Target::Object(oid)) = believed
            && self.left.get(&oid) == Some(place)
        {
            self.left.remove(&oid);
        }
        if self.names.is_empty() {
            self.arrived.clear();
        }
        Some(believed)
    }

    /// Takes an object, wherever it stands.
    pub(crate) fn take_object(&mut self, oid: &Oid) -> Option<Touch> {
        let (number, touch) = self.objects.remove(oid)?;
        self.order.remove(&number);
        Some(touch)
    }

    /// Where a pending name is believed to lead; none: the name is not pending.
    pub(crate) fn believed(&self, place: &Place) -> Option<Option<Target>> {
        self.names.get(place).map(|(_, believed)| *believed)
    }

    /// Whoever watches believes now that the pending name leads nowhere.
    pub(crate) fn emptied(&mut self, place: &Place) {
        if let Some((_, believed)) = self.names.get_mut(place)
            && let Some(Target::Object(oid)) = believed.take()
        {
            self.left.remove(&oid);
        }
    }

    /// The pending name that is believed to lead to an object.
    pub(crate) fn left(&self, oid: &Oid) -> Option<&Place> {
        self.left.get(oid)
    }

    /// The pending name that last was said to lead to an object.
    pub(crate) fn arrived(&self, oid: &Oid) -> Option<&Place> {
        self.arrived.get(oid).filter(|place| self.names.contains_key(*place))
    }

    /// The pending names of a room.
    pub(crate) fn within(&self, room: Oid) -> Vec<Place> {
        let from: Place = (room, "".into());
        self.names.range(from..).take_while(|(place, _)| place.0 == room).map(|(p, _)| p.clone()).collect()
    }

    fn is_full(&self) -> bool {
        self.order.len() >= MOST
    }

    fn queue(&mut self, item: Item, now: Instant) -> u64 {
        self.next += 1;
        self.order.insert(self.next, (now + SETTLES, item));
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, SpaceId};

    fn oid(n: u8) -> Oid {
        Oid { space: SpaceId([1; 32]), object: ObjectId([n; 16]) }
    }

    fn place(name: &str) -> Place {
        (oid(0), name.into())
    }

    const fn to(oid: Oid) -> Option<Target> {
        Some(Target::Object(oid))
    }

    #[test]
    fn many_changes_are_one_and_keep_their_place() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.object(oid(1), Touch::Attr, now);
        pending.name(oid(0), "a", None, Some(oid(2)), now);
        pending.object(oid(1), Touch::Content, now);
        pending.object(oid(1), Touch::Attr, now);
        pending.name(oid(0), "a", to(oid(2)), None, now);
        assert_eq!(pending.take(now), None, "it waits for more");
        let later = now + SETTLES;
        assert_eq!(pending.take(later), Some(Due::Object(oid(1), Touch::Both)));
        assert_eq!(pending.take(later), Some(Due::Name(place("a"), None)), "what was believed at first");
        assert_eq!((pending.take(later), pending.due()), (None, None));
    }

    #[test]
    fn the_halves_of_a_move_find_each_other() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.name(oid(0), "old", to(oid(1)), None, now);
        pending.name(oid(9), "new", None, Some(oid(1)), now);
        assert_eq!(pending.left(&oid(1)), Some(&place("old")));
        assert_eq!(pending.arrived(&oid(1)), Some(&(oid(9), "new".into())));
        assert_eq!(pending.within(oid(9)), [(oid(9), Arc::from("new"))]);
        assert_eq!(pending.take_name(&(oid(9), "new".into())), Some(None));
        assert_eq!(pending.arrived(&oid(1)), None);
        pending.emptied(&place("old"));
        assert_eq!((pending.left(&oid(1)), pending.believed(&place("old"))), (None, Some(None)));
    }

    #[test]
    fn a_flood_is_bounded_and_leaves_its_rooms() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for n in 0..MOST {
            assert!(pending.name(oid(0), &n.to_string(), None, Some(oid(1)), now));
        }
        assert!(!pending.name(oid(7), "one more", None, None, now));
        assert!(!pending.object(oid(3), Touch::Content, now));
        assert!(pending.name(oid(0), "0", None, None, now), "what waits already is no more");
        let mut taken = 0;
        while let Some(Due::Name(..)) = pending.take(now + SETTLES) {
            taken += 1;
        }
        assert_eq!((taken, pending.take(now)), (MOST, None));
        pending.room(oid(8));
        assert_eq!(pending.take(now), Some(Due::Room(oid(8))));
        assert!(pending.arrived.is_empty() && pending.left.is_empty());
    }
}
