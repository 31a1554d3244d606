//! The handle: what the node can ask of the carrier, from any thread, without waiting.

use crate::carrier::{Carrier, Command};
use crate::counted::Counters;
use crate::link::Outbox;
use crate::queue::{self, Outlet};
use crate::rules::lock;
use crate::{Error, Event, PeerStatus};
use base::{DeviceId, limit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeroize::Zeroizing;

// Encryption runs on these; more would only compete with the node.
const THREADS: usize = 2;
// How long tasks may take to end at a stop.
const PARTING: Duration = Duration::from_secs(1);

/// What a carrier needs to start.
pub struct Config {
    /// The seed of the device's ed25519 key. Wiped when the carrier has taken the key from it.
    pub seed: Zeroizing<[u8; 32]>,
    /// Multiaddrs to listen on, such as `/ip4/0.0.0.0/tcp/0` and `/ip6/::/udp/0/quic-v1`. Port 0
    /// lets the machine choose; `Net::listening` tells what, for the caller to keep. Empty is
    /// allowed: then we only dial.
    pub listen: Vec<String>,
}

/// The live carrier. Dropping it stops it, as `close` does.
pub struct Net {
    commands: Option<UnboundedSender<Command>>,
    shared: Arc<Shared>,
    outlet: Outlet,
    thread: Option<JoinHandle<()>>,
}

/// What the handle reads without asking the carrier's task.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) links: Mutex<BTreeMap<DeviceId, Arc<Outbox>>>,
    pub(crate) peers: Mutex<BTreeMap<DeviceId, (PeerStatus, Arc<Counters>)>>,
    pub(crate) listening: Mutex<Vec<String>>,
    // Bytes of gossip handed over and not yet published.
    pub(crate) hints: AtomicUsize,
}

impl Net {
    /// Starts listening, and answers when the ports are known. Nobody may connect before `allow`.
    ///
    /// Events are given to `sink`, one at a time, on a thread of the carrier's. The sink may block
    /// for as long as the node is busy: then reading from friends stops, and memory stays bounded.
    ///
    /// # Errors
    /// `Address` and `Listen` name the address that cannot be listened on; nothing was started.
    pub fn start(config: Config, sink: impl Fn(Event) + Send + 'static) -> Result<Net, Error> {
        let failed = |e: std::io::Error| Error::Start { why: e.to_string() };
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("chorus-net-io")
            .enable_all()
            .build()
            .map_err(failed)?;
        let (events, mut outlet) = queue::queue(Box::new(sink)).map_err(failed)?;
        let shared = Arc::new(Shared::default());
        let (commands, inbox) = unbounded_channel();
        let (ready, started) = mpsc::sync_channel(1);
        let of_carrier = shared.clone();
        let main = move || {
            let carrier = {
                let _context = runtime.enter();
                Carrier::new(config, of_carrier, events)
            };
            match carrier {
                Ok(carrier) => drive(runtime, carrier, inbox, ready),
                Err(e) => drop(ready.send(Err(e))),
            }
        };
        let thread = std::thread::Builder::new().name("chorus-net".into()).spawn(main).map_err(failed)?;
        let started = started.recv().unwrap_or(Err(Error::Stopped));
        if let Err(e) = started {
            let _ = thread.join();
            outlet.join();
            return Err(e);
        }
        Ok(Net { commands: Some(commands), shared, outlet, thread: Some(thread) })
    }

    /// The addresses on which others can reach this machine now, with the ports chosen.
    pub fn listening(&self) -> Vec<String> {
        lock(&self.shared.listening).clone()
    }

    /// Sets who the friends are, all of them, at most `limit::PEERS`. Connections of others are
    /// closed and their addresses forgotten; an id that is no key is nobody, and is reported.
    pub fn allow(&self, friends: BTreeSet<DeviceId>) {
        self.command(Command::Allow(friends));
    }

