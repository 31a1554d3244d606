//! What only several messages together can break: the state machine between nodes, and membership.

use crate::Script;
use base::{DeviceId, Entry, EntryKind, Hash, Header, Incarnation, LogId, PersonId, Run, SpaceId, SpaceTag};
use crypto::{DeviceKey, RootKey, SealKey};
use space::member::{Membership, NewSpace, People, Person, SpaceKind, create_space, first_person};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use sync::{Config, Envelope, Input, Output, Sync};

/// The space that all share, and one that only the first peer does.
pub(crate) const TAGS: [SpaceTag; 2] = [SpaceTag([1; 16]), SpaceTag([2; 16])];
const PEERS: [DeviceId; 2] = [DeviceId([8; 32]), DeviceId([9; 32])];
/// What one message may lead to.
const OUTPUTS: usize = 4096;

fn log(n: u8) -> LogId {
    LogId { device: DeviceId([n; 32]), incarnation: Incarnation([n; 8]) }
}

struct Machine {
    sync: Sync,
    now: u64,
    /// How the next entry that is delivered is taken.
    mood: u8,
}

impl Machine {
    fn new() -> Machine {
        let mut machine =
            Machine { sync: Sync::new(DeviceId([7; 32]), Config::default(), 1), now: 0, mood: 0 };
        let tips = |n: u64| vec![(n, Hash([n as u8; 32]))];
        for (tag, logs) in [(TAGS[0], vec![(log(2), tips(5)), (log(3), tips(0))]), (TAGS[1], vec![])] {
            machine.step(Input::Space { tag, logs: logs.into_iter().collect::<BTreeMap<_, _>>() });
        }
        for (peer, tags) in [(PEERS[0], &TAGS[..]), (PEERS[1], &TAGS[..1])] {
            machine.step(Input::Allow { peer, tags: tags.iter().copied().collect::<BTreeSet<_>>() });
            machine.step(Input::Connected { peer });
        }
        machine
    }

    // Does what the machine says, as a node would, until it says nothing more.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        let mut said = 0;
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.sync.step(self.now, input, &mut out);
            said += out.len();
            assert!(said <= OUTPUTS, "{said} things to do for one message");
            inputs.extend(out.into_iter().filter_map(|output| self.perform(output)));
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { envelope, .. } => {
                let bytes = envelope.encode();
                assert_eq!(Envelope::decode(&bytes).as_ref(), Ok(&envelope), "it says what others can read");
                None
            }
            Output::SendEntries { peer, job, from, to, budget, .. } => {
                let next = to.min(from.saturating_add(3)).saturating_add(1);
                Some(Input::Sent { peer, job, next, bytes: budget.min(3_000), queued: 0 })
            }
            Output::SendEntry { peer, job, .. } | Output::SendChunk { peer, job, .. } => {
                Some(Input::Sent { peer, job, next: 0, bytes: 0, queued: 0 })
            }
            Output::Deliver { from, tag, entry } => Some(self.take(from, tag, entry)),
            Output::DeliverChunk { tag, id, bytes, .. } => Some(if Hash::of(&[&bytes]).0 == id.0 {
                Input::ChunkStored { tag, id }
            } else {
                Input::ChunkFailed { tag, id }
            }),
            _ => None,
        }
    }

    fn take(&mut self, from: Option<DeviceId>, tag: SpaceTag, entry: Entry) -> Input {
        let header = entry.header();
        let (log, seq, hash, prev) = (header.log, header.seq, entry.hash(), header.prev);
        self.mood = self.mood.rotate_left(3);
        match self.mood % 5 {
            0 => Input::Stored { tag, log, seq, hash, prev, bytes: entry.bytes().len() },
            1 => Input::Known { tag, log, seq, hash },
            2 => Input::Refused { tag, log, seq, hash },
            3 => Input::Waits { from, tag, entry },
            _ => Input::Missing { from, tag, entry },
        }
    }
}

pub(crate) fn machine(data: &[u8]) {
    let mut machine = Machine::new();
    let mut script = Script(data);
    for _ in 0..64 {
        let (Some(what), Some(mood)) = (script.byte(), script.byte()) else { break };
        machine.mood = mood;
        let peer = PEERS[usize::from(what >> 7)];
        match what & 15 {
            0..=8 => {
                let Some(piece) = script.piece() else { break };
                let Ok(envelope) = Envelope::decode(piece) else { continue };
                machine.step(match what & 15 {
                    0..=6 => Input::Received { peer, envelope },
                    _ => Input::Gossip { via: peer, tag: TAGS[usize::from(mood & 1)], envelope },
                });
            }
            9 => {
                machine.now = machine.sync.next_wake().unwrap_or(machine.now).max(machine.now);
                machine.step(Input::Tick);
            }
            10 => machine.now += 1 << (mood & 31),
            11 => machine.step(Input::Disconnected { peer }),
            12 => machine.step(Input::Connected { peer }),
            13 => machine.step(Input::Retry),
            14 => machine.step(Input::ChunksWanted { tag: TAGS[0], ids: vec![base::ChunkId([mood; 32])] }),
            _ => machine.step(Input::Drained { peer, queued: 0 }),
        }
        for peer in &PEERS {
            let _ = machine.sync.peer(peer);
        }
        assert!(machine.sync.held() <= 2 * base::limit::HELD_ENTRIES);
    }
}

