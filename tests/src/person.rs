//! A person with a home, a mount and a node that runs as a process of its own.

use crate::user::User;
use crate::{chorus, must, scratch_dir, wait_for, wait_until};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as OwnPort};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// One person on one device.
pub struct Person {
    /// What they call themselves.
    pub name: String,
    dir: tempfile::TempDir,
    mount: PathBuf,
    home: PathBuf,
    listen: Vec<String>,
    // What a command is run by: `nsenter` and the like.
    by: Vec<String>,
    program: PathBuf,
    env: Vec<(String, OsString)>,
    child: Option<Child>,
    // Keeps other tests off its port.
    _port: Option<OwnPort>,
}

impl Person {
    /// Makes a home with an identity, and an empty mountpoint; the node does not run yet. It will
    /// listen on loopback only, at a port that stays the same.
    pub fn new(name: &str) -> Person {
        let person = Person::bare(name);
        person.ok(&["init", "--name", name]);
        person
    }

    /// As [`Person::new`], but nothing is made except directories.
    pub fn bare(name: &str) -> Person {
        let dir = scratch_dir();
        let (home, mount) = (dir.path().join("home"), dir.path().join("mnt"));
        std::fs::create_dir(&mount).expect("a mountpoint");
        let (port, own) = own_port();
        let listen = vec![format!("/ip4/127.0.0.1/tcp/{port}"), format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        let (by, env) = (Vec::new(), Vec::new());
        Person {
            name: name.into(),
            dir,
            mount,
            home,
            listen,
            by,
            program: chorus(),
            env,
            child: None,
            _port: Some(own),
        }
    }

    /// The same in a network namespace, listening there at an address.
    pub fn in_namespace(name: &str, namespace: &str, address: &str) -> Person {
        let mut person = Person::bare(name);
        // `ip netns exec` would hide the mounts.
        person.by = vec!["nsenter".into(), format!("--net=/run/netns/{namespace}"), "--".into()];
        person.listen = vec![format!("/ip4/{address}/tcp/4001"), format!("/ip4/{address}/udp/4001/quic-v1")];
        person.ok(&["init", "--name", name]);
        person
    }

    /// In a network namespace, listening on a TCP port of its loopback: whoever is elsewhere needs a relay.
    pub fn at_port(name: &str, namespace: &str, port: u16) -> Person {
        let mut person = Person::in_namespace(name, namespace, "127.0.0.1");
        person.listen = vec![format!("/ip4/127.0.0.1/tcp/{port}")];
        person
    }

    /// In a namespace without any network at all.
    pub fn without_network(name: &str, namespace: &str) -> Person {
        let mut person = Person::in_namespace(name, namespace, "0.0.0.0");
        person.listen.clear();
        person
    }

    /// The same as an ordinary user of the machine.
    pub fn as_user(name: &str, user: &User) -> Person {
        let mut person = Person::bare(name);
        (person.by, person.program) = (user.by(), user.program());
        for dir in [person.dir.path(), &person.mount] {
            std::os::unix::fs::chown(dir, Some(user.id()), Some(user.id())).expect("another owner");
        }
        person.ok(&["init", "--name", name]);
        person
    }

    /// The node will be started with this in its environment.
    pub fn set_env(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.to_owned(), value.into()));
    }

    /// Puts the home somewhere else, for example on a small disk. Only before anything was made.
    pub fn move_home(&mut self, to: PathBuf) {
        self.home = to;
    }

    /// A directory of this person that is not on the mount.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The home of the node.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The mountpoint.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// A path on the mount.
    pub fn path(&self, name: &str) -> PathBuf {
        self.mount.join(name)
    }

    /// The process id of the running node.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running node").id()
    }

    /// The `chorus` program as this person runs it.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.by(&self.program);
        command.args(args);
        command
    }

    /// Another program as this person runs it.
    pub fn by(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self.by.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env("CHORUS_HOME", &self.home).env("HOME", self.dir.path());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// A line of shell as this person runs it, in their directory. It may end as it likes.
    pub fn shell(&self, line: &str) -> Command {
        let mut command = self.by("bash");
        // Entering a namespace of mounts leads to its root.
        command.arg("-euc").arg(format!("cd; {line}"));
        command
    }

    /// Runs a verb that must succeed; answers what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        must(&mut self.command(args))
    }

    /// Runs a verb, whatever comes of it.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// Runs a verb that must fail with an exit code, an error and a hint; answers stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let out = self.run(args);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains("error: ") && said.contains("hint: "), "{args:?} said: {said}");
        assert!(!said.contains("panicked"), "{args:?} said: {said}");
        said
    }

    /// Runs a verb with `--json` and reads what it printed.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let said = self.ok(&all);
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{args:?} printed no JSON ({e}): {said}"))
    }

    /// What `chorus status` knows.
    pub fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// How many entries it has of the space whose room is at `path`.
    ///
    /// # Panics
    /// If it has no such space.
    pub fn entries(&self, path: &str) -> u64 {
        let status = self.status();
        let mut spaces = status["spaces"].as_array().expect("spaces").iter();
        let found = spaces.find(|space| space["path"] == path).expect("a space at that path");
        found["entries"].as_u64().expect("a number")
    }

    /// Starts the node and waits until its mount answers.
    ///
    /// # Panics
    /// If it does not start; the message has what it said.
    pub fn up(&mut self) {
        self.up_with(&[]);
    }

    /// As [`Person::up`], with further arguments.
    pub fn up_with(&mut self, more: &[&str]) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = self.dir.path().join("node.log");
        let stderr = File::options().create(true).append(true).open(&log).expect("a log");
        let mut args = vec!["up", "--json"];
        for address in &self.listen {
            args.extend(["--listen", address]);
        }
        args.extend(more);
        if !more.contains(&"--no-mount") {
            args.push(self.mount.to_str().expect("a path in UTF-8"));
        }
        let mut command = self.command(&args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the program starts");
        let mut ready = String::new();
        let read = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut ready);
        if read.is_err() || ready.is_empty() {
            let status = child.wait();
            panic!("{} did not start: {status:?}\n{}", self.name, crate::text(&log));
        }
        self.child = Some(child);
    }

    /// Stops the node in order.
    pub fn down(&mut self) {
        self.ok(&["down"]);
        self.ended();
    }

    /// Waits for the end of a node that was asked to stop.
    pub fn ended(&mut self) {
        if let Some(mut child) = self.child.take() {
            let status = child.wait().expect("the node's end");
            assert!(status.success(), "{} ended with {status}: {}", self.name, self.said());
        }
    }

    /// Ends the node as a crash does: no goodbye, the mount left behind.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // In a namespace too the child is the node: nsenter replaces itself by it.
            child.kill().expect("a signal");
            let _ = child.wait();
        }
    }

    /// Halts the node's process, or lets it go on.
    pub fn halt(&self, halted: bool) {
        let signal = if halted { rustix::process::Signal::STOP } else { rustix::process::Signal::CONT };
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("a running node"));
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Whether the node's process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What the node said on stderr so far.
    pub fn said(&self) -> String {
        crate::text(&self.dir.path().join("node.log"))
    }

    /// Whether a friend is connected.
    pub fn sees(&self, friend: &str) -> bool {
        let status = self.status();
        let peers = status["peers"].as_array().cloned().unwrap_or_default();
        peers.iter().any(|p| p["name"] == friend && p["connected"] == true)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if self.is_running() {
            self.halt(false);
        }
        if std::thread::panicking() {
            let status = self.command(&["status"]).output();
            let status = status.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
            eprintln!("--- {}'s node said\n{}--- and its status is\n{status}", self.name, self.said());
        }
        // A session in the documentation starts nodes of its own, detached.
        let asked = self
            .home
            .join("control.sock")
            .exists()
            .then(|| self.command(&["down"]).stdout(Stdio::null()).stderr(Stdio::null()).status());
        if let Some(mut child) = self.child.take() {
            if !matches!(asked, Some(Ok(status)) if status.success()) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
        // Left only by a kill: a dead mount would keep the directory from being removed.
        let _ = Command::new("umount").arg("-l").arg(&self.mount).stderr(Stdio::null()).status();
    }
}

