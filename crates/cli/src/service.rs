//! What a service manager (systemd) is told: that the node is ready, lives, and ends.
//!
//! Does nothing where none asked (`NOTIFY_SOCKET`).

use base::print::safe;
use mount::Pulse;
use node::Node;
use sd_notify::NotifyState;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long stopping waits for a look at the mount that is under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the manager that the node lives, until it is dropped.
pub(crate) struct Watchdog {
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

/// Before anything is opened, which may take its time.
pub(crate) fn starting() {
    tell(&[NotifyState::Status("opening the store")]);
}

/// Once everything answers. From now on the manager hears that the node lives, if it wants to.
pub(crate) fn ready(node: &Node, mount: Option<PathBuf>) -> Option<Watchdog> {
    let status = match &mount {
        Some(at) => format!("mounted on {}", safe(&at.display().to_string())),
        None => "runs without a mount".to_owned(),
    };
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let every = sd_notify::watchdog_enabled()? / 2;
    let (stop, stopped) = channel();
    let (ending, ended) = channel();
    let node = node.clone();
    let started = mount.as_deref().map(Pulse::start).transpose().and_then(|pulse| {
        let watch = move || {
            keep_telling(&node, pulse.as_ref(), every, &stopped);
            drop(ending);
        };
        std::thread::Builder::new().name("watchdog".into()).spawn(watch)
    });
    match started {
        Ok(_) => Some(Watchdog { stop: Some(stop), ended }),
        Err(e) => {
            complain(&e);
            None
        }
    }
}

/// Before the mount goes.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("saving")]);
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A look at the mount would be in the way of unmounting it.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

// If the node or the mount answers no more, neither does this thread, and the manager acts.
fn keep_telling(node: &Node, mount: Option<&Pulse>, every: Duration, stopped: &Receiver<()>) {
    loop {
        let _ = node.status();
        if let Some(mount) = mount {
            mount.wait();
        }
        tell(&[NotifyState::Watchdog]);
        if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        complain(&e);
    }
}

// The node runs all the same.
fn complain(error: &std::io::Error) {
    let _ = writeln!(std::io::stderr(), "note: telling the service manager: {error}");
}
