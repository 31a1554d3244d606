//! `make bench-peers`: two directories kept alike by chorus, and by what a user would pick instead.
//!
//! Each keeps two directories alike between two network namespaces with a cable in between and no way out, so
//! nobody can ask a server or look anybody up, and the cable's interface counts the bytes of everybody alike. They
//! take turns, round by round, so that a noisy machine is noisy for all. Nothing is asserted: absolute times
//! belong to a machine. `--only NAME[,NAME]` picks some, `--row ROW[,ROW]` some rows; `ROUNDS` (3), `FILES`
//! (10,000), `MIB` (1024) and `IDLE` (60 seconds) in the environment set the sizes.

mod apart;
mod chorus;
mod found;
mod iroh;
mod pair;
mod program;
mod row;
mod rsync;
mod syncthing;
mod unison;

use found::Found;
use harness::cost::Cost;
use harness::namespace::{self, Cable};
use pair::{Kind, Pair};
use row::{ROWS, Sizes};
use std::time::Duration;

/// Who takes part; they take turns in this order.
const KINDS: [Kind; 6] =
    [chorus::KIND, syncthing::KIND, syncthing::TUNED, unison::KIND, rsync::KIND, iroh::KIND];

fn main() {
    let (only, rows) = match asked() {
        Ok(asked) => asked,
        Err(wrong) => stop(&wrong, "peers [--only NAME,NAME] [--row ROW,ROW]"),
    };
    if !namespace::possible() {
        stop(
            "this makes network namespaces, to count what goes over the wire",
            "run it as root, with iproute2",
        );
    }
    let sizes = Sizes::from_environment();
    let mut found = Found::default();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    let mut taking_part = Vec::new();
    for kind in KINDS.iter().filter(|kind| wanted(kind.name)) {
        match (kind.missing)() {
            Some(why) => found.skip(kind.name, why),
            None => taking_part.push(kind),
        }
    }
    for round in 0..number("ROUNDS", 3) {
        for kind in &taking_part {
            eprintln!("round {}: {}", round + 1, kind.name);
            turn(kind, round, &sizes, &rows, &mut found);
        }
        // So far: whoever stops it then has that.
        found.print(&sizes);
    }
}

// One pair, from its making to its end.
fn turn(kind: &Kind, round: usize, sizes: &Sizes, rows: &[String], found: &mut Found) {
    let cable = Cable::lay();
    let mut cost = Cost::of(&cable.ends);
    let mut pair = match (kind.make)(&cable) {
        Ok(pair) => pair,
        Err(why) => return found.fail(kind.name, "start", &why),
    };
    if let Err(why) = ready(pair.as_mut(), &mut cost) {
        return found.fail(kind.name, "start", &why);
    }
    for (name, measure) in ROWS {
        if !rows.is_empty() && !rows.iter().any(|row| row == name) {
            continue;
        }
        let mut at = row::At { kind, pair: pair.as_mut(), cable: &cable, cost: &mut cost, sizes, round };
        if let Err(why) = measure(&mut at, found) {
            found.fail(kind.name, name, &why);
        }
    }
    found.saves(kind.name);
    let mib = |kib: u64| kib as f64 / 1024.0;
    let peaks = cost.peaks();
    found.add(kind.name, found::MEMORY_A, mib(peaks[0]));
    found.add(kind.name, found::MEMORY_B, mib(peaks[1]));
}

// Waits until something gets across, however long they need to find each other.
fn ready(pair: &mut dyn Pair, cost: &mut Cost) -> anyhow::Result<()> {
    let [mine, theirs] = pair.dirs().clone();
    std::fs::write(mine.join("ready"), "ready\n")?;
    pair.carry(cost)?;
    let arrived = || harness::text(&theirs.join("ready")) == "ready\n";
    row::wait(cost, "the first file", arrived)?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn asked() -> Result<(Vec<String>, Vec<String>), String> {
    let (mut only, mut rows) = (Vec::new(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let (known, into): (Vec<&str>, _) = match arg.as_str() {
            "--only" => (KINDS.iter().map(|kind| kind.name).collect(), &mut only),
            "--row" => (ROWS.iter().map(|(name, _)| *name).collect(), &mut rows),
            _ => return Err(format!("no such option: {arg}")),
        };
        for word in args.next().unwrap_or_default().split(',') {
            if !known.contains(&word) {
                return Err(format!("{arg} knows {}, not {word:?}", known.join(", ")));
            }
            into.push(word.to_owned());
        }
    }
    Ok((only, rows))
}

fn stop(error: &str, hint: &str) -> ! {
    eprintln!("error: {error}\nhint: {hint}");
    std::process::exit(1);
}

/// A number from the environment.
pub(crate) fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}
