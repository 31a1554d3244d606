//! Plays a scenario and counts.

use crate::expect;
use crate::figure::Figures;
use crate::run::Event;
use crate::scenario::{Saying, Scenario};
use crate::setup::{Plan, Stage, stage};
use crate::world::{Counts, TAG, World};
use base::ChunkId;
use std::collections::BTreeSet;
use sync::Input;

/// Something that the scenario does.
enum Act {
    Write { by: Option<usize>, size: usize },
    Crash { of: Option<usize>, down: u64 },
    Restart { node: usize },
    Want { node: usize, ids: Vec<ChunkId> },
    Part { sides: Vec<Vec<usize>> },
    Heal,
    Say { node: usize, says: Saying, n: u64 },
    Announce { node: usize },
}

/// What a scenario left.
pub struct Played {
    /// What it cost.
    pub figures: Figures,
    /// Bounds that were broken, in words.
    pub broken: Vec<String>,
    /// A checksum of everything that happened.
    pub trace: u64,
    /// The world at its end.
    pub world: World,
}

struct Play<'a> {
    scenario: &'a Scenario,
    world: World,
    plans: Vec<Plan>,
    honest: Vec<usize>,
    parted: Vec<Vec<usize>>,
    acts: Vec<Act>,
    last_write: u64,
    wanted: usize,
    made: usize,
}

/// Plays it from its seed to its end.
pub fn play(scenario: &Scenario) -> Played {
    let writes = scenario.writes.iter().map(|w| w.first.0 + w.every.0 * w.count as u64);
    let talk = scenario.hostile.iter().map(|h| h.first.0 + h.every.0 * h.count as u64);
    let busy = writes.chain(talk).max().unwrap_or(0);
    let length = scenario.settle.0 + busy + scenario.within.0 + scenario.idle.0 + 60_000;
    let Stage { world, start, plans, honest, chunk_ids } = stage(scenario, length);
    let wanted = scenario.chunks.iter().map(|c| c.count * c.wanted_by.len()).sum();
    let mut play = Play {
        scenario,
        world,
        plans,
        honest,
        parted: Vec::new(),
        acts: Vec::new(),
        last_write: start + scenario.settle.0,
        wanted,
        made: 0,
    };
    play.schedule(start + scenario.settle.0, &chunk_ids);
    play.run()
}

