//! The protocol among simulated nodes: what must come true, with the figures it cost.

use base::{ChunkId, Hash};
use sim::{Chunk, Link, TAG, World, all};

fn report(name: &str, world: &World, took: u64) {
    println!("{name}: {took} ms, {} B, {:?}", world.counts.total_bytes(), world.counts);
}

fn quiet(world: &mut World) {
    world.counts = Default::default();
}

fn room_of(n: usize, seed: u64, link: Link) -> World {
    let mut world = World::new(n, seed);
    world.share(TAG, &all(n));
    world.mesh(&all(n), link);
    world.run_for(20_000);
    quiet(&mut world);
    world
}

#[test]
fn living_room_of_five() {
    let mut world = room_of(5, 1, Link::LAN);
    for round in 0..20 {
        for i in 0..5 {
            world.edit(i, TAG, 300 + round);
        }
        world.run_for(100);
    }
    let took = world.run_until(10_000, |w| w.count(0) == 100 && w.equal(&all(5), TAG)).expect("converges");
    report("living room of five", &world, took);
    assert!(took < 500, "gossip brings it at once");
    world.run_for(30_000);
    assert!(world.nodes.iter().all(|n| n.misbehaved.is_empty()));
    assert!(
        world.counts.duplicates - world.counts.gossip_duplicates <= 20,
        "hardly anything goes twice: {:?}",
        world.counts
    );
    for i in 0..5 {
        for j in (0..5).filter(|j| *j != i) {
            let view = world.nodes[i].sync.peer(&world.nodes[j].id).unwrap();
            assert!(
                view.synced && view.behind_us == 0 && view.behind_them == 0 && view.in_flight == 0,
                "{view:?}"
            );
        }
    }
}

#[test]
fn idle_costs_one_hello_a_neighbour_and_period() {
    let mut world = room_of(5, 2, Link::LAN);
    for i in 0..5 {
        world.edit(i, TAG, 100);
    }
    world.run_for(15_000);
    // While something may be left to acknowledge, and once nothing has happened for long.
    for (rest, period) in [(0, world.config.hello_period), (10 * 60_000, world.config.longest_period)] {
        world.run_for(rest);
        quiet(&mut world);
        let rounds = if rest == 0 { 4 } else { 20 };
        world.run_for(rounds * period);
        report("idle", &world, 0);
        let hellos = world.counts.envelopes["hello"];
        assert_eq!(world.counts.total(), hellos, "{:?}", world.counts);
        assert_eq!(world.counts.bytes["hello"], hellos * 73);
        assert_eq!(world.counts.gossip_bytes, 0);
        let expected = 5 * 4 * rounds;
        assert!(hellos.abs_diff(expected) <= expected / 20, "{hellos} of {expected} after {rest}");
    }
}

#[test]
fn who_has_rested_for_long_is_awake_at_once() {
    for lossy in [false, true] {
        let mut world = room_of(3, 9, Link::LAN);
        world.edit(0, TAG, 100);
        world.run_for(30 * 60_000);
        quiet(&mut world);
        if lossy {
            // Nobody hears of it but by the hello of whoever made it.
            world.gossip_reach = 0;
        }
        world.edit(1, TAG, 100);
        let config = &world.config;
        let within = config.hello_period + config.jitter + config.push_after + 1_000;
        let told = |w: &World| {
            let known = |i: usize, j: usize| w.nodes[i].sync.peer(&w.nodes[j].id).is_some_and(|v| v.synced);
            w.equal(&all(3), TAG) && w.count(2) == 2 && known(1, 0) && known(1, 2)
        };
        let took = world.run_until(within, told).expect("arrives, and is acknowledged");
        report("after a rest of half an hour", &world, took);
    }
}

#[test]
fn one_edit_between_two_is_gossip_and_the_hellos_acknowledge_it() {
    let mut world = room_of(2, 3, Link::LAN);
    world.edit(0, TAG, 200);
    world.run_for(4_000);
    report("one edit", &world, 0);
    assert!(world.equal(&[0, 1], TAG) && world.count(1) == 1);
    world.run_for(2 * world.config.hello_period);
    assert_eq!(world.counts.total(), world.counts.envelopes["hello"], "{:?}", world.counts);
    let view = world.nodes[0].sync.peer(&world.nodes[1].id).unwrap();
    assert!(view.synced && view.behind_them == 0, "{view:?}");
    assert!(world.counts.total_bytes() < 1_500);
}

