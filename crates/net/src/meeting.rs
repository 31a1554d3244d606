//! Meeting friends: dialing, keeping one link over one of the connections with each, and starting
//! again when it is lost.
//!
//! Both ends may dial at once, over several transports. The device with the smaller id chooses: it
//! opens the stream, on one connection; the other takes the newest stream that it is offered.

use crate::carrier::{Carrier, Note};
use crate::event::Transport;
use crate::friend::{self, Friend, Link, SETTLED};
use crate::lanes::Lane;
use crate::link::{self, Outbox};
use crate::rules::lock;
use crate::{Event, PeerStatus, identity};
use base::{DeviceId, limit};
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Stream};
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use tokio::sync::oneshot;

impl Carrier {
    pub(crate) fn allow(&mut self, friends: &BTreeSet<DeviceId>) {
        let mut wanted = BTreeMap::new();
        for device in friends.iter().filter(|device| **device != self.me) {
            match identity::peer_of(device) {
                Some(peer) if wanted.len() < limit::PEERS => drop(wanted.insert(peer, *device)),
                Some(_) => self.events.trouble(format!("more friends' devices than {}", limit::PEERS)),
                None => self.events.trouble(format!("a friend's device id is no key: {device}")),
            }
        }
        let gone: Vec<PeerId> =
            self.friends.keys().filter(|peer| !wanted.contains_key(*peer)).copied().collect();
        for peer in gone {
            self.unfriend(peer);
        }
        for (peer, device) in wanted {
            if !self.friends.contains_key(&peer) {
                self.befriend(peer, device);
            }
        }
    }

    fn befriend(&mut self, peer: PeerId, device: DeviceId) {
        let counters = lock(&self.rules).friends.entry(peer).or_default().clone();
        lock(&self.shared.peers).insert(device, (PeerStatus::default(), counters));
        self.friends.insert(peer, Friend::new(device));
        self.swarm.behaviour_mut().gate.gossip().add_explicit_peer(&peer);
        self.no_stranger(peer);
    }

    fn unfriend(&mut self, peer: PeerId) {
        let Some(friend) = self.friends.remove(&peer) else { return };
        lock(&self.rules).friends.remove(&peer);
        lock(&self.shared.peers).remove(&friend.device);
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gate.stop(peer);
        behaviour.gate.gossip().remove_explicit_peer(&peer);
        if let Link::Up { stop, outbox, .. } = friend.link {
            outbox.close();
            let _ = stop.send("no longer a friend".into());
        }
        for conn in friend.conns.into_keys() {
            self.swarm.close_connection(conn);
        }
    }

    pub(crate) fn call(&mut self, device: DeviceId, addrs: &[String]) {
        let addrs = self.read_addrs(addrs);
        let friend = identity::peer_of(&device).and_then(|peer| self.friends.get_mut(&peer));
        match friend {
            Some(friend) => friend.call(addrs, Instant::now()),
            None => tracing::debug!("not dialed, for it is no friend: {device}"),
        }
    }

    /// The node says that the link with this friend, or the last one, was worth making.
    pub(crate) fn fruitful(&mut self, device: DeviceId) {
        if let Some(friend) = identity::peer_of(&device).and_then(|peer| self.friends.get_mut(&peer)) {
            friend.fruitful(Instant::now());
        }
    }

    /// The addresses among these texts; the others are reported.
    pub(crate) fn read_addrs(&self, texts: &[String]) -> Vec<Multiaddr> {
        let read = |text: &String| {
            let addr = friend::address(text);
            if addr.is_none() {
                self.events.trouble(format!("not an address: {}", base::print::safe(text)));
            }
            addr
        };
        texts.iter().take(limit::ADDRS).filter_map(read).collect()
    }

    /// Dials everybody who is not connected, now.
    pub(crate) fn hurry(&mut self) {
        let now = Instant::now();
        for friend in self.friends.values_mut() {
            friend.hurry(now);
        }
    }

