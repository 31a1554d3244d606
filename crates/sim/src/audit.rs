//! Links that are watched more closely: what crossed them for the first time, what again, and how
//! much of that had not been lost on the way.

use crate::world::World;
use base::Hash;
use std::collections::BTreeMap;
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
    /// How often the link broke or closed.
    pub cuts: u64,
    // What was sent: whether it has arrived.
    sent: BTreeMap<Hash, bool>,
    under_way: BTreeMap<Hash, u64>,
}

/// What an envelope carries: entries or a chunk, each by its hash and size.
fn cargo(envelope: &Envelope) -> Vec<(Hash, u64)> {
    match envelope {
        Envelope::Entries(list) => {
            list.iter().map(|bytes| (Hash::of(&[bytes]), bytes.len() as u64)).collect()
        }
        Envelope::Chunk { id, bytes: Some(bytes), .. } => vec![(Hash(id.0), bytes.len() as u64)],
        _ => Vec::new(),
    }
}

impl World {
    /// Watches what goes from one node to another.
    pub fn watch(&mut self, from: usize, to: usize) {
        self.audits.entry((from, to)).or_default();
    }

    pub(crate) fn audit_sent(&mut self, from: usize, to: usize, envelope: &Envelope) {
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        audit.bytes += envelope.encode().len() as u64;
        for (hash, size) in cargo(envelope) {
            match audit.sent.insert(hash, audit.sent.get(&hash).copied().unwrap_or(false)) {
                None => audit.first += size,
                Some(arrived) => {
                    audit.again += size;
                    audit.needless += if arrived { size } else { 0 };
                }
            }
            audit.under_way.insert(hash, size);
        }
    }

    pub(crate) fn audit_arrived(&mut self, from: usize, to: usize, envelope: &Envelope) {
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        for (hash, _) in cargo(envelope) {
            audit.sent.insert(hash, true);
            audit.under_way.remove(&hash);
        }
    }

    pub(crate) fn audit_cut(&mut self, from: usize, to: usize) {
        let Some(audit) = self.audits.get_mut(&(from, to)) else { return };
        audit.cuts += 1;
        audit.cut_off += std::mem::take(&mut audit.under_way).values().sum::<u64>();
    }
}
