//! Links that are watched more closely: what crossed them for the first time, what again, and how
//! much of that had not been lost on the way.

use crate::world::World;
use base::Hash;
use std::collections::{BTreeMap, VecDeque};
use sync::Envelope;

/// What went from one node to another, over all the times that they were connected.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Bytes of everything.
    pub bytes: u64,
    /// Bytes of entries and chunks that went for the first time.
    pub first: u64,
    /// Bytes of those that went again.
    pub again: u64,
    /// Of these, bytes that had arrived once.
    pub needless: u64,
    /// Bytes that were under way when the link broke.
    pub cut_off: u64,
    /// Bytes of entries and chunks that got lost on the way otherwise.
    pub lost: u64,
    /// How often the link broke or closed.
    pub cuts: u64,
    // What was sent: whether it has arrived.
    sent: BTreeMap<Hash, bool>,
    under_way: BTreeMap<Hash, UnderWay>,
    // Envelopes that wait: when the last byte leaves, and how many they are.
    queue: VecDeque<(u64, u64)>,
}

// Something that was handed over: how much, when the last byte leaves, and what was known of it before.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    size: u64,
    left: u64,
    before: Option<bool>,
}

/// What an envelope carries: entries or a chunk, each by its hash and size.
fn cargo(envelope: &Envelope) -> Vec<(Hash, u64)> {
    match envelope {
        Envelope::Entries(list) => {
            list.iter().map(|bytes| (Hash::of(&[bytes]), bytes.len() as u64)).collect()
        }
        Envelope::Chunk { id, bytes: Some(bytes), .. } => vec![(Hash(id.0), bytes.len() as u64)],
        Envelope::Part(part) => {
            vec![(Hash::of(&[&part.id.0, &part.from.to_be_bytes()]), part.bytes.len() as u64)]
        }
        Envelope::Piece(piece) => {
            vec![(Hash::of(&[&piece.hash.0, &piece.from.to_be_bytes()]), piece.bytes.len() as u64)]
        }
        _ => Vec::new(),
    }
}

impl World {
    /// Watches what goes from one node to another.
    pub fn watch(&mut self, from: usize, to: usize) {
        self.audits.entry((from, to)).or_default();
    }

    pub(crate) fn audit_lost(&mut self, from: usize, to: usize, envelope: &Envelope) {
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        for (hash, size) in cargo(envelope) {
            audit.lost += size;
            // It is not under way any more when the link breaks.
            audit.under_way.remove(&hash);
        }
    }

    pub(crate) fn audit_sent(&mut self, from: usize, to: usize, left: u64, envelope: &Envelope, bytes: u64) {
        let now = self.now;
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        audit.bytes += bytes;
        while audit.queue.front().is_some_and(|(at, _)| *at <= now) {
            audit.queue.pop_front();
        }
        audit.queue.push_back((left, bytes));
        for (hash, size) in cargo(envelope) {
            let before = audit.sent.get(&hash).copied();
            audit.count(size, before, true);
            audit.sent.insert(hash, before.unwrap_or(false));
            audit.under_way.insert(hash, UnderWay { size, left, before });
        }
    }

    pub(crate) fn audit_arrived(&mut self, from: usize, to: usize, envelope: &Envelope) {
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        for (hash, _) in cargo(envelope) {
            audit.sent.insert(hash, true);
            audit.under_way.remove(&hash);
        }
    }

    pub(crate) fn audit_cut(&mut self, from: usize, to: usize, lossy: bool) {
        let now = self.now;
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        audit.cuts += 1;
        let never_left = std::mem::take(&mut audit.queue).into_iter().filter(|(at, _)| *at > now);
        audit.bytes -= never_left.map(|(_, bytes)| bytes).sum::<u64>();
        for (hash, waiting) in std::mem::take(&mut audit.under_way) {
            let UnderWay { size, left, before } = waiting;
            if left > now {
                // The last byte of it never left: it waited in the queue.
                audit.count(size, before, false);
                match before {
                    Some(arrived) => audit.sent.insert(hash, arrived),
                    None => audit.sent.remove(&hash),
                };
            } else if lossy {
                audit.cut_off += size;
            } else {
                audit.under_way.insert(hash, waiting);
            }
        }
    }
}

impl Audit {
    fn count(&mut self, size: u64, before: Option<bool>, add: bool) {
        let change = |sum: &mut u64| *sum = if add { *sum + size } else { *sum - size };
        match before {
            None => change(&mut self.first),
            Some(arrived) => {
                change(&mut self.again);
                if arrived {
                    change(&mut self.needless);
                }
            }
        }
    }
}
