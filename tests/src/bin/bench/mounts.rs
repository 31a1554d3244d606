//! The mount beside bindfs, sshfs without a cipher, and the disk below.

use crate::figure::median;
use harness::editor::installed;
use harness::{Person, must, wait_until};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Files made and read in a round.
const FILES: usize = 2000;
/// Bytes written and read in a row.
const STREAM: usize = 256 << 20;
/// Times it is read from memory: one is over in a hundredth of a second.
const AGAIN: usize = 9;
/// How long what was written rests before it is read from memory.
const REST: Duration = Duration::from_secs(6);
const SFTP: &str = "/usr/lib/openssh/sftp-server";

/// Files of the repository that is cloned.
const CLONED: usize = 3000;

const ROWS: [&str; 11] = [
    "create + 1 KiB, /s",
    "stat, /s",
    "stat again, /s",
    "open+read+close, /s",
    "write, MiB/s",
    "read, MiB/s",
    "read again, MiB/s",
    "git clone, s",
    "git status, s",
    "git status again, s",
    "tar x, s",
];
type Figures = [f64; ROWS.len()];

struct Peer {
    name: &'static str,
    at: PathBuf,
    rounds: Vec<Figures>,
    server: Option<(Child, PathBuf)>,
    // Holds the directories, or the node.
    _keep: Keep,
}

