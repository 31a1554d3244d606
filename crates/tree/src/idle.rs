//! Commits what was written and then left alone: a file that stays open must not keep its words to itself.

use crate::copy::WorkingCopy;
use crate::error::Result;
use crate::tree::{Inner, Tree};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long those that come due wait for each other.
const TOGETHER: Duration = Duration::from_millis(20);
/// How long after a commit that failed the next is tried.
const AGAIN: Duration = Duration::from_secs(5);

/// Copies to look at, by when.
#[derive(Default)]
pub(crate) struct Idle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    due: BTreeMap<(Instant, u64), Arc<WorkingCopy>>,
    ended: bool,
}

impl Idle {
    /// Starts the thread; it ends with the tree.
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<()> {
        let (shared, tree) = (inner.idle.shared.clone(), Arc::downgrade(inner));
        std::thread::Builder::new().name("chorus-idle".to_owned()).spawn(move || run(&shared, &tree))?;
        Ok(())
    }

    /// A copy has something to commit that it had not before.
    pub(crate) fn watch(&self, copy: &Arc<WorkingCopy>) {
        if let Some(due) = copy.due() {
            self.shared.add(due, copy.clone());
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.shared.queue.lock().ended = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn add(&self, due: Instant, copy: Arc<WorkingCopy>) {
        let mut queue = self.queue.lock();
        let first = queue.due.first_key_value().is_none_or(|((at, _), _)| due < *at);
        queue.due.insert((due, copy.id), copy);
        if first {
            self.wake.notify_all();
        }
    }

    // The next copy whose time has come; None once the tree is gone.
    fn next(&self) -> Option<Arc<WorkingCopy>> {
        let mut queue = self.queue.lock();
        loop {
            if queue.ended {
                return None;
            }
            match queue.due.first_key_value().map(|((at, _), _)| *at) {
                Some(at) if at <= Instant::now() => return queue.due.pop_first().map(|(_, copy)| copy),
                Some(at) => {
                    self.wake.wait_until(&mut queue, at + TOGETHER);
                }
                None => self.wake.wait(&mut queue),
            }
        }
    }
}

fn run(shared: &Shared, tree: &Weak<Inner>) {
    while let Some(copy) = shared.next() {
        match copy.due() {
            None => continue,
            Some(due) if due > Instant::now() => shared.add(due, copy),
            Some(_) => {
                let Some(inner) = tree.upgrade() else { return };
                if let Err(error) = Tree(inner).commit(&copy) {
                    tracing::warn!(
                        "what was written to an open file is not saved yet, and is tried again: {error}"
                    );
                    shared.add(Instant::now() + AGAIN, copy);
                }
            }
        }
    }
}