// A port that is this person's as long as they are. Below those that the kernel gives to connections of others, which
// would take it between a look and the start of the node, or while that is down.
fn own_port() -> (u16, OwnPort) {
    let first = std::process::id().wrapping_mul(97) as u16;
    let port_at = |step: u16| 12_000 + first.wrapping_add(step) % 20_000;
    (0..20_000)
        .map(port_at)
        .find_map(|port| {
            let name = SocketAddr::from_abstract_name(format!("chorus-test-port-{port}")).ok()?;
            let own = OwnPort::bind_addr(&name).ok()?;
            let free = TcpListener::bind(("127.0.0.1", port)).is_ok()
                && UdpSocket::bind(("127.0.0.1", port)).is_ok();
            free.then_some((port, own))
        })
        .expect("a free port")
}

/// Makes two running people friends by one invite file, with a room that both share if one is
/// named. Comes back when both see each other and the room is on both mounts.
pub fn befriend(a: &Person, b: &Person, room: Option<&str>) {
    if let Some(room) = room {
        std::fs::create_dir_all(a.path(room)).expect("a room");
    }
    let place = room.map(|room| format!("/{room}"));
    let mut invite = vec!["invite", "--for", &b.name];
    invite.extend(place.as_deref());
    let card = b.dir().join(format!("{}.card", a.name));
    std::fs::write(&card, a.ok(&invite)).expect("a peer file");
    b.ok(&["peer", "add", card.to_str().expect("a path in UTF-8"), "--name", &a.name]);
    wait_until("both friends are connected", || a.sees(&b.name) && b.sees(&a.name));
    if let Some(room) = room {
        wait_until("the room is there", || b.path(room).is_dir());
    }
}

/// Adds another's peer file, though nothing leads to them: nobody waits for their answer.
pub fn acquaint(one: &Person, other: &Person) {
    let card = one.dir().join(format!("{}.card", other.name));
    std::fs::write(&card, other.ok(&["invite"])).expect("a peer file");
    let add = ["peer", "add", card.to_str().expect("a path in UTF-8"), "--name", &other.name];
    let mut adding = one.command(&add).stdout(Stdio::null()).spawn().expect("the program starts");
    wait_until("the friend is known", || {
        let peers = one.json(&["peer", "list"]);
        peers.as_array().is_some_and(|peers| peers.iter().any(|peer| peer["name"] == other.name.as_str()))
    });
    let _ = adding.kill();
    let _ = adding.wait();
}

/// Shares a room with a friend, who joins it under the same name.
pub fn share_room(a: &Person, b: &Person, room: &str, role: &str) {
    std::fs::create_dir_all(a.path(room)).expect("a room");
    let place = format!("/{room}");
    a.ok(&["share", &place, "--with", &b.name, "--role", role]);
    let spec = format!("{}/{room}", a.name);
    wait_for("the room can be joined", || b.run(&["join", &spec, &place]).status.success().then_some(()));
    wait_until("the room is there", || b.path(room).is_dir());
}
