//! `make bench-late`: a room with many small files, and people who join late and have nothing yet.
//!
//! Ann makes `OBJECTS` files (100,000) through her mount. Bob joins and gets them from her; then Cem joins, with
//! both others online. For each: how long until all are on their mount, the same, and what it took. Nothing is
//! asserted but that all is there: absolute times belong to a machine. `LATE_LIMIT` is how many seconds anything
//! may take (3600).

mod arrival;

use arrival::{Arrival, await_all};
use harness::compare::{Also, differences};
use harness::cost::Cost;
use harness::namespace::{self, Switch};
use harness::sample::Numbers;
use harness::{Person, must, shell, wait_until};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Files in a directory.
const IN_ONE: usize = 500;

fn main() {
    let objects = number("OBJECTS", 100_000);
    let limit = Duration::from_secs(number("LATE_LIMIT", 3600) as u64);
    if !namespace::possible() {
        eprintln!("error: this makes network namespaces, to count what goes over the wire");
        eprintln!("hint: run it as root, and have iproute2 installed (.ci/prepare test)");
        std::process::exit(1);
    }
    let switch = Switch::lay(3);
    let person = |name: &str, n: usize| Person::in_namespace(name, &switch.ends[n], &Switch::address(n));
    let (mut ann, mut bob, mut cem) = (person("ann", 0), person("bob", 1), person("cem", 2));
    let from = ann.dir().join("many");
    make(&from, objects);
    println!(
        "{objects} files of 1 KiB, {IN_ONE} in a directory; release build, nodes in namespaces of one machine"
    );

    ann.up();
    fs::create_dir(ann.path("garden")).expect("a room");
    let cards = [card(&ann, "bob", Some("/garden")), card(&ann, "cem", Some("/garden"))];
    let mut cost = Cost::of(&switch.ends[..1]);
    let start = Instant::now();
    shell(ann.dir(), "cp -r many mnt/garden/many");
    println!("ann: cp through the mount            {}", seconds(start.elapsed()));
    calm(&mut cost, limit);
    println!("  until her node rested              {}", seconds(start.elapsed()));
    told(&ann, &mut cost);
    println!("  the same files on the disk below   {}", mib(bytes_below(&from)));

    bob.up();
    late(&switch, &[&ann, &bob], &from, objects, limit, &cards[0]);
    // Cem knows bob before he knows of the room.
    cem.up();
    let known = card(&bob, "cem", None);
    add(&cem, &known, "bob");
    wait_until("cem and bob see each other", || cem.sees("bob") && bob.sees("cem"));
    late(&switch, &[&ann, &bob, &cem], &from, objects, limit, &cards[1]);

    for who in [&mut ann, &mut bob] {
        let start = Instant::now();
        who.down();
        let ended = start.elapsed();
        let start = Instant::now();
        who.up();
        println!("\n{}: down {}, up again {}", who.name, seconds(ended), seconds(start.elapsed()));
    }
}

// The last of them joins and waits for everything.
fn late(switch: &Switch, people: &[&Person], from: &Path, objects: usize, limit: Duration, card: &Path) {
    let who = people[people.len() - 1];
    let before: Vec<u64> = (0..people.len()).map(|n| switch.carried(n)).collect();
    let mut costs: Vec<Cost> = (0..people.len()).map(|n| Cost::of(&switch.ends[n..=n])).collect();
    let worked: Vec<Duration> = costs.iter_mut().map(Cost::cpu).collect();
    let start = Instant::now();
    add(who, card, "ann");
    let there = who.path("garden/many");
    let Arrival { first, all } = await_all(&there, objects, IN_ONE, start, limit);
    println!("\n{} joins; online: {}", who.name, names(&people[..people.len() - 1]));
    println!("  the first directory is there after {}", seconds(first));
    println!(
        "  all {objects} files are on the mount  {}  ({:.0}/s)",
        seconds(all),
        objects as f64 / all.as_secs_f64()
    );
    let differ = differences(from, &there, Also::Nothing);
    println!("  every byte read and compared       {}", seconds(start.elapsed()));
    assert!(differ.is_empty(), "{}'s files differ:\n{}", who.name, differ.join("\n"));
    for (n, cost) in costs.iter_mut().enumerate() {
        calm(cost, limit);
        let moved = switch.carried(n) - before[n];
        let busy = cost.cpu() - worked[n];
        println!("  {}: {} over the wire, CPU {}", people[n].name, mib(moved), seconds(busy));
        told(people[n], cost);
    }
}

fn names(people: &[&Person]) -> String {
    people.iter().map(|person| person.name.as_str()).collect::<Vec<_>>().join(" and ")
}

fn told(who: &Person, cost: &mut Cost) {
    let peak = cost.peaks()[0] * 1024;
    println!("  {}: memory at most {}, home {}", who.name, mib(peak), mib(bytes_below(who.home())));
}

// Waits until the processes do next to nothing for two seconds.
fn calm(cost: &mut Cost, limit: Duration) {
    let end = Instant::now() + limit;
    let mut before = cost.cpu();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
        let now = cost.cpu();
        if now - before < Duration::from_millis(100) {
            return;
        }
        before = now;
    }
    eprintln!("the node still works after {limit:?}");
}

fn card(who: &Person, friend: &str, room: Option<&str>) -> std::path::PathBuf {
    let card = who.dir().join(format!("{friend}.card"));
    let mut args = vec!["invite", "--for", friend];
    args.extend(room);
    fs::write(&card, who.ok(&args)).expect("a peer file");
    card
}

fn add(who: &Person, card: &Path, name: &str) {
    who.ok(&["peer", "add", card.to_str().expect("a path in UTF-8"), "--name", name]);
}

fn make(from: &Path, objects: usize) {
    let mut numbers = Numbers::from(19);
    for n in 0..objects {
        let dir = from.join(format!("d{}", n / IN_ONE));
        if n % IN_ONE == 0 {
            fs::create_dir_all(&dir).expect("a directory");
        }
        fs::write(dir.join(format!("f{n}")), numbers.prose(1000)).expect("a file");
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let said = must(Command::new("du").args(["-s", "-B1"]).arg(dir));
    said.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number from du")
}

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

fn seconds(time: Duration) -> String {
    format!("{:>8.2} s", time.as_secs_f64())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
