//! Two nodes whose only link is two daemons of a network that stores and forwards.

use harness::namespace::{ADDRESSES, Cable, Island};
use harness::relay::{Relay, Way};
use harness::{Person, acquaint, must, sample, shell, text, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

// A BPv7 daemon in a namespace; ended at the end.
struct Daemon(Child);

fn dtnd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/dtnd")
}

impl Daemon {
    /// One that listens on a port of its namespace and hands on to another, which it reaches at an address.
    fn start(name: &str, namespace: &str, port: u16, other: (&str, &str), dir: &Path) -> Daemon {
        assert!(dtnd().is_file(), "there is no dtnd: .ci/prepare test builds it");
        fs::create_dir_all(dir).unwrap();
        let log = fs::File::create(dir.join("log")).unwrap();
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .arg("--")
            .arg(dtnd())
            .args(["-n", name, "-w", "3000", "-C", &format!("mtcp:port={port}"), "-4", "-r", "epidemic"])
            .args(["-j", "1s", "-i", "0", "--disable_nd", "-D", "mem", "-W", dir.to_str().unwrap()])
            .args(["-s", &format!("mtcp://{}/{}", other.1, other.0)])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Daemon(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the daemons listen, earth's and mars'.
const PORTS: [u16; 2] = [16161, 16162];

struct Post {
    ann: Person,
    bob: Person,
    daemons: [Daemon; 2],
    cable: Cable,
}

fn earth(namespace: &str, mars_at: &str, ann: &Person) -> Daemon {
    let mars = format!("{mars_at}:{}", PORTS[1]);
    Daemon::start("earth", namespace, PORTS[0], ("mars", &mars), &ann.dir().join("dtnd"))
}

fn mars(namespace: &str, earth_at: &str, bob: &Person) -> Daemon {
    let earth = format!("{earth_at}:{}", PORTS[0]);
    Daemon::start("mars", namespace, PORTS[1], ("earth", &earth), &bob.dir().join("dtnd"))
}

fn by_cable(cable: &Cable, ann: &Person, bob: &Person) -> [Daemon; 2] {
    [earth(&cable.ends[0], ADDRESSES[1], ann), mars(&cable.ends[1], ADDRESSES[0], bob)]
}

// Their own ports are those of their own machine: the daemons' are the only way.
fn people(ends: [&str; 2]) -> [Person; 2] {
    let mut people = [("ann", ends[0]), ("bob", ends[1])].map(|(name, end)| {
        let mut person = Person::in_namespace(name, end, "127.0.0.1");
        person.up();
        person
    });
    let [ann, bob] = &mut people;
    acquaint(ann, bob);
    acquaint(bob, ann);
    fs::create_dir(ann.path("garden")).unwrap();
    ann.ok(&["share", "/garden", "--with", "bob"]);
    people
}

fn tell(ann: &Person, bob: &Person, patience: u64) {
    let patience = patience.to_string();
    // Only one has to be told of the other.
    ann.ok(&["dtn", "--daemon", "http://127.0.0.1:3000", "--peer", "bob", "--patience", &patience]);
    bob.ok(&["dtn", "--daemon", "http://127.0.0.1:3000", "--patience", &patience]);
}

fn post() -> Post {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let cable = Cable::lay();
    let [ann, bob] = people([&cable.ends[0], &cable.ends[1]]);
    let daemons = by_cable(&cable, &ann, &bob);
    tell(&ann, &bob, 3);
    Post { ann, bob, daemons, cable }
}

fn joins(bob: &Person) {
    wait_until("the room can be joined", || bob.run(&["join", "ann/garden", "/garden"]).status.success());
}

fn waiting(who: &Person) -> u64 {
    who.json(&["dtn"])["peers"][0]["waiting"].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn edits_and_a_large_file_go_both_ways_over_daemons_and_restarts() {
    let Post { mut ann, mut bob, daemons: [one, two], cable } = post();
    wait_until("the daemon answers", || ann.json(&["dtn"])["node"] == "dtn://earth/");
    let story: String = (0..60).map(|n| format!("line {n} of a long story\n")).collect();
    fs::write(ann.path("garden/story"), &story).unwrap();
    joins(&bob);
    wait_until("bob has the story", || text(&bob.path("garden/story")) == story);
    wait_until("ann knows it", || waiting(&ann) == 0);

    // While the daemons do not reach each other, both write, and one is stopped.
    cable.cut();
    shell(ann.mount(), "sed -i 's/^line 3 /line 3 by ann /' garden/story");
    shell(bob.mount(), "sed -i 's/^line 50 /line 50 by bob /' garden/story");
    fs::write(ann.dir().join("film"), sample::Numbers::from(5).bytes(6 << 20)).unwrap();
    shell(ann.dir(), "cp film mnt/garden/film");
    wait_until("it waits to be acknowledged", || (1..u64::MAX).contains(&waiting(&ann)));
    ann.kill();
    must(Command::new("umount").arg("-l").arg(ann.mount()));
    ann.up();
    bob.down();
    bob.up();
    // What the daemons held is lost with them: it is sent again.
    drop((one, two));
    cable.heal();
    let daemons = by_cable(&cable, &ann, &bob);
    let merged = story.replace("line 3 ", "line 3 by ann ").replace("line 50 ", "line 50 by bob ");
    for who in [&ann, &bob] {
        wait_until("the edits met", || text(&who.path("garden/story")) == merged);
    }
    wait_until("bob has the film", || {
        let cmp = Command::new("cmp").arg(ann.dir().join("film")).arg(bob.path("garden/film")).output();
        cmp.unwrap().status.success()
    });
    wait_until("nothing waits any more", || waiting(&ann) == 0 && waiting(&bob) == 0);
    assert!(!ann.sees("bob") && !bob.sees("ann"), "no link was there but the daemons'");
    drop(daemons);
}

fn sent(who: &Person) -> u64 {
    who.json(&["dtn"])["peers"][0]["sent"].as_u64().unwrap_or(0)
}

/// `CHORUS_DELAY` seconds one way (`make far` takes minutes), else a few.
#[test]
fn edits_cross_in_the_time_that_one_way_takes() {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let delay = std::env::var("CHORUS_DELAY").ok().and_then(|s| s.parse().ok()).unwrap_or(2);
    let islands = [Island::with_loopback(), Island::with_loopback()];
    let [ann, bob] = people([&islands[0].name, &islands[1].name]);
    let ways = [Way::slow(Duration::from_secs(delay)), Way::slow(Duration::from_secs(delay))];
    let _relays = [
        Relay::start(&ways[0], &islands[0].name, &islands[1].name, PORTS[1]),
        Relay::start(&ways[1], &islands[1].name, &islands[0].name, PORTS[0]),
    ];
    let local = "127.0.0.1";
    let _daemons = [earth(&islands[0].name, local, &ann), mars(&islands[1].name, local, &bob)];
    // There and back, and what daemons and nodes take for themselves.
    tell(&ann, &bob, 2 * delay + 6);

    let start = Instant::now();
    let story: String = (0..60).map(|n| format!("line {n} of a long story\n")).collect();
    fs::write(ann.path("garden/story"), &story).unwrap();
    joins(&bob);
    let joined = start.elapsed();
    wait_until("bob has the story", || text(&bob.path("garden/story")) == story);
    let read = start.elapsed();
    wait_until("all is acknowledged", || waiting(&ann) == 0 && waiting(&bob) == 0);
    let settled = start.elapsed();

    // Both write at once: each edit is on its way while the other's is, and waits for nothing.
    let before = [sent(&ann), sent(&bob)];
    shell(ann.mount(), "sed -i 's/^line 3 /line 3 by ann /' garden/story");
    shell(bob.mount(), "sed -i 's/^line 50 /line 50 by bob /' garden/story");
    let start = Instant::now();
    let merged = story.replace("line 3 ", "line 3 by ann ").replace("line 50 ", "line 50 by bob ");
    let crossed = [&bob, &ann].map(|who| {
        wait_until("the edits met", || text(&who.path("garden/story")) == merged);
        start.elapsed()
    });
    wait_until("nothing waits any more", || waiting(&ann) == 0 && waiting(&bob) == 0);
    eprintln!(
        "{delay} s one way: joined {joined:.1?}, the story read {read:.1?}, acknowledged {settled:.1?} after the \
         start; edits crossed in {crossed:.1?}, acknowledged after {:.1?}; sent for them {} and {} bytes",
        start.elapsed(),
        sent(&ann) - before[0],
        sent(&bob) - before[1],
    );
    assert!(ways.iter().all(|way| way.figures().bytes > 0), "it went by the relays");
    let least = Duration::from_secs(delay);
    assert!(crossed.iter().all(|took| *took >= least), "{crossed:?}: nothing is faster than the way");
    if delay >= 60 {
        assert!(crossed.iter().all(|took| *took < 2 * least), "{crossed:?}: no round trip was needed");
    }
    assert!(!ann.sees("bob") && !bob.sees("ann"), "no link was there but the daemons'");
}