struct Cast {
    people: People,
    devices: [DeviceKey; 2],
    roots: [RootKey; 2],
    persons: [PersonId; 2],
    space: NewSpace,
}

const INCARNATION: Incarnation = Incarnation([1; 8]);
const RUN: Run = Run([2; 8]);

/// Two people, and a space that the first made.
fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let roots = [10, 20].map(|n| RootKey::from_entropy(&[n; 32]));
        let devices = [11, 21].map(|n| DeviceKey::from_seed([n; 32]));
        let mut people = People::new();
        let mut whole = Vec::new();
        for ((root, device), n) in roots.iter().zip(&devices).zip([12, 22]) {
            let seal = SealKey::from_seed([n; 32]).public();
            let entries = first_person(root, device, &seal, INCARNATION, RUN, [n; 16]).unwrap();
            entries.iter().for_each(|entry| drop(people.insert(entry).unwrap()));
            let mut person = Person::new(&entries[0]).unwrap();
            person.insert(&entries[1]).unwrap();
            whole.push(person);
        }
        let space =
            create_space(&devices[0], &whole[0], SpaceKind::Shared, INCARNATION, RUN, &[77; 32]).unwrap();
        let persons = [whole[0].id(), whole[1].id()];
        Cast { people, devices, roots, persons, space }
    })
}

// An entry in clear with this body: whoever is asked signs it.
fn signed(cast: &Cast, what: u8, n: u64, body: &[u8], auth: Vec<Hash>) -> Option<Entry> {
    let statement = what & 1 == 1;
    let who = usize::from(what >> 1 & 1);
    let by_root = statement && what & 4 == 4;
    let signer = if by_root { cast.roots[who].sign() } else { &cast.devices[who] };
    let space = if statement { cast.persons[usize::from(what >> 3 & 1)].space() } else { cast.space.id };
    let header = Header {
        kind: if statement { EntryKind::Statement } else { EntryKind::Membership },
        tag: space.tag(),
        log: LogId { device: signer.id(), incarnation: INCARNATION },
        run: RUN,
        seq: 10 + n,
        lamport: 20 + n,
        prev: Some(Hash([9; 32])),
        deps: Vec::new(),
        epoch: None,
        auth: if statement { Vec::new() } else { auth },
        chunks: None,
    };
    signer.sign_entry(&space, &header, body).ok()
}

// The members, what counts, and what is known of devices, after these entries in this order.
fn outcome<'a>(cast: &Cast, entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut people = cast.people.clone();
    let mut membership = Membership::new(&cast.space.entries[0]).unwrap();
    membership.settle(&people);
    membership.insert(&cast.space.entries[1], &people).unwrap();
    for entry in entries {
        match entry.header().kind {
            EntryKind::Statement => drop(people.insert(entry)),
            _ => drop(membership.insert(entry, &people)),
        }
        membership.settle(&people);
    }
    let devices: Vec<_> = people.iter().map(|person| (person.id(), person.devices().clone())).collect();
    let outcomes: BTreeMap<Hash, String> =
        membership.outcomes().map(|(hash, outcome)| (hash, format!("{outcome:?}"))).collect();
    for device in &cast.devices {
        let opened =
            membership.open(&space::member::Recipient::Device(device.id()), &SealKey::from_seed([12; 32]));
        assert!(opened.secrets.len() <= opened.topics.len());
    }
    let epochs = (membership.epochs(), membership.current_epoch());
    format!("{:?} {epochs:?} {outcomes:?} {devices:?}", membership.members())
}

pub(crate) fn membership(data: &[u8]) {
    let cast = cast();
    let mut script = Script(data);
    let mut entries: Vec<Entry> = Vec::new();
    while let (Some(what), Some(body)) = (script.byte(), script.piece()) {
        // Each operation knows the first ones, and some the one before it.
        let mut auth = vec![cast.space.entries[1].hash()];
        if what & 16 == 16 {
            auth.extend(entries.last().filter(|last| last.header().epoch.is_none()).map(Entry::hash));
            auth.sort_unstable();
        }
        entries.extend(signed(cast, what, entries.len() as u64, body, auth));
        if entries.len() == 5 {
            break;
        }
    }
    // What counts follows from the set, whatever the order.
    let (there, back) = (outcome(cast, entries.iter()), outcome(cast, entries.iter().rev()));
    assert_eq!(there, back);
}

/// For seeds: the space that `membership` is about, its epoch, and the two people.
pub(crate) fn names() -> (SpaceId, Hash, [PersonId; 2], [DeviceId; 2]) {
    let cast = cast();
    (cast.space.id, cast.space.entries[1].hash(), cast.persons, [cast.devices[0].id(), cast.devices[1].id()])
}
