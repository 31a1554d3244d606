//! Whoever watches the mount hears of friends' changes: they are repeated through the mount itself by one thread,
//! whose calls are recognised here by its id and answered without effect.

use crate::hand::{self, Hand, Order, Target};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use fuser::{FileHandle, Request};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tree::{Error, News, Replay, Replays, Stat, Tree};

/// The handle of what that thread opens: no other is ever so large.
pub(crate) const HANDLE: FileHandle = FileHandle(u64::MAX);
/// How long unmounting waits for a call of that thread that does not come back.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of the thread and of what it repeats just now.
pub(crate) struct Answers {
    replays: Replays,
    tid: Arc<AtomicU32>,
    seen: AtomicBool,
    now: Mutex<Option<Arc<Replay>>>,
}

impl Answers {
    pub(crate) fn new(tree: Tree) -> Arc<Answers> {
        Arc::new(Answers {
            replays: Replays::new(tree),
            tid: Arc::default(),
            seen: AtomicBool::new(false),
            now: Mutex::new(None),
        })
    }

    /// Takes in what the kernel was just told to forget.
    pub(crate) fn hear(&self, news: News) {
        if self.tid.load(Ordering::Relaxed) != 0 {
            self.replays.hear(news);
        }
    }

    /// Whether a request is the replaying thread's.
    pub(crate) fn is_asked_by(&self, req: &Request) -> bool {
        let tid = self.tid.load(Ordering::SeqCst);
        tid != 0 && req.pid() == tid
    }

    /// As for everybody, but as if what is repeated just now had not been; and whether the kernel may believe it.
    pub(crate) fn lookup(&self, parent: u64, name: &[u8]) -> Result<(Stat, bool), Error> {
        self.seen.store(true, Ordering::Relaxed);
        self.replays.lookup(self.now().as_deref(), parent, name)
    }

    /// What is made is there.
    pub(crate) fn enter(&self, parent: u64, name: &[u8]) -> Result<Stat, Error> {
        self.replays.enter(self.now().as_deref(), parent, name)
    }

    /// What is removed is gone.
    pub(crate) fn remove(&self, parent: u64, name: &[u8]) -> Result<(), Error> {
        self.replays.remove(self.now().as_deref(), parent, name)
    }

    /// What is renamed has that name.
    pub(crate) fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8])) -> Result<(), Error> {
        self.replays.rename(self.now().as_deref(), from, to)
    }

    fn now(&self) -> Option<Arc<Replay>> {
        self.now.lock().clone()
    }
}

/// The replaying, from its beginning to its end.
pub(crate) struct Replaying {
    answers: Arc<Answers>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Replaying {
    /// Begins. None: it cannot be done here, and why was logged.
    pub(crate) fn start(answers: Arc<Answers>, target: Target) -> Option<Replaying> {
        let hand = hand::start(target, answers.tid.clone())?;
        let ended = hand.ended.clone();
        let asked = answers.clone();
        let run = move || repeat(&asked, &hand);
        let spawned = std::thread::Builder::new().name("chorus-watched".to_owned()).spawn(run);
        match spawned {
            Ok(thread) => Some(Replaying { answers, ended, thread }),
            Err(error) => {
                tracing::warn!("programs that watch files will not hear of friends' changes: {error}");
                None
            }
        }
    }

    /// Ends, and waits until the thread has let go of the mount, unless it hangs in a call.
    pub(crate) fn stop(self) {
        self.answers.replays.end();
        match self.ended.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => tracing::debug!("the replaying thread waits for the mount"),
            // The other ends with it.
            _ => drop(self.thread.join()),
        }
    }
}

fn repeat(answers: &Answers, hand: &Hand) {
    // Somewhere the kernel may not say who asks: better nothing is repeated than something done.
    if !order(hand, Order::Show) || !answers.seen.load(Ordering::Relaxed) {
        tracing::warn!(
            "programs that watch files will not hear of friends' changes: requests have no sender"
        );
        return;
    }
    loop {
        while let Some(replay) = answers.replays.next() {
            let replay = Arc::new(replay);
            *answers.now.lock() = Some(replay.clone());
            let done = order(hand, Order::Act(replay.act.clone()));
            *answers.now.lock() = None;
            if !done {
                answers.replays.failed(&replay);
            }
        }
        order(hand, Order::Rest);
        if !answers.replays.wait() {
            return;
        }
    }
}

fn order(hand: &Hand, order: Order) -> bool {
    if hand.orders.send(order).is_err() {
        return false;
    }
    match hand.done.recv() {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::trace!("a change was not repeated: {error}");
            false
        }
        Err(_) => false,
    }
}
