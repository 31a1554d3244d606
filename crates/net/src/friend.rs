//! What the carrier knows of one friend: addresses, connections, the link, and when to try again.
//! Decisions only; acting on them is `meeting`'s.

use crate::link::Outbox;
use base::{DeviceId, limit};
use libp2p::swarm::{ConnectionId, Stream};
use libp2p::{Multiaddr, multiaddr::Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The first wait before dialing again.
const SHORTEST: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);
/// How long one address is tried alone before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(500);
/// A link that stood for so long was a good one; two connections that are both younger come from
/// both ends dialing at once.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);
/// How long a connection may stay that carries no link.
pub(crate) const UNUSED: Duration = Duration::from_secs(10);

/// A connection with a friend.
pub(crate) struct Conn {
    pub(crate) addr: Multiaddr,
    pub(crate) since: Instant,
    /// No link will come of it: the other end refused the stream, or it is being closed.
    pub(crate) spent: bool,
}

/// The link, in each of its states.
#[derive(Default)]
pub(crate) enum Link {
    #[default]
    None,
    /// We asked for the stream and have no answer yet.
    Opening { conn: ConnectionId },
    /// It stands.
    Up { conn: ConnectionId, since: Instant, stop: oneshot::Sender<String>, outbox: Arc<Outbox> },
    /// Its task was told to end, or its connection is gone; `next` takes its place.
    Ending { conn: ConnectionId, since: Instant, next: Option<(ConnectionId, Box<Stream>)> },
}

/// One friend's device.
pub(crate) struct Friend {
    pub(crate) device: DeviceId,
    pub(crate) conns: BTreeMap<ConnectionId, Conn>,
    pub(crate) link: Link,
    addrs: Vec<Multiaddr>,
    dials: BTreeSet<ConnectionId>,
    // The address to be tried next in this round.
    next: usize,
    at: Option<Instant>,
    delay: Duration,
}

impl Friend {
    pub(crate) fn new(device: DeviceId) -> Friend {
        Friend {
            device,
            conns: BTreeMap::new(),
            link: Link::None,
            addrs: Vec::new(),
            dials: BTreeSet::new(),
            next: 0,
            at: None,
            delay: SHORTEST,
        }
    }

    /// The addresses to be tried, likeliest first.
    pub(crate) fn addrs(&self) -> &[Multiaddr] {
        &self.addrs
    }

    /// Adds addresses before those known, and wants to dial at once.
    pub(crate) fn call(&mut self, addrs: Vec<Multiaddr>, now: Instant) {
        let known = std::mem::take(&mut self.addrs);
        for addr in addrs.into_iter().chain(known) {
            if self.addrs.len() < limit::ADDRS && !self.addrs.contains(&addr) {
                self.addrs.push(addr);
            }
        }
        self.hurry(now);
    }

