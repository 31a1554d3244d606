//! What a bundle for a friend is to hold.

use super::file::Recipient;
use super::known::Outline;
use crate::apply::Opened;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::link::ToLink;
use crate::record::CoverRecord;
use base::{ChunkId, DeviceId, Entry, Kind, LogId, Oid, PersonId, SpaceTag, limit};
use object::{Item, Manifest};
use std::collections::{BTreeMap, BTreeSet};
use sync::{Envelope, LogRange, Want};

/// Bytes of entries read at a time.
const BATCH: usize = 1 << 20;

/// A chunk to be sent, with its length.
pub(crate) type Piece = (SpaceTag, ChunkId, u32);

/// What goes to a friend.
pub(crate) struct Plan {
    pub(crate) to: Recipient,
    /// What every bundle begins with, where it is small: rooms, frontiers, and what is asked for.
    pub(crate) head: Vec<Envelope>,
    /// Runs of entries: people's statements first.
    pub(crate) ranges: Vec<LogRange>,
    pub(crate) chunks: Vec<Piece>,
    pub(crate) entries: u64,
    /// Bytes of entries and chunks.
    pub(crate) bytes: u64,
    /// Entries and chunks that bundles in the spool hold already.
    pub(crate) covered: u64,
    /// Which of the bundles in the spool are not needed any more.
    pub(crate) spent: Vec<CoverRecord>,
}

impl Core {
    /// Plans what a friend is to get: past what they acknowledged, or (`all`) everything; without what
    /// the bundles that `there` names hold already.
    pub(crate) fn plan_bundle(&self, person: &PersonId, all: bool, there: &[CoverRecord]) -> Result<Plan> {
        let (to, devices) = self.recipient(person)?;
        let outline = self.outline_of(&devices, all)?;
        let wanted = self.wanted_by(&devices)?;
        let known = |tag: &SpaceTag| self.state.read().spaces.contains_key(tag);
        let mut lacking = outline.lacking.clone();
        lacking.sort_by_key(|range| (known(&range.tag), *range));
        let needed = self.chunks_of(&lacking, &wanted)?;
        let pieces: BTreeSet<(SpaceTag, ChunkId)> = needed.iter().map(|(tag, id, _)| (*tag, *id)).collect();
        let spent = |cover: &&CoverRecord| !all && !still_of_use(cover, &lacking, &pieces);
        let (spent, of_use): (Vec<_>, Vec<_>) = there.iter().partition(spent);
        let of_use = if all { Vec::new() } else { of_use };
        let ranges: Vec<LogRange> = lacking.iter().flat_map(|range| without(range, &of_use)).collect();
        let carried: BTreeSet<(SpaceTag, ChunkId)> =
            of_use.iter().flat_map(|cover| cover.chunks.iter().copied()).collect();
        let mut plan = Plan {
            to,
            head: self.head_of(&outline, person),
            ranges,
            chunks: Vec::new(),
            entries: 0,
            bytes: 0,
            covered: 0,
            spent: spent.into_iter().cloned().collect(),
        };
        for piece in needed {
            if carried.contains(&(piece.0, piece.1)) {
                plan.covered += 1;
            } else {
                plan.bytes += u64::from(piece.2);
                plan.chunks.push(piece);
            }
        }
        for range in &plan.ranges.clone() {
            self.each_batch(range, BATCH, &mut |entries, _| {
                plan.entries += entries.len() as u64;
                plan.bytes += entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
                Ok(())
            })?;
        }
        plan.covered +=
            lacking.iter().map(span).sum::<u64>().saturating_sub(plan.ranges.iter().map(span).sum());
        Ok(plan)
    }

    /// Where a friend opens what is sealed, and their devices.
    pub(crate) fn recipient(&self, person: &PersonId) -> Result<(Recipient, Vec<DeviceId>)> {
        let state = self.state.read();
        let peer = state.peers.values().find(|peer| peer.person == *person);
        let devices = peer.map(|peer| state.devices(peer)).unwrap_or_default();
        let certified = state.people.get(person).map(|known| known.devices().clone()).unwrap_or_default();
        let seals = certified.values().map(|cert| cert.seal).take(limit::BUNDLE_WRAPS).collect();
        Ok((Recipient { person: *person, seals }, devices.into_iter().collect()))
    }

    pub(crate) fn outline_of(&self, devices: &[DeviceId], all: bool) -> Result<Outline> {
        let (answer, outline) = crossbeam_channel::bounded(1);
        self.tell_link(ToLink::Outline { devices: devices.to_vec(), all, answer });
        outline.recv().map_err(|_| stopping())
    }

