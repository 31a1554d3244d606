//! Friends whom only a network leads to that stores and forwards (BPv7): the bundles of `bundle`, pushed
//! past what was acknowledged, again and again with longer pauses, until an ack comes by any way.
//!
//! What is to be sent lies in a spool of each friend below the home, so it is the same over a restart;
//! what comes in pieces waits beside it (`parcel`). One thread does both (`post`). Nobody has to be told
//! anybody's address: an endpoint's name follows from the person, and any daemon that hears of it passes
//! it on; where routes are kept by hand, a friend's endpoint can be named.

mod parcel;
mod piece;
mod post;

use crate::Node;
use crate::core::Core;
use crate::error::{During, Error, Result};
use crate::record::{self, DtnRecord};
use base::{Hash, Kind, PersonId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use store::Batch;

pub(crate) use post::post_loop;

/// How long an ack may take before something is sent again, unless it was said: at first.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be changed; what is not named stays.
#[derive(Clone, Debug, Default)]
pub struct DtnEdit {
    /// The daemon's address; none within: no daemon any more.
    pub daemon: Option<Option<String>>,
    /// Friends to reach by it, by petname, with the endpoint of each if it has a name of its own.
    pub peers: Vec<(String, Option<String>)>,
    /// Friends not to reach by it any more.
    pub forget: Vec<String>,
    /// How long an ack may take before something is sent again, in seconds.
    pub patience: Option<u64>,
}

/// How things stand with a friend.
#[derive(Clone, Debug)]
pub struct DtnPeer {
    /// The petname.
    pub name: String,
    /// Where what is for them goes.
    pub endpoint: String,
    /// Bundles that wait for an ack.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Bytes handed to the daemon since the start.
    pub sent: u64,
    /// When a bundle of theirs came last, in this run.
    pub heard: Option<SystemTime>,
}

/// How things stand.
#[derive(Clone, Debug)]
pub struct DtnStatus {
    /// The daemon's address.
    pub daemon: Option<String>,
    /// The name of its node, if it answers.
    pub node: Option<String>,
    /// Why it does not.
    pub trouble: Option<String>,
    /// Where what is for us comes.
    pub endpoint: String,
    /// How long an ack may take before something is sent again, in seconds.
    pub patience: u64,
    /// Friends who are reached by it.
    pub peers: Vec<DtnPeer>,
}

/// What the thread and those who ask share.
#[derive(Default)]
pub(crate) struct Dtn {
    pub(crate) config: Mutex<DtnRecord>,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) wake: Mutex<Option<crossbeam_channel::Sender<()>>>,
}

/// What the thread saw in this run.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) trouble: Option<String>,
    pub(crate) peers: BTreeMap<PersonId, SeenPeer>,
}

#[derive(Clone, Default)]
pub(crate) struct SeenPeer {
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) sent: u64,
    pub(crate) heard: Option<SystemTime>,
}

/// The endpoint of a person: a group that only their nodes are in, so that no route to it need be known.
fn endpoint_of(person: &PersonId) -> String {
    let name = Hash::of(&[b"chorus/dtn-endpoint/1", &person.0]).hex();
    format!("dtn://chorus/~{}", name.get(..32).unwrap_or_default())
}

impl DtnRecord {
    fn patience(&self) -> Duration {
        if self.patience == 0 { PATIENCE } else { Duration::from_secs(self.patience) }
    }

    fn endpoint(&self, person: &PersonId) -> String {
        let named = self.peers.iter().find(|(p, _)| p == person).and_then(|(_, named)| named.clone());
        named.unwrap_or_else(|| endpoint_of(person))
    }
}

impl Core {
    /// Reads what was said when this node last ran.
    pub(crate) fn load_dtn(&self) -> Result<()> {
        if let Some(bytes) = self.store.get(&record::node_key("dtn", b""))? {
            *self.dtn.config.lock() = record::from_bytes(&bytes, "DTN settings")?;
        }
        Ok(())
    }

