//! Under which numbers this node writes. An incarnation is one life of a home: where another copy of
//! the home may go on with the same numbers, this one begins new logs.
//!
//! A home is taken for a copy (or a backup that was put back) where the file that was left in it at the
//! first start is another file now, or the machine another machine. What that does not show (a disk that
//! was set back to an earlier image) shows when a friend returns an entry of this device that it has not.

use crate::core::{Core, read_me};
use crate::error::Result;
use crate::home::{Home, random_bytes};
use crate::record::{self, Me};
use base::{Actor, DeviceId, Incarnation, LogId, Oid, Run};
use store::{Batch, Store};

/// The incarnation and the runs of a home, the earlier ones too.
pub(crate) struct Own {
    now: Incarnation,
    // In which incarnation each run began, and those that it went on with.
    runs: Vec<(Run, Incarnation)>,
}

impl Own {
    /// Reads the runs of a home and begins another.
    pub(crate) fn begin_run(store: &Store, run: &Run, now: Incarnation) -> Result<Own> {
        let mut batch = Batch::new();
        batch.put(record::node_key("run", &run.0), now.0.to_vec());
        let mut runs = Vec::new();
        for found in store.range(&record::node_key("run", b"")) {
            let (key, value) = found?;
            let of = Run::from_slice(&key[key.len() - Run::LEN..])?;
            if value.is_empty() {
                // Written when a home had only one.
                batch.put(key, now.0.to_vec());
                runs.push((of, now));
            }
            for incarnation in value.chunks(Incarnation::LEN) {
                runs.push((of, Incarnation::from_slice(incarnation)?));
            }
        }
        runs.push((*run, now));
        store.apply(batch)?;
        Ok(Own { now, runs })
    }

    /// The incarnation in which a run began.
    pub(crate) fn began_in(&self, run: &Run) -> Incarnation {
        self.runs.iter().find(|(of, _)| of == run).map_or(self.now, |(_, incarnation)| *incarnation)
    }

    /// Every actor under which this home ever wrote an object.
    pub(crate) fn actors(&self, oid: &Oid, device: &DeviceId) -> impl Iterator<Item = Actor> {
        self.runs
            .iter()
            .map(move |(run, incarnation)| Actor::derive(&oid.space, device, incarnation, run, &oid.object))
    }

    fn incarnations_of(&self, run: &Run) -> Vec<u8> {
        self.runs.iter().filter(|(of, _)| of == run).flat_map(|(_, incarnation)| incarnation.0).collect()
    }
}

/// Why there is a new incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The home was copied, moved or restored.
    Moved,
    /// Somebody else wrote under this device's numbers.
    Forked,
}

impl Why {
    fn words(self) -> &'static str {
        match self {
            Why::Moved => {
                "this home was copied, moved or restored since it last ran: it goes on under new numbers, and \
                 nothing is lost. If another copy of it runs too, stop one of them: friends cannot tell \
                 them apart, and each is heard only in turn"
            }
            Why::Forked => {
                "a friend has entries that this device wrote and that are not here: another copy of this home wrote \
                 them, or this one did before a backup was put back. All of it counts, nothing is lost, and this \
                 one goes on under new numbers. If another copy still runs, stop one of them"
            }
        }
    }
}

impl Core {
    /// The incarnation under which this node writes.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.own.read().now
    }

    /// The log that this node appends to.
    pub(crate) fn log(&self) -> LogId {
        LogId { device: self.device, incarnation: self.incarnation() }
    }

    /// The actor of this run for an object.
    pub(crate) fn actor(&self, oid: &Oid) -> Actor {
        Actor::derive(&oid.space, &self.device, &self.incarnation(), &self.run, &oid.object)
    }

    /// After opening: is this still the home that it was?
    pub(crate) fn settle_in(&self, home: &Home) -> Result<()> {
        let key = record::node_key("place", b"");
        let known = self.store.get(&key)?;
        let place = home.place()?;
        let mut batch = Batch::new();
        batch.put(key, place.0.to_vec());
        let log = self.log();
        let forked = {
            let state = self.state.read();
            state.spaces.values().any(|s| s.logs.tips.get(&log).is_some_and(|tips| tips.len() > 1))
        };
        let _writing = self.write();
        match known {
            Some(known) if known != place.0 => self.begin_incarnation(Why::Moved, batch),
            _ if forked => self.begin_incarnation(Why::Forked, batch),
            Some(_) => Ok(()),
            None => Ok(self.store.apply(batch).map(drop)?),
        }
    }

    /// From now on this node appends to new logs. What is already made goes into them too, and says under
    /// which incarnation it was made. The caller holds the writer's lock.
    pub(crate) fn begin_incarnation(&self, why: Why, mut batch: Batch) -> Result<()> {
        let fresh = Incarnation(random_bytes()?);
        let me = read_me(&self.store)?.unwrap_or_else(|| self.me.clone());
        batch.put(record::node_key("me", b""), record::to_bytes(&Me { incarnation: fresh, ..me }));
        let mut runs = self.own.read().incarnations_of(&self.run);
        runs.extend(fresh.0);
        batch.put(record::node_key("run", &self.run.0), runs);
        // The store keeps its order: no entry of the new logs survives without this.
        self.store.apply(batch)?;
        {
            let mut own = self.own.write();
            own.now = fresh;
            own.runs.push((self.run, fresh));
        }
        let mut state = self.state.write();
        for space in state.spaces.values_mut() {
            // The first entry of the new log names all that it builds on.
            space.logs.built_on.clear();
        }
        state.notes.insert(why.words().into());
        drop(state);
        tracing::warn!("{}", why.words());
        Ok(())
    }
}
