//! What a node says that is the scenario's.

use crate::scenario::Saying;
use crate::world::{TAG, World};
use base::{Hash, Incarnation, LogId, limit};
use sync::{Envelope, Frontier, Hello, LogRange, SpaceDelta, Want};

impl World {
    /// Says that it shares the space, to everybody it is connected with.
    pub(crate) fn puppet_announces(&mut self, i: usize) {
        let announce = Frontier { announce: Some(vec![TAG]), ..Frontier::default() };
        self.puppet_says(i, &Envelope::Frontier(announce));
    }

    fn puppet_says(&mut self, i: usize, envelope: &Envelope) {
        let others: Vec<usize> = self.links[i].keys().copied().collect();
        for to in others {
            self.send(i, to, envelope);
        }
        self.nodes[i].inbox.clear();
    }

    /// Says the `n`th thing of a kind.
    pub(crate) fn hostile(&mut self, i: usize, says: Saying, n: u64) {
        let nowhere = Hash::of(&[b"nowhere", &n.to_be_bytes()]);
        let log = LogId { device: self.nodes[i].id, incarnation: Incarnation(n.to_be_bytes()) };
        let envelope = match says {
            Saying::Frontiers => {
                let logs = vec![(log, vec![(1 << 60, nowhere)])];
                let deltas = vec![SpaceDelta { tag: TAG, whole: false, logs }];
                Envelope::Frontier(Frontier { deltas, pull: true, ..Frontier::default() })
            }
            Saying::Hellos => {
                Envelope::Hello(Hello { version: 1, node: self.nodes[i].id, digest: nowhere, time: n })
            }
            Saying::Gaps => {
                let entry = self.entry_of(log, TAG, Some((n % 1_000 + 7, nowhere)), 200);
                Envelope::Entries(vec![entry.bytes().to_vec()])
            }
            Saying::Wants => Envelope::Want(self.wants_of_anything(i, n)),
            Saying::Junk => Envelope::Entries(vec![nowhere.0.to_vec()]),
            Saying::Invalid => {
                let entry = self.entry_of(log, TAG, None, 64);
                let mut header = entry.header().clone();
                header.seq = 0;
                let body = [255; 64];
                let bad =
                    base::Entry::assemble(&header, &body, &[0; 64]).expect("an entry within the limits");
                Envelope::Entries(vec![bad.bytes().to_vec()])
            }
        };
        self.puppet_says(i, &envelope);
    }

    // Sixty-four single places of a log that a friend has.
    fn wants_of_anything(&self, i: usize, n: u64) -> Want {
        let friend = self.links[i].keys().next().copied().unwrap_or(i);
        let Some(frontier) = self.nodes[friend].sync.frontier(&TAG) else { return Want::default() };
        let Some((log, tips)) = frontier.into_iter().next() else { return Want::default() };
        let top = tips.last().map_or(0, |tip| tip.0) + 1;
        let place = |k: u64| (n * 31 + k) % top;
        let range = |k: u64| LogRange { tag: TAG, log, from: place(k), to: place(k) };
        Want { ranges: (0..limit::WANTS as u64).map(range).collect(), ..Want::default() }
    }
}
