//! Events to the faces: bounded; a listener that does not keep up is told so instead of waited for.

use crate::api::Event;
use base::limit;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;

/// The listeners of a node.
#[derive(Default)]
pub(crate) struct Events {
    listeners: Mutex<Vec<Listener>>,
}

struct Listener {
    sender: Sender<Event>,
    behind: bool,
}

impl Events {
    pub(crate) fn listen(&self) -> Receiver<Event> {
        let (sender, receiver) = bounded(limit::EVENTS);
        self.listeners.lock().push(Listener { sender, behind: false });
        receiver
    }

    pub(crate) fn send(&self, events: impl IntoIterator<Item = Event>) {
        let mut listeners = self.listeners.lock();
        if listeners.is_empty() {
            return;
        }
        // What was saved or set here is known to the face that did it: no thread is woken for it.
        let known =
            |e: &Event| matches!(e, Event::Content { remote: false, .. } | Event::Attr { remote: false, .. });
        let news = events.into_iter().filter(|e| !known(e));
        for event in news {
            listeners.retain_mut(|listener| listener.send(&event));
        }
    }

    /// Ends all listeners' waits.
    pub(crate) fn close(&self) {
        self.listeners.lock().clear();
    }
}

impl Listener {
    // False once nobody listens any more.
    fn send(&mut self, event: &Event) -> bool {
        if self.behind {
            match self.sender.try_send(Event::Behind) {
                Ok(()) => self.behind = false,
                Err(TrySendError::Full(_)) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        match self.sender.try_send(event.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.behind = true;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ObjectId, Oid, SpaceId};

    #[test]
    fn a_slow_listener_is_told_that_it_fell_behind() {
        let events = Events::default();
        let receiver = events.listen();
        let event =
            Event::Attr { oid: Oid { space: SpaceId([1; 32]), object: ObjectId([2; 16]) }, remote: true };
        for _ in 0..limit::EVENTS + 10 {
            events.send([event.clone()]);
        }
        for _ in 0..limit::EVENTS {
            assert_eq!(receiver.recv().unwrap(), event);
        }
        events.send([event.clone()]);
        assert_eq!(receiver.recv().unwrap(), Event::Behind);
        assert_eq!(receiver.recv().unwrap(), event);
    }
}
