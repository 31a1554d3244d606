//! Room for operations: nobody's junk takes the place of what counts, or of what another says.
//!
//! What counts and what admins say share one room. Everything else is kept for its signer's sake, in
//! room of their own: anybody with a key can sign, and any member can pass it on.

use super::codec::Body;
use super::error::{Error, Refusal};
use super::membership::{Held, Membership, Placed};
use super::operation::{Operation, SpaceKind};
use super::outcome::Outcome;
use super::people::People;
use super::role::Role;
use base::{DeviceId, Header, limit};

// Which room an operation takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    // It counts, or an admin says it for a later version.
    Effective,
    // Anybody else's for a later version.
    Later,
    Waiting,
    Refused,
}

impl Class {
    fn of(placed: Option<&Placed>) -> Class {
        match placed {
            None => Class::Waiting,
            Some(placed) => match &placed.outcome {
                Outcome::Counts => Class::Effective,
                Outcome::Later if placed.by_admin => Class::Effective,
                Outcome::Later => Class::Later,
                Outcome::Waits(_) => Class::Waiting,
                Outcome::Refused(_) => Class::Refused,
            },
        }
    }
}

impl Membership {
    // Why an operation can never count, whatever else is known.
    pub(super) fn never_counts(&self, header: &Header, body: &Body<Operation>) -> Option<Refusal> {
        match body {
            Body::Known(Operation::Genesis { .. }) if !header.is_genesis() => Some(Refusal::SecondBeginning),
            Body::Known(Operation::Genesis { .. }) => None,
            _ if header.auth.is_empty() => Some(Refusal::NoHeads),
            Body::Known(Operation::Add { role, .. })
                if self.kind() == SpaceKind::Home && *role != Role::Host =>
            {
                Some(Refusal::Home)
            }
            _ => None,
        }
    }

    // What becomes of an operation that there is no room for; none if there is.
    pub(super) fn crowded(&self, held: &Held, people: &People) -> Result<Option<Outcome>, Error> {
        let header = held.entry.header();
        let all_here = header.auth.iter().all(|hash| self.placed(hash).is_some());
        let placed = all_here.then(|| self.judge_operation(held, people));
        let class = Class::of(placed.as_ref());
        let crowded = match class {
            Class::Effective if self.room_taken(class, &|_| true).0 >= limit::OPERATIONS => {
                let limit = limit::OPERATIONS;
                return Err(base::Error::Limit { what: "number of membership operations", limit }.into());
            }
            Class::Effective => false,
            Class::Waiting => self.is_crowded(class, limit::WAITING, held, people),
            Class::Later | Class::Refused => self.is_crowded(class, limit::IDLE, held, people),
        };
        Ok(match placed {
            _ if !crowded => None,
            Some(Placed { outcome: outcome @ Outcome::Refused(_), .. }) => Some(outcome),
            _ => Some(Outcome::Refused(Refusal::Crowded)),
        })
    }

    // A person's devices share their room; so do all devices that are nobody's, each within its own.
    fn is_crowded(&self, class: Class, most: usize, held: &Held, people: &People) -> bool {
        let signer = held.entry.header().log.device;
        let size = held.entry.bytes().len();
        let full = |(count, bytes): (usize, usize), most: usize, most_bytes: usize| {
            count >= most || bytes + size > most_bytes
        };
        match people.person_of(&signer) {
            Some(person) => {
                let taken = self.room_taken(class, &|other| people.person_of(other) == Some(person));
                full(taken, most, limit::IDLE_BYTES)
            }
            None => {
                let own = self.room_taken(class, &|other| *other == signer);
                let all = self.room_taken(class, &|other| people.person_of(other).is_none());
                full(own, most, limit::IDLE_BYTES) || full(all, limit::WAITING_UNKNOWN, 4 * limit::IDLE_BYTES)
            }
        }
    }

    // How many operations of a class these signers have here, and their bytes.
    fn room_taken(&self, class: Class, signers: &dyn Fn(&DeviceId) -> bool) -> (usize, usize) {
        let same = |held: &&Held| {
            Class::of(held.placed.as_ref()) == class && signers(&held.entry.header().log.device)
        };
        let sizes = self.held.values().filter(same).map(|held| held.entry.bytes().len());
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }
}
