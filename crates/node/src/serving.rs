//! Serving chunks to those who ask for them.

use crate::chunks::ToChunks;
use crate::core::Core;
use crate::link::ToLink;
use base::DeviceId;
use crossbeam_channel::Receiver;
use net::Net;
use std::time::{Duration, Instant};

/// Threads that serve.
pub(crate) const SERVERS: usize = 2;
/// How long a peer may take none of what it asked for.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// Serves chunks until told to stop. Several threads may do it.
pub(crate) fn serve_loop(core: &Core, net: &Net, inbox: &Receiver<ToChunks>) {
    for message in inbox {
        let ToChunks::Send { peer, job, tag, id, from, part } = message else { return };
        let bytes = core.sealed_chunk(&tag, &id).unwrap_or_else(|e| {
            core.problem(format!("a chunk could not be served: {e}"));
            None
        });
        let (mut size, mut queued) = (0, 0);
        for envelope in sync::chunk_envelopes(tag, id, bytes, from, part) {
            queued = send(net, &peer, envelope.encode());
            if queued == 0 {
                break;
            }
            size += envelope.payload();
            core.traffic.sent(&peer, &envelope);
        }
        core.tell_link(ToLink::Sent { peer, job, bytes: size, queued });
    }
}

// Waits for room in the carrier's queue; a peer that takes nothing is given up.
fn send(net: &Net, peer: &DeviceId, envelope: Vec<u8>) -> usize {
    let deadline = Instant::now() + SEND_DEADLINE;
    loop {
        match net.send(*peer, envelope.clone()) {
            Ok(queued) => return queued,
            Err(e) if e.kind() != base::Kind::Busy || Instant::now() > deadline => return 0,
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
