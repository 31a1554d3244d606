//! The picture of who hears whom, as far as it is known here: my own links, and whose entries came by which of them.
//! What others hear from each other is theirs to say, and nobody is asked.

use crate::api::{PeerStatus, Status};
use crate::clock;
use crate::core::Core;
use crate::state::State;
use crate::status::LinkStatus;
use base::print::safe;
use base::{DeviceId, limit};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, SystemTime};
use sync::Sync;

/// Whose entries came by whose link since the start, and how many: the friend's device, then the author's.
pub(crate) type Brought = BTreeMap<(DeviceId, DeviceId), u64>;

impl LinkStatus {
    /// How the link with a device stands, `now` being the time that the state machine keeps.
    pub(crate) fn of(sync: &Sync, peer: &DeviceId, connected: bool, now: u64) -> LinkStatus {
        let view = sync.peer(peer).unwrap_or_default();
        let since = |at: u64| clock::now().checked_sub(Duration::from_millis(now.saturating_sub(at)));
        LinkStatus {
            connected,
            behind_us: view.behind_us,
            behind_them: view.behind_them,
            synced: view.synced,
            heard: view.heard_at.and_then(since),
            in_flight: view.in_flight,
            fruitful: view.fruitful,
        }
    }
}

impl Core {
    /// Notes that an entry of `author` came on the link with `from`.
    pub(crate) fn note_brought(&self, from: Option<DeviceId>, author: DeviceId) {
        let Some(from) = from.filter(|from| *from != author && author != self.device) else { return };
        let mut brought = self.brought.lock();
        if brought.len() < limit::BROUGHT || brought.contains_key(&(from, author)) {
            *brought.entry((from, author)).or_default() += 1;
        }
    }

    /// Whose entries a friend's devices brought, by name.
    pub(crate) fn brings(&self, state: &State, devices: &BTreeSet<DeviceId>) -> Vec<(String, u64)> {
        let mut names: BTreeMap<String, u64> = BTreeMap::new();
        for ((via, author), count) in self.brought.lock().iter() {
            if devices.contains(via) && !devices.contains(author) {
                *names.entry(state.called(author)).or_default() += count;
            }
        }
        names.into_iter().collect()
    }

    /// The map as text, a line a link.
    pub(crate) fn map_text(&self) -> String {
        text(&self.status(), clock::now())
    }

    /// The map in the language of Graphviz.
    pub(crate) fn map_dot(&self) -> String {
        dot(&self.status(), clock::now())
    }
}

impl State {
    /// What I call the owner of a device; the device's fingerprint where I call them nothing.
    pub(crate) fn called(&self, device: &DeviceId) -> String {
        let person = self.people.person_of(device);
        let name = person.and_then(|person| self.petname(&person).map(str::to_owned));
        name.unwrap_or_else(|| crypto::fingerprint(&device.0))
    }
}

