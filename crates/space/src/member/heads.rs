//! What a new entry names as what its author knew.

use super::membership::{Grant, Membership, Placed};
use super::outcome::Outcome;
use super::past::Past;
use base::{Hash, PersonId, limit};
use std::cmp::Reverse;
use std::collections::BTreeSet;

#[derive(Clone, Copy)]
struct Live<'a> {
    hash: Hash,
    placed: &'a Placed,
}

impl Live<'_> {
    fn knows(&self, place: usize) -> bool {
        self.placed.place == place || self.placed.past.contains(place)
    }

    // The deepest first, then by hash.
    fn order(&self) -> (Reverse<u64>, Hash) {
        (Reverse(self.placed.depth), self.hash)
    }
}

// Those that no other of them builds on, the deepest first.
fn newest<'a>(live: &[Live<'a>]) -> Vec<Live<'a>> {
    let mut past = Past::default();
    for one in live {
        past.join(&one.placed.past);
    }
    let mut newest: Vec<Live<'a>> =
        live.iter().filter(|one| !past.contains(one.placed.place)).copied().collect();
    newest.sort_by_key(Live::order);
    newest
}

impl Membership {
    /// The newest operations, sorted: what a new entry names in `auth`; at most `limit::AUTH`.
    ///
    /// First those that count; where there are more, such that what gave the present members their
    /// roles is among what they build on, for as many members as possible. Then, as far as there is
    /// room, those of admins that take effect in a later version. What others say for a later version
    /// is in no heads: it could fill them.
    pub fn heads(&self) -> Vec<Hash> {
        let mut counting = Vec::new();
        let mut live = Vec::new();
        for (hash, held) in &self.held {
            let Some(placed) = held.placed.as_ref() else { continue };
            let one = Live { hash: *hash, placed };
            match placed.outcome {
                Outcome::Counts => {
                    counting.push(one);
                    live.push(one);
                }
                Outcome::Later if placed.by_admin => live.push(one),
                _ => {}
            }
        }
        let mut heads = newest(&counting);
        if heads.len() > limit::AUTH {
            heads = self.covering(&heads);
        }
        for one in newest(&live).into_iter().filter(|one| one.placed.outcome == Outcome::Later) {
            let rest: Vec<Live<'_>> =
                heads.iter().filter(|head| !one.knows(head.placed.place)).copied().collect();
            if rest.len() < limit::AUTH {
                heads = rest;
                heads.push(one);
            }
        }
        let mut heads: Vec<Hash> = heads.into_iter().map(|head| head.hash).collect();
        heads.sort();
        heads
    }

    // Of too many heads those that together know what gave the most members their role; the rest of
    // the room goes to the deepest.
    fn covering<'a>(&self, heads: &[Live<'a>]) -> Vec<Live<'a>> {
        let members = self.members();
        let highest = |grant: &&Grant| members.get(&grant.person) == Some(&grant.role);
        let grants: Vec<&Grant> = self.grants.iter().filter(highest).collect();
        let known = |head: &Live<'a>| -> BTreeSet<PersonId> {
            grants.iter().filter(|grant| head.knows(grant.place)).map(|grant| grant.person).collect()
        };
        let mut left: Vec<(Live<'a>, BTreeSet<PersonId>)> =
            heads.iter().map(|head| (*head, known(head))).collect();
        let mut chosen = Vec::new();
        while chosen.len() < limit::AUTH {
            let best = (0..left.len()).max_by_key(|at| {
                let (head, known) = &left[*at];
                (known.len(), Reverse(head.order()))
            });
            let Some(best) = best else { break };
            let (head, covered) = left.swap_remove(best);
            for (_, known) in left.iter_mut().filter(|(_, known)| !known.is_empty()) {
                known.retain(|person| !covered.contains(person));
            }
            chosen.push(head);
        }
        chosen
    }
}
