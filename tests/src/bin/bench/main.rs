//! `make bench`: what a save, a copy and the mount cost, beside what a user would pick instead.
//!
//! Every figure is a median. The mounts are measured in turns, round by round, so that a noisy
//! machine is noisy for all of them. Nothing is asserted: absolute times belong to a machine.
//! `BENCH_ROUNDS` sets the rounds (3), `BENCH_ONLY` picks parts by name, comma between.

mod figure;
mod friends;
mod mounts;

use figure::{Figures, wanted};

fn main() {
    let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut figures = Figures::default();
    if wanted("friends") {
        friends::measure(rounds, &mut figures);
    }
    if wanted("mounts") {
        mounts::measure(rounds);
    }
    figures.print();
}