    /// Dials and hangs up what is due; answers when the next will be.
    pub(crate) fn tick_friends(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (peer, friend) in &mut self.friends {
            while let Some(addr) = friend.next_addr(now) {
                // A port of its own: two ends that dial each other from their listening ports would
                // meet in one TCP connection that both think they opened.
                let opts = DialOpts::peer_id(*peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![addr])
                    .allocate_new_port()
                    .build();
                let conn = opts.connection_id();
                friend.dialing(conn);
                if let Err(e) = self.swarm.dial(opts) {
                    tracing::debug!("a dial failed: {e}");
                    friend.dial_failed(conn, now);
                }
            }
            let serving = &self.serving;
            for conn in friend.idle(now) {
                friend.spend(conn, now);
                if !serving.contains(&conn) {
                    self.swarm.close_connection(conn);
                }
            }
            next = next.into_iter().chain(friend.due()).chain(friend.idle_at()).min();
        }
        next
    }

    pub(crate) fn met(&mut self, peer: PeerId, conn: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let Some(friend) = self.friends.get_mut(&peer) else {
            self.swarm.close_connection(conn);
            return;
        };
        friend.met_at(conn, friend::bare(endpoint.get_remote_address().clone()), now);
        if self.me > friend.device {
            return;
        }
        match &friend.link {
            Link::None => self.open(peer),
            // Whoever has a link does not dial: the friend's end of it is gone.
            Link::Up { since, .. } if endpoint.is_listener() && now >= *since + SETTLED => {
                self.end_link(peer, "the friend connected anew", None);
            }
            _ => {}
        }
    }

