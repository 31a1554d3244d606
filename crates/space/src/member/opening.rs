//! Opening: which epochs' secrets a recipient's key gives.

use super::membership::Membership;
use super::operation::Operation;
use super::role::Role;
use super::wrap::{self, Recipient, Secret, Wrap};
use base::{EpochId, Hash};
use crypto::{EpochSecret, SealKey, TopicSecret};
use std::collections::BTreeMap;

/// What one recipient's key opens in a space. Only secrets that are what the epoch's operation
/// committed to.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// E of each epoch that opened.
    pub secrets: BTreeMap<EpochId, EpochSecret>,
    /// T of each epoch that opened, those of `secrets` included.
    pub topics: BTreeMap<EpochId, TopicSecret>,
    /// Epochs for which there was a wrap that does not open to what was committed to.
    pub broken: Vec<EpochId>,
}

impl Membership {
    /// Which epochs hold a wrap for this recipient, in operations that count.
    pub fn wraps_for(&self, recipient: &Recipient) -> Vec<EpochId> {
        let mut epochs: Vec<EpochId> = self.wraps(recipient).into_iter().map(|(id, ..)| id).collect();
        epochs.sort();
        epochs.dedup();
        epochs
    }

    // The wraps for a recipient in operations that count: of which epoch, and which secret.
    fn wraps(&self, recipient: &Recipient) -> Vec<(EpochId, Secret, &Wrap)> {
        let mut out = Vec::new();
        for (hash, operation) in self.counting() {
            let lists = match operation {
                Operation::Epoch { wraps, host_wraps, .. } => {
                    let id = EpochId(hash.0);
                    vec![(id, Secret::Epoch, wraps), (id, Secret::Topic, host_wraps)]
                }
                Operation::Add { role: Role::Host, epoch, wraps, .. } => vec![(*epoch, Secret::Topic, wraps)],
                Operation::Add { epoch, wraps, .. } => vec![(*epoch, Secret::Epoch, wraps)],
                _ => Vec::new(),
            };
            for (id, secret, wraps) in lists {
                if let Ok(at) = wraps.binary_search_by_key(recipient, |wrap| wrap.recipient) {
                    out.push((id, secret, &wraps[at]));
                }
            }
        }
        out
    }

    /// Opens everything that this recipient's key opens, and from there the epochs replaced. What
    /// does not open to what an epoch's operation committed to is left out and named in `broken`.
    pub fn open(&self, recipient: &Recipient, key: &SealKey) -> Opened {
        let mut opened = Opened::default();
        for (id, which, wrap) in self.wraps(recipient) {
            let Some(Operation::Epoch { nonce, topic, .. }) = self.operation(&Hash(id.0)) else { continue };
            let fits = match which {
                Secret::Epoch => match wrap::open_epoch(&self.id(), nonce, wrap, key) {
                    Some(secret) => self.adopt(id, secret, &mut opened),
                    None => false,
                },
                Secret::Topic => match wrap::open_topic(&self.id(), nonce, wrap, key) {
                    Some(secret) if secret.commit() == *topic => {
                        opened.topics.insert(id, secret);
                        true
                    }
                    _ => false,
                },
            };
            if !fits && !opened.broken.contains(&id) {
                opened.broken.push(id);
            }
        }
        opened.broken.retain(|id| !opened.topics.contains_key(id));
        opened.broken.sort();
        opened
    }

    // Takes a secret that is what its epoch committed to, and those of the epochs it replaced.
    fn adopt(&self, id: EpochId, secret: EpochSecret, opened: &mut Opened) -> bool {
        let mut fits = false;
        let mut next = vec![(id, secret)];
        while let Some((id, secret)) = next.pop() {
            let Some(Operation::Epoch { commit, previous, .. }) = self.operation(&Hash(id.0)) else {
                continue;
            };
            if secret.commit() != *commit {
                continue;
            }
            fits = true;
            if opened.secrets.contains_key(&id) {
                continue;
            }
            for (replaced, sealed) in previous {
                if let Ok(old) = crypto::open_previous(&secret, &self.id(), replaced, sealed) {
                    next.push((*replaced, old));
                }
            }
            opened.topics.insert(id, secret.topic_secret());
            opened.secrets.insert(id, secret);
        }
        fits
    }
}
