//! Threads for requests that wait for a friend, so that those who serve the kernel never do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests that wait at once; what comes above waits with a serving thread.
const MOST: usize = 64;

/// Counts who waits.
#[derive(Default)]
pub(crate) struct Waiting {
    now: Arc<AtomicUsize>,
}

// Counts down also when a request panics.
struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Answers a request on a thread of its own.
    pub(crate) fn run(&self, answer: Box<dyn FnOnce() + Send>) {
        let waits = Waits(self.now.clone());
        if self.now.fetch_add(1, Ordering::Relaxed) >= MOST {
            answer();
            return;
        }
        let spawned = std::thread::Builder::new().name("chorus-wait".to_owned()).spawn(move || {
            let _waits = waits;
            answer();
        });
        if let Err(error) = spawned {
            // The reply went with the closure, which answers the kernel with an error.
            tracing::warn!("no thread to wait on: {error}");
        }
    }
}
