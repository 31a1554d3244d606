//! The thread that sends bundles over DTN and takes those that come.

use super::parcel::Pieces;
use super::piece::cut;
use super::{SeenPeer, endpoint_of};
use crate::bundle::{Imported, Lack};
use crate::clock;
use crate::core::Core;
use crate::error::{During, Result};
use crate::record::DtnRecord;
use base::{Kind, PersonId};
use crossbeam_channel::Receiver;
use net::Daemon;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the daemon is asked whether something came.
const LOOK: Duration = Duration::from_secs(1);
/// Without a daemon nothing is looked for until somebody names one.
const IDLE: Duration = Duration::from_secs(600);
/// How long what changes is gathered before it is sent.
const GATHER: Duration = Duration::from_secs(1);
/// The longest pause between two sendings of one bundle.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// How long the network may take to bring something.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes of messages in one bundle; with what is around them, one piece.
const BUNDLE_BYTES: u64 = 900_000;
/// What is taken of the daemon before something is sent again.
const TAKE: usize = 256;

/// Runs until the node stops.
pub(crate) fn post_loop(core: &Core, wake: &Receiver<()>) {
    let mut post = match Post::new(core) {
        Ok(post) => post,
        Err(e) => return core.problem(format!("nothing can be sent over DTN: {e}")),
    };
    loop {
        let config = core.dtn.config.lock().clone();
        let wait = if config.daemon.is_some() { LOOK } else { IDLE };
        let _ = wake.recv_timeout(wait);
        if core.is_stopping() {
            return;
        }
        let config = core.dtn.config.lock().clone();
        let Some(daemon) = config.daemon.as_ref().and_then(|url| Daemon::new(url).ok()) else { continue };
        let trouble = post.turn(&daemon).err().map(|e| e.to_string());
        if let Some(trouble) = &trouble {
            tracing::info!("DTN: {trouble}");
        }
        core.dtn.seen.lock().trouble = trouble;
    }
}

/// How often one bundle was sent, and when it is due again.
struct Sending {
    tries: u32,
    due: Instant,
}

/// What there is to do for one friend.
#[derive(Default)]
struct Mail {
    sending: BTreeMap<PathBuf, Sending>,
    /// What they lacked when it was last packed.
    packed: Option<Lack>,
    changed: Option<Instant>,
    /// They wait to hear that something came.
    owed: bool,
    /// Pieces of large files are asked of them.
    asking: Option<Sending>,
}

impl Sending {
    /// It was sent: each time it waits twice as long.
    fn sent(&mut self, patience: Duration) {
        let wait = patience.saturating_mul(1 << self.tries.min(16)).min(LONGEST.max(patience));
        self.tries += 1;
        self.due = Instant::now() + wait;
    }
}

struct Post<'a> {
    core: &'a Core,
    dir: PathBuf,
    pieces: Pieces,
    mail: BTreeMap<PersonId, Mail>,
    // Bundles that could not be taken now, and when to try again.
    late: BTreeMap<PathBuf, Instant>,
}

