//! Nodes that share one space, and the hand that carries entries between them.

use crate::api::{Body, NewContent, What};
use crate::core::Core;
use crate::intake::Took;
use base::{Entry, LogId, Oid, SpaceId};
use space::member::Role;
use std::collections::BTreeMap;

pub(crate) struct Replica {
    core: Option<Core>,
    _woken: crossbeam_channel::Receiver<()>,
    dir: tempfile::TempDir,
}

impl Replica {
    fn core(&self) -> &Core {
        self.core.as_ref().expect("it runs")
    }
}

pub(crate) struct Replicas {
    pub(crate) all: Vec<Replica>,
    pub(crate) space: SpaceId,
}

fn replica() -> Replica {
    let dir = tempfile::tempdir().unwrap();
    let (core, woken) = Core::open(dir.path(), Some("somebody")).unwrap();
    Replica { core: Some(core), _woken: woken, dir }
}

impl Replicas {
    /// `n` people with one device each, all writers of one space.
    pub(crate) fn new(n: usize) -> Replicas {
        Replicas::with_roles(&vec![Role::Writer; n])
    }

    /// A writer and a reader.
    pub(crate) fn with_reader() -> Replicas {
        Replicas::with_roles(&[Role::Writer, Role::Reader])
    }

    // The first is the space's creator, whatever is said.
    fn with_roles(roles: &[Role]) -> Replicas {
        let n = roles.len();
        let all: Vec<Replica> = (0..n).map(|_| replica()).collect();
        for a in &all {
            for b in all.iter().filter(|b| b.core().device != a.core().device) {
                let person = b.core().state.read().people.get(&b.core().me.person).cloned().unwrap();
                a.core().keep_person(&person).unwrap();
            }
        }
        let first = all[0].core();
        first.locked(|core| core.mkdir(core.root(), "shared")).unwrap();
        let space = first.space_to_share("/shared").unwrap();
        for (other, role) in all.iter().zip(roles).skip(1) {
            first.add_member(&space, &other.core().me.person, *role).unwrap();
        }
        let (name, entries) = first.share_entries(&space.tag()).unwrap();
        for other in &all[1..] {
            other.core().take_offer(&first.device, &name, entries.clone());
            let offer = other.core().offers().unwrap().pop().expect("the offer counts");
            other.core().join_offer(offer, None).unwrap();
        }
        let replicas = Replicas { all, space };
        replicas.exchange();
        replicas
    }

    pub(crate) fn core(&self, n: usize) -> &Core {
        self.all[n % self.all.len()].core()
    }

    pub(crate) fn root(&self) -> Oid {
        Oid { space: self.space, object: self.space.root() }
    }

    /// Carries at most `most` entries of each log from one to another.
    pub(crate) fn carry(&self, from: usize, to: usize, most: usize) -> usize {
        let (from, to) = (self.core(from), self.core(to));
        if from.device == to.device {
            return 0;
        }
        from.seal_all(true).unwrap();
        let mut by_log: BTreeMap<LogId, Vec<Entry>> = BTreeMap::new();
        for entry in from.all_entries(&self.space.tag()).unwrap() {
            if to.entry_record(&entry.hash()).unwrap().is_none() {
                by_log.entry(entry.header().log).or_default().push(entry);
            }
        }
        let mut carried = 0;
        for entry in by_log.into_values().flat_map(|entries| entries.into_iter().take(most)) {
            match to.take_entry(&entry, false).unwrap() {
                Took::Stored(_) | Took::Filled(_) | Took::Known => carried += 1,
                Took::Missing | Took::Waits => {}
                Took::Refused(why) => panic!("an honest entry was refused: {why}"),
            }
        }
        carried
    }

    /// Another that has the same home as one has now, and does not know that it is a copy.
    pub(crate) fn double(&mut self, n: usize) -> usize {
        let original = &mut self.all[n];
        let core = original.core.take().expect("it runs");
        core.seal_all(true).unwrap();
        core.store.clone().close().unwrap();
        drop(core);
        let dir = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(original.dir.path().join("."))
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(copied.success());
        self.restart(n);
        let home = crate::home::Home::open(dir.path()).unwrap();
        let store = store::Store::open(&home.store(), Default::default()).unwrap().store;
        let me = crate::core::read_me(&store).unwrap().unwrap();
        let (core, woken) = Core::with_store(store, home.keys().unwrap(), me).unwrap();
        self.all.push(Replica { core: Some(core), _woken: woken, dir });
        self.all.len() - 1
    }

