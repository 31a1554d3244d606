//! What the machine knows for carriers that need no link: what to tell a peer, and what it lacks.

use crate::envelope::{Frontier, LogRange, Tips};
use crate::frontier::Log;
use crate::io::PeerId;
use crate::machine::Sync;
use crate::told::split;
use base::{LogId, SpaceTag, limit};
use std::collections::{BTreeMap, BTreeSet};

impl Sync {
    /// Everything that a peer is to hear of what is here: which spaces, and how far each of their
    /// logs is. It acknowledges all that came from there before.
    pub fn report(&self, peer: &PeerId) -> Vec<Frontier> {
        let mine = self.told_to(peer);
        let whole: BTreeMap<SpaceTag, (bool, Vec<(LogId, Tips)>)> = mine
            .iter()
            .filter_map(|tag| Some((*tag, (true, self.frontier(tag)?.into_iter().collect()))))
            .collect();
        let mut frontiers: Vec<Frontier> =
            split(whole).into_iter().map(|deltas| Frontier { deltas, ..Frontier::default() }).collect();
        if frontiers.is_empty() {
            frontiers.push(Frontier::default());
        }
        if let Some(first) = frontiers.first_mut() {
            first.announce = Some(mine.into_iter().collect());
        }
        frontiers
    }

    /// What a peer is not known to have of the spaces it is a member of: past what it acknowledged, or
    /// (with `all`, and where nothing is known of it) everything.
    pub fn lacking(&self, peer: &PeerId, all: bool) -> Vec<LogRange> {
        let known = self.peers.get(peer).filter(|_| !all);
        let mut ranges = Vec::new();
        for tag in self.told_to(peer) {
            let Some(space) = self.spaces.by_tag.get(&tag) else { continue };
            for (log, here) in &space.logs {
                let lacks = match known.filter(|state| state.known.contains(&tag)) {
                    Some(state) => state.lag.get(&(tag, *log)).and_then(|lag| past(here, &lag.theirs)),
                    None => here.tips.last().map(|(top, _)| (0, *top)),
                };
                ranges.extend(lacks.map(|(from, to)| LogRange { tag, log: *log, from, to }));
            }
        }
        ranges
    }

    /// The spaces that a peer announced last; none while it has not.
    pub fn announced(&self, peer: &PeerId) -> Option<&BTreeSet<SpaceTag>> {
        self.peers.get(peer)?.announced.as_ref()
    }

    fn told_to(&self, peer: &PeerId) -> BTreeSet<SpaceTag> {
        let allowed = self.peers.get(peer).map(|state| &state.allowed).into_iter().flatten();
        allowed.filter(|tag| self.spaces.by_tag.contains_key(tag)).take(limit::SPACES).copied().collect()
    }
}

// One run that has all that is lacking. Of a fork it cannot be said where the branches part, and there
// will be no second question: then it is the whole log.
fn past(here: &Log, theirs: &Tips) -> Option<(u64, u64)> {
    let (from, to) = here.lacking(theirs)?;
    let forked = here.tips.len() > 1 || theirs.len() > 1 || theirs.iter().any(|tip| tip.0 > to);
    Some((if forked { 0 } else { from }, here.tips.last().map_or(to, |tip| tip.0)))
}
