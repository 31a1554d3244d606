//! Two ways to find what two sets have apart, measured: cells (a rateless lookup table, Yang et al.,
//! SIGCOMM 2024), which the product has, and ranges (Meyer, "Range-Based Set Reconciliation", 2022), which
//! it has not. `cargo run --release -p chorus-sync --example reconcile`; why the first was chosen stands in
//! `docs/decisions/23-comparing-sets.md`.

use base::Hash;
use std::time::{Duration, Instant};
use sync::cells::{self, Apart, CELL_BYTES, Item};

/// Entries on each side.
const ENTRIES: u64 = 100_000;
/// Bytes of an envelope around cells, and of an answer that asks for more.
const AROUND: usize = 100;
/// Parts that a range is cut into, and entries below which it is listed.
const PARTS: usize = 16;
const LISTED: usize = 32;
/// Bytes of a range on the wire: its upper bound and what follows; of a fingerprint; of a listed entry.
const RANGE: usize = 7;
const FINGERPRINT: usize = 16;
const LISTED_BYTES: usize = 32;

struct Cost {
    bytes: usize,
    messages: usize,
    cpu: Duration,
    found: usize,
}

fn by_cells(a: &[Item], b: &[Item]) -> Cost {
    let start = Instant::now();
    let (mut sent, mut have, mut need) = (Vec::new(), 0, 32);
    let (mut bytes, mut messages) = (0, 0);
    loop {
        sent.extend(cells::encode(a, 7, have, need));
        bytes += (need - have) as usize * CELL_BYTES + 2 * AROUND;
        messages += 2;
        have = need;
        match cells::apart(sent.clone(), b, 7) {
            Apart::Found(theirs, mine) => {
                return Cost { bytes, messages, cpu: start.elapsed(), found: theirs.len() + mine.len() };
            }
            Apart::Need(likely) => need = likely.max(have + 1).min(have + 4096),
            Apart::MadeUp => unreachable!("cells of a true set"),
        }
    }
}

// A set in order with the sums of its hashes, so that a range costs the same however long it is.
struct Ranges<'a> {
    items: &'a [Item],
    sums: Vec<Hash>,
}

type Bounds = (Item, Item);

enum Say {
    Fingerprint([u8; FINGERPRINT]),
    Entries(Vec<Item>),
}

impl<'a> Ranges<'a> {
    fn new(items: &'a [Item]) -> Ranges<'a> {
        let mut sums = vec![Hash::default()];
        for (_, hash) in items {
            sums.push(sums[sums.len() - 1].plus(hash));
        }
        Ranges { items, sums }
    }

    fn places(&self, (low, high): &Bounds) -> (usize, usize) {
        (self.items.partition_point(|i| i < low), self.items.partition_point(|i| i < high))
    }

    fn fingerprint(&self, (from, to): (usize, usize)) -> [u8; FINGERPRINT] {
        let count = (to - from) as u64;
        let mut one = Hash::default();
        one.0[31] = 1;
        // One sum less another: plus its complement, plus one.
        let sum = self.sums[to].plus(&Hash(self.sums[from].0.map(|byte| !byte))).plus(&one);
        let hash = Hash::of(&[&sum.0, &count.to_be_bytes()]);
        let mut out = [0; FINGERPRINT];
        out.copy_from_slice(&hash.0[..FINGERPRINT]);
        out
    }

    fn parts(&self, bounds: &Bounds, out: &mut Vec<(Bounds, Say)>) {
        let (from, to) = self.places(bounds);
        let step = (to - from).div_ceil(PARTS).max(1);
        let mut low = bounds.0;
        let mut at = from;
        while at < to {
            let end = (at + step).min(to);
            let high = if end == to { bounds.1 } else { self.items[end] };
            out.push(((low, high), Say::Fingerprint(self.fingerprint((at, end)))));
            (low, at) = (high, end);
        }
    }

    // Answers a message; how many entries turned out to be apart.
    fn answer(&self, message: Vec<(Bounds, Say)>, out: &mut Vec<(Bounds, Say)>) -> usize {
        let mut found = 0;
        for (bounds, say) in message {
            let (from, to) = self.places(&bounds);
            match say {
                Say::Fingerprint(theirs) if theirs == self.fingerprint((from, to)) => {}
                Say::Fingerprint(_) if to - from <= LISTED => {
                    out.push((bounds, Say::Entries(self.items[from..to].to_vec())));
                }
                Say::Fingerprint(_) => self.parts(&bounds, out),
                Say::Entries(theirs) => {
                    let mine = &self.items[from..to];
                    found += theirs.iter().filter(|i| mine.binary_search(i).is_err()).count();
                    found += mine.iter().filter(|i| theirs.binary_search(i).is_err()).count();
                }
            }
        }
        found
    }
}

fn by_ranges(a: &[Item], b: &[Item]) -> Cost {
    let start = Instant::now();
    let (a, b) = (Ranges::new(a), Ranges::new(b));
    let all = ((0, Hash::default()), (u64::MAX, Hash::default()));
    let mut message = Vec::new();
    a.parts(&all, &mut message);
    let (mut bytes, mut messages, mut found) = (0, 0, 0);
    let mut turn = [&b, &a].into_iter().cycle();
    while !message.is_empty() {
        messages += 1;
        let size = |(_, say): &(Bounds, Say)| match say {
            Say::Fingerprint(_) => RANGE + FINGERPRINT,
            Say::Entries(list) => RANGE + list.len() * LISTED_BYTES,
        };
        bytes += AROUND + message.iter().map(size).sum::<usize>();
        let mut answer = Vec::new();
        if let Some(who) = turn.next() {
            found += who.answer(message, &mut answer);
        }
        message = answer;
    }
    Cost { bytes, messages, cpu: start.elapsed(), found }
}

fn item(n: u64) -> Item {
    (n, Hash::of(&[&n.to_be_bytes()]))
}

fn main() {
    println!("{ENTRIES} entries on each side; bytes, messages, CPU of both sides together");
    for (what, together) in [("scattered", false), ("in one run", true)] {
        for apart in [1u64, 10, 100, 1000] {
            let missing = |n: u64, side: u64| {
                let gap = ENTRIES / apart;
                let scattered = (n % gap == gap / 2).then_some(n / gap);
                let at = if together { n.checked_sub(ENTRIES / 2) } else { scattered };
                at.is_some_and(|at| at < apart && (at % 2 == side))
            };
            let side = |side: u64| (0..ENTRIES).filter(|n| !missing(*n, side)).map(item).collect::<Vec<_>>();
            let (a, b) = (side(0), side(1));
            for (way, cost) in [("cells", by_cells(&a, &b)), ("ranges", by_ranges(&a, &b))] {
                assert_eq!(cost.found as u64, apart, "{way}");
                println!(
                    "{apart:>5} apart, {what:<10}  {way:<6}  {:>7} B  {:>2} messages  {:>5.1} ms",
                    cost.bytes,
                    cost.messages,
                    cost.cpu.as_secs_f64() * 1e3
                );
            }
        }
    }
}
