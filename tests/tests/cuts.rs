//! A link that is cut again and again in the middle of what it carries: all of it arrives, and little of it twice.
//!
//! `CHORUS_CUTS` says how often it is cut; `make cuts` does it a thousand times.

use harness::namespace::Island;
use harness::relay::{Figures, Relay, Way};
use harness::sample::Numbers;
use harness::{Person, befriend, compare::Also, differences, wait_same, wait_until};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PORTS: [u16; 2] = [4001, 4002];
/// Bytes of what is written each time: random, so that they travel as they are.
const WRITTEN: usize = 1 << 10;
const FILES: u64 = 40;
/// Entries that fit into the least window of what may be under way, and chunks.
const WINDOW_ENTRIES: u64 = (256 << 10) / (WRITTEN as u64 + 500);
const WINDOW_CHUNKS: u64 = 2;

/// How often the link is cut in each part.
fn cuts() -> u64 {
    std::env::var("CHORUS_CUTS").ok().and_then(|s| s.parse().ok()).unwrap_or(20)
}

/// Two people in network namespaces of their own: a relay for each port is the only way.
struct Apart {
    ann: Person,
    bob: Person,
    way: Way,
    _relays: [Relay; 2],
    _islands: [Island; 2],
}

fn apart() -> Apart {
    assert!(harness::namespace::possible(), "this test makes network namespaces: run it as root");
    let islands = [Island::with_loopback(), Island::with_loopback()];
    let (mut ann, mut bob) = (
        Person::at_port("ann", &islands[0].name, PORTS[0]),
        Person::at_port("bob", &islands[1].name, PORTS[1]),
    );
    let way = Way::default();
    let relays = [
        Relay::start(&way, &islands[1].name, &islands[0].name, PORTS[0]),
        Relay::start(&way, &islands[0].name, &islands[1].name, PORTS[1]),
    ];
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    Apart { ann, bob, way, _relays: relays, _islands: islands }
}

fn counted(who: &Person, what: &str) -> u64 {
    who.status()["peers"][0][what].as_u64().expect("a number")
}

/// Writes until there are so many entries: one a save where each has time to be sealed. Answers how many bytes.
fn write_entries(who: &Person, wanted: u64) -> u64 {
    let mut numbers = Numbers::from(wanted);
    let mut saves = 0;
    while who.entries("/garden") < wanted {
        for _ in 0..200 {
            let name = format!("garden/data{}.bin", saves % FILES);
            fs::write(who.path(&name), numbers.bytes(WRITTEN)).expect("a save");
            std::thread::sleep(Duration::from_millis(3));
            saves += 1;
        }
    }
    saves * WRITTEN as u64
}

/// What was said of a part, and what must hold for it.
fn report(what: &str, content: u64, whole: [u64; 3], before: &Figures, after: &Figures, took: Duration) {
    let [came, new, window] = whole;
    let (bytes, cuts) = (after.bytes - before.bytes, after.cuts - before.cuts);
    let mut pauses = after.pauses[before.pauses.len()..].to_vec();
    pauses.sort();
    let slow = pauses.iter().filter(|pause| **pause > Duration::from_secs(1)).count();
    eprintln!(
        "{what}: {cuts} cuts, {} connections, {:.1?}; {content} bytes were written, {bytes} through the relay \
         ({:.1} % more, {} a cut); {came} came whole, {new} of them new; until bytes went again: median {:.0?}, \
         longest {:.1?}, {slow} over a second",
        after.connections - before.connections,
        took,
        100.0 * (bytes as f64 / content as f64 - 1.0),
        bytes.saturating_sub(content) / cuts.max(1),
        pauses.get(pauses.len() / 2).copied().unwrap_or_default(),
        pauses.last().copied().unwrap_or_default(),
    );
    assert!(cuts >= self::cuts(), "it was cut {cuts} times only before all was there");
    // What came whole is asked for, or sent, once; what was under way at a cut did not. Where a busy machine takes long
    // to acknowledge, what is under way may be sent again once.
    assert!(came - new <= new / 20 + window, "{came} came, {new} were new");
}

fn arrives(bob: &Person, what: &str, mut there: impl FnMut() -> bool) {
    wait_until(what, || {
        std::thread::sleep(Duration::from_millis(200));
        there()
    });
    assert_eq!(bob.status()["problems"].as_array().map(Vec::len), Some(0), "{}", bob.status()["problems"]);
}

