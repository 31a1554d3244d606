//! Network namespaces: machines of their own, a cable between them that can be pulled.

use crate::must;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether this user may make namespaces; tests that need them run as root.
pub fn possible() -> bool {
    rustix::process::geteuid().is_root() && Command::new("ip").arg("-V").output().is_ok()
}

/// Two namespaces with a cable between them, removed at the end.
pub struct Cable {
    /// The names of the two namespaces.
    pub ends: [String; 2],
}

/// The addresses of the two ends.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

impl Cable {
    /// Lays a cable.
    pub fn lay() -> Cable {
        let ends = [name(), name()];
        for end in &ends {
            ip(&["netns", "add", end]);
        }
        ip(&[
            "link", "add", "cable", "netns", &ends[0], "type", "veth", "peer", "name", "cable", "netns",
            &ends[1],
        ]);
        for (end, address) in ends.iter().zip(ADDRESSES) {
            ip(&["-n", end, "addr", "add", &format!("{address}/24"), "dev", "cable"]);
            ip(&["-n", end, "link", "set", "lo", "up"]);
            ip(&["-n", end, "link", "set", "cable", "up"]);
        }
        Cable { ends }
    }

    /// Bytes that went over it so far, both ways, as the interface counts them.
    pub fn carried(&self) -> u64 {
        carried(&self.ends[0])
    }

    /// Pulls the cable: nothing gets through, and nobody is told.
    pub fn cut(&self) {
        for end in &self.ends {
            ip(&["-n", end, "link", "set", "cable", "down"]);
        }
    }

    /// Plugs it in again.
    pub fn heal(&self) {
        for end in &self.ends {
            ip(&["-n", end, "link", "set", "cable", "up"]);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in &self.ends {
            remove(end);
        }
    }
}

/// Several namespaces joined by a switch, which stands in one more; removed at the end.
pub struct Switch {
    /// The names of the namespaces around it.
    pub ends: Vec<String>,
    hub: String,
}

impl Switch {
    /// Joins so many, at [`Switch::address`] of each.
    pub fn lay(ends: usize) -> Switch {
        let switch = Switch { ends: (0..ends).map(|_| name()).collect(), hub: name() };
        ip(&["netns", "add", &switch.hub]);
        ip(&["-n", &switch.hub, "link", "add", "switch", "type", "bridge"]);
        ip(&["-n", &switch.hub, "link", "set", "switch", "up"]);
        for (n, end) in switch.ends.iter().enumerate() {
            let port = format!("port{n}");
            ip(&["netns", "add", end]);
            ip(&[
                "link",
                "add",
                "cable",
                "netns",
                end,
                "type",
                "veth",
                "peer",
                "name",
                &port,
                "netns",
                &switch.hub,
            ]);
            ip(&["-n", &switch.hub, "link", "set", &port, "master", "switch", "up"]);
            ip(&["-n", end, "addr", "add", &format!("{}/24", Switch::address(n)), "dev", "cable"]);
            ip(&["-n", end, "link", "set", "lo", "up"]);
            ip(&["-n", end, "link", "set", "cable", "up"]);
        }
        switch
    }

    /// Where the one of this number is reached.
    pub fn address(n: usize) -> String {
        format!("10.77.0.{}", n + 1)
    }

    /// Bytes that the one of this number sent and received so far.
    pub fn carried(&self, n: usize) -> u64 {
        carried(&self.ends[n])
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        for end in self.ends.iter().chain([&self.hub]) {
            remove(end);
        }
    }
}

/// A namespace without a cable, in which not even loopback need be up; removed at the end.
pub struct Island {
    /// Its name.
    pub name: String,
}

impl Island {
    /// Makes one.
    pub fn new() -> Island {
        let name = name();
        ip(&["netns", "add", &name]);
        Island { name }
    }

    /// Makes one that reaches itself, and nothing else.
    pub fn with_loopback() -> Island {
        let island = Island::new();
        ip(&["-n", &island.name, "link", "set", "lo", "up"]);
        island
    }
}

impl Default for Island {
    fn default() -> Island {
        Island::new()
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn name() -> String {
    format!("chorus-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

fn ip(args: &[&str]) {
    must(Command::new("ip").args(args));
}

// What the cable's interface counted at an end, both ways.
fn carried(end: &str) -> u64 {
    let said = must(Command::new("ip").args(["-n", end, "-s", "-j", "link", "show", "dev", "cable"]));
    let read: serde_json::Value = serde_json::from_str(&said).expect("JSON from ip");
    let bytes = |way: &str| read[0]["stats64"][way]["bytes"].as_u64().expect("a counter");
    bytes("rx") + bytes("tx")
}

fn remove(namespace: &str) {
    let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
}