enum Keep {
    Dir { _dir: tempfile::TempDir },
    Node { _node: Box<Person> },
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some((mut child, mount)) = self.server.take() {
            let _ = Command::new("umount").arg("-l").arg(&mount).status();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Measures them in turns and prints the table.
pub(crate) fn measure(rounds: usize) {
    let mut peers: Vec<Peer> =
        [Some(chorus()), bindfs(), sshfs(), Some(disk())].into_iter().flatten().collect();
    let repository = Repository::new();
    for round in 0..rounds {
        for peer in &mut peers {
            eprintln!("round {} of {rounds}: {}", round + 1, peer.name);
            let at = peer.at.join(format!("round{round}"));
            fs::create_dir(&at).expect("a directory");
            peer.rounds.push(one_round(&at, &repository));
        }
    }
    print!("\n{:<24}", format!("mounts, medians of {rounds}"));
    peers.iter().for_each(|peer| print!("{:>14}", peer.name));
    println!();
    for (n, row) in ROWS.iter().enumerate() {
        print!("{row:<24}");
        for peer in &peers {
            let all: Vec<f64> = peer.rounds.iter().map(|round| round[n]).collect();
            let digits = if row.ends_with(", s") { 2 } else { 0 };
            print!("{:>14.digits$}", median(&all));
        }
        println!();
    }
}

fn one_round(at: &Path, repository: &Repository) -> Figures {
    let content = vec![b'x'; 1024];
    let names: Vec<PathBuf> = (0..FILES).map(|n| at.join(format!("file{n}"))).collect();
    let create = rate(FILES, || names.iter().for_each(|name| fs::write(name, &content).expect("a file")));
    let all = |times: usize| {
        for name in names.iter().cycle().take(FILES * times) {
            fs::metadata(name).expect("a file");
        }
    };
    let stat = rate(FILES * 5, || all(5));
    let stat_again = rate(FILES * 20, || all(20));
    let mut buffer = Vec::new();
    let read = rate(FILES * 2, || {
        for name in names.iter().cycle().take(FILES * 2) {
            buffer.clear();
            File::open(name).and_then(|mut f| f.read_to_end(&mut buffer)).expect("a file");
            assert_eq!(buffer.len(), 1024);
        }
    });
    let stream = at.join("stream");
    let mut numbers = harness::sample::Numbers::from(5);
    let block = numbers.bytes(1 << 20);
    let blocks = STREAM >> 20;
    let write = rate(blocks, || {
        let mut file = File::create(&stream).expect("a file");
        for n in 0..blocks {
            file.write_all(&(n as u64).to_le_bytes())
                .and_then(|()| file.write_all(&block[8..]))
                .expect("a write");
        }
        file.sync_all().expect("a disk");
    });
    // At rest: whoever still works on what was written would be measured too, or would have read it already.
    std::thread::sleep(REST);
    forget_pages();
    let mut piece = vec![0; 1 << 20];
    let mut whole = || {
        let mut file = File::open(&stream).expect("a file");
        let mut left = STREAM;
        while left > 0 {
            let n = file.read(&mut piece).expect("a read");
            assert!(n > 0, "the file is too short");
            left -= n;
        }
    };
    let back = rate(blocks, &mut whole);
    let again: Vec<f64> = (0..AGAIN).map(|_| rate(blocks, &mut whole)).collect();
    let again = median(&again);
    fs::remove_file(&stream).expect("a removal");
    let [clone, status, status_again, tar] = repository.measure(at);
    [create, stat, stat_again, read, write, back, again, clone, status, status_again, tar]
}

/// A repository and an archive of the same files.
struct Repository {
    dir: tempfile::TempDir,
}

impl Repository {
    fn new() -> Repository {
        let dir = harness::scratch_dir();
        let from = dir.path().join("from");
        let mut numbers = harness::sample::Numbers::from(17);
        for n in 0..CLONED {
            let room = from.join(format!("d{}/e{}", n / 300, n / 30));
            fs::create_dir_all(&room).expect("a directory");
            fs::write(room.join(format!("f{n}.txt")), numbers.prose(1500)).expect("a file");
        }
        let git = |words: &[&str]| {
            let named = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"];
            must(Command::new("git").current_dir(&from).args(named).args(words));
        };
        git(&["init", "-q", "."]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "all"]);
        must(Command::new("tar").current_dir(&from).args(["--exclude=.git", "-cf", "../all.tar", "."]));
        Repository { dir }
    }

    fn measure(&self, at: &Path) -> [f64; 4] {
        let clone = at.join("clone");
        let from = self.dir.path().join("from");
        let seconds = |command: &mut Command| {
            let start = Instant::now();
            must(command);
            start.elapsed().as_secs_f64()
        };
        let cloned =
            seconds(Command::new("git").args(["clone", "-q", "--no-hardlinks"]).arg(&from).arg(&clone));
        let status = || seconds(Command::new("git").current_dir(&clone).args(["status", "--short"]));
        let first = status();
        // At rest, as the reads above.
        std::thread::sleep(REST);
        let again = status();
        let unpacked = at.join("unpacked");
        fs::create_dir(&unpacked).expect("a directory");
        let archive = self.dir.path().join("all.tar");
        let tar = seconds(Command::new("tar").current_dir(&unpacked).arg("-xf").arg(&archive));
        [cloned, first, again, tar]
    }
}

fn rate(count: usize, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    count as f64 / start.elapsed().as_secs_f64()
}

// Else the reads would only show memory. It needs root; without, they do.
fn forget_pages() {
    let _ = Command::new("sync").status();
    let _ = fs::write("/proc/sys/vm/drop_caches", "1");
}

fn chorus() -> Peer {
    let mut node = Box::new(Person::new("bench"));
    node.up();
    let at = node.mount().to_owned();
    Peer { name: "chorus", at, rounds: Vec::new(), server: None, _keep: Keep::Node { _node: node } }
}

fn disk() -> Peer {
    let dir = harness::scratch_dir();
    let at = dir.path().to_owned();
    Peer { name: "disk", at, rounds: Vec::new(), server: None, _keep: Keep::Dir { _dir: dir } }
}

fn bindfs() -> Option<Peer> {
    served("bindfs", |from, to, _| {
        let mut command = Command::new("bindfs");
        command.arg("-f").arg(from).arg(to);
        Some(command)
    })
}

fn sshfs() -> Option<Peer> {
    served("sshfs", |from, to, dir| {
        if !Path::new(SFTP).exists() {
            eprintln!("skipped: sshfs (there is no {SFTP}: install openssh-sftp-server)");
            return None;
        }
        // In place of ssh: the server itself, so that no cipher is measured.
        let wrapper = dir.join("no-ssh");
        fs::write(&wrapper, format!("#!/bin/sh\nexec {SFTP}\n")).expect("a script");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut command = Command::new("sshfs");
        command.arg("-f").arg("-o").arg(format!("ssh_command={}", wrapper.display()));
        command.arg(format!("here:{}", from.display())).arg(to);
        Some(command)
    })
}

fn served(name: &'static str, command: impl FnOnce(&Path, &Path, &Path) -> Option<Command>) -> Option<Peer> {
    if !installed(name) {
        eprintln!("skipped: {name} is not installed");
        return None;
    }
    let dir = harness::scratch_dir();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).and_then(|()| fs::create_dir(&to)).expect("directories");
    let mut command = command(&from, &to, dir.path())?;
    let child = command.stdin(Stdio::null()).spawn().expect("the program starts");
    wait_until("it is mounted", || {
        must(Command::new("cat").arg("/proc/self/mounts")).contains(&to.display().to_string())
    });
    Some(Peer {
        name,
        at: to.clone(),
        rounds: Vec::new(),
        server: Some((child, to)),
        _keep: Keep::Dir { _dir: dir },
    })
}