    /// Connects with a friend now and whenever the link is lost, at these multiaddrs and those
    /// known before, until `allow` forgets the friend. The wait between attempts grows from 0.2 to
    /// 30 seconds; calling this again starts over at once.
    pub fn dial(&self, peer: DeviceId, addrs: Vec<String>) {
        self.command(Command::Dial { peer, addrs });
    }

    /// The link with a friend, or the last one, was worth making: when it breaks, or if it has, it is tried
    /// again as soon as after the first failure. To be said once a link. Otherwise links that break young are
    /// tried again more and more rarely, as addresses that do not answer are.
    pub fn fruitful(&self, peer: DeviceId) {
        self.command(Command::Fruitful(peer));
    }

    /// While open, strangers may connect and ask for pairing; nothing else is spoken with them, and
    /// they are few and closed soon.
    pub fn pairing(&self, open: bool) {
        self.command(Command::Pairing(open));
    }

    /// Asks a device, friend or not, for pairing; `Event::PairAnswer` tells the outcome within a
    /// minute. Tried once: at these multiaddrs, at those known, or over the link if it stands.
    pub fn pair(&self, peer: DeviceId, addrs: Vec<String>, request: Vec<u8>) {
        self.command(Command::Pair { peer, addrs, request });
    }

    /// Queues a message for a friend; answers the bytes that wait now. In order, and at most once:
    /// what was queued when the link breaks may be lost.
    ///
    /// # Errors
    /// `NotConnected`, `Full` (until `Event::Drained`) and `TooLarge` (over
    /// `limit::ENVELOPE_BYTES`); nothing was queued then.
    pub fn send(&self, peer: DeviceId, bytes: Vec<u8>) -> Result<usize, Error> {
        let outbox = lock(&self.shared.links).get(&peer).cloned();
        outbox.ok_or(Error::NotConnected)?.push(bytes)
    }

    /// Passes a message, at most `limit::GOSSIP_BYTES`, to all connected friends who subscribed to
    /// the topic, and through them to theirs. A hint: it is dropped wherever there is no room.
    pub fn publish(&self, topic: String, bytes: Vec<u8>) {
        let waiting = self.shared.hints.fetch_add(bytes.len(), Ordering::Relaxed);
        if waiting > limit::HINT_BYTES {
            self.shared.hints.fetch_sub(bytes.len(), Ordering::Relaxed);
            return;
        }
        self.command(Command::Publish { topic, bytes });
    }

    /// Sets the topics we listen to, all of them, at most `limit::TOPICS` of at most 96 bytes each.
    pub fn subscribe(&self, topics: BTreeSet<String>) {
        self.command(Command::Subscribe(topics));
    }

    /// What is known of each friend's device.
    pub fn peers(&self) -> BTreeMap<DeviceId, PeerStatus> {
        let links = lock(&self.shared.links).clone();
        let peers = lock(&self.shared.peers);
        let status = |(device, (status, counters)): (&DeviceId, &(PeerStatus, Arc<Counters>))| {
            let mut status = status.clone();
            status.bytes_in = counters.received.load(Ordering::Relaxed);
            status.bytes_out = counters.sent.load(Ordering::Relaxed);
            status.hints_in = counters.hints_received.load(Ordering::Relaxed);
            status.hints_out = counters.hints_sent.load(Ordering::Relaxed);
            status.queued = links.get(device).map_or(0, |outbox| outbox.queued());
            (*device, status)
        };
        peers.iter().map(status).collect()
    }

    /// Stops: closes all connections and ends the threads. When it returns the sink is not called
    /// any more, unless it has been blocking for seconds.
    pub fn close(self) {}

    fn command(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The carrier ends only after the handle.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.outlet.close();
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.outlet.join();
    }
}

fn drive(
    runtime: Runtime,
    mut carrier: Carrier,
    inbox: UnboundedReceiver<Command>,
    ready: mpsc::SyncSender<Result<(), Error>>,
) {
    runtime.block_on(async move {
        carrier.listening().await;
        // Fails only if the starting thread is gone; then `inbox` ends at once.
        let _ = ready.send(Ok(()));
        carrier.run(inbox).await;
    });
    runtime.shutdown_timeout(PARTING);
}