    /// Carries everything from one to another, though it be of the same device.
    pub(crate) fn carry_all(&self, from: usize, to: usize) {
        self.core(from).seal_all(true).unwrap();
        let mut entries = self.core(from).all_entries(&self.space.tag()).unwrap();
        entries.sort_by_key(|e| (e.header().lamport, e.hash()));
        for entry in entries {
            let took = self.core(to).take_entry(&entry, false).unwrap();
            assert!(matches!(took, Took::Stored(_) | Took::Known), "{took:?}");
        }
    }

    /// Carries all entries of one log from one to another, and nothing else.
    pub(crate) fn carry_only(&self, from: usize, to: usize, log: LogId) {
        let entries = self.core(from).all_entries(&self.space.tag()).unwrap();
        for entry in entries.into_iter().filter(|e| e.header().log == log) {
            self.core(to).take_entry(&entry, false).unwrap();
        }
    }

    /// Ends one without a word, and starts it again from what is in its store.
    pub(crate) fn restart(&mut self, n: usize) {
        let replica = &mut self.all[n];
        if let Some(core) = replica.core.take() {
            core.store.sync().unwrap();
            drop(core);
        }
        let (core, woken) = Core::open(replica.dir.path(), None).unwrap();
        replica.core = Some(core);
        replica._woken = woken;
    }

    /// Carries everything everywhere until nothing is left to carry.
    pub(crate) fn exchange(&self) {
        loop {
            let mut carried = 0;
            for from in 0..self.all.len() {
                for to in 0..self.all.len() {
                    carried += self.carry(from, to, usize::MAX);
                }
            }
            if carried == 0 {
                return;
            }
        }
    }

    /// The names and contents that one shows, a line each.
    pub(crate) fn tree(&self, n: usize) -> Vec<String> {
        let mut lines = Vec::new();
        self.walk(self.core(n), &self.root(), "", &mut lines);
        lines.sort();
        lines
    }

    fn walk(&self, core: &Core, room: &Oid, path: &str, lines: &mut Vec<String>) {
        assert!(path.len() < 4000, "rooms in a circle: {path}");
        for found in core.list(room, None, usize::MAX).unwrap() {
            let here = format!("{path}/{}", found.name);
            let oid = found.target.oid();
            if found.what == What::Room {
                lines.push(here.clone());
                self.walk(core, &oid, &here, lines);
            } else if let crate::api::Target::LinkTo(to) = found.target {
                lines.push(format!("{here} -> {}", to.object));
            } else {
                lines.push(format!("{here} = {:?}", text(core, &oid)));
            }
        }
    }

    /// No view may differ from one computed from all facts at once.
    pub(crate) fn check_oracle(&self) {
        for replica in &self.all {
            let state = replica.core().state.read();
            let view = &state.space(&self.space).unwrap().view;
            let again = space::view::recompute(&view.facts());
            assert_eq!(shown(&again, again.root()), shown(view, view.root()));
        }
    }
}

fn shown(view: &space::view::View, room: base::ObjectId) -> Vec<String> {
    let mut lines = Vec::new();
    for name in view.list(room) {
        lines.push(format!("{name:?}"));
        if name.how == space::view::How::Place && view.is_room(name.target.object) {
            lines.extend(shown(view, name.target.object));
        }
    }
    lines
}

pub(crate) fn text(core: &Core, oid: &Oid) -> String {
    match core.read(oid).unwrap().1 {
        Body::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    }
}

pub(crate) fn write(core: &Core, room: Oid, name: &str, text: &str) -> Oid {
    let oid = core.locked(|core| core.create(room, name, 0o644, false)).unwrap();
    core.save(&oid, &Default::default(), NewContent::Bytes(text.into())).unwrap();
    oid
}