    /// Starts a round of dialing now if there is no connection.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.delay = SHORTEST;
        if self.dials.len() < limit::ADDRS {
            self.next = 0;
            self.at = Some(now);
        }
    }

    /// When to dial; never while there is a connection that may come to something.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.addrs.is_empty() || self.met() { None } else { self.at }
    }

    /// The address to dial now, and the plan for the next.
    pub(crate) fn next_addr(&mut self, now: Instant) -> Option<Multiaddr> {
        if self.due().is_none_or(|at| at > now) {
            return None;
        }
        let addr = self.addrs.get(self.next).cloned();
        self.next += 1;
        self.at = (self.next < self.addrs.len()).then(|| now + STAGGER);
        addr
    }

    /// A dial is under way.
    pub(crate) fn dialing(&mut self, conn: ConnectionId) {
        self.dials.insert(conn);
    }

    /// A dial failed: the next address at once, or after the last of them a wait.
    pub(crate) fn dial_failed(&mut self, conn: ConnectionId, now: Instant) {
        self.dials.remove(&conn);
        if self.next < self.addrs.len() {
            self.at = Some(now);
        } else if self.dials.is_empty() {
            self.wait(now);
        }
    }

    /// A connection stands. The address that led to it is tried first in future.
    pub(crate) fn met_at(&mut self, conn: ConnectionId, addr: Multiaddr, now: Instant) {
        if self.dials.remove(&conn)
            && let Some(at) = self.addrs.iter().position(|known| *known == addr)
        {
            self.addrs[..=at].rotate_right(1);
        }
        self.conns.insert(conn, Conn { addr, since: now, spent: false });
    }

    /// Plans the next round of dialing after a wait that grows from round to round.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.next = 0;
        self.at = Some(now + jittered(self.delay));
        self.delay = (self.delay * 2).min(LONGEST);
    }

    /// The link, or the last one, was worth making: the next is made soon.
    pub(crate) fn fruitful(&mut self, now: Instant) {
        self.delay = SHORTEST;
        if self.dials.is_empty() && self.next == 0 {
            let soon = now + jittered(SHORTEST);
            self.at = self.at.map(|at| at.min(soon));
        }
    }

    /// A link that had stood for this long is gone.
    pub(crate) fn lost(&mut self, stood: Duration, now: Instant) {
        if stood >= SETTLED {
            self.delay = SHORTEST;
        }
        self.wait(now);
    }

    /// Whether there is a link, or a connection that may come to one.
    pub(crate) fn met(&self) -> bool {
        !matches!(self.link, Link::None) || self.conns.values().any(|conn| !conn.spent)
    }

    /// The newest connection that a link can be opened on.
    pub(crate) fn best(&self) -> Option<ConnectionId> {
        self.conns
            .iter()
            .filter(|(_, conn)| !conn.spent)
            .max_by_key(|(id, conn)| (conn.since, **id))
            .map(|(id, _)| *id)
    }

    /// Connections that have no use any more.
    pub(crate) fn idle(&self, now: Instant) -> Vec<ConnectionId> {
        let (keep, patience) = match &self.link {
            Link::Up { conn, since, .. } if now >= *since + SETTLED => (Some(*conn), SETTLED),
            Link::Up { .. } | Link::Opening { .. } | Link::Ending { .. } => return Vec::new(),
            Link::None => (None, UNUSED),
        };
        let idle = |(id, conn): (&ConnectionId, &Conn)| {
            (Some(*id) != keep && now >= conn.since + patience).then_some(*id)
        };
        self.conns.iter().filter_map(idle).collect()
    }

    /// Marks a connection as being closed: no link comes of it, and it is not idle again at once.
    pub(crate) fn spend(&mut self, conn: ConnectionId, now: Instant) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            (conn.spent, conn.since) = (true, now);
        }
    }

    /// When `idle` may answer something, if nothing happens before.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        let (keep, base, patience) = match &self.link {
            Link::Up { conn, since, .. } => (Some(*conn), Some(*since + SETTLED), SETTLED),
            Link::Opening { .. } | Link::Ending { .. } => return None,
            Link::None => (None, None, UNUSED),
        };
        let first = self
            .conns
            .iter()
            .filter(|(id, _)| Some(**id) != keep)
            .map(|(_, conn)| conn.since + patience)
            .min()?;
        Some(base.map_or(first, |base| base.max(first)))
    }
}

// Between three quarters and five quarters of it, so that two ends do not run in step.
fn jittered(delay: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    delay.mul_f64(0.75 + random as f64 / 1024.0)
}

/// Reads an address to dial.
pub(crate) fn address(text: &str) -> Option<Multiaddr> {
    let addr = bare(text.parse().ok()?);
    (!addr.is_empty()).then_some(addr)
}

