//! Handing what the machine wants sent to the live carrier, as far as its queue takes it.

use super::Link;
use base::{DeviceId, Hash, SpaceTag, limit};
use std::collections::VecDeque;
use sync::{Envelope, Input, Output};

/// Bytes of entries in one message: what of it came is lost where a link breaks in the middle.
const MESSAGE: usize = 64 << 10;

// What of one output the carrier took.
#[derive(Default)]
struct Handed {
    bytes: usize,
    queued: usize,
    full: bool,
}

impl Handed {
    // None if it found no room for any of it.
    fn answer(self, peer: DeviceId, job: u64, next: u64) -> Option<Option<Input>> {
        let Handed { bytes, queued, full } = self;
        (bytes > 0 || !full).then_some(Some(Input::Sent { peer, job, next, bytes, queued }))
    }
}

impl Link {
    // Sends what waits for a peer until the carrier's queue is full.
    pub(super) fn flush(&mut self, peer: &DeviceId) {
        let mut answers = Vec::new();
        while let Some(output) = self.outbox.get_mut(peer).and_then(VecDeque::pop_front) {
            match self.send(&output) {
                Some(answer) => answers.extend(answer),
                None => {
                    self.outbox.entry(*peer).or_default().push_front(output);
                    break;
                }
            }
        }
        for answer in answers {
            self.step(answer);
        }
    }

    // Hands one output to the carrier; none if its queue is full.
    fn send(&self, output: &Output) -> Option<Option<Input>> {
        match output {
            Output::Send { peer, envelope } => self.hand_over(peer, envelope).map(|_| None),
            Output::SendEntries { peer, job, tag, log, from, to, budget, cut } => {
                let (mut next, mut handed) = (*from, Handed::default());
                while next <= *to && handed.bytes < *budget {
                    let most = (*budget - handed.bytes).min(MESSAGE);
                    let (entries, end) = self.core.entries_from(tag, log, next, *to, most);
                    if entries.is_empty() {
                        break;
                    }
                    if !self.hand_over_all(peer, &sync::entry_envelopes(*tag, entries, cut), &mut handed) {
                        break;
                    }
                    next = end;
                }
                handed.answer(*peer, *job, next)
            }
            Output::SendEntry { peer, job, tag, hash, cut } => {
                let entry = self.core.read_entry(hash).ok().flatten().filter(|e| e.space_tag() == *tag);
                let envelopes = match entry {
                    Some(entry) => sync::entry_envelopes(*tag, vec![entry.bytes().to_vec()], cut),
                    None => vec![Envelope::Absent { ranges: Vec::new(), hashes: vec![(*tag, *hash)] }],
                };
                let mut handed = Handed::default();
                self.hand_over_all(peer, &envelopes, &mut handed);
                handed.answer(*peer, *job, 0)
            }
            _ => Some(None),
        }
    }

    // None if the queue is full; a peer that is not connected takes nothing and loses nothing.
    fn hand_over(&self, peer: &DeviceId, envelope: &Envelope) -> Option<usize> {
        match self.net.send(*peer, envelope.encode()) {
            Ok(queued) => {
                self.core.traffic.sent(peer, envelope);
                Some(queued)
            }
            Err(e) if e.kind() == base::Kind::Busy => None,
            Err(_) => Some(0),
        }
    }

    // False if the queue is full before the end.
    fn hand_over_all(&self, peer: &DeviceId, envelopes: &[Envelope], handed: &mut Handed) -> bool {
        for envelope in envelopes {
            let Some(queued) = self.hand_over(peer, envelope) else {
                handed.full = true;
                return false;
            };
            handed.queued = queued;
            handed.bytes += envelope.payload();
        }
        true
    }

    pub(super) fn gossip(&self, tag: &SpaceTag, hash: &Hash, announcement: Option<Envelope>) {
        let Some((topic, (_, secret))) = self.topics.iter().find(|(_, (t, _))| t == tag) else { return };
        let envelope = match announcement {
            Some(envelope) => envelope,
            None => match self.core.read_entry(hash) {
                // What is in clear goes by the link alone; gossip is for what members seal.
                Ok(Some(entry)) if entry.header().kind == base::EntryKind::Content => {
                    Envelope::Entries(vec![entry.bytes().to_vec()])
                }
                _ => return,
            },
        };
        let Ok(nonce) = crate::home::random_bytes() else { return };
        let frame = secret.seal_frame(nonce, &envelope.encode());
        if frame.len() <= limit::GOSSIP_BYTES + 1024 {
            self.net.publish(topic.clone(), frame);
        }
    }
}
