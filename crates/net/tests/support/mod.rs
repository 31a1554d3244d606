//! Carriers on loopback, and waiting for what they say.
#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod raw;

use base::DeviceId;
use libp2p::identity::Keypair;
use net::{Config, Event, Net};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Generous: the machine may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

pub fn keypair(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).unwrap()
}

pub fn device(seed: u8) -> DeviceId {
    DeviceId(keypair(seed).public().try_into_ed25519().unwrap().to_bytes())
}

/// Two seeds, the one with the smaller device id first.
pub fn by_id(a: u8, b: u8) -> (u8, u8) {
    if device(a) < device(b) { (a, b) } else { (b, a) }
}

pub struct Node {
    pub net: Net,
    pub id: DeviceId,
    pub events: Receiver<Event>,
}

pub fn config(seed: u8, listen: &[&str]) -> Config {
    Config { seed: Zeroizing::new([seed; 32]), listen: listen.iter().map(ToString::to_string).collect() }
}

pub fn node(seed: u8, listen: &[&str]) -> Node {
    let (sender, events) = channel();
    let net = Net::start(config(seed, listen), move |event| drop(sender.send(event))).unwrap();
    Node { net, id: device(seed), events }
}

impl Node {
    pub fn allow(&self, friends: &[DeviceId]) {
        self.net.allow(friends.iter().copied().collect());
    }

    pub fn subscribe(&self, topics: impl IntoIterator<Item = String>) {
        self.net.subscribe(topics.into_iter().collect::<BTreeSet<_>>());
    }

    /// The next event for which `want` has an answer; others are passed over.
    pub fn wait<T>(&self, what: &str, mut want: impl FnMut(Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(event) = self.events.recv_timeout(left) else { panic!("waited for {what}, saw {seen:?}") };
            if !matches!(event, Event::Received { .. } | Event::Gossip { .. }) {
                seen.push(format!("{event:?}"));
            }
            if let Some(found) = want(event) {
                return found;
            }
        }
    }

    pub fn connected(&self, to: DeviceId) -> String {
        self.wait("a connection", |event| match event {
            Event::Connected { peer, addr } if peer == to => Some(addr),
            _ => None,
        })
    }

    pub fn disconnected(&self, from: DeviceId) -> String {
        self.wait("a disconnection", |event| match event {
            Event::Disconnected { peer, why } if peer == from => Some(why),
            _ => None,
        })
    }

    pub fn received(&self, from: DeviceId) -> Vec<u8> {
        self.wait("a message", |event| match event {
            Event::Received { peer, bytes } if peer == from => Some(bytes),
            _ => None,
        })
    }

    /// Everything said within this time.
    pub fn during(&self, time: Duration) -> Vec<Event> {
        let end = Instant::now() + time;
        let mut events = Vec::new();
        while let Ok(event) = self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            events.push(event);
        }
        events
    }
}

/// Two friends; the second has dialed the first, and the link stands.
pub fn pair_of(listen: &str, a: u8, b: u8) -> (Node, Node) {
    let (one, two) = (node(a, &[listen]), node(b, &[]));
    one.allow(&[two.id]);
    two.allow(&[one.id]);
    two.net.dial(one.id, one.net.listening());
    one.connected(two.id);
    two.connected(one.id);
    (one, two)
}

/// Tries until it is so.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Gossip reaches the other end: subscriptions have arrived.
pub fn hears(speaker: &Node, listener: &Node, topic: &str) {
    let mut n = 0;
    eventually("gossip is heard", || {
        n += 1;
        speaker.net.publish(topic.into(), format!("are you there? {n}").into_bytes());
        let heard = |e: &Event| matches!(e, Event::Gossip { topic: t, .. } if t == topic);
        listener.during(Duration::from_millis(100)).iter().any(heard)
    });
}
