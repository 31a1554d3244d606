//! What could be hoped for: the shortest way in hops, and in time over links that come and go.

use crate::setup::Plan;
use crate::world::World;
use base::Hash;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

/// The longest of the shortest ways between two nodes, in hops.
pub(crate) fn diameter(n: usize, plans: &[Plan]) -> usize {
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); n];
    for plan in plans {
        next[plan.a].push(plan.b);
        next[plan.b].push(plan.a);
    }
    let far = |from: usize| {
        let mut hops = vec![usize::MAX; n];
        let mut todo = VecDeque::from([from]);
        hops[from] = 0;
        while let Some(i) = todo.pop_front() {
            for &j in &next[i] {
                if hops[j] == usize::MAX {
                    hops[j] = hops[i] + 1;
                    todo.push_back(j);
                }
            }
        }
        hops.into_iter().filter(|h| *h != usize::MAX).max().unwrap_or(0)
    };
    (0..n).map(far).max().unwrap_or(0)
}

/// How late entries came, compared with what contacts allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    /// Arrivals looked at.
    pub(crate) arrivals: u64,
    /// Those that came after a whole contact more than they needed.
    pub(crate) late: u64,
    /// The most milliseconds between the first chance and the arrival.
    pub(crate) most: u64,
    /// The mean of those.
    pub(crate) mean: u64,
}

/// Compares each arrival with the first chance that the links gave.
pub(crate) fn lateness(world: &World, plans: &[Plan]) -> Lateness {
    let mut found = Lateness::default();
    let mut sum = 0;
    let Some(arrivals) = &world.arrivals else { return found };
    for at in arrivals.values() {
        let Some((author, made)) = at.iter().min_by_key(|(_, at)| **at) else { continue };
        let chance = first_chances(world.nodes.len(), plans, *author, *made);
        for (node, came) in at.iter().filter(|(node, _)| *node != author) {
            let could = chance[*node];
            let wait = came.saturating_sub(could);
            found.arrivals += 1;
            found.most = found.most.max(wait);
            sum += wait;
            let hop = last_hop(plans, at, *node, *came);
            found.late += u64::from(hop.is_some_and(|could| a_contact_passed(plans, *node, could, *came)));
        }
    }
    found.mean = sum / found.arrivals.max(1);
    found
}

/// Entries that have come everywhere they should.
pub(crate) fn everywhere(arrivals: &BTreeMap<Hash, BTreeMap<usize, u64>>, members: &BTreeSet<usize>) -> bool {
    arrivals.values().all(|at| members.iter().all(|i| at.contains_key(i)))
}

// When something could first have come to a node from one of those who had it before.
fn last_hop(plans: &[Plan], at: &BTreeMap<usize, u64>, node: usize, came: u64) -> Option<u64> {
    let mine = plans.iter().filter(|plan| plan.a == node || plan.b == node);
    mine.filter_map(|plan| {
        let had = *at.get(&(plan.a + plan.b - node)).filter(|had| **had < came)?;
        Some(leaves(plan, had)? + plan.link.latency)
    })
    .min()
}

// When something that is there now can leave over a link.
fn leaves(plan: &Plan, now: u64) -> Option<u64> {
    let Some(windows) = &plan.windows else { return Some(now) };
    windows.iter().find(|(_, until)| *until > now).map(|(from, _)| now.max(*from))
}

// Whether a contact of this node began after something could have come, and was over before it did.
fn a_contact_passed(plans: &[Plan], node: usize, could: u64, came: u64) -> bool {
    let mine = plans.iter().filter(|plan| plan.a == node || plan.b == node);
    mine.filter_map(|plan| Some((plan.windows.as_ref()?, plan.link.latency)))
        .flat_map(|(windows, latency)| windows.iter().map(move |(from, until)| (*from, until + latency)))
        .any(|(from, until)| from > could && until < came)
}

// When something could first be at each node: the earliest way over links that come and go.
fn first_chances(n: usize, plans: &[Plan], from: usize, at: u64) -> Vec<u64> {
    let mut best = vec![u64::MAX; n];
    best[from] = at;
    let mut heap = BinaryHeap::from([Reverse((at, from))]);
    while let Some(Reverse((now, i))) = heap.pop() {
        if now > best[i] {
            continue;
        }
        for plan in plans.iter().filter(|plan| plan.a == i || plan.b == i) {
            let j = plan.a + plan.b - i;
            let arrives = leaves(plan, now).map(|at| at + plan.link.latency).filter(|at| *at < best[j]);
            let Some(arrives) = arrives else { continue };
            best[j] = arrives;
            heap.push(Reverse((arrives, j)));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Link;

    fn plan(a: usize, b: usize, latency: u64, windows: Option<Vec<(u64, u64)>>) -> Plan {
        Plan { a, b, link: Link { latency, ..Link::LAN }, windows }
    }

    #[test]
    fn the_first_chance_waits_for_contacts_on_the_way() {
        let plans = [
            plan(0, 1, 5, Some(vec![(100, 110), (200, 210)])),
            plan(1, 2, 50, Some(vec![(90, 104), (300, 400)])),
        ];
        assert_eq!(first_chances(3, &plans, 0, 0), [0, 105, 350]);
        assert_eq!(first_chances(3, &plans, 0, 150), [150, 205, 350]);
        assert!(!a_contact_passed(&plans, 1, 105, 206));
        assert!(a_contact_passed(&plans, 1, 105, 216));
        assert_eq!(diameter(3, &plans), 2);
    }
}
