//! The thread that takes what arrives.

use crate::core::Core;
use crate::error::Result;
use crate::intake::Took;
use crate::link::{Arriving, ToLink};
use base::Entry;
use crossbeam_channel::Receiver;

// Nothing in an entry may end the thread: one that breaks something is refused, its signer named.
fn guarded(core: &Core, entry: &Entry) -> Result<Took> {
    let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.take_entry(entry, false)));
    taken.unwrap_or_else(|_| {
        core.write().docs.clear();
        let name = core.name_of_device(&entry.header().log.device);
        Ok(Took::Refused(format!(
            "applying an entry of {name} failed in a way that is a fault of this program"
        )))
    })
}

/// The thread that verifies, stores and applies what arrives: in order, many entries to one sync of
/// the disk.
pub(crate) fn intake_loop(core: &Core, arriving: &Receiver<Arriving>) {
    while let Ok(first) = arriving.recv() {
        let mut done = Vec::new();
        let mut last = None;
        let mut next = Some(first);
        while let Some((from, tag, entry)) = next {
            let took = guarded(core, &entry).unwrap_or_else(|e| {
                core.problem(format!("an entry could not be stored, and is asked for again: {e}"));
                Took::Waits
            });
            if let Took::Stored(ticket) | Took::Filled(ticket) = &took {
                last = Some(*ticket);
            }
            done.push((from, tag, entry, took));
            next = if done.len() < 256 { arriving.try_recv().ok() } else { None };
        }
        if let Some(ticket) = last
            && let Err(e) = core.store.wait(ticket)
        {
            core.problem(format!("the store failed; restart the node: {e}"));
            return;
        }
        for (from, tag, entry, took) in done {
            core.tell_link(ToLink::Took { from, tag, entry, took });
        }
    }
}