/// The address without the `/p2p` part, for the key is asked of the peer anyway.
pub(crate) fn bare(mut addr: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = addr.iter().last() {
        addr.pop();
    }
    addr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    fn conn(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    fn friend(ports: &[u16], now: Instant) -> Friend {
        let mut friend = Friend::new(DeviceId([1; 32]));
        friend.call(ports.iter().map(|p| addr(*p)).collect(), now);
        friend
    }

    #[test]
    fn every_address_is_tried_before_a_wait_that_grows() {
        let mut now = Instant::now();
        let mut friend = friend(&[1, 2], now);
        let mut waits = Vec::new();
        for round in 0..12 {
            for (n, port) in [1, 2].into_iter().enumerate() {
                let id = conn(round * 2 + n);
                assert_eq!(friend.next_addr(now), Some(addr(port)));
                friend.dialing(id);
                assert_eq!(friend.next_addr(now), None, "the next only after a moment or a failure");
                friend.dial_failed(id, now);
            }
            let at = friend.due().unwrap();
            waits.push(at - now);
            now = at;
        }
        assert!(waits[0] >= SHORTEST.mul_f64(0.75) && waits[0] <= SHORTEST.mul_f64(1.25));
        assert!(waits[11] >= LONGEST.mul_f64(0.75) && waits[11] <= LONGEST.mul_f64(1.25));
        friend.call(vec![], now);
        assert_eq!(friend.due(), Some(now));
    }

    #[test]
    fn a_slow_address_does_not_hold_up_the_next() {
        let now = Instant::now();
        let mut friend = friend(&[1, 2], now);
        assert_eq!(friend.next_addr(now), Some(addr(1)));
        friend.dialing(conn(1));
        assert_eq!(friend.next_addr(now + STAGGER), Some(addr(2)));
        friend.dialing(conn(2));
        friend.dial_failed(conn(2), now + STAGGER);
        assert_eq!(friend.due(), None, "the first is still under way");
    }

    #[test]
    fn a_connection_ends_the_dialing_and_moves_its_address_to_the_front() {
        let now = Instant::now();
        let mut friend = friend(&[1, 2, 3], now);
        friend.next_addr(now);
        friend.dialing(conn(7));
        friend.met_at(conn(7), addr(3), now);
        assert_eq!(friend.due(), None);
        assert_eq!(friend.addrs(), [addr(3), addr(1), addr(2)]);
        friend.conns.get_mut(&conn(7)).unwrap().spent = true;
        friend.wait(now);
        assert!(friend.due().is_some());
    }

    #[test]
    fn a_link_that_breaks_young_is_tried_again_soon_only_if_it_brought_something() {
        let mut now = Instant::now();
        let mut friend = friend(&[1], now);
        let mut waits = Vec::new();
        for round in 0..24 {
            let id = conn(round);
            assert_eq!(friend.next_addr(now), Some(addr(1)));
            friend.dialing(id);
            friend.met_at(id, addr(1), now);
            friend.conns.remove(&id);
            // The node says so while the link stands, or when it is gone already.
            if (8..12).contains(&round) {
                friend.fruitful(now);
            }
            friend.lost(Duration::from_millis(50), now);
            if round >= 20 {
                friend.fruitful(now);
            }
            let at = friend.due().unwrap();
            waits.push(at - now);
            now = at;
        }
        assert!(waits[7] > LONGEST / 2, "{waits:?}");
        assert!(waits[8..12].iter().all(|wait| *wait <= SHORTEST.mul_f64(1.25)), "{waits:?}");
        assert!(waits[19] > LONGEST / 2, "{waits:?}");
        assert!(waits[20..].iter().all(|wait| *wait <= SHORTEST.mul_f64(1.25)), "{waits:?}");
    }

    #[test]
    fn addresses_are_bounded_and_newest_first() {
        let now = Instant::now();
        let mut friend = friend(&[1], now);
        friend.call((2..100).map(addr).collect(), now);
        assert_eq!(friend.addrs().len(), limit::ADDRS);
        assert_eq!(friend.addrs()[0], addr(2));
    }

    #[test]
    fn an_address_may_name_its_peer_and_nothing_else_may_be_one() {
        let peer = libp2p::PeerId::random();
        assert_eq!(address(&format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}")), Some(addr(1)));
        assert_eq!(address(&format!("/p2p/{peer}")), None);
        assert_eq!(address("127.0.0.1:1"), None);
        assert_eq!(address(""), None);
    }
}