#[test]
fn an_entry_too_large_for_gossip_goes_by_stream_at_once() {
    let mut world = room_of(2, 4, Link::LAN);
    world.edit(0, TAG, 300_000);
    let took = world.run_until(5_000, |w| w.count(1) == 1).expect("arrives");
    report("a large entry", &world, took);
    assert!(took < 200);
    world.run_for(4_000);
    assert_eq!(world.counts.entries_in, 1);
}

#[test]
fn many_large_entries_move_the_window() {
    let mut world = room_of(2, 5, Link::WAN);
    for _ in 0..100 {
        world.edit(0, TAG, 500_000);
    }
    let took = world.run_until(120_000, |w| w.count(1) == 100).expect("arrives");
    report("50 MB over 2 MB/s", &world, took);
    assert!(took < 30_000, "the link is kept busy: {took}");
    assert_eq!(world.counts.duplicates, 0);
}

#[test]
fn partition_and_heal() {
    let mut world = room_of(5, 6, Link::WAN);
    for i in [0, 1] {
        for j in [2, 3, 4] {
            world.cut(i, j);
        }
    }
    for _ in 0..30 {
        for i in 0..5 {
            world.edit(i, TAG, 2_000);
        }
        world.run_for(200);
    }
    world.run_for(5_000);
    assert!(world.equal(&[0, 1], TAG) && world.equal(&[2, 3, 4], TAG) && !world.equal(&[0, 2], TAG));
    quiet(&mut world);
    for i in [0, 1] {
        for j in [2, 3, 4] {
            world.connect(i, j, Link::WAN);
        }
    }
    let took = world.run_until(60_000, |w| w.count(0) == 150 && w.equal(&all(5), TAG)).expect("heals");
    report("partition and heal", &world, took);
    assert!(took < 3_000, "{took}");
    world.run_for(20_000);
    quiet(&mut world);
    world.run_for(60_000);
    assert_eq!(world.counts.total(), world.counts.envelopes["hello"], "silent again: {:?}", world.counts);
}

#[test]
fn a_late_joiner_gets_everything_once() {
    let mut world = World::new(5, 7);
    for i in 0..4 {
        world.history(i, TAG, 2_000, 400);
    }
    for i in 0..4 {
        for j in 0..4 {
            let entries: Vec<_> = world.nodes[i].durable.values().cloned().collect();
            for entry in entries {
                world.plant(j, TAG, &entry);
            }
        }
    }
    world.share(TAG, &all(5));
    world.mesh(&all(5), Link::WAN);
    let took = world.run_until(120_000, |w| w.count(4) == 8_000).expect("catches up");
    report("a late joiner, 8,000 entries", &world, took);
    assert!(world.counts.duplicates < 400, "{:?}", world.counts);
    world.run_for(20_000);
    assert!(world.equal(&all(5), TAG));
    assert!(world.nodes.iter().all(|n| n.misbehaved.is_empty()));
}

#[test]
fn what_one_has_from_another_reaches_the_third() {
    let mut world = World::new(3, 8);
    world.history(0, TAG, 500, 3_000);
    world.share(TAG, &all(3));
    world.connect(0, 1, Link::WAN);
    world.connect(1, 2, Link::WAN);
    let took = world.run_until(60_000, |w| w.equal(&all(3), TAG) && w.count(2) == 500).expect("passes on");
    report("a line of three", &world, took);
    world.cut(0, 1);
    world.edit(2, TAG, 100);
    world.run_for(2_000);
    world.cut(1, 2);
    world.connect(0, 1, Link::WAN);
    world.run_until(20_000, |w| w.equal(&all(3), TAG)).expect("stored and forwarded");
}

#[test]
fn a_new_member_of_a_space_between_connected_friends() {
    let mut world = World::new(2, 9);
    let private = base::SpaceTag([9; 16]);
    world.history(0, private, 10, 100);
    world.hold(0, private);
    world.share(TAG, &[0, 1]);
    world.connect(0, 1, Link::LAN);
    world.run_for(10_000);
    world.allow(0, 1, &[TAG, private]);
    world.run_for(10_000);
    assert_eq!(world.count(1), 0, "only what both announced counts");
    world.hold(1, private);
    world.allow(1, 0, &[TAG, private]);
    let took = world.run_until(5_000, |w| w.count(1) == 10).expect("joins");
    report("joining", &world, took);
    assert!(took < 1_000);
    world.allow(0, 1, &[TAG]);
    world.edit(0, private, 100);
    world.run_for(20_000);
    // Gossip in the simulator reaches everyone; the topic is the node's. On the link nothing comes.
    assert_eq!(world.nodes[0].sync.peer(&world.nodes[1].id).unwrap().shared, 1);
}