impl Play<'_> {
    fn act(&mut self, at: u64, act: Act) {
        self.acts.push(act);
        self.world.schedule(at, Event::Play { what: self.acts.len() - 1 });
    }

    fn schedule(&mut self, zero: u64, chunk_ids: &[Vec<ChunkId>]) {
        let scenario = self.scenario;
        for writes in &scenario.writes {
            for n in 0..writes.count {
                let by = writes.by.as_ref().map(|by| by[n % by.len()]);
                let at = zero + writes.first.0 + writes.every.0 * n as u64;
                self.act(at, Act::Write { by, size: writes.size.0 });
                self.last_write = self.last_write.max(at);
            }
        }
        for crashes in &scenario.crashes {
            for n in 0..crashes.count {
                let of = crashes.of.as_ref().map(|of| of[n % of.len()]);
                let at = zero + crashes.first.0 + crashes.every.0 * n as u64;
                self.act(at, Act::Crash { of, down: crashes.down.0 });
            }
        }
        for partition in &scenario.partitions {
            self.act(zero + partition.from.0, Act::Part { sides: partition.sides.clone() });
            self.act(zero + partition.until.0, Act::Heal);
            self.last_write = self.last_write.max(zero + partition.until.0);
        }
        for (chunks, ids) in scenario.chunks.iter().zip(chunk_ids) {
            for &node in &chunks.wanted_by {
                self.act(zero + chunks.when.0, Act::Want { node, ids: ids.clone() });
            }
        }
        for hostile in &scenario.hostile {
            self.act(self.world.now + 100, Act::Announce { node: hostile.node });
            for n in 0..hostile.count {
                let at = zero + hostile.first.0 + hostile.every.0 * n as u64;
                self.act(at, Act::Say { node: hostile.node, says: hostile.says, n: n as u64 });
            }
        }
    }

    fn run(mut self) -> Played {
        let zero = self.world.now + self.scenario.settle.0;
        self.run_to(zero);
        let settled = std::mem::take(&mut self.world.counts);
        self.run_to(self.last_write);
        let agreed = self.until_equal();
        let left = self.last_write + agreed.unwrap_or(self.scenario.within.0);
        // What is still under way belongs to it.
        self.run_to(left.max(self.world.now) + 2 * self.world.config.hello_period);
        let counts = std::mem::take(&mut self.world.counts);
        let mut figures = Figures::default();
        self.tell_agreement(&mut figures, agreed);
        self.tell_costs(&mut figures, &settled, &counts);
        self.tell_links(&mut figures);
        self.tell_idle(&mut figures);
        let broken = figures.broken(&self.scenario.at_most, &self.scenario.at_least);
        Played { figures, broken, trace: self.world.trace, world: self.world }
    }

    fn run_to(&mut self, end: u64) {
        while let Some(what) = self.world.run_to_play(end) {
            self.perform(what);
        }
    }

    // How long after the last write all had everything; none if they never had.
    fn until_equal(&mut self) -> Option<u64> {
        let within = self.scenario.within.0;
        let step = (within / 100_000).max(10);
        let end = self.last_write + within;
        loop {
            if self.done() {
                return Some(self.world.now - self.last_write);
            }
            if self.world.now >= end {
                return None;
            }
            self.run_to((self.world.now + step).min(end));
        }
    }

    fn done(&self) -> bool {
        let world = &self.world;
        let parts = self.honest.iter().map(|i| &world.nodes[*i]);
        let fetched: usize = parts.clone().map(|node| node.fetched.len()).sum();
        parts.clone().all(|node| node.up && node.volatile.is_empty())
            && fetched >= self.wanted
            && world.equal(&self.honest, TAG)
    }

    fn perform(&mut self, what: usize) {
        let world = &mut self.world;
        match &self.acts[what] {
            Act::Write { by, size } => {
                let size = *size;
                let by = by.unwrap_or_else(|| self.honest[world.below(self.honest.len() as u64) as usize]);
                if world.nodes[by].up {
                    self.made += 1;
                    world.edit(by, TAG, size);
                }
            }
            Act::Crash { of, down } => {
                let down = *down;
                let node = of.unwrap_or_else(|| self.honest[world.below(self.honest.len() as u64) as usize]);
                if world.nodes[node].up {
                    world.crash(node);
                    let at = world.now + down;
                    self.act(at, Act::Restart { node });
                    self.last_write = self.last_write.max(at);
                }
            }
            Act::Restart { node } => {
                let node = *node;
                world.restart(node);
                self.reconnect(Some(node));
            }
            Act::Want { node, ids } => {
                let (node, ids) = (*node, ids.clone());
                world.step(node, Input::ChunksWanted { tag: TAG, ids });
            }
            Act::Part { sides } => {
                self.parted = sides.clone();
                let apart: Vec<(usize, usize)> =
                    self.plans.iter().map(|p| (p.a, p.b)).filter(|(a, b)| self.are_apart(*a, *b)).collect();
                apart.into_iter().for_each(|(a, b)| self.world.cut(a, b));
            }
            Act::Heal => {
                self.parted.clear();
                self.reconnect(None);
            }
            Act::Say { node, says, n } => {
                let (node, says, n) = (*node, *says, *n);
                world.hostile(node, says, n);
            }
            Act::Announce { node } => {
                let node = *node;
                world.puppet_announces(node);
            }
        }
    }

    fn are_apart(&self, a: usize, b: usize) -> bool {
        let side = |i: usize| self.parted.iter().position(|side| side.contains(&i));
        side(a) != side(b)
    }

    // Brings up what is always there, of one node or of all.
    fn reconnect(&mut self, of: Option<usize>) {
        for n in 0..self.plans.len() {
            let Plan { a, b, link, windows } = &self.plans[n];
            let (a, b, link) = (*a, *b, *link);
            if windows.is_none() && of.is_none_or(|i| i == a || i == b) && !self.are_apart(a, b) {
                self.world.connect(a, b, link);
            }
        }
    }

    fn tell_agreement(&self, figures: &mut Figures, agreed: Option<u64>) {
        let period = self.world.config.hello_period as f64;
        let n = self.world.nodes.len();
        figures.add("agreed", f64::from(u8::from(agreed.is_some())));
        if let Some(ms) = agreed {
            figures.add("seconds_until_they_agreed", ms as f64 / 1000.0);
            let diameter = expect::diameter(n, &self.plans);
            figures.add("diameter", diameter as f64);
            figures.add("hello_periods_a_hop_of_diameter", ms as f64 / period / (diameter as f64).max(1.0));
        }
        if self.world.arrivals.is_some() {
            let lateness = expect::lateness(&self.world, &self.plans);
            figures.add("arrivals", lateness.arrivals as f64);
            figures.add("arrivals_a_contact_late", lateness.late as f64);
            figures.add("mean_minutes_after_the_first_chance", lateness.mean as f64 / 60_000.0);
            figures.add("most_minutes_after_the_first_chance", lateness.most as f64 / 60_000.0);
            let members: BTreeSet<usize> = self.honest.iter().copied().collect();
            let arrivals = self.world.arrivals.as_ref();
            let everywhere = arrivals.is_some_and(|a| expect::everywhere(a, &members));
            figures.add("everything_came_everywhere", f64::from(u8::from(everywhere)));
        }
    }

    fn tell_costs(&self, figures: &mut Figures, settled: &Counts, counts: &Counts) {
        let nodes = self.honest.len() as f64;
        let fresh = counts.entries_in - counts.duplicates;
        figures.add("entries_made", self.made as f64);
        figures.add("entries_delivered", fresh as f64);
        figures.add("duplicates_a_delivery", counts.duplicates as f64 / (fresh as f64).max(1.0));
        let on_links = counts.duplicates - counts.gossip_duplicates;
        figures.add("duplicates_on_links_a_delivery", on_links as f64 / (fresh as f64).max(1.0));
        figures.add("bytes_a_node", counts.total_bytes() as f64 / nodes);
        figures.add("gossip_bytes_a_node", counts.gossip_bytes as f64 / nodes);
        figures.add("gossip_messages", counts.gossip_out as f64);
        for kind in
            ["hello", "frontier", "want", "absent", "entries", "chunk", "part", "rest", "piece", "begun"]
        {
            let of =
                |all: &std::collections::BTreeMap<&'static str, u64>| all.get(kind).copied().unwrap_or(0);
            figures.add(format!("{kind}_envelopes"), of(&counts.envelopes) as f64);
            figures.add(format!("{kind}_bytes"), of(&counts.bytes) as f64);
        }
        let entries = ["entries", "piece"].iter().filter_map(|kind| counts.bytes.get(kind)).sum::<u64>();
        let talk = counts.bytes.values().sum::<u64>() - entries;
        figures.add("bytes_beside_entries_and_gossip", talk as f64);
        figures.add("worst_queue_bytes", counts.worst_queue.max(settled.worst_queue) as f64);
        let told: usize = self.honest.iter().map(|i| self.world.nodes[*i].misbehaved.len()).sum();
        figures.add("told_of_misbehaviour", told as f64);
        let forks: usize = self.honest.iter().map(|i| self.world.nodes[*i].sync.forks(&TAG).len()).sum();
        figures.add("forks_named", forks as f64);
    }

    fn tell_links(&self, figures: &mut Figures) {
        let audits: Vec<_> = self.world.audits.values().collect();
        if audits.is_empty() {
            return;
        }
        let sum =
            |of: &dyn Fn(&crate::Audit) -> u64| audits.iter().map(|audit| of(audit)).sum::<u64>() as f64;
        let (bytes, first, again) = (sum(&|a| a.bytes), sum(&|a| a.first), sum(&|a| a.again));
        let (cut_off, lost) = (sum(&|a| a.cut_off), sum(&|a| a.lost));
        figures.add("watched_bytes", bytes);
        figures.add("watched_first_time_share", first / bytes.max(1.0));
        figures.add("watched_again_bytes", again);
        figures.add("watched_cuts", sum(&|a| a.cuts) / 1.0);
        figures.add("watched_cut_off_bytes", cut_off);
        figures.add("watched_lost_bytes", lost);
        let beyond = (again - cut_off - lost).max(0.0);
        figures.add("watched_again_beyond_lost_share", beyond / first.max(1.0));
        figures.add("watched_needless_share", sum(&|a| a.needless) / first.max(1.0));
    }

    fn tell_idle(&mut self, figures: &mut Figures) {
        let idle = self.scenario.idle.0;
        if idle == 0 {
            return;
        }
        self.run_to(self.world.now + 60_000);
        self.world.counts = Counts::default();
        self.run_to(self.world.now + idle);
        let counts = &self.world.counts;
        let hellos = counts.envelopes.get("hello").copied().unwrap_or(0);
        let ends: usize = (0..self.world.nodes.len()).map(|i| self.world.links[i].len()).sum();
        let periods = idle as f64 / self.world.config.hello_period as f64;
        figures.add("idle_hellos_a_neighbour_and_period", hellos as f64 / (ends as f64).max(1.0) / periods);
        let gossip = counts.gossip_out;
        figures.add("idle_other_messages", (counts.total() - hellos + gossip) as f64);
    }
}
