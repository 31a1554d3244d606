//! kill -9 at any moment: what was acknowledged is there, and what is there is a prefix.

use crate::{Numbers, open};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use store::{Batch, Options, Store};

const DIR: &str = "CHORUS_STORE_CRASH_DIR";

/// Value `n` of key `n % 50`, so that values are replaced: small, or in pieces.
pub(crate) fn value(n: u64) -> Vec<u8> {
    n.to_be_bytes().repeat(if n.is_multiple_of(5) { 1500 } else { 20 })
}

/// The batch `n`: a numbered record, and a value of one of fifty keys.
pub(crate) fn batch(n: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(format!("n{n:012}"), n.to_be_bytes());
    batch.put(format!("v{:02}", n % 50), value(n));
    batch
}

/// What must hold after a crash: batches 1 to some last, no less than the acknowledged one.
pub(crate) fn verify(store: &Store, acknowledged: u64) -> u64 {
    let mut last = 0;
    for pair in store.range(b"n") {
        last += 1;
        assert_eq!(pair.unwrap().0, format!("n{last:012}").into_bytes(), "a gap");
    }
    assert!(last >= acknowledged, "{acknowledged} was acknowledged, and {last} is the last");
    assert_eq!(store.newest().number(), last, "batches are numbered without gaps");
    for n in (1..=last).rev().take(50) {
        assert!(
            store.get(format!("v{:02}", n % 50).as_bytes()).unwrap() == Some(value(n)),
            "value {n} of {last}"
        );
    }
    assert_eq!(store.check().unwrap().faults, Vec::<String>::new());
    last
}

/// The other process: writes batches, and says the number of each that is durable.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(Path::new(&dir), Options::default()).unwrap().store;
    let mut out = std::io::stdout();
    let mut numbers = Numbers(std::process::id().into());
    for n in store.newest().number() + 1.. {
        let ticket = store.apply(batch(n)).unwrap();
        if numbers.below(4) == 0 {
            store.wait(ticket).unwrap();
            writeln!(out, "durable {n}").unwrap();
            out.flush().unwrap();
        }
    }
}

/// Starts the other process.
pub(crate) fn start_writer(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["crash::writer", "--exact", "--nocapture"]).env(DIR, dir);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Reads what the other process says until it ends, and answers the last number it acknowledged.
pub(crate) fn listen(child: &mut Child) -> thread::JoinHandle<u64> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let number = |line: std::io::Result<String>| line.ok()?.strip_prefix("durable ")?.parse().ok();
    thread::spawn(move || out.lines().filter_map(number).last().unwrap_or(0))
}

#[test]
fn kill_nine() {
    let rounds = std::env::var("CHORUS_TORTURE").ok().and_then(|r| r.parse().ok()).unwrap_or(8);
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(std::process::id().into());
    let mut last = 0;
    for round in 0..rounds {
        let mut child = start_writer(dir.path());
        let heard = listen(&mut child);
        thread::sleep(Duration::from_millis(20 + numbers.below(400)));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = heard.join().unwrap().max(last);
        let opened = open(dir.path());
        assert!(!opened.report.clean || opened.report.new || acknowledged == last, "round {round}");
        last = verify(&opened.store, acknowledged);
        if round % 2 == 0 {
            opened.store.close().unwrap();
        }
    }
    assert!(last > 0);
}