// An invitation that is answered adds an entry to the log, as whoever joins asks for the rest of it.
#[test]
fn what_is_old_waits_for_no_gossip_though_something_was_made_just_now() {
    let mut world = World::new(2, 10);
    let private = base::SpaceTag([9; 16]);
    world.history(0, private, 10, 100);
    world.hold(0, private);
    world.share(TAG, &[0, 1]);
    world.connect(0, 1, Link::LAN);
    world.allow(0, 1, &[TAG, private]);
    world.run_for(10_000);
    world.edit(0, private, 100);
    world.run_for(50);
    world.hold(1, private);
    world.allow(1, 0, &[TAG, private]);
    let took = world.run_until(5_000, |w| w.count(1) == 11).expect("joins");
    report("joining while something is new", &world, took);
    assert!(took < 500, "{took}");
}

#[test]
fn crash_and_restart_from_what_was_durable() {
    let mut world = room_of(3, 10, Link::LAN);
    world.store_delay = 30;
    for round in 0..40 {
        for i in 0..3 {
            if world.nodes[i].up {
                world.edit(i, TAG, 500);
            }
        }
        world.run_for(37);
        let victim = round % 3;
        if round % 4 == 1 {
            world.crash(victim);
        } else if round % 4 == 3 {
            for i in 0..3 {
                if !world.nodes[i].up {
                    world.restart(i);
                    world.mesh(&all(3), Link::LAN);
                }
            }
        }
    }
    let took = world.run_until(60_000, |w| w.equal(&all(3), TAG)).expect("converges");
    report("crashes", &world, took);
    for i in 0..3 {
        assert!(world.nodes[i].sync.forks(&TAG).is_empty(), "nothing was told before it was durable");
    }
}

#[test]
fn a_disk_restored_from_a_backup_is_filled_again() {
    let mut world = room_of(2, 11, Link::LAN);
    for _ in 0..50 {
        world.edit(0, TAG, 300);
    }
    world.run_for(5_000);
    world.crash(1);
    world.nodes[1].durable.clear();
    world.nodes[1].hashes.clear();
    world.restart(1);
    world.connect(0, 1, Link::LAN);
    let took = world.run_until(20_000, |w| w.equal(&[0, 1], TAG)).expect("filled again");
    report("a lost disk", &world, took);
}

#[test]
fn what_is_remembered_of_a_friend_gives_way_to_what_they_are_now() {
    let mut world = room_of(2, 17, Link::LAN);
    for _ in 0..20 {
        world.edit(0, TAG, 300);
    }
    world.run_for(5_000);
    let (older, backup) =
        (world.tips(1, TAG), (world.nodes[1].durable.clone(), world.nodes[1].hashes.clone()));
    for _ in 0..20 {
        world.edit(0, TAG, 300);
    }
    world.run_for(5_000);
    let newer = world.tips(1, TAG);
    for i in 0..2 {
        world.crash(i);
    }
    // One remembers that the other had everything; the other was restored, and remembers less of both.
    (world.nodes[1].durable, world.nodes[1].hashes) = backup;
    let ids = [world.nodes[0].id, world.nodes[1].id];
    for (i, logs) in [newer, older].into_iter().enumerate() {
        world.restart(i);
        let recall = sync::Input::Recall {
            peer: ids[1 - i],
            announced: [TAG].into(),
            frontiers: [(TAG, logs)].into(),
        };
        world.step(i, recall);
    }
    world.connect(0, 1, Link::LAN);
    let took = world.run_until(60_000, |w| w.equal(&[0, 1], TAG)).expect("filled again");
    report("a restored disk and old memories", &world, took);
}

