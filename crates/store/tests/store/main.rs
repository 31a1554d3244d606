//! The store from outside: what it promises, also when the process, the power, the disk or its bytes fail.

mod basics;
mod bulk;
mod crash;
mod damage;
mod full;
mod group;
mod model;
mod power;

use std::path::Path;
use std::time::Duration;
use store::{Batch, Opened, Options, Store};

/// A directory for a test that is not about the disk: in memory where that is possible, so that
/// the syncs of many openings cost nothing.
fn quick_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Opens a store that must open.
fn open(dir: &Path) -> Opened {
    Store::open(dir, Options::default()).unwrap()
}

/// A batch of one value.
fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

/// Options under which nothing becomes durable unless somebody waits.
fn slow() -> Options {
    Options { group_commit: Duration::from_secs(3600), ..Options::default() }
}

/// A small generator for tests that must not depend on the machine: the same numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 24
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
