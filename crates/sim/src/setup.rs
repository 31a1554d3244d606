//! A scenario's world before anything happens.

use crate::node::Chunk;
use crate::run::Event;
use crate::scenario::{Between, Fork, History, LinkSpec, Scenario, Shape, Tuning};
use crate::wire::Link;
use crate::world::{TAG, World, all};
use base::{ChunkId, DeviceId, Entry, Hash, Incarnation, LogId};
use std::collections::{BTreeMap, BTreeSet};
use sync::{Config, Input};

/// A link between two nodes, and when it is there.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) link: Link,
    /// From, until; nothing: always.
    pub(crate) windows: Option<Vec<(u64, u64)>>,
}

/// The world, and what was made for it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) start: u64,
    pub(crate) plans: Vec<Plan>,
    /// Nodes that answer for themselves.
    pub(crate) honest: Vec<usize>,
    pub(crate) chunk_ids: Vec<Vec<ChunkId>>,
}

fn config(tuning: &Tuning) -> Config {
    let mut config = Config::default();
    config.hello_period = tuning.hello_period.map_or(config.hello_period, |t| t.0);
    config.jitter = tuning.jitter.map_or(config.jitter, |t| t.0);
    config.patience = tuning.patience.map_or(config.patience, |t| t.0);
    config.flight_bytes = tuning.flight.map_or(config.flight_bytes, |s| s.0);
    config
}

fn link(spec: &LinkSpec) -> Link {
    Link { latency: spec.latency.0, loss: (spec.loss * 1000.0).round() as u64, bandwidth: spec.rate.0 }
}

/// Builds the world of a scenario that runs for `length` milliseconds at most.
pub(crate) fn stage(scenario: &Scenario, length: u64) -> Stage {
    let n = scenario.nodes;
    let mut world = World::with(n, scenario.seed, config(&scenario.config));
    world.store_delay = scenario.store_delay.0;
    let start = world.now;
    for &i in &scenario.blind {
        world.nodes[i].blind = true;
    }
    for hostile in &scenario.hostile {
        world.nodes[hostile.node].puppet = true;
    }
    for (from, to) in &scenario.watch {
        world.watch(*from, *to);
    }
    let plans = plans(&mut world, scenario, length);
    let honest: Vec<usize> = all(n).into_iter().filter(|i| !world.nodes[*i].puppet).collect();
    world.arrivals = plans.iter().any(|plan| plan.windows.is_some()).then(BTreeMap::new);
    let (before, since): (Vec<&History>, Vec<&History>) = scenario.history.iter().partition(|h| !h.since);
    let mut number = 0;
    for history in before {
        plant_history(&mut world, history, &mut number);
    }
    for fork in &scenario.forks {
        plant_fork(&mut world, fork);
    }
    let met: Vec<_> = (0..n).map(|i| world.tips(i, TAG)).collect();
    for history in since {
        plant_history(&mut world, history, &mut number);
    }
    let chunk_ids = plant_chunks(&mut world, scenario);
    for &i in &honest {
        world.hold(i, TAG);
    }
    for plan in &plans {
        for (i, j) in [(plan.a, plan.b), (plan.b, plan.a)] {
            world.allow(i, j, &[TAG]);
            if scenario.remember && !world.nodes[i].puppet {
                let peer = world.nodes[j].id;
                let frontiers = [(TAG, met[j].clone())].into();
                world.step(i, Input::Recall { peer, announced: [TAG].into(), frontiers });
            }
        }
    }
    for between in scenario.links.iter().filter(|b| b.one_way) {
        world.silence(between.between.1, between.between.0);
    }
    open(&mut world, scenario, &plans);
    Stage { world, start, plans, honest, chunk_ids }
}

fn plans(world: &mut World, scenario: &Scenario, length: u64) -> Vec<Plan> {
    let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
    let n = scenario.nodes;
    match scenario.shape {
        Shape::None => {}
        Shape::Mesh => pairs.extend((0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)))),
        Shape::Line => pairs.extend((1..n).map(|b| (b - 1, b))),
        Shape::Ring => pairs.extend((0..n).map(|a| (a.min((a + 1) % n), a.max((a + 1) % n)))),
        Shape::Random { degree } => {
            pairs.extend((0..n).map(|a| (a.min((a + 1) % n), a.max((a + 1) % n))));
            let most = (n * degree / 2).min(n * (n - 1) / 2);
            while pairs.len() < most {
                let (a, b) = (world.below(n as u64) as usize, world.below(n as u64) as usize);
                if a != b {
                    pairs.insert((a.min(b), a.max(b)));
                }
            }
        }
    }
    let shape = link(&scenario.link);
    let mut plans: Vec<Plan> = pairs
        .into_iter()
        .filter(|(a, b)| a != b)
        .map(|(a, b)| Plan { a, b, link: shape, windows: None })
        .collect();
    for between in &scenario.links {
        let (a, b) = between.between;
        let spec = LinkSpec { latency: between.latency, loss: between.loss, rate: between.rate };
        if between.radio {
            world.radio(a, b);
        }
        plans.push(Plan { a, b, link: link(&spec), windows: windows(between, world.now, length) });
    }
    plans
}