    pub(crate) fn wanted_by(&self, devices: &[DeviceId]) -> Result<BTreeSet<(SpaceTag, ChunkId)>> {
        let mut wanted = BTreeSet::new();
        for device in devices {
            wanted.extend(self.carried_from(device)?.wants);
        }
        Ok(wanted)
    }

    /// Where this node stands, for a friend: what acknowledges what they sent.
    pub(crate) fn ack_for(&self, person: &PersonId) -> Result<(Recipient, Vec<Envelope>)> {
        let (to, devices) = self.recipient(person)?;
        Ok((to, self.head_of(&self.outline_of(&devices, false)?, person)))
    }

    // Rooms they may not know of, what is here of each, and what is asked of them.
    fn head_of(&self, outline: &Outline, person: &PersonId) -> Vec<Envelope> {
        let mut head: Vec<Envelope> = Vec::new();
        for tag in &outline.unannounced {
            if let Some((name, entries)) = self.share_entries(tag) {
                head.push(Envelope::Share { name, entries });
            }
        }
        head.extend(outline.report.iter().cloned().map(Envelope::Frontier));
        let wants = self.wanted_of(person);
        head.extend(
            wants
                .chunks(limit::WANTS)
                .map(|chunks| Envelope::Want(Want { chunks: chunks.to_vec(), ..Want::default() })),
        );
        head
    }

    /// The chunks that are not here, of what is shared with a friend.
    pub(crate) fn wanted_of(&self, person: &PersonId) -> Vec<(SpaceTag, ChunkId)> {
        let mut wanted = Vec::new();
        for oid in self.large_files(|space| space.membership.role(person).is_some()) {
            let manifests = crate::read::manifests(self, &oid).unwrap_or_default();
            for manifest in manifests {
                wanted.extend(
                    self.absent(&oid.space.tag(), &manifest).into_iter().map(|id| (oid.space.tag(), id)),
                );
                if wanted.len() >= limit::BUNDLE_WANTS {
                    wanted.truncate(limit::BUNDLE_WANTS);
                    return wanted;
                }
            }
        }
        wanted
    }

    // The large files of shared spaces.
    fn large_files(&self, suits: impl Fn(&crate::state::Space) -> bool) -> Vec<Oid> {
        let state = self.state.read();
        let spaces = state.spaces.values().filter(|space| !space.is_home && suits(space));
        let all = spaces.flat_map(|space| {
            let chunked = space.heads.iter().filter(|(_, head)| head.chunked);
            chunked.map(|(id, _)| Oid { space: space.id, object: *id }).collect::<Vec<_>>()
        });
        let mut all: Vec<Oid> = all.collect();
        all.sort();
        all
    }

    fn absent(&self, tag: &SpaceTag, manifest: &Manifest) -> Vec<ChunkId> {
        let content = manifest.hash();
        let here = self.partial.read().get(&(*tag, content)).cloned();
        let here = here.or_else(|| self.blob(tag, &content).ok().flatten());
        let lacks = |index: usize| here.as_ref().is_none_or(|blob| !blob.has(index as u32));
        let chunks = manifest.chunks.iter().enumerate();
        chunks.filter(|(index, _)| lacks(*index)).map(|(_, chunk)| chunk.id).collect()
    }

    // The chunks of the large files that these entries made or changed, and those asked for: what is
    // here of them, each once, file by file.
    fn chunks_of(&self, ranges: &[LogRange], wanted: &BTreeSet<(SpaceTag, ChunkId)>) -> Result<Vec<Piece>> {
        let touched = self.touched_by(ranges)?;
        let mut seen = BTreeSet::new();
        let mut pieces = Vec::new();
        for oid in self.large_files(|_| true) {
            let tag = oid.space.tag();
            let whole = touched.contains(&oid);
            if !whole && wanted.is_empty() {
                continue;
            }
            for manifest in crate::read::manifests(self, &oid)? {
                let absent: BTreeSet<ChunkId> = self.absent(&tag, &manifest).into_iter().collect();
                for chunk in &manifest.chunks {
                    let needed = whole || wanted.contains(&(tag, chunk.id));
                    if needed && !absent.contains(&chunk.id) && seen.insert((tag, chunk.id)) {
                        pieces.push((tag, chunk.id, chunk.len));
                    }
                }
            }
        }
        Ok(pieces)
    }

