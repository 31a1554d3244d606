//! The way from the carrier's tasks to the node: one ordered queue, bounded in bytes, emptied by
//! one thread that may block in the node's sink.
//!
//! Messages wait for room, and a task that waits does not read its socket. Gossip is a hint and is
//! dropped when there is no room. What the carrier itself has to say is little and always passes.

use crate::Event;
use base::{DeviceId, limit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

// What a queued event takes besides its bytes, so that a flood of tiny ones is bounded too.
const OVERHEAD: usize = 128;
// How long a close waits for a sink that blocks.
const PATIENCE: Duration = Duration::from_secs(2);

type Item = (Event, Option<OwnedSemaphorePermit>);

/// Where tasks put events. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Events {
    queue: mpsc::Sender<Item>,
    messages: Arc<Semaphore>,
    hints: Arc<Semaphore>,
    troubles: Arc<Semaphore>,
}

/// The thread that calls the sink.
pub(crate) struct Outlet {
    closed: Arc<AtomicBool>,
    // Behind a lock only so that the handle can be shared between threads.
    ended: std::sync::Mutex<mpsc::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A queue and the thread that empties it into `sink`.
pub(crate) fn queue(sink: Box<dyn Fn(Event) + Send>) -> std::io::Result<(Events, Outlet)> {
    let (queue, items) = mpsc::channel::<Item>();
    let (end, ended) = mpsc::channel::<()>();
    let closed = Arc::new(AtomicBool::new(false));
    let stop = closed.clone();
    let thread = std::thread::Builder::new().name("chorus-net-events".into()).spawn(move || {
        for (event, permit) in items {
            if !stop.load(Ordering::Relaxed) {
                sink(event);
            }
            drop(permit);
        }
        drop(end);
    })?;
    let events = Events {
        queue,
        messages: Arc::new(Semaphore::new(limit::RECEIVE_BYTES)),
        hints: Arc::new(Semaphore::new(limit::HINT_BYTES)),
        troubles: Arc::new(Semaphore::new(limit::QUEUE)),
    };
    Ok((events, Outlet { closed, ended: std::sync::Mutex::new(ended), thread: Some(thread) }))
}

impl Events {
    /// Says something of the carrier's own; never waits.
    pub(crate) fn say(&self, event: Event) {
        // Fails only after the close, when nobody listens.
        let _ = self.queue.send((event, None));
    }

    /// Hands over a message; waits while the node has too many bytes to take.
    pub(crate) async fn received(&self, peer: DeviceId, bytes: Vec<u8>) {
        if let Ok(permit) = self.messages.clone().acquire_many_owned(cost(&bytes)).await {
            let _ = self.queue.send((Event::Received { peer, bytes }, Some(permit)));
        }
    }

    /// Hands over gossip if there is room.
    pub(crate) fn hint(&self, topic: String, bytes: Vec<u8>, from: DeviceId) {
        if let Ok(permit) = self.hints.clone().try_acquire_many_owned(cost(&bytes)) {
            let _ = self.queue.send((Event::Gossip { topic, bytes, from }, Some(permit)));
        }
    }

    /// Tells of something wrong, if not too many such wait already.
    pub(crate) fn trouble(&self, what: String) {
        tracing::warn!("{what}");
        if let Ok(permit) = self.troubles.clone().try_acquire_owned() {
            let _ = self.queue.send((Event::Trouble { what }, Some(permit)));
        }
    }
}

fn cost(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len() + OVERHEAD).unwrap_or(u32::MAX)
}

impl Outlet {
    /// No further event reaches the sink, but for one it is busy with.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Waits for the thread, which ends when all `Events` are gone. A sink that blocks for longer
    /// than a moment is left to its thread.
    pub(crate) fn join(&mut self) {
        let ended = matches!(
            self.ended.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).recv_timeout(PATIENCE),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
        if let Some(thread) = self.thread.take()
            && ended
        {
            let _ = thread.join();
        }
    }
}