    // Asks for the stream on the best connection, or plans to dial if there is none.
    fn open(&mut self, peer: PeerId) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        if let Some(conn) = friend.best() {
            friend.link = Link::Opening { conn };
            self.swarm.behaviour_mut().lanes.open(peer, conn, Lane::Sync);
        }
    }

    /// The other end took our stream.
    pub(crate) fn opened(&mut self, peer: PeerId, conn: ConnectionId, stream: Stream) {
        let Some(friend) = self.friends.get(&peer) else { return };
        if matches!(friend.link, Link::Opening { conn: asked } if asked == conn) {
            self.up(peer, conn, stream);
        }
    }

    /// The other end refused our stream.
    pub(crate) fn not_opened(&mut self, peer: PeerId, conn: ConnectionId, why: &str) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        friend.spend(conn, Instant::now());
        if matches!(friend.link, Link::Opening { conn: asked } if asked == conn) {
            friend.link = Link::None;
            self.unlinked(peer, why);
        }
    }

    /// The other end opened a stream.
    pub(crate) fn accepted(&mut self, peer: PeerId, conn: ConnectionId, stream: Stream) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        // Choosing is the smaller id's.
        if self.me < friend.device || !friend.conns.contains_key(&conn) {
            return;
        }
        match &mut friend.link {
            Link::None | Link::Opening { .. } => self.up(peer, conn, stream),
            Link::Ending { next, .. } => *next = Some((conn, Box::new(stream))),
            Link::Up { .. } => {
                self.end_link(peer, "the friend opened another", Some((conn, Box::new(stream))))
            }
        }
    }

    // The link stands.
    fn up(&mut self, peer: PeerId, conn: ConnectionId, stream: Stream) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        let device = friend.device;
        let outbox = Arc::new(Outbox::new(device));
        let (stop, stopped) = oneshot::channel();
        friend.link = Link::Up { conn, since: Instant::now(), stop, outbox: outbox.clone() };
        let remote = friend.conns.get(&conn).map(|conn| conn.addr.clone()).unwrap_or_else(Multiaddr::empty);
        let addr = remote.to_string();
        lock(&self.shared.links).insert(device, outbox.clone());
        self.status(device, |status| {
            status.connected = true;
            status.addr = Some(addr.clone());
            status.transport = Some(transport_of(&remote));
            status.since = Some(SystemTime::now());
            status.trouble = None;
        });
        self.events.say(Event::Connected { peer: device, addr });
        self.swarm.behaviour_mut().gate.start(peer, conn);
        let (events, notes) = (self.events.clone(), self.notes.clone());
        tokio::spawn(async move {
            let why = link::run(stream, outbox, events, stopped).await;
            let _ = notes.send(Note::LinkEnded { peer, device, conn, why });
        });
    }

    // Tells the link's task to end; `link_ended` goes on from there.
    fn end_link(&mut self, peer: PeerId, why: &str, next: Option<(ConnectionId, Box<Stream>)>) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        match mem::take(&mut friend.link) {
            Link::Up { conn, since, stop, outbox } => {
                outbox.close();
                let _ = stop.send(why.to_owned());
                friend.link = Link::Ending { conn, since, next };
            }
            other => friend.link = other,
        }
    }

    /// The link's task has ended.
    pub(crate) fn link_ended(&mut self, peer: PeerId, device: DeviceId, conn: ConnectionId, why: String) {
        let now = Instant::now();
        let ended = self.friends.get_mut(&peer).map(|friend| (mem::take(&mut friend.link), friend));
        let (since, next) = match ended {
            Some((Link::Up { conn: of_link, since, .. }, _)) if of_link == conn => (since, None),
            Some((Link::Ending { conn: of_link, since, next }, _)) if of_link == conn => (since, next),
            // Of a friend who was removed meanwhile, and perhaps came again.
            other => {
                if let Some((link, friend)) = other {
                    friend.link = link;
                } else {
                    lock(&self.shared.links).remove(&device);
                }
                self.events.say(Event::Disconnected { peer: device, why });
                return;
            }
        };
        lock(&self.shared.links).remove(&device);
        self.status(device, |status| {
            status.connected = false;
            status.since = Some(SystemTime::now());
        });
        self.events.say(Event::Disconnected { peer: device, why: why.clone() });
        self.swarm.behaviour_mut().gate.stop(peer);
        self.swarm.close_connection(conn);
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        friend.spend(conn, now);
        match next {
            Some((conn, stream)) if friend.conns.get(&conn).is_some_and(|conn| !conn.spent) => {
                self.up(peer, conn, *stream);
            }
            _ => {
                friend.lost(now - since, now);
                self.reopen(peer, &why);
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn parted(&mut self, peer: PeerId, conn: ConnectionId, why: &str) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        let Some(gone) = friend.conns.remove(&conn) else { return };
        match &friend.link {
            Link::Opening { conn: of_link } if *of_link == conn => {
                friend.link = Link::None;
                self.unlinked(peer, why);
            }
            Link::Up { conn: of_link, .. } if *of_link == conn => self.end_link(peer, why, None),
            Link::None if !gone.spent => self.unlinked(peer, why),
            _ => {}
        }
    }

    /// A dial came to nothing.
    pub(crate) fn unmet(&mut self, peer: PeerId, conn: ConnectionId, why: String) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        friend.dial_failed(conn, Instant::now());
        let device = friend.device;
        // A dial of before may end after another one met: then there is no trouble.
        self.status(device, |status| {
            if !status.connected {
                status.trouble = Some(why);
            }
        });
    }

    // There was nearly a link: with another connection, or later.
    fn unlinked(&mut self, peer: PeerId, why: &str) {
        let Some(friend) = self.friends.get_mut(&peer) else { return };
        if !friend.met() {
            friend.wait(Instant::now());
        }
        self.reopen(peer, why);
    }

    fn reopen(&mut self, peer: PeerId, why: &str) {
        let Some(friend) = self.friends.get(&peer) else { return };
        let (device, opens) = (friend.device, self.me < friend.device);
        self.status(device, |status| status.trouble = Some(why.to_owned()));
        if opens {
            self.open(peer);
        }
    }

    fn status(&self, device: DeviceId, change: impl FnOnce(&mut PeerStatus)) {
        if let Some((status, _)) = lock(&self.shared.peers).get_mut(&device) {
            change(status);
        }
    }
}

fn transport_of(addr: &Multiaddr) -> Transport {
    if addr.iter().any(|part| part == Protocol::QuicV1) { Transport::Quic } else { Transport::Tcp }
}
