//! The task that owns the swarm: takes commands, sees what happens on the network, and keeps time.
//! What concerns friends is in `meeting`, what concerns pairing in `strangers`.

use crate::door::Door;
use crate::friend::Friend;
use crate::gate::Gate;
use crate::lanes::{Lane, LaneEvent, Lanes, Opened};
use crate::net::{Config, Shared};
use crate::queue::Events;
use crate::rules::{Class, SharedRules, lock};
use crate::strangers::Ask;
use crate::{Error, Event, gossip, identity, transport};
use base::{DeviceId, Kind, limit};
use futures::StreamExt;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::gossipsub::{self, PublishError, TopicHash};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{self, ConnectionId, NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

// How long a start waits for the machine to name the addresses it listens on.
const NAMING: Duration = Duration::from_secs(2);

/// What the handle asks for.
pub(crate) enum Command {
    Allow(BTreeSet<DeviceId>),
    Dial { peer: DeviceId, addrs: Vec<String> },
    Fruitful(DeviceId),
    Pairing(bool),
    Pair { peer: DeviceId, addrs: Vec<String>, request: Vec<u8> },
    Publish { topic: String, bytes: Vec<u8> },
    Subscribe(BTreeSet<String>),
}

/// What a task of ours reports when it ends.
pub(crate) enum Note {
    LinkEnded { peer: PeerId, device: DeviceId, conn: ConnectionId, why: String },
    Asked { conn: ConnectionId, device: DeviceId, answer: Result<Vec<u8>, Error> },
    Served { conn: ConnectionId },
}

/// All that is spoken, outermost first: the door sees a connection before the others.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(crate) struct Behaviour {
    pub(crate) door: Door,
    pub(crate) lanes: Lanes,
    pub(crate) gate: Gate,
}

/// The task's state.
pub(crate) struct Carrier {
    pub(crate) me: DeviceId,
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) rules: SharedRules,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: Events,
    pub(crate) notes: UnboundedSender<Note>,
    pub(crate) friends: BTreeMap<PeerId, Friend>,
    // Strangers' connections, since when.
    pub(crate) strangers: BTreeMap<ConnectionId, (PeerId, Instant)>,
    // Questions of ours whose stream is not open yet, by connection.
    pub(crate) asks: BTreeMap<ConnectionId, VecDeque<Ask>>,
    // Connections on which a question of others is being answered.
    pub(crate) serving: BTreeSet<ConnectionId>,
    reports: UnboundedReceiver<Note>,
    topics: BTreeSet<String>,
    listeners: Vec<ListenerId>,
    // Something changed that may move the time of the next thing to do.
    changed: bool,
}

impl Carrier {
    /// Sets up transports and behaviours and binds the addresses. Needs the runtime's context.
    pub(crate) fn new(mut config: Config, shared: Arc<Shared>, events: Events) -> Result<Carrier, Error> {
        let start = |why: String| Error::Start { why };
        let key = Keypair::ed25519_from_bytes(&mut config.seed[..]).map_err(|e| start(e.to_string()))?;
        let own = key.public().to_peer_id();
        let me = identity::device_of(&own).ok_or(Error::Key)?;
        let rules = SharedRules::default();
        let behaviour = Behaviour {
            door: Door::new(rules.clone()),
            lanes: Lanes::new(rules.clone()),
            gate: Gate::new(rules.clone()).map_err(start)?,
        };
        let transport = transport::transport(&key, &rules).map_err(start)?;
        let mut swarm = Swarm::new(transport, behaviour, own, swarm::Config::with_tokio_executor());
        let listeners =
            config.listen.iter().map(|text| listen(&mut swarm, text)).collect::<Result<_, _>>()?;
        let (notes, reports) = unbounded_channel();
        Ok(Carrier {
            me,
            swarm,
            rules,
            shared,
            events,
            notes,
            friends: BTreeMap::new(),
            strangers: BTreeMap::new(),
            asks: BTreeMap::new(),
            serving: BTreeSet::new(),
            reports,
            topics: BTreeSet::new(),
            listeners,
            changed: true,
        })
    }

