//! What a service manager hears of a node, as systemd would: the words of `sd_notify` on a socket of datagrams.

use harness::{Person, must, wait_for, wait_until};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A message, and whether the mount answered when it came.
struct Heard {
    words: String,
    mounted: bool,
}

fn is_mounted(at: &Path) -> bool {
    let below = at.parent().unwrap().metadata().unwrap().dev();
    at.metadata().is_ok_and(|root| root.dev() != below) && std::fs::read_dir(at).is_ok()
}

fn listen(socket: &UnixDatagram, mount: &Path, heard: &Sender<Heard>) {
    let mut buffer = [0; 4096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let words = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // A halted node's mount would not answer.
        let mounted = words.contains("READY=1") && is_mounted(mount);
        if heard.send(Heard { words, mounted }).is_err() {
            return;
        }
    }
}

fn manager(person: &Person) -> (std::path::PathBuf, Receiver<Heard>) {
    let path = person.dir().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let (tell, heard) = channel();
    let mount = person.mount().to_owned();
    std::thread::spawn(move || listen(&socket, &mount, &tell));
    (path, heard)
}

fn next(heard: &Receiver<Heard>, word: &str) -> Heard {
    wait_for(word, || heard.try_iter().find(|one| one.words.lines().any(|line| line.starts_with(word))))
}

#[test]
fn a_service_manager_hears_that_the_node_is_ready_lives_and_ends() {
    let mut ann = Person::new("ann");
    let (socket, heard) = manager(&ann);
    ann.set_env("NOTIFY_SOCKET", socket);
    ann.set_env("WATCHDOG_USEC", "200000");
    ann.up();
    let first = heard.recv_timeout(harness::wait::deadline()).unwrap();
    assert!(first.words.starts_with("STATUS="), "{}", first.words);
    let ready = heard.recv_timeout(harness::wait::deadline()).unwrap();
    assert!(
        ready.words.contains("READY=1") && ready.mounted,
        "ready, and the mount answers: {}",
        ready.words
    );
    assert!(ready.words.contains(ann.mount().to_str().unwrap()), "{}", ready.words);
    for _ in 0..3 {
        next(&heard, "WATCHDOG=1");
    }
    // Who is dead says nothing.
    ann.halt(true);
    let silent = || match heard.recv_timeout(Duration::from_secs(1)) {
        Err(RecvTimeoutError::Timeout) => Some(()),
        _ => None,
    };
    wait_for("a halted node is silent", silent);
    ann.halt(false);
    next(&heard, "WATCHDOG=1");
    // The looks at the mount are in nobody's way.
    let said = ann.ok(&["down"]);
    assert_eq!(said, "stopped\n");
    ann.ended();
    next(&heard, "STOPPING=1");
}

#[test]
fn a_manager_that_is_gone_keeps_no_node_from_running() {
    let mut ann = Person::new("ann");
    ann.set_env("NOTIFY_SOCKET", ann.dir().join("nobody"));
    ann.up();
    std::fs::write(ann.path("f"), "x\n").unwrap();
    assert!(ann.said().contains("service manager"), "{}", ann.said());
    ann.down();
}

#[test]
fn the_unit_that_is_printed_is_one_that_systemd_takes() {
    let ann = Person::new("ann");
    let dir = ann.dir().join("a place");
    std::fs::create_dir(&dir).unwrap();
    let unit = ann.dir().join("chorus.service");
    for args in [&["unit"][..], &["--home", dir.to_str().unwrap(), "unit", ann.mount().to_str().unwrap()]] {
        std::fs::write(&unit, ann.ok(args)).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--user", "--man=no"]).arg(&unit).env("XDG_RUNTIME_DIR", ann.dir());
        let said = verify.output().unwrap();
        assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    }
    // The command of the unit is one that runs.
    let text = std::fs::read_to_string(&unit).unwrap();
    let start = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("exec {start}")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut node = Started(command.spawn().unwrap());
    let there = |verb: &str| ann.command(&["--home", dir.to_str().unwrap(), verb]);
    wait_until("it runs", || there("status").output().unwrap().status.success());
    assert!(is_mounted(ann.mount()));
    must(&mut there("down"));
    assert!(node.0.wait().unwrap().success());
}

/// A process that does not outlive its test.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
