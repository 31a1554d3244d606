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
            let late = plans.iter().any(|plan| a_contact_passed(plan, at, *node, *came));
            found.late += u64::from(late);
        }
    }
    found.mean = sum / found.arrivals.max(1);
    found
}

/// Entries that have come everywhere they should.
pub(crate) fn everywhere(arrivals: &BTreeMap<Hash, BTreeMap<usize, u64>>, members: &BTreeSet<usize>) -> bool {
    arrivals.values().all(|at| members.iter().all(|i| at.contains_key(i)))
}

// When something that is there now can leave over a link.
fn leaves(plan: &Plan, now: u64) -> Option<u64> {
    let Some(windows) = &plan.windows else { return Some(now) };
    windows.iter().find(|(_, until)| *until > now).map(|(from, _)| now.max(*from))
}

// Whether a link could have brought something to a node, and a whole contact of it more was over before it came.
fn a_contact_passed(plan: &Plan, at: &BTreeMap<usize, u64>, node: usize, came: u64) -> bool {
    if plan.a != node && plan.b != node {
        return false;
    }
    let had = at.get(&(plan.a + plan.b - node)).filter(|had| **had < came);
    let could = had.and_then(|had| leaves(plan, *had));
    let (Some(could), Some(windows)) = (could, &plan.windows) else { return false };
    windows.iter().any(|(from, until)| *from > could && *until + plan.link.latency < came)
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
        let late = |had: u64, came: u64| {
            let at = BTreeMap::from([(0, had), (1, came)]);
            plans.iter().any(|plan| a_contact_passed(plan, &at, 1, came))
        };
        assert!(!late(0, 206), "one contact after it could");
        assert!(late(0, 216));
        assert!(!late(150, 216), "only the contacts of a link that could bring it");
        // It was made during a contact, and lost until the end of the next.
        assert!(!late(109, 214) && late(109, 216));
        assert_eq!(diameter(3, &plans), 2);
    }
}