    /// Waits a moment until each listener has named an address.
    pub(crate) async fn listening(&mut self) {
        let naming = async {
            while !self.listeners.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.on_swarm(event);
            }
        };
        // One that names none yet, on a machine without a network, may do so later.
        let _ = tokio::time::timeout(NAMING, naming).await;
    }

    /// Runs until the handle is gone.
    pub(crate) async fn run(mut self, mut commands: UnboundedReceiver<Command>) {
        let mut wake = None;
        loop {
            if self.changed || wake.is_some_and(|at| at <= Instant::now()) {
                self.changed = false;
                wake = self.tick(Instant::now());
            }
            // What the node decided holds before anything that comes from outside is judged: a friend who
            // dials right after `allow` is no stranger any more. Tokio's budget lets the swarm have its turn
            // among many commands.
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                Some(note) = self.reports.recv() => self.on_note(note),
                event = self.swarm.select_next_some() => self.on_swarm(event),
                () = until(wake) => {}
            }
        }
    }

    // Does what is due; answers when something will be.
    fn tick(&mut self, now: Instant) -> Option<Instant> {
        let friends = self.tick_friends(now);
        let strangers = self.tick_strangers(now);
        friends.into_iter().chain(strangers).min()
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { topic, bytes } => return self.publish(&topic, bytes),
            Command::Allow(friends) => self.allow(&friends),
            Command::Dial { peer, addrs } => self.call(peer, &addrs),
            Command::Fruitful(peer) => self.fruitful(peer),
            Command::Pairing(open) => self.pairing(open),
            Command::Pair { peer, addrs, request } => self.ask(peer, &addrs, request),
            Command::Subscribe(topics) => self.subscribe(topics),
        }
        self.changed = true;
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::LinkEnded { peer, device, conn, why } => self.link_ended(peer, device, conn, why),
            Note::Asked { conn, device, answer } => self.asked(conn, device, answer),
            Note::Served { conn } => self.served(conn),
        }
        self.changed = true;
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gate(event)) => return self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Lanes(event)) => self.on_lane(event),
            SwarmEvent::Behaviour(BehaviourEvent::Door(never)) => match never {},
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let class = lock(&self.rules).class(connection_id);
                match class {
                    Some(Class::Friend) => self.met(peer_id, connection_id, &endpoint),
                    Some(Class::Stranger) => self.stranger_came(peer_id, connection_id),
                    Some(Class::Asking) => {
                        self.swarm.behaviour_mut().lanes.open(peer_id, connection_id, Lane::Pair)
                    }
                    None => drop(self.swarm.close_connection(connection_id)),
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                let why = cause.map_or_else(|| "the connection was closed".into(), |e| chain(&e));
                self.unasked(connection_id, &why);
                self.strangers.remove(&connection_id);
                self.parted(peer_id, connection_id, &why);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => {
                let why = chain(&error);
                tracing::debug!("a dial failed: {why}");
                self.unasked(connection_id, &why);
                if let Some(peer) = peer_id {
                    self.unmet(peer, connection_id, why);
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!("an incoming connection failed: {}", chain(&error));
            }
            SwarmEvent::NewListenAddr { listener_id, address } => self.named(listener_id, &address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.unnamed(&[address]),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                self.unnamed(&addresses);
                if let Err(e) = reason {
                    self.events.trouble(format!("listening ended on {addresses:?}: {e}"));
                }
            }
            SwarmEvent::ListenerError { error, .. } => self.events.trouble(format!("listening: {error}")),
            _ => {}
        }
        self.changed = true;
    }

    fn on_lane(&mut self, LaneEvent { peer, conn, opened }: LaneEvent) {
        match opened {
            Opened::Outbound(Lane::Sync, stream) => self.opened(peer, conn, stream),
            Opened::Inbound(Lane::Sync, stream) => self.accepted(peer, conn, stream),
            Opened::Failed(Lane::Sync, why) => self.not_opened(peer, conn, why),
            Opened::Outbound(Lane::Pair, stream) => self.question(conn, stream),
            Opened::Inbound(Lane::Pair, stream) => self.questioned(peer, conn, stream),
            Opened::Failed(Lane::Pair, why) => self.unasked(conn, why),
        }
    }

    fn named(&mut self, listener: ListenerId, address: &Multiaddr) {
        self.listeners.retain(|waiting| *waiting != listener);
        let addr = address.to_string();
        lock(&self.shared.listening).push(addr.clone());
        self.events.say(Event::Listening { addr });
        // A new address of ours is a new network: what failed before may succeed now.
        self.hurry();
    }

    fn unnamed(&mut self, addresses: &[Multiaddr]) {
        let gone: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        lock(&self.shared.listening).retain(|addr| !gone.contains(addr));
    }

    fn publish(&mut self, topic: &str, bytes: Vec<u8>) {
        self.shared.hints.fetch_sub(bytes.len(), Ordering::Relaxed);
        let length = bytes.len();
        let Some(topic) = gossip::topic(topic).filter(|_| length <= limit::GOSSIP_BYTES) else {
            return self.events.trouble(format!("a hint of {length} bytes was too long and not published"));
        };
        let hash = topic.hash();
        match self.swarm.behaviour_mut().gate.gossip().publish(topic, bytes) {
            Ok(_) => self.count_hints(&hash, None),
            Err(PublishError::Duplicate | PublishError::NoPeersSubscribedToTopic) => {}
            Err(e) => tracing::debug!("a hint was not published: {e}"),
        }
    }

    fn subscribe(&mut self, topics: BTreeSet<String>) {
        let (wanted, refused): (Vec<String>, Vec<String>) =
            topics.into_iter().partition(|t| gossip::topic(t).is_some());
        let wanted: BTreeSet<String> = wanted.into_iter().take(limit::TOPICS).collect();
        if !refused.is_empty() {
            self.events.trouble(format!("{} topics have names that are too long", refused.len()));
        }
        let gossip = self.swarm.behaviour_mut().gate.gossip();
        for topic in self.topics.difference(&wanted).filter_map(|t| gossip::topic(t)) {
            gossip.unsubscribe(&topic);
        }
        for topic in wanted.difference(&self.topics).filter_map(|t| gossip::topic(t)) {
            // The filter allows every topic.
            let _ = gossip.subscribe(&topic);
        }
        self.topics = wanted;
    }

    // gossipsub gives a message to every friend who subscribed, except whoever it came from.
    fn count_hints(&mut self, topic: &TopicHash, from: Option<PeerId>) {
        let rules = lock(&self.rules);
        if let Some(from) = from {
            rules.counters(&from).hint_came();
        }
        for (peer, topics) in self.swarm.behaviour_mut().gate.gossip().all_peers() {
            if Some(*peer) != from && topics.contains(&topic) {
                rules.counters(peer).hint_goes();
            }
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source, message, .. } = event else { return };
        let Some(device) = self.friends.get(&propagation_source).map(|friend| friend.device) else { return };
        self.count_hints(&message.topic, Some(propagation_source));
        if message.data.len() <= limit::GOSSIP_BYTES {
            self.events.hint(message.topic.into_string(), message.data, device);
        }
    }
}