    // The large files that these entries speak of.
    fn touched_by(&self, ranges: &[LogRange]) -> Result<BTreeSet<Oid>> {
        let chunked: BTreeSet<Oid> = self.large_files(|_| true).into_iter().collect();
        let mut touched = BTreeSet::new();
        let with_any: BTreeSet<SpaceTag> = chunked.iter().map(|oid| oid.space.tag()).collect();
        for range in ranges.iter().filter(|range| with_any.contains(&range.tag)) {
            let Some(space) = self.space_of_tag(&range.tag) else { continue };
            self.each_batch(range, BATCH, &mut |entries, _| {
                for entry in entries {
                    let entry = Entry::decode(entry)?;
                    if let Opened::Body(body) = self.open_entry(&space, &entry)? {
                        let objects = body.items.iter().map(|item| match item {
                            Item::Birth(birth) => birth.id,
                            Item::Change(change) => change.object,
                        });
                        let oids = objects.map(|object| Oid { space, object });
                        touched.extend(oids.filter(|oid| chunked.contains(oid)));
                    }
                }
                Ok(())
            })?;
        }
        Ok(touched)
    }

    /// Reads a run of entries in pieces: the entries, and the part of the run that they are.
    pub(crate) fn each_batch(
        &self,
        range: &LogRange,
        budget: usize,
        each: &mut dyn FnMut(Vec<Vec<u8>>, LogRange) -> Result<()>,
    ) -> Result<()> {
        let mut from = range.from;
        while from <= range.to {
            let (entries, next) = self.entries_from(&range.tag, &range.log, from, range.to, budget);
            if entries.is_empty() || next <= from {
                break;
            }
            each(entries, LogRange { from, to: next - 1, ..*range })?;
            from = next;
        }
        Ok(())
    }
}

/// The error of a node that is about to stop, or was started without a network.
pub(crate) fn stopping() -> Error {
    Error::refused(Kind::Interrupted, "the node is stopping")
}

fn span(range: &LogRange) -> u64 {
    (range.to - range.from).saturating_add(1)
}

// Whether a bundle holds something that the friend is not known to have.
fn still_of_use(cover: &CoverRecord, lacking: &[LogRange], needed: &BTreeSet<(SpaceTag, ChunkId)>) -> bool {
    let lacks = |(tag, log, from, to): &(SpaceTag, LogId, u64, u64)| {
        lacking.iter().any(|r| (r.tag, r.log) == (*tag, *log) && *from <= r.to && r.from <= *to)
    };
    cover.ranges.iter().any(lacks) || cover.chunks.iter().any(|chunk| needed.contains(chunk))
}

// What is left of a run without what bundles hold.
fn without(range: &LogRange, covers: &[&CoverRecord]) -> Vec<LogRange> {
    let mut held: BTreeMap<u64, u64> = BTreeMap::new();
    for (tag, log, from, to) in covers.iter().flat_map(|cover| &cover.ranges) {
        if (*tag, *log) == (range.tag, range.log) {
            let end = held.entry(*from).or_insert(*to);
            *end = (*end).max(*to);
        }
    }
    let mut left = Vec::new();
    let mut from = range.from;
    for (start, end) in held {
        if start > from && from <= range.to {
            left.push(LogRange { from, to: range.to.min(start - 1), ..*range });
        }
        from = from.max(end.saturating_add(1));
    }
    if from <= range.to {
        left.push(LogRange { from, ..*range });
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Incarnation, LogId};

    #[test]
    fn what_bundles_hold_is_left_out() {
        let log = LogId { device: DeviceId([1; 32]), incarnation: Incarnation([2; 8]) };
        let tag = SpaceTag([3; 16]);
        let range = LogRange { tag, log, from: 5, to: 20 };
        let cover = |runs: &[(u64, u64)]| CoverRecord {
            ranges: runs.iter().map(|(from, to)| (tag, log, *from, *to)).collect(),
            ..CoverRecord::default()
        };
        let left = |covers: &[CoverRecord]| -> Vec<(u64, u64)> {
            let covers: Vec<&CoverRecord> = covers.iter().collect();
            without(&range, &covers).iter().map(|r| (r.from, r.to)).collect()
        };
        assert_eq!(left(&[]), [(5, 20)]);
        assert_eq!(left(&[cover(&[(0, 9)])]), [(10, 20)]);
        assert_eq!(left(&[cover(&[(7, 9)]), cover(&[(15, 30)])]), [(5, 6), (10, 14)]);
        assert_eq!(left(&[cover(&[(0, 4), (21, 30)])]), [(5, 20)]);
        assert_eq!(left(&[cover(&[(5, 12), (8, 20)])]), []);
    }
}