fn windows(between: &Between, start: u64, length: u64) -> Option<Vec<(u64, u64)>> {
    let contact = between.contact?;
    let every = contact.every.0.max(1);
    let passes = (0..).map(|n| start + contact.first.0 + n * every).take_while(|at| *at < start + length);
    Some(passes.map(|at| (at, at + contact.open.0)).collect())
}

// Connects what is always there, and puts down when the rest is.
fn open(world: &mut World, scenario: &Scenario, plans: &[Plan]) {
    for Plan { a, b, link, windows } in plans {
        match windows {
            None => world.connect(*a, *b, *link),
            Some(windows) => {
                for (from, until) in windows {
                    let (a, b) = (*a, *b);
                    world.schedule(*from, Event::Link { a, b, link: Some(*link) });
                    world.schedule(*until, Event::Link { a, b, link: None });
                }
            }
        }
    }
    for between in &scenario.links {
        let Some(cuts) = between.cuts else { continue };
        let (a, b) = between.between;
        world.breaks.insert(
            (a, b),
            crate::wire::Breaks {
                left: cuts.times,
                mean: (cuts.over.0 as u64 / cuts.times.max(1)).max(1),
                pause: cuts.pause.0,
            },
        );
        world.next_break(a, b);
    }
}

fn plant_history(world: &mut World, history: &History, number: &mut u64) {
    let size = history.size.0;
    let logs: Vec<(Option<usize>, LogId)> = match &history.by {
        Some(by) => by
            .iter()
            .map(|i| (Some(*i), LogId { device: world.nodes[*i].id, incarnation: Incarnation([1; 8]) }))
            .collect(),
        None => (0..history.logs)
            .map(|_| {
                *number += 1;
                let device = DeviceId(Hash::of(&[b"elsewhere", &number.to_be_bytes()]).0);
                (None, LogId { device, incarnation: Incarnation([1; 8]) })
            })
            .collect(),
    };
    for (author, log) in logs {
        let mut head = author.and_then(|i| world.nodes[i].heads.get(&TAG).copied());
        for _ in 0..history.entries {
            let entry = world.entry_of(log, TAG, head, size);
            head = Some((entry.header().seq, entry.hash()));
            let at: BTreeSet<usize> = history.at.iter().copied().chain(author).collect();
            for i in at {
                world.plant(i, TAG, &entry);
            }
        }
    }
}

fn plant_fork(world: &mut World, fork: &Fork) {
    let chain = |world: &mut World, mut head: Option<(u64, Hash)>, n: usize| -> Vec<Entry> {
        let mut list = Vec::new();
        for _ in 0..n {
            let entry = world.entry_after(fork.by, TAG, head, fork.size.0);
            head = Some((entry.header().seq, entry.hash()));
            list.push(entry);
        }
        list
    };
    let trunk = chain(world, None, fork.trunk);
    let shared = trunk.get(..fork.after.min(trunk.len())).unwrap_or_default().to_vec();
    let head = shared.last().map(|entry| (entry.header().seq, entry.hash()));
    let branch = chain(world, head, fork.branch);
    for (nodes, entries) in [(&fork.trunk_at, &trunk), (&fork.branch_at, &shared), (&fork.branch_at, &branch)]
    {
        for i in nodes {
            entries.iter().for_each(|entry| world.plant(*i, TAG, entry));
        }
    }
}

fn plant_chunks(world: &mut World, scenario: &Scenario) -> Vec<Vec<ChunkId>> {
    let mut all = Vec::new();
    for chunks in &scenario.chunks {
        let mut ids = Vec::new();
        for n in 0..chunks.count {
            let chunk = Chunk::Made { seed: world.random(), size: chunks.size.0 };
            let id = chunk.id();
            for (k, &i) in chunks.at.iter().enumerate() {
                if !chunks.spread || n % chunks.at.len() == k {
                    world.nodes[i].chunks.insert(id, chunk.clone());
                }
            }
            ids.push(id);
        }
        all.push(ids);
    }
    all
}