/// How an address is reached, in a word.
pub(crate) fn carrier(addr: &str, transport: Option<net::Transport>) -> &'static str {
    match transport {
        _ if addr.contains("/p2p-circuit") => "relay",
        Some(net::Transport::Quic) => "quic",
        Some(net::Transport::Tcp) | None => "tcp",
    }
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    match now.duration_since(then).map_or(0, |gone| gone.as_secs()) {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

// What is known of a link: how it is reached, when it was heard, how far apart the ends are.
fn facts(peer: &PeerStatus, now: SystemTime) -> Vec<String> {
    let mut facts = vec![match (peer.connected, peer.met) {
        (true, _) => peer.carrier.unwrap_or("connected").to_owned(),
        (false, true) => "away".to_owned(),
        (false, false) => "has not answered yet".to_owned(),
    }];
    facts.extend(peer.last_heard.map(|then| format!("heard {}", ago(then, now))));
    if peer.behind_us > 0 {
        facts.push(format!("we lack {}", peer.behind_us));
    }
    if peer.behind_them > 0 {
        facts.push(format!("they lack {}", peer.behind_them));
    }
    if peer.behind_us == 0 && peer.behind_them == 0 && peer.connected {
        facts.push(if peer.synced { "in step" } else { "not compared yet" }.to_owned());
    }
    if peer.in_flight + peer.queued > 0 {
        facts.push(format!("{} bytes under way", peer.in_flight + peer.queued));
    }
    facts
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".into() } else { format!("{count} entries") }
}

fn text(status: &Status, now: SystemTime) -> String {
    let mut out = format!("{} (me)\n", safe(&status.me.name));
    for (n, peer) in status.peers.iter().enumerate() {
        let last = n + 1 == status.peers.len();
        let (corner, below) = if last { ('└', ' ') } else { ('├', '│') };
        let line = if peer.connected { "──" } else { "┄┄" };
        let _ = write!(out, "{corner}{line} {}: {}", safe(&peer.name), facts(peer, now).join(", "));
        if let Some(addr) = &peer.addr {
            let _ = write!(out, ", {}", safe(addr));
        }
        let rooms: Vec<String> = peer.rooms.iter().map(|room| safe(room)).collect();
        let _ = writeln!(out, "{}{}", if rooms.is_empty() { "" } else { "; " }, rooms.join(" "));
        for (n, (name, count)) in peer.brings.iter().enumerate() {
            let corner = if n + 1 == peer.brings.len() { '└' } else { '├' };
            let _ = writeln!(out, "{below}   {corner}┄┄ {}: {} came this way", safe(name), entries(*count));
        }
    }
    out
}

// A string of DOT: in its labels a backslash begins an escape.
fn quoted(text: &str) -> String {
    format!("\"{}\"", safe(text).replace('\\', "\\\\").replace('"', "\\\""))
}

fn dot(status: &Status, now: SystemTime) -> String {
    let mut out = String::from("digraph chorus {\n");
    let _ = writeln!(out, "  me [label={}, shape=doublecircle];", quoted(&status.me.name));
    // Friends first; then those who are known only by what friends bring.
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for (n, peer) in status.peers.iter().enumerate() {
        names.insert(&peer.name, format!("f{n}"));
        let _ = writeln!(out, "  f{n} [label={}];", quoted(&peer.name));
    }
    let brought = status.peers.iter().flat_map(|peer| &peer.brings);
    let others: BTreeSet<&str> =
        brought.map(|(name, _)| name.as_str()).filter(|name| !names.contains_key(name)).collect();
    for (n, name) in others.into_iter().enumerate() {
        names.insert(name, format!("o{n}"));
        let _ = writeln!(out, "  o{n} [label={}, style=dashed];", quoted(name));
    }
    for (n, peer) in status.peers.iter().enumerate() {
        let mut label = facts(peer, now);
        label.extend(peer.rooms.iter().cloned());
        let style = if peer.connected { "solid" } else { "dotted" };
        let _ = writeln!(out, "  me -> f{n} [dir=both, style={style}, label={}];", quoted(&label.join(", ")));
        for (name, count) in &peer.brings {
            let Some(from) = names.get(name.as_str()) else { continue };
            let _ = writeln!(out, "  {from} -> f{n} [style=dashed, label={}];", quoted(&entries(*count)));
        }
    }
    out.push_str("}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Identity;
    use base::PersonId;

    fn status() -> Status {
        let peer = |name: &str, connected, brings| PeerStatus {
            name: name.into(),
            person: PersonId([1; 32]),
            fingerprint: String::new(),
            connected,
            met: true,
            addr: connected.then(|| "/ip4/192.0.2.1/tcp/7".into()),
            carrier: connected.then_some("tcp"),
            last_seen: None,
            last_heard: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)),
            behind_us: 0,
            behind_them: if connected { 0 } else { 3 },
            synced: true,
            in_flight: 0,
            queued: 0,
            bytes_in: 0,
            bytes_out: 0,
            messages_in: BTreeMap::new(),
            messages_out: BTreeMap::new(),
            entries_in: 0,
            entries_new: 0,
            chunks_in: 0,
            chunks_new: 0,
            rooms: vec!["/garden".into()],
            brings,
        };
        let me = Identity {
            name: "an\"n\\".into(),
            person: PersonId([2; 32]),
            device: DeviceId([3; 32]),
            fingerprint: String::new(),
        };
        Status {
            notes: Vec::new(),
            me,
            peers: vec![
                peer("bob", true, vec![("carol".into(), 1), ("dan\u{1b}".into(), 12)]),
                peer("carol", false, vec![]),
            ],
            spaces: vec![],
            offers: vec![],
            listening: vec![],
            local_files: 0,
            unshared: vec![],
            overlaps: vec![],
            problems: vec![],
            store_bytes: 0,
        }
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_090)
    }

    #[test]
    fn the_text_has_a_line_for_each_link() {
        let wanted = "an\"n\\ (me)\n\
            ├── bob: tcp, heard 1 min ago, in step, /ip4/192.0.2.1/tcp/7; /garden\n\
            │   ├┄┄ carol: 1 entry came this way\n\
            │   └┄┄ dan\\u{1b}: 12 entries came this way\n\
            └┄┄ carol: away, heard 1 min ago, they lack 3; /garden\n";
        assert_eq!(text(&status(), now()), wanted);
    }

    #[test]
    fn in_dot_no_name_leaves_its_quotes() {
        let wanted = r#"digraph chorus {
  me [label="an\"n\\", shape=doublecircle];
  f0 [label="bob"];
  f1 [label="carol"];
  o0 [label="dan\\u{1b}", style=dashed];
  me -> f0 [dir=both, style=solid, label="tcp, heard 1 min ago, in step, /garden"];
  f1 -> f0 [style=dashed, label="1 entry"];
  o0 -> f0 [style=dashed, label="12 entries"];
  me -> f1 [dir=both, style=dotted, label="away, heard 1 min ago, they lack 3, /garden"];
}
"#;
        assert_eq!(dot(&status(), now()), wanted);
    }

    #[test]
    fn a_way_over_a_relay_is_called_one() {
        assert_eq!(carrier("/ip4/192.0.2.1/tcp/7/p2p/x/p2p-circuit", Some(net::Transport::Tcp)), "relay");
        assert_eq!(carrier("/ip4/192.0.2.1/udp/7/quic-v1", Some(net::Transport::Quic)), "quic");
    }
}
