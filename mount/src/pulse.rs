//! Asks the mount of this very process whether it answers.

use crate::hand::own_descriptors;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::path::Path;

/// A thread that asks. As with the one that replays, the process must be able to end while it waits.
pub struct Pulse {
    ask: Sender<()>,
    answered: Receiver<()>,
}

impl Pulse {
    /// Starts it. Nothing is asked yet.
    ///
    /// Errors: it can have no descriptors of its own, or there can be no thread.
    pub fn start(mountpoint: &Path) -> std::io::Result<Pulse> {
        let (ask, asked) = bounded::<()>(1);
        let (answer, answered) = bounded(1);
        let (ready, begun) = bounded(1);
        let path = mountpoint.to_owned();
        let run = move || {
            let own = own_descriptors();
            let failed = own.is_err();
            let _ = ready.send(own);
            while !failed && asked.recv().is_ok() {
                // Never answered from what the kernel remembers. An error is an answer too: somebody unmounted it.
                let _ = rustix::fs::statvfs(&path);
                if answer.send(()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("chorus-pulse".to_owned()).spawn(run)?;
        begun.recv().unwrap_or_else(|gone| Err(std::io::Error::other(gone)))?;
        Ok(Pulse { ask, answered })
    }

    /// Comes back once the mount has answered, however long that takes.
    pub fn wait(&self) {
        if self.ask.send(()).is_ok() {
            let _ = self.answered.recv();
        }
    }
}