impl<'a> Post<'a> {
    fn new(core: &'a Core) -> Result<Post<'a>> {
        let dir = core.dtn_dir();
        let pieces = Pieces::in_dir(&dir.join("in"))?;
        let now = Instant::now();
        let late = pieces.whole()?.into_iter().map(|path| (path, now)).collect();
        Ok(Post { core, dir, pieces, mail: BTreeMap::new(), late })
    }

    fn turn(&mut self, daemon: &Daemon) -> Result<()> {
        // What is to be sent is there before anybody waits for a daemon.
        self.pack_all()?;
        let received = self.receive(daemon);
        // Whoever was heard for the first time is among them now.
        let config = self.pack_all()?;
        for (person, _) in &config.peers {
            if self.core.dtn_outline(person)?.is_some() {
                self.ask(person, config.patience());
                self.send(daemon, &config, person)?;
            }
        }
        received
    }

    fn pack_all(&mut self) -> Result<DtnRecord> {
        let config = self.core.dtn.config.lock().clone();
        self.mail.retain(|person, _| config.peers.iter().any(|(known, _)| known == person));
        for (person, _) in &config.peers {
            // A friend who is there hears everything at once.
            if let Some(lack) = self.core.dtn_outline(person)? {
                self.pack(person, lack)?;
                self.count(person)?;
            }
        }
        Ok(config)
    }

    // What waits for a friend, for those who ask.
    fn count(&self, person: &PersonId) -> Result<()> {
        let waiting = self.waiting(person)?;
        let bytes = waiting.iter().map(|path| fs::metadata(path).map_or(0, |meta| meta.len())).sum();
        let mut seen = self.core.dtn.seen.lock();
        let peer: &mut SeenPeer = seen.peers.entry(*person).or_default();
        (peer.waiting, peer.waiting_bytes) = (waiting.len() as u64, bytes);
        Ok(())
    }

    fn waiting(&self, person: &PersonId) -> Result<Vec<PathBuf>> {
        let dir = self.spool(person);
        if dir.is_dir() { crate::bundle::bundles_in(&dir) } else { Ok(Vec::new()) }
    }

    // Takes what the daemon has for us.
    fn receive(&mut self, daemon: &Daemon) -> Result<()> {
        for _ in 0..TAKE {
            let Some(bytes) = daemon.receive(&endpoint_of(&self.core.me.person))? else { break };
            if let Some(bundle) = self.pieces.take(&bytes)? {
                self.late.insert(bundle, Instant::now());
            }
            if self.core.is_stopping() {
                return Ok(());
            }
        }
        let now = Instant::now();
        let due: Vec<PathBuf> =
            self.late.iter().filter(|(_, at)| **at <= now).map(|(p, _)| p.clone()).collect();
        for bundle in due {
            self.take(&bundle);
        }
        Ok(())
    }

    fn take(&mut self, bundle: &Path) {
        let mut done = Imported::default();
        match self.core.import_one(bundle, &mut done, &mut |_| {}) {
            Ok(from) => self.heard(&from, &done),
            // This machine's trouble passes; what was sent is not asked for again for its sake.
            Err(e) if matches!(e.kind(), Kind::NoSpace | Kind::Io | Kind::Poisoned | Kind::Interrupted) => {
                self.late.insert(bundle.to_owned(), Instant::now() + Duration::from_secs(60));
                return;
            }
            Err(e) => tracing::info!("something that came over DTN was not taken: {e}"),
        }
        self.late.remove(bundle);
        let _ = fs::remove_file(bundle);
    }

    // What a friend sent was taken: they are to hear of it. Whoever reaches us so can be reached so.
    fn heard(&mut self, from: &PersonId, done: &Imported) {
        let brought =
            done.entries + done.known + done.chunks + done.known_chunks + done.unjoined + done.left_out;
        let mail = self.mail.entry(*from).or_default();
        mail.owed |= brought > 0 || !done.lacking.is_empty();
        // Those that wait go when they are acknowledged; now is the time to look.
        mail.packed = None;
        self.core.dtn.seen.lock().peers.entry(*from).or_default().heard = Some(clock::now());
        let added = self.core.change_dtn(|config| {
            let known = config.peers.iter().any(|(known, _)| known == from);
            if !known && !config.silent.contains(from) {
                config.peers.push((*from, None));
            }
        });
        if let Err(e) = added {
            tracing::info!("DTN: {e}");
        }
    }

    // What a link that broke left of a large file, and what was lost on the way, is asked for.
    fn ask(&mut self, person: &PersonId, patience: Duration) {
        let mail = self.mail.entry(*person).or_default();
        if self.core.fetching.load(Ordering::Relaxed) == 0 {
            mail.asking = None;
            return;
        }
        let first = || Sending { tries: 0, due: Instant::now() + patience };
        let asking = mail.asking.get_or_insert_with(first);
        if asking.due <= Instant::now() {
            asking.sent(patience);
            mail.owed |= !self.core.wanted_of(person).is_empty();
        }
    }

    fn spool(&self, person: &PersonId) -> PathBuf {
        self.dir.join("out").join(person.hex())
    }

    // Brings a friend's spool up to what they lack, if that changed.
    fn pack(&mut self, person: &PersonId, lack: Lack) -> Result<()> {
        let mail = self.mail.entry(*person).or_default();
        if mail.packed.as_ref() == Some(&lack) {
            mail.changed = None;
            return Ok(());
        }
        if mail.packed.is_some() && mail.changed.get_or_insert_with(Instant::now).elapsed() < GATHER {
            return Ok(());
        }
        mail.changed = None;
        let dir = self.spool(person);
        fs::create_dir_all(&dir).during(|| format!("making {}", dir.display()))?;
        let done = self.core.export_to_dtn(person, &dir, BUNDLE_BYTES)?;
        let mail = self.mail.entry(*person).or_default();
        // What did not fit goes when something was acknowledged.
        mail.packed = (done.removed == 0 || done.left == 0).then_some(lack);
        Ok(())
    }

    // Hands the daemon what is due.
    fn send(&mut self, daemon: &Daemon, config: &DtnRecord, person: &PersonId) -> Result<()> {
        let waiting = self.waiting(person)?;
        let mail = self.mail.entry(*person).or_default();
        mail.sending.retain(|path, _| waiting.contains(path));
        let (endpoint, patience) = (config.endpoint(person), config.patience());
        let mut sent = 0;
        let outcome = (|| {
            if mail.owed {
                sent += send_one(daemon, &endpoint, &self.core.ack_bundle(person)?)?;
                mail.owed = false;
            }
            for path in &waiting {
                let now = Instant::now();
                let sending = mail.sending.entry(path.clone()).or_insert(Sending { tries: 0, due: now });
                if sending.due > now || self.core.is_stopping() {
                    continue;
                }
                let bundle = fs::read(path).during(|| format!("reading {}", path.display()))?;
                sent += send_one(daemon, &endpoint, &bundle)?;
                sending.sent(patience);
            }
            Ok(())
        })();
        self.core.dtn.seen.lock().peers.entry(*person).or_default().sent += sent;
        outcome
    }
}

fn send_one(daemon: &Daemon, endpoint: &str, bundle: &[u8]) -> Result<u64> {
    let mut sent = 0;
    for piece in cut(bundle).unwrap_or_default() {
        daemon.send(endpoint, LIFETIME, &piece)?;
        sent += piece.len() as u64;
    }
    Ok(sent)
}
