//! What was said with each friend's device since the start: messages counted by kind, so that anybody can see that a
//! quiet link is quiet, and what a busy one is busy with.

use base::DeviceId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use sync::Envelope;

/// How many messages of each kind.
pub(crate) type Kinds = BTreeMap<&'static str, u64>;

/// What was said with one device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) received: Kinds,
    pub(crate) sent: Kinds,
    /// Entries that came on the link, and those among them that were not here.
    pub(crate) entries: Came,
    /// Chunks, alike.
    pub(crate) chunks: Came,
}

/// How much of something came whole, and how much of that was needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Came {
    pub(crate) all: u64,
    pub(crate) new: u64,
}

/// The counts of all friends' devices.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    by_device: Mutex<BTreeMap<DeviceId, Said>>,
}

impl Traffic {
    /// An envelope came on the link.
    pub(crate) fn received(&self, from: &DeviceId, envelope: &Envelope) {
        let mut devices = self.by_device.lock();
        let said = devices.entry(*from).or_default();
        *said.received.entry(envelope.word()).or_default() += 1;
        match envelope {
            Envelope::Entries(entries) => said.entries.all += entries.len() as u64,
            Envelope::Chunk { bytes: Some(_), .. } => said.chunks.all += 1,
            Envelope::Part(part) if part.from + part.bytes.len() as u64 == part.whole => said.chunks.all += 1,
            Envelope::Piece(piece) if piece.from + piece.bytes.len() as u64 == piece.whole => {
                said.entries.all += 1;
            }
            _ => {}
        }
    }

    /// An envelope was handed to the link.
    pub(crate) fn sent(&self, to: &DeviceId, envelope: &Envelope) {
        let mut devices = self.by_device.lock();
        *devices.entry(*to).or_default().sent.entry(envelope.word()).or_default() += 1;
    }

    /// A chunk that came on the link was wanted.
    pub(crate) fn wanted(&self, from: &DeviceId) {
        if let Some(said) = self.by_device.lock().get_mut(from) {
            said.chunks.new += 1;
        }
    }

    /// An entry that came on the link was news.
    pub(crate) fn news(&self, from: Option<DeviceId>) {
        let mut devices = self.by_device.lock();
        if let Some(said) = from.and_then(|from| devices.get_mut(&from)) {
            said.entries.new += 1;
        }
    }

    /// What was said with a device.
    pub(crate) fn of(&self, device: &DeviceId) -> Option<Said> {
        self.by_device.lock().get(device).cloned()
    }

    /// Whoever is no friend's device any more is not counted.
    pub(crate) fn keep(&self, is_friend: impl Fn(&DeviceId) -> bool) {
        self.by_device.lock().retain(|device, _| is_friend(device));
    }
}

/// Adds the messages of one device to those of others.
pub(crate) fn add(sum: &mut Kinds, more: &Kinds) {
    for (kind, count) in more {
        *sum.entry(kind).or_default() += count;
    }
}
