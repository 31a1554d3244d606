//! Strangers, and how they become friends: our questions to others, theirs to us. While pairing is
//! open a few of them may be connected, each for a moment and for one exchange.

use crate::carrier::{Carrier, Note};
use crate::lanes::Lane;
use crate::rules::lock;
use crate::{Error, Event, identity, pairing};
use base::{DeviceId, limit};
use libp2p::PeerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Stream};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

// How long a stranger may stay who asks nothing.
const STAY: Duration = Duration::from_secs(10);

/// A question of ours.
pub(crate) struct Ask {
    device: DeviceId,
    request: Vec<u8>,
}

impl Carrier {
    /// Opens or closes the door to strangers.
    pub(crate) fn pairing(&mut self, open: bool) {
        lock(&self.rules).pairing = open;
        if !open {
            self.dismiss(|_| true);
        }
    }

    pub(crate) fn stranger_came(&mut self, peer: PeerId, conn: ConnectionId) {
        self.strangers.insert(conn, (peer, Instant::now()));
    }

    /// Somebody is a friend now: connections as a stranger end, but for the one whose question is
    /// being answered.
    pub(crate) fn no_stranger(&mut self, friend: PeerId) {
        self.dismiss(|peer| *peer == friend);
    }

    fn dismiss(&mut self, whom: impl Fn(&PeerId) -> bool) {
        for (conn, (peer, _)) in &self.strangers {
            if whom(peer) && !self.serving.contains(conn) {
                self.swarm.close_connection(*conn);
            }
        }
    }

    /// Closes strangers that stayed too long; answers when the next will have.
    pub(crate) fn tick_strangers(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        for (conn, (_, since)) in &mut self.strangers {
            if self.serving.contains(conn) {
                continue;
            }
            if now >= *since + STAY {
                self.swarm.close_connection(*conn);
                // Until its end is reported.
                *since = now;
            }
            next = next.into_iter().chain([*since + STAY]).min();
        }
        next
    }

    /// Asks a device for pairing: over the link, or else over a connection of its own.
    pub(crate) fn ask(&mut self, device: DeviceId, addrs: &[String], request: Vec<u8>) {
        if request.len() > limit::CARD_BYTES {
            return self.answer(device, Err(Error::TooLarge { limit: limit::CARD_BYTES }));
        }
        let Some(peer) = identity::peer_of(&device).filter(|_| device != self.me) else {
            return self.answer(device, Err(Error::Key));
        };
        let mut addrs = self.read_addrs(addrs);
        let ask = Ask { device, request };
        if let Some(friend) = self.friends.get(&peer) {
            if let crate::friend::Link::Up { conn, .. } = friend.link {
                self.asks.entry(conn).or_default().push_back(ask);
                return self.swarm.behaviour_mut().lanes.open(peer, conn, Lane::Pair);
            }
            let known =
                friend.addrs().iter().filter(|addr| !addrs.contains(addr)).cloned().collect::<Vec<_>>();
            addrs.extend(known);
        }
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(addrs)
            .allocate_new_port()
            .build();
        let conn = opts.connection_id();
        lock(&self.rules).asking.insert(conn);
        self.asks.insert(conn, VecDeque::from([ask]));
        if let Err(e) = self.swarm.dial(opts) {
            lock(&self.rules).forget(conn);
            self.unasked(conn, &crate::carrier::chain(&e));
        }
    }

    /// The stream for a question of ours is open.
    pub(crate) fn question(&mut self, conn: ConnectionId, stream: Stream) {
        let Some(ask) = self.asks.get_mut(&conn).and_then(VecDeque::pop_front) else { return };
        let notes = self.notes.clone();
        tokio::spawn(async move {
            let answer = pairing::ask(stream, ask.request).await;
            let _ = notes.send(Note::Asked { conn, device: ask.device, answer });
        });
    }

    /// A question of ours has found its end.
    pub(crate) fn asked(&mut self, conn: ConnectionId, device: DeviceId, answer: Result<Vec<u8>, Error>) {
        self.answer(device, answer);
        self.hang_up(conn);
        // Whoever answered may take us for a friend from now on.
        if let Some(friend) = identity::peer_of(&device).and_then(|peer| self.friends.get_mut(&peer)) {
            friend.hurry(Instant::now());
        }
    }

    /// The stream for our questions will not open on this connection.
    pub(crate) fn unasked(&mut self, conn: ConnectionId, why: &str) {
        for ask in self.asks.remove(&conn).unwrap_or_default() {
            self.answer(ask.device, Err(Error::Unreached { why: why.to_owned() }));
        }
        self.hang_up(conn);
    }

    // Ends a connection that was made for a question; a friend's stays.
    fn hang_up(&mut self, conn: ConnectionId) {
        let of_friend = self.friends.values().any(|friend| friend.conns.contains_key(&conn));
        let waiting = self.asks.get(&conn).is_some_and(|asks| !asks.is_empty());
        if !of_friend && !waiting {
            self.asks.remove(&conn);
            self.swarm.close_connection(conn);
        }
    }

    fn answer(&self, peer: DeviceId, result: Result<Vec<u8>, Error>) {
        self.events.say(Event::PairAnswer { peer, result });
    }

    /// Somebody opened a stream to ask us; one at a time on a connection.
    pub(crate) fn questioned(&mut self, peer: PeerId, conn: ConnectionId, stream: Stream) {
        let Some(device) = identity::device_of(&peer) else { return };
        if !self.serving.insert(conn) {
            return;
        }
        let (events, notes) = (self.events.clone(), self.notes.clone());
        tokio::spawn(async move {
            pairing::serve(stream, device, events).await;
            let _ = notes.send(Note::Served { conn });
        });
    }

    /// A question to us was answered, or was none.
    pub(crate) fn served(&mut self, conn: ConnectionId) {
        self.serving.remove(&conn);
        if self.strangers.contains_key(&conn) {
            self.swarm.close_connection(conn);
        }
    }
}
