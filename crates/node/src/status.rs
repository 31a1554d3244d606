//! What `chorus status` and `chorus log` show.

use crate::api::{LogLine, Offer, PeerStatus, SpaceStatus, Status};
use crate::apply::Opened;
use crate::clock;
use crate::core::Core;
use crate::error::Result;
use crate::record::PeerRecord;
use crate::state::State;
use crate::traffic;
use base::print::safe;
use base::{EntryKind, ObjectId, Oid, SpaceId};
use object::{Item, Type};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// Files and rooms that are named among those that are never sent.
const UNSHARED: usize = 32;

/// How a friend's device stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkStatus {
    pub(crate) connected: bool,
    pub(crate) behind_us: u64,
    pub(crate) behind_them: u64,
    /// Whether all that both share was compared, and is the same.
    pub(crate) synced: bool,
    /// When anything last came from it in this run.
    pub(crate) heard: Option<std::time::SystemTime>,
    /// Bytes sent and not acknowledged.
    pub(crate) in_flight: usize,
    /// Whether the link, or the last one, brought anybody further.
    pub(crate) fruitful: bool,
}

impl Core {
    /// Everything that `chorus status` prints.
    pub(crate) fn status(&self) -> Status {
        let state = self.state.read();
        let mut spaces: Vec<SpaceStatus> =
            state.spaces.values().map(|s| self.space_status(&state, s)).collect();
        spaces.sort_by_key(|s| (s.id != self.me.home, s.name.clone()));
        let offers = self.offers().unwrap_or_default().into_iter().map(|offer| Offer {
            from: state.petname(&offer.person).unwrap_or("somebody").to_string(),
            name: offer.name,
            space: offer.space,
        });
        Status {
            me: self.identity(),
            peers: state.peers.iter().map(|(name, peer)| self.peer_status(&state, name, peer)).collect(),
            spaces,
            offers: offers.collect(),
            listening: self.addresses(),
            local_files: local_things(&state).count() as u64,
            unshared: self.unshared(&state),
            overlaps: state
                .overlaps
                .iter()
                .filter_map(|oid| crate::read::path(&state, self.root(), oid))
                .collect(),
            notes: self.notes(&state),
            problems: state.problems.iter().cloned().collect(),
            store_bytes: self.store.disk_bytes().unwrap_or(0),
        }
    }

    // What was noted, and whose numbers were used twice.
    fn notes(&self, state: &State) -> Vec<String> {
        let mut notes: Vec<String> = state.notes.iter().cloned().collect();
        let holes = self.holes.lock().len();
        if holes > 0 {
            notes.push(format!(
                "entries are missing in {holes} log(s), as after damage; friends who have them are asked"
            ));
        }
        for space in state.spaces.values() {
            let forked = space.logs.tips.iter().filter(|(_, tips)| tips.len() > 1);
            let devices: std::collections::BTreeSet<_> = forked.map(|(log, _)| log.device).collect();
            for device in devices {
                let whose = match device == self.device {
                    true => "this device".to_string(),
                    false => {
                        let person = state.people.person_of(&device);
                        let name = person.and_then(|p| state.petname(&p).map(str::to_owned));
                        format!("a device of {}", name.unwrap_or_else(|| crypto::fingerprint(&device.0)))
                    }
                };
                notes.push(format!(
                    "{}: {whose} wrote twice under the same numbers (a copied home, or a backup that was put \
                     back); all of it counts, nothing is lost",
                    space.name
                ));
            }
        }
        notes
    }

    fn unshared(&self, state: &State) -> Vec<(String, &'static str)> {
        // Rooms first: much may depend on them, and they are few.
        let path = |oid| crate::read::path(state, self.root(), &oid);
        let things = local_things(state)
            .filter_map(|(oid, kind)| Some((kind != Type::Room, path(oid)?, is_ruled(state, &oid))));
        let things: std::collections::BTreeSet<(bool, String, bool)> = things.collect();
        let first = things.into_iter().take(UNSHARED);
        first.map(|(_, path, ruled)| (path.clone(), crate::policy::why_local(&path, ruled))).collect()
    }

