//! Keeps what programs that stay open had read, over a restart of the node: an editor may be open for days.
//!
//! Only what is still open a moment after it read is kept, so that a search through everything costs nothing.

use crate::error::Result;
use crate::memory::Seen;
use crate::process::{ProcessKey, boot, is_alive};
use crate::tree::{Inner, Tree};
use base::Oid;
use node::{Read, Version};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long what was read waits before it is kept.
const LAZILY: Duration = Duration::from_secs(2);

/// Wakes the thread that keeps what was read.
#[derive(Default)]
pub(crate) struct Remember {
    shared: Arc<Shared>,
    // As many objects as had gone elsewhere with their rooms when all was last kept.
    moved: AtomicUsize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    fresh: bool,
    ended: bool,
}

impl Remember {
    /// Starts the thread; it ends with the tree.
    pub(crate) fn start(tree: &Tree) -> Result<()> {
        let (shared, tree) = (tree.0.remember.shared.clone(), Arc::downgrade(&tree.0));
        std::thread::Builder::new().name("chorus-reads".to_owned()).spawn(move || run(&shared, &tree))?;
        Ok(())
    }

    /// Something was read or written.
    pub(crate) fn wake(&self) {
        let mut state = self.shared.state.lock();
        if !std::mem::replace(&mut state.fresh, true) {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Remember {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.wake.notify_all();
    }
}

fn run(shared: &Shared, tree: &Weak<Inner>) {
    loop {
        {
            let mut state = shared.state.lock();
            while !state.fresh && !state.ended {
                shared.wake.wait(&mut state);
            }
            // Gathers; an end need not be waited for.
            while !state.ended && !shared.wake.wait_for(&mut state, LAZILY).timed_out() {}
            if state.ended {
                return;
            }
            state.fresh = false;
        }
        let Some(inner) = tree.upgrade() else { return };
        Tree(inner).keep_reads(false);
    }
}

impl Tree {
    /// Hands what was read since the last time to the node; all of it, where rooms were shared meanwhile.
    pub(crate) fn keep_reads(&self, last: bool) {
        let Some(boot) = boot() else { return };
        let moved = self.0.node.count_moved();
        let fresh = {
            let mut reads = self.0.reads.lock();
            if self.0.remember.moved.swap(moved, Ordering::Relaxed) != moved {
                reads.freshen();
            }
            reads.take_fresh()
        };
        let mut alive: HashMap<ProcessKey, bool> = HashMap::new();
        let mut changes = Vec::new();
        for (process, oid, seen) in fresh {
            let alive = *alive.entry(process).or_insert_with(|| is_alive(process));
            let seen = seen.filter(|_| alive);
            let now = self.0.node.now_at(oid);
            if now != oid {
                changes.push((bare(&boot, process, oid), false));
            }
            changes.push(match seen {
                Some(seen) => (self.record(&boot, process, oid, seen), true),
                None => (bare(&boot, process, now), false),
            });
        }
        if let Err(error) = self.0.node.keep_reads(changes) {
            tracing::debug!("what programs have read is not kept (at the end: {last}): {error}");
        }
    }

    // What was read before its room was shared is kept as what it is now.
    fn record(&self, boot: &str, process: ProcessKey, oid: Oid, seen: Seen) -> Read {
        let node = &self.0.node;
        let carry = |version: &Version| match node.carried(oid, version) {
            Some((_, version)) => version,
            None => Version::default(),
        };
        let names = seen.names.iter().map(|(room, name)| (node.now_at(*room), name.to_string()));
        Read {
            version: carry(&seen.version),
            buffer: seen.buffer.as_ref().map(carry),
            below: seen.below.as_ref().map(carry),
            names: names.collect(),
            ..bare(boot, process, node.now_at(oid))
        }
    }

    /// Takes up what an earlier run kept of processes that are still there.
    pub(crate) fn recall(&self) {
        let (Some(boot), Ok(kept)) = (boot(), self.0.node.kept_reads()) else { return };
        let mut gone = Vec::new();
        for read in kept {
            let process = ProcessKey { tgid: read.process.0, start: read.process.1 };
            if read.boot != boot || !is_alive(process) {
                gone.push((read, false));
                continue;
            }
            let names = read.names.into_iter().map(|(room, name)| (room, name.into()));
            let seen = Seen {
                version: read.version,
                buffer: read.buffer,
                below: read.below,
                names: names.collect(),
                ..Seen::default()
            };
            self.0.reads.lock().recall(process, read.oid, seen);
        }
        if let Err(error) = self.0.node.keep_reads(gone) {
            tracing::debug!("what ended programs had read is not forgotten yet: {error}");
        }
    }
}

fn bare(boot: &str, process: ProcessKey, oid: Oid) -> Read {
    Read {
        boot: boot.to_owned(),
        process: (process.tgid, process.start),
        oid,
        version: Version::default(),
        buffer: None,
        below: None,
        names: Vec::new(),
    }
}