#[test]
fn a_link_of_twenty_minutes_one_way() {
    let far = Link { latency: 20 * 60_000, loss: 0, bandwidth: 100 };
    let mut world = World::new(2, 12);
    world.history(0, TAG, 20, 500);
    world.share(TAG, &[0, 1]);
    // Earth knows from before that the rover has nothing of it.
    let peer = world.nodes[1].id;
    let recall =
        sync::Input::Recall { peer, announced: [TAG].into(), frontiers: [(TAG, Default::default())].into() };
    world.step(0, recall);
    world.connect(0, 1, far);
    world.silence(1, 0);
    let rover = world.nodes[0].id;
    world
        .step(1, sync::Input::Recall { peer: rover, announced: [TAG].into(), frontiers: Default::default() });
    let took = world.run_until(3_600_000, |w| w.count(1) == 20).expect("arrives without a word back");
    report("20 minutes one way", &world, took);
    assert!(took < 21 * 60_000, "one trip: {took}");
    world.run_for(3_600_000);
    let entries = world.counts.bytes["entries"];
    assert!(entries < 60 * 20 * 700, "repeats back off: {entries} B");
}

#[test]
fn eighty_nodes_with_five_percent_loss() {
    let n = 80;
    let mut world = World::new(n, 13);
    world.share(TAG, &all(n));
    let link = Link { latency: 30, loss: 50, bandwidth: 2_000 };
    for i in 0..n {
        world.connect(i, (i + 1) % n, link);
        for _ in 0..3 {
            let j = world.below(n as u64) as usize;
            if i != j {
                world.connect(i, j, link);
            }
        }
    }
    world.run_for(30_000);
    quiet(&mut world);
    for _ in 0..10 {
        for _ in 0..10 {
            let i = world.below(n as u64) as usize;
            world.edit(i, TAG, 200);
        }
        world.run_for(500);
    }
    let took = world.run_until(120_000, |w| w.count(0) == 100 && w.equal(&all(n), TAG)).expect("converges");
    report("80 nodes, 5 % loss", &world, took);
    assert!(world.nodes.iter().all(|n| n.misbehaved.is_empty()));
}

#[test]
fn heavy_loss_loses_nothing() {
    let mut world = World::new(3, 14);
    world.history(0, TAG, 3_000, 300);
    world.share(TAG, &all(3));
    world.mesh(&all(3), Link { latency: 20, loss: 300, bandwidth: 2_000 });
    for _ in 0..20 {
        world.edit(1, TAG, 200);
        world.run_for(100);
    }
    let took = world.run_until(600_000, |w| w.count(2) == 3_020 && w.equal(&all(3), TAG)).expect("converges");
    report("30 % loss", &world, took);
}

#[test]
fn a_forked_log_reaches_everybody_with_both_branches() {
    let mut world = World::new(3, 15);
    world.history(0, TAG, 1_000, 200);
    let trunk: Vec<_> = world.nodes[0].durable.values().cloned().collect();
    let branch_at = (trunk[300].header().seq, trunk[300].hash());
    let mut prev = branch_at;
    for entry in &trunk[..=300] {
        world.plant(1, TAG, entry);
    }
    for _ in 0..40 {
        let entry = world.entry_after(0, TAG, Some(prev), 150);
        prev = (entry.header().seq, entry.hash());
        world.plant(1, TAG, &entry);
    }
    world.share(TAG, &all(3));
    world.connect(0, 1, Link::LAN);
    world.connect(1, 2, Link::LAN);
    let took =
        world.run_until(120_000, |w| w.count(2) == 1_040 && w.equal(&all(3), TAG)).expect("both branches");
    report("a fork 700 entries deep", &world, took);
    for i in 0..3 {
        assert_eq!(world.nodes[i].sync.forks(&TAG).len(), 1);
    }
    world.run_for(20_000);
    quiet(&mut world);
    world.run_for(60_000);
    assert_eq!(world.counts.total(), world.counts.envelopes["hello"], "{:?}", world.counts);
}

#[test]
fn what_cannot_be_judged_yet_is_kept_and_not_fetched_twice() {
    let mut world = World::new(2, 17);
    world.history(0, TAG, 800, 300);
    let author = world.nodes[0].id;
    world.nodes[1].unknown_authors.insert(author);
    world.share(TAG, &[0, 1]);
    world.connect(0, 1, Link::LAN);
    world.run_for(1_000);
    assert_eq!(world.count(1), 0);
    world.nodes[1].unknown_authors.clear();
    world.step(1, sync::Input::Retry);
    let took = world.run_until(1_000, |w| w.count(1) == 800).expect("judged at last");
    report("author known late", &world, took);
    assert_eq!(world.counts.entries_in, 800);
    assert!(world.nodes[1].misbehaved.is_empty());
}