    fn space_status(&self, state: &State, space: &crate::state::Space) -> SpaceStatus {
        let root = Oid { space: space.id, object: space.id.root() };
        SpaceStatus {
            name: space.name.clone(),
            path: crate::read::path(state, self.root(), &root),
            id: space.id,
            role: space.role,
            members: space.membership.members().len(),
            entries: space.logs.count(),
            waiting: space.waiting.values().map(|w| w.len()).sum(),
            later: space.later.len() + space.membership.later(),
            fetching: if space.is_home { 0 } else { self.fetching.load(Ordering::Relaxed) },
        }
    }

    /// How a friend stands.
    pub(crate) fn peer_status(&self, state: &State, name: &str, peer: &PeerRecord) -> PeerStatus {
        let links = self.links.lock();
        let net = self.net.read();
        let carried = net.as_ref().map(|net| net.peers()).unwrap_or_default();
        let devices = state.devices(peer);
        let mut status = PeerStatus {
            name: name.to_string(),
            person: peer.person,
            fingerprint: crypto::fingerprint(&peer.person.0),
            connected: false,
            met: peer.met,
            addr: None,
            carrier: None,
            last_seen: (peer.seen > 0).then(|| clock::from_ms(peer.seen)),
            last_heard: (peer.seen > 0).then(|| clock::from_ms(peer.seen)),
            behind_us: 0,
            behind_them: 0,
            synced: false,
            in_flight: 0,
            queued: 0,
            bytes_in: 0,
            bytes_out: 0,
            messages_in: BTreeMap::new(),
            messages_out: BTreeMap::new(),
            entries_in: 0,
            entries_new: 0,
            chunks_in: 0,
            chunks_new: 0,
            rooms: Vec::new(),
            brings: self.brings(state, &devices),
        };
        for device in devices {
            if let Some(link) = links.get(&device) {
                status.connected |= link.connected;
                status.behind_us += link.behind_us;
                status.behind_them += link.behind_them;
                status.synced |= link.synced;
                status.last_heard = status.last_heard.max(link.heard);
                status.in_flight += link.in_flight;
            }
            if let Some(carried) = carried.get(&device) {
                status.addr = carried.addr.clone().or(status.addr);
                if let Some(addr) = carried.addr.as_ref().filter(|_| carried.connected) {
                    status.carrier = Some(crate::map::carrier(addr, carried.transport));
                }
                status.queued += carried.queued;
                status.bytes_in += carried.bytes_in;
                status.bytes_out += carried.bytes_out;
                *status.messages_in.entry("gossip").or_default() += carried.hints_in;
                *status.messages_out.entry("gossip").or_default() += carried.hints_out;
            }
            if let Some(said) = self.traffic.of(&device) {
                traffic::add(&mut status.messages_in, &said.received);
                traffic::add(&mut status.messages_out, &said.sent);
                status.entries_in += said.entries.all;
                status.entries_new += said.entries.new;
                status.chunks_in += said.chunks.all;
                status.chunks_new += said.chunks.new;
            }
        }
        for space in state.spaces.values().filter(|s| !s.is_home) {
            if space.membership.role(&peer.person).is_some() {
                let root = Oid { space: space.id, object: space.id.root() };
                status.rooms.push(crate::read::path(state, self.root(), &root).unwrap_or(space.name.clone()));
            }
        }
        status
    }

    /// The text of the status file.
    pub(crate) fn status_text(&self) -> String {
        let status = self.status();
        let mut out = String::new();
        let _ = writeln!(out, "me {} {}", safe(&status.me.name), status.me.fingerprint);
        for peer in &status.peers {
            let how = if peer.connected { "connected" } else { "away" };
            let behind = peer.behind_us + peer.behind_them;
            let _ = writeln!(out, "peer {} {how} behind {behind}", safe(&peer.name));
        }
        for space in &status.spaces {
            let path = space.path.as_deref().unwrap_or("-");
            let role = space.role.map_or("none", |r| r.word());
            let _ = writeln!(
                out,
                "space {} {role} members {} entries {}",
                safe(path),
                space.members,
                space.entries
            );
        }
        for offer in &status.offers {
            let _ = writeln!(out, "offer {}/{}", safe(&offer.from), safe(&offer.name));
        }
        for (path, why) in &status.unshared {
            let _ = writeln!(out, "unshared {} {why}", safe(path));
        }
        for path in &status.overlaps {
            let _ = writeln!(out, "overlap {}", safe(path));
        }
        for note in &status.notes {
            let _ = writeln!(out, "note {}", safe(note));
        }
        for problem in &status.problems {
            let _ = writeln!(out, "problem {}", safe(problem));
        }
        out
    }