fn listen(swarm: &mut Swarm<Behaviour>, text: &str) -> Result<ListenerId, Error> {
    let unusable = || Error::Address { text: base::print::safe(text) };
    let addr: Multiaddr = text.parse().map_err(|_| unusable())?;
    let refused = |e: &std::io::Error| Error::Listen { addr: text.to_owned(), kind: kind(e), why: chain(e) };
    probe(&addr).map_err(|e| refused(&e))?;
    swarm.listen_on(addr).map_err(|e| match e {
        TransportError::MultiaddrNotSupported(_) => unusable(),
        TransportError::Other(e) => refused(&e),
    })
}

// The TCP transport shares its port with whoever wants it; two nodes on one port would get each
// other's connections. So the port is asked for without sharing first. UDP alike, for the machine's
// own answer, which the QUIC transport hides.
fn probe(addr: &Multiaddr) -> std::io::Result<()> {
    let mut parts = addr.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        // All of IPv6 would be all of IPv4 too here, but is not there.
        Some(Protocol::Ip6(ip)) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind((ip, port)).map(drop),
        Some(Protocol::Udp(port)) => UdpSocket::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn kind(error: &std::io::Error) -> Kind {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => Kind::Busy,
        std::io::ErrorKind::AddrNotAvailable => Kind::Invalid,
        _ => Kind::of_io(error),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let cause = e.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = e.source();
    }
    base::print::safe(&text)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