#[test]
fn chunks_come_from_everyone_who_has_them() {
    let mut world = room_of(4, 16, Link::WAN);
    let mut ids = Vec::new();
    for n in 0..60u64 {
        let bytes = vec![n as u8; 200_000];
        let id = ChunkId(Hash::of(&[&bytes]).0);
        for holder in 0..3 {
            if n % 4 != holder as u64 {
                world.nodes[holder].chunks.insert(id, Chunk::Bytes(bytes.clone()));
            }
        }
        ids.push(id);
    }
    let nowhere = ChunkId([9; 32]);
    let mut wanted = ids.clone();
    wanted.push(nowhere);
    // One of them lies about one chunk.
    world.nodes[0].chunks.insert(ids[1], Chunk::Bytes(b"something else".to_vec()));
    world.step(3, sync::Input::ChunksWanted { tag: TAG, ids: wanted });
    world.run_for(2_000);
    world.cut(1, 3);
    let took = world.run_until(60_000, |w| w.nodes[3].fetched.len() == 60).expect("all fetched");
    report("60 chunks of 200 kB from three at 2 MB/s", &world, took);
    world.run_for(1_000);
    assert_eq!(world.nodes[3].absent, vec![nowhere]);
}

// Links come and go, nodes crash, envelopes get lost; then all is well for a while.
fn turmoil(seed: u64) {
    let n = 3 + (seed % 4) as usize;
    let mut world = World::new(n, seed);
    world.store_delay = 1 + seed % 40;
    let spaces = [TAG, base::SpaceTag([8; 16])];
    for i in 0..n {
        world.hold(i, spaces[0]);
        world.hold(i, spaces[1]);
    }
    for i in 0..n {
        for j in (0..n).filter(|j| *j != i) {
            world.allow(i, j, &spaces);
        }
    }
    for _ in 0..60 {
        let (i, j) = (world.below(n as u64) as usize, world.below(n as u64) as usize);
        let link = Link {
            latency: world.below(300),
            loss: world.below(3) * 100,
            bandwidth: 20 + world.below(5_000),
        };
        match world.below(8) {
            0 | 1 if i != j => world.connect(i, j, link),
            2 if i != j => world.cut(i, j),
            3 if world.nodes[i].up => world.crash(i),
            4 if !world.nodes[i].up => world.restart(i),
            _ if world.nodes[i].up => {
                for _ in 0..world.below(6) {
                    let size = if world.below(10) == 0 { 150_000 } else { 10 + world.below(3_000) as usize };
                    let tag = spaces[world.below(2) as usize];
                    world.edit(i, tag, size);
                }
            }
            _ => {}
        }
        let wait = world.below(2_500);
        world.run_for(wait);
    }
    for i in 0..n {
        if !world.nodes[i].up {
            world.restart(i);
        }
        for j in 0..n {
            world.cut(i, j);
        }
    }
    // A ring: what one has must pass through others.
    for i in 0..n {
        world.connect(i, (i + 1) % n, Link::WAN);
    }
    let took = world.run_until(60_000, |w| spaces.iter().all(|tag| w.equal(&all(n), *tag)));
    assert!(took.is_some(), "seed {seed} does not converge");
    for node in &world.nodes {
        assert!(node.misbehaved.is_empty(), "seed {seed}: {:?}", node.misbehaved);
        assert!(spaces.iter().all(|tag| node.sync.forks(tag).is_empty()), "seed {seed}");
    }
    world.run_for(40_000);
    quiet(&mut world);
    world.run_for(20_000);
    assert_eq!(world.counts.total(), world.counts.envelopes["hello"], "seed {seed}: {:?}", world.counts);
}

#[test]
fn after_any_turmoil_all_agree_and_fall_silent() {
    for seed in 100..160 {
        turmoil(seed);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let mut world = World::new(8, seed);
        world.share(TAG, &all(8));
        world.mesh(&all(8), Link { latency: 10, loss: 100, bandwidth: 500 });
        for i in 0..40 {
            world.edit(i % 8, TAG, 400);
            world.run_for(70);
        }
        world.run_for(20_000);
        (world.trace, world.steps, world.counts)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).0, run(6).0);
}