    /// The history of what is at a path: the newest first.
    pub(crate) fn log_of(&self, path: &str, max: usize) -> Result<Vec<LogLine>> {
        let oid = self.resolve(path)?;
        let whole = oid.object == oid.space.root();
        let mut entries = self.all_entries(&oid.space.tag())?;
        entries.sort_by_key(|e| std::cmp::Reverse((e.header().lamport, e.hash())));
        let mut lines = Vec::new();
        for entry in entries {
            if lines.len() >= max {
                break;
            }
            let header = entry.header();
            let (time, what) = match header.kind {
                EntryKind::Content => match self.open_entry(&oid.space, &entry)? {
                    Opened::Body(body) => {
                        let what =
                            self.describe_items(&oid.space, &body.items, (!whole).then_some(&oid.object));
                        (body.time, what)
                    }
                    Opened::Later => (0, Some("something that a later version will show".to_string())),
                    Opened::Bad(why) => (0, Some(format!("left out: {why}"))),
                },
                _ if whole => (0, self.describe_operation(&oid.space, &entry.hash())),
                _ => (0, None),
            };
            let Some(what) = what else { continue };
            let who = if header.log.device == self.device {
                "me".into()
            } else {
                self.name_of_device(&header.log.device)
            };
            lines.push(LogLine {
                time: clock::from_ms(time.max(0) as u64),
                who,
                what,
                hash: entry.hash().hex(),
            });
        }
        Ok(lines)
    }

    fn describe_operation(&self, space: &SpaceId, hash: &base::Hash) -> Option<String> {
        let state = self.state.read();
        let space = state.space(space)?;
        Some(space.membership.operation(hash).map_or("an operation", |o| o.word()).to_string())
    }

    fn describe_items(&self, space: &SpaceId, items: &[Item], only: Option<&ObjectId>) -> Option<String> {
        let state = self.state.read();
        let held = state.space(space)?;
        let name = |id: &ObjectId| {
            let path = crate::read::path(&state, self.root(), &Oid { space: *space, object: *id });
            path.unwrap_or_else(|| "something removed since".into())
        };
        let (mut born, mut edited, mut rooms) = (Vec::new(), Vec::new(), 0);
        for item in items {
            match item {
                Item::Birth(birth) if only.is_none_or(|o| *o == birth.id) => born.push(name(&birth.id)),
                Item::Change(change) if only.is_none_or(|o| *o == change.object) => {
                    let room = held.heads.get(&change.object).is_none_or(|h| h.kind == Type::Room);
                    if room && only.is_none() { rooms += 1 } else { edited.push(name(&change.object)) }
                }
                _ => {}
            }
        }
        let mut parts = Vec::new();
        parts.extend(summary("made", &born));
        parts.extend(summary("edited", &edited));
        if parts.is_empty() && rooms > 0 {
            parts.push("moved or removed names".into());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

// What is never sent; a room stands for all that is in it.
fn local_things(state: &State) -> impl Iterator<Item = (Oid, Type)> {
    state.spaces.values().flat_map(|space| {
        let births = space.pending.births.values().filter(|newborn| newborn.local);
        let inside = |id: ObjectId| space.view.doors_of(id).iter().any(|(room, _)| space.is_local(room));
        let outermost = births.filter(move |newborn| !inside(newborn.birth.id));
        outermost.map(|newborn| (Oid { space: space.id, object: newborn.birth.id }, newborn.birth.kind))
    })
}

// Whether rules of a room name it.
fn is_ruled(state: &State, oid: &Oid) -> bool {
    state.space(&oid.space).is_some_and(|space| {
        space.view.doors_of(oid.object).into_iter().any(|(room, door)| {
            space.view.shown_of(room, door).is_some_and(|shown| space.names_scratch(&room, &shown.name))
        })
    })
}

fn summary(verb: &str, names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{verb} {one}")),
        [one, rest @ ..] => Some(format!("{verb} {one} and {} more", rest.len())),
    }
}