// Long ones are asked for.
fn thousand() -> bool {
    cuts() >= 1_000
}

#[test]
fn entries_that_a_broken_link_carries_arrive_and_few_of_them_twice() {
    let Apart { mut ann, mut bob, way, _relays, _islands } = apart();
    let cuts = cuts();
    let saves = if thousand() { 10_000 } else { 600 };
    // What is new at the same moment is one entry, and one entry is one message: the files are there before.
    for n in 0..FILES {
        fs::write(ann.path(&format!("garden/data{n}.bin")), "new").expect("a file");
    }
    wait_same(&ann.path("garden"), &bob.path("garden"), Also::Nothing);
    let had = bob.entries("/garden");
    bob.down();
    let written = write_entries(&ann, saves);
    let all = ann.entries("/garden");
    let before = way.figures();
    way.cut_every(written / cuts, cuts, 1);
    let start = Instant::now();
    bob.up();
    arrives(&bob, "bob has the entries", || bob.entries("/garden") == all);
    let came = [counted(&bob, "entries_in"), counted(&bob, "entries_new")];
    assert!(came[1] <= all && came[1] + had >= all, "each entry was taken once: {came:?} of {all}");
    report(
        &format!("{all} entries"),
        written,
        [came[0], came[1], WINDOW_ENTRIES],
        &before,
        &way.figures(),
        start.elapsed(),
    );
    same(&ann, &bob);
    ann.down();
    bob.down();
}

#[test]
fn a_large_file_that_a_broken_link_carries_arrives_and_little_of_it_twice() {
    let Apart { mut ann, mut bob, way, _relays, _islands } = apart();
    let cuts = cuts();
    let size = if thousand() { 1 << 30 } else { 48 << 20 };
    bob.down();
    let before = way.figures();
    write_large(&ann.path("garden/film.bin"), size);
    way.cut_every(size / cuts, cuts, 2);
    let start = Instant::now();
    bob.up();
    arrives(&bob, "bob has the file", || {
        let there = fs::metadata(bob.path("garden/film.bin")).is_ok_and(|meta| meta.len() == size);
        there && bob.status()["spaces"].as_array().is_some_and(|s| s.iter().all(|s| s["fetching"] == 0))
    });
    let took = start.elapsed();
    let came = [counted(&bob, "chunks_in"), counted(&bob, "chunks_new")];
    report("a file", size, [came[0], came[1], WINDOW_CHUNKS], &before, &way.figures(), took);
    same(&ann, &bob);
    ann.down();
    bob.down();
}

#[test]
fn an_entry_larger_than_the_link_ever_carries_arrives() {
    let Apart { mut ann, mut bob, way, _relays, _islands } = apart();
    bob.down();
    let before = way.figures();
    // One text is one entry, whose letters hardly pack: some 700 kB.
    let mut numbers = Numbers::from(7);
    let letter = |byte: u8| char::from(if byte.is_multiple_of(64) { b'\n' } else { b'0' + byte % 64 });
    let text: String = numbers.bytes(900_000).into_iter().map(letter).collect();
    fs::write(ann.path("garden/book.txt"), &text).expect("a save");
    // As long as it takes, no connection lives longer.
    way.cut_every(60_000, 100_000, 3);
    let start = Instant::now();
    bob.up();
    let book = bob.path("garden/book.txt");
    arrives(&bob, "bob has the text", || harness::text(&book) == text);
    let after = way.figures();
    let (bytes, cuts) = (after.bytes - before.bytes, after.cuts - before.cuts);
    eprintln!(
        "a text of {} bytes: {cuts} cuts, {bytes} through the relay, {:.1?}",
        text.len(),
        start.elapsed()
    );
    assert!(cuts >= 8, "it was cut {cuts} times only: it went in one go");
    ann.down();
    bob.down();
}

fn write_large(path: &Path, size: u64) {
    use std::io::Write;
    let mut numbers = Numbers::from(size);
    let mut file = fs::File::create(path).expect("a file");
    for _ in 0..size >> 20 {
        file.write_all(&numbers.bytes(1 << 20)).expect("room on the disk");
    }
}

fn same(ann: &Person, bob: &Person) {
    let found = differences(&ann.path("garden"), &bob.path("garden"), Also::Nothing);
    assert!(found.is_empty(), "both have the same bytes: {found:?}");
}