    fn change_dtn(&self, change: impl FnOnce(&mut DtnRecord)) -> Result<()> {
        let mut config = self.dtn.config.lock();
        let mut new = config.clone();
        change(&mut new);
        if new != *config {
            let mut batch = Batch::new();
            batch.put(record::node_key("dtn", b""), record::to_bytes(&new));
            let ticket = self.store.apply(batch)?;
            self.store.wait(ticket)?;
            *config = new;
        }
        Ok(())
    }

    /// Somebody is not to be reached any more: what waits for them goes too.
    pub(crate) fn forget_dtn(&self, person: &PersonId) -> Result<()> {
        self.change_dtn(|config| {
            config.peers.retain(|(known, _)| known != person);
            config.silent.retain(|silent| silent != person);
        })?;
        let spool = self.dtn_dir().join("out").join(person.hex());
        match std::fs::remove_dir_all(&spool) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).during(|| format!("removing {}", spool.display()))
            }
            _ => Ok(()),
        }
    }

    // Beside the store, in the home.
    fn dtn_dir(&self) -> PathBuf {
        self.store.dir().parent().unwrap_or(Path::new(".")).join("dtn")
    }

    /// Lets the thread look again now.
    pub(crate) fn wake_dtn(&self) {
        if let Some(wake) = self.dtn.wake.lock().as_ref() {
            let _ = wake.try_send(());
        }
    }
}

impl Node {
    /// Changes how friends are reached over DTN, durably. Errors: `Invalid` where an address is none,
    /// `NotFound` where a friend is; nothing is changed then.
    pub fn dtn_edit(&self, edit: &DtnEdit) -> Result<DtnStatus> {
        let core = self.core();
        if let Some(Some(url)) = &edit.daemon {
            net::Daemon::new(url)?;
        }
        let mut peers = Vec::new();
        for (name, endpoint) in &edit.peers {
            let bad = endpoint.as_ref().filter(|endpoint| !net::is_endpoint(endpoint));
            if let Some(bad) = bad {
                let text = format!("{} is no endpoint", base::print::safe(bad));
                return Err(Error::refused(Kind::Invalid, text));
            }
            peers.push((core.friend(name)?.person, endpoint.clone()));
        }
        let forget = edit.forget.iter().map(|name| Ok(core.friend(name)?.person));
        let forget = forget.collect::<Result<Vec<PersonId>>>()?;
        core.change_dtn(|config| {
            if let Some(daemon) = &edit.daemon {
                config.daemon.clone_from(daemon);
            }
            config.patience = edit.patience.unwrap_or(config.patience);
            for (person, endpoint) in peers {
                config.silent.retain(|silent| *silent != person);
                config.peers.retain(|(known, _)| *known != person);
                config.peers.push((person, endpoint));
            }
            config.peers.retain(|(person, _)| !forget.contains(person));
            config.silent.extend(forget);
            config.silent.sort();
            config.silent.dedup();
        })?;
        core.wake_dtn();
        Ok(self.dtn_status())
    }

    /// How things stand.
    pub fn dtn_status(&self) -> DtnStatus {
        let core = self.core();
        let config = core.dtn.config.lock().clone();
        let daemon = config.daemon.as_ref().and_then(|url| net::Daemon::new(url).ok());
        let node = daemon.map(|daemon| daemon.node());
        let seen = core.dtn.seen.lock();
        let name_of = |person: &PersonId| core.state.read().petname(person).map(str::to_owned);
        let peers = config.peers.iter().filter_map(|(person, _)| {
            let seen = seen.peers.get(person).cloned().unwrap_or_default();
            Some(DtnPeer {
                name: name_of(person)?,
                endpoint: config.endpoint(person),
                waiting: seen.waiting,
                waiting_bytes: seen.waiting_bytes,
                sent: seen.sent,
                heard: seen.heard,
            })
        });
        let peers = peers.collect();
        let trouble = node.as_ref().and_then(|node| node.as_ref().err().map(ToString::to_string));
        DtnStatus {
            daemon: config.daemon.clone(),
            node: node.and_then(|node| node.ok()),
            trouble: trouble.or_else(|| seen.trouble.clone()),
            endpoint: endpoint_of(&core.me.person),
            patience: config.patience().as_secs(),
            peers,
        }
    }
}
