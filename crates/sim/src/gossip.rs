//! Gossip as the carrier does it: whoever hears something new passes it on to every friend who
//! listens, except where it came from.

use crate::run::Event;
use crate::world::World;
use base::{Hash, SpaceTag};
use std::rc::Rc;
use sync::{Envelope, Input};

impl World {
    pub(crate) fn gossip_arrives(&mut self, from: usize, to: usize, tag: SpaceTag, bytes: Rc<[u8]>) {
        if !self.nodes[to].up || !self.is_linked(from, to) {
            return;
        }
        self.counts.gossip_in += 1;
        let envelope = Envelope::decode(&bytes).expect("what a node publishes decodes");
        let before = self.counts.duplicates;
        self.tally(&envelope, to);
        self.counts.gossip_duplicates += self.counts.duplicates - before;
        if !self.nodes[to].seen_gossip.insert(Hash::of(&[&bytes])) {
            return;
        }
        self.spread(to, Some(from), tag, &bytes);
        let via = self.nodes[from].id;
        self.step(to, Input::Gossip { via, tag, envelope });
    }

    /// A node publishes something, or passes it on.
    pub fn spread(&mut self, i: usize, except: Option<usize>, tag: SpaceTag, bytes: &Rc<[u8]>) {
        let targets: Vec<(usize, u64, u64)> = self.links[i]
            .iter()
            .filter(|(b, _)| Some(**b) != except && self.nodes[**b].tags.contains(&tag))
            .map(|(b, wire)| (*b, wire.link.latency, wire.link.loss))
            .collect();
        for (to, latency, loss) in targets {
            self.counts.gossip_out += 1;
            self.counts.gossip_bytes += bytes.len() as u64;
            let far = latency > self.gossip_reach;
            if self.below(1000) < loss || self.one_way.contains(&(i, to)) || far {
                continue;
            }
            let at = self.now + latency;
            self.schedule(at, Event::Gossip { from: i, to, tag, bytes: bytes.clone() });
        }
    }
}
