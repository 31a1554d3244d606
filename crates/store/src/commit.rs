//! Group commit: one thread makes durable what many applied, in order, with few syncs.
//!
//! A batch waits for company for the time in the options; whoever waits for durability cuts that
//! to nothing. What is applied while a sync runs goes with the next.

use crate::Error;
use crate::write::Writing;
use parking_lot::{Condvar, Mutex, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The place of a batch in the order of all batches ever applied to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// The number of the batch, from 1, over all openings of the store.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Called by the committer after each sync with the newest durable batch.
pub type Listener = Box<dyn Fn(Ticket) + Send + Sync>;

#[derive(Debug)]
struct State {
    applied: u64,
    durable: u64,
    wanted: u64,
    // When the first batch that is not yet being synced was applied.
    since: Option<Instant>,
    stop: bool,
    poisoned: Option<String>,
}

/// What appliers, waiters and the committer share.
pub(crate) struct Commit {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
    listeners: RwLock<Vec<Listener>>,
    gather: Duration,
}

impl Commit {
    /// Begins with everything up to `seq` durable.
    pub(crate) fn new(seq: u64, gather: Duration) -> Commit {
        let state = State { applied: seq, durable: seq, wanted: 0, since: None, stop: false, poisoned: None };
        Commit {
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
            listeners: RwLock::default(),
            gather,
        }
    }

    /// Starts the committer.
    pub(crate) fn start(writing: Arc<Writing>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("store-commit".into()).spawn(move || writing.commit.run(&writing))
    }

    /// Refuses where the store takes no more.
    pub(crate) fn usable(&self) -> Result<(), Error> {
        let state = self.state.lock();
        match &state.poisoned {
            Some(why) => Err(Error::Poisoned { why: why.clone() }),
            None if state.stop => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Counts a batch that is visible, or will be with the next commit.
    pub(crate) fn applied(&self, seq: u64) -> Ticket {
        let mut state = self.state.lock();
        // The committer counts what was deferred a second time; a number may come after a later one.
        if seq > state.applied {
            state.applied = seq;
            let idle = state.since.is_none();
            state.since.get_or_insert_with(Instant::now);
            drop(state);
            // While something waits, the committer looks again by itself.
            if idle {
                self.work.notify_one();
            }
        }
        Ticket(seq)
    }

    /// The newest batch that is visible.
    pub(crate) fn newest(&self) -> Ticket {
        Ticket(self.state.lock().applied)
    }

    /// Whether a batch is durable.
    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        self.state.lock().durable >= ticket.0
    }

    /// Waits until a batch is durable.
    pub(crate) fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        let mut state = self.state.lock();
        let target = ticket.0.min(state.applied);
        if state.durable < target && state.wanted < target {
            state.wanted = target;
            self.work.notify_one();
        }
        loop {
            if state.durable >= target {
                return Ok(());
            }
            if let Some(why) = &state.poisoned {
                return Err(Error::Poisoned { why: why.clone() });
            }
            self.done.wait(&mut state);
        }
    }

    /// Accepts nothing more until the store is reopened.
    pub(crate) fn poison(&self, why: &Error) {
        let mut state = self.state.lock();
        state.poisoned.get_or_insert_with(|| why.to_string());
        drop(state);
        self.work.notify_one();
        self.done.notify_all();
    }

    /// Whether a write or sync failed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.state.lock().poisoned.is_some()
    }

    /// The error that a poisoned store answers.
    pub(crate) fn poisoned(&self) -> Error {
        Error::Poisoned { why: self.state.lock().poisoned.clone().unwrap_or_default() }
    }

    /// Adds a listener.
    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.write().push(listener);
    }

    /// Lets the committer make the rest durable and end. Answers whether it was told so before.
    pub(crate) fn stop(&self) -> bool {
        let was = std::mem::replace(&mut self.state.lock().stop, true);
        self.work.notify_one();
        was
    }

    fn run(&self, writing: &Writing) {
        while let Some(target) = self.next() {
            let result = writing.settle().and_then(|()| writing.engine.sync(target));
            match result {
                Ok(()) => {
                    self.state.lock().durable = target;
                    self.done.notify_all();
                    self.tell(Ticket(target));
                }
                Err(error) => {
                    tracing::error!(%error, "a sync failed; the store takes no more edits");
                    self.poison(&error);
                    return;
                }
            }
        }
    }

    // Waits for batches and their company; none when there is nothing more to do.
    fn next(&self) -> Option<u64> {
        let mut state = self.state.lock();
        loop {
            if state.poisoned.is_some() {
                return None;
            }
            if state.applied == state.durable {
                if state.stop {
                    return None;
                }
                self.work.wait(&mut state);
                continue;
            }
            let until = state.since.map_or_else(Instant::now, |since| since + self.gather);
            if state.stop
                || state.wanted > state.durable
                || self.work.wait_until(&mut state, until).timed_out()
            {
                state.since = None;
                return Some(state.applied);
            }
        }
    }

    fn tell(&self, ticket: Ticket) {
        for listener in self.listeners.read().iter() {
            if catch_unwind(AssertUnwindSafe(|| listener(ticket))).is_err() {
                tracing::error!("a listener for commits failed");
            }
        }
    }
}
