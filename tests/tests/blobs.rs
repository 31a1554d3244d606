//! Large files: as fast as the disk below, and each handle of one version.

use harness::{Pair, Person, must, wait_until};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Bytes of a file that is no text.
const SIZE: usize = 8 << 20;

// The first kernel whose FUSE serves files by itself.
fn kernel_can() -> bool {
    let release = must(Command::new("uname").arg("-r"));
    let mut numbers = release.split(['.', '-']).map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 9)
}

#[test]
fn a_file_that_is_whole_here_is_read_past_the_node() {
    let mut ann = Person::new("ann");
    ann.up();
    let bytes: Vec<u8> = (0..SIZE).map(|n| (n / 511) as u8).collect();
    fs::write(ann.path("film"), &bytes).unwrap();
    assert!(fs::read(ann.path("film")).unwrap() == bytes);
    // Right after it was written it may still be open to whoever wrote it.
    let read = (0..5).any(|_| read_while_stopped(&ann, &bytes));
    assert_eq!(read, kernel_can(), "it is read while the node is stopped, where the kernel can");
}

fn read_while_stopped(ann: &Person, bytes: &[u8]) -> bool {
    let mut film = File::open(ann.path("film")).unwrap();
    let pid = ann.pid().to_string();
    must(Command::new("kill").args(["-STOP", &pid]));
    let (done, read) = channel();
    std::thread::spawn(move || {
        // Not by asking how large it is.
        let mut all = vec![0; SIZE];
        done.send(film.read_exact(&mut all).map(|()| all)).unwrap();
    });
    let early = read.recv_timeout(Duration::from_secs(5)).ok();
    must(Command::new("kill").args(["-CONT", &pid]));
    let was_early = early.is_some();
    assert!(early.unwrap_or_else(|| read.recv().unwrap()).unwrap() == bytes);
    was_early
}

// Each version is one byte over and over. Who writes on the same machine may be seen at it, as on a disk.
const READ: &str = "import sys\n\
    seen = set()\n\
    for n in range(int(sys.argv[1])):\n\
    \x20   with open('film', 'rb') as film:\n\
    \x20       all = film.read()\n\
    \x20       assert sys.argv[2] != 'whole' or len(all) == all.count(all[:1]), ('mixed', n, sorted(set(all)))\n\
    \x20       seen.add(all[:1])\n\
    print(len(seen))";
const MAP: &str = "import mmap, sys\n\
    for n in range(int(sys.argv[1])):\n\
    \x20   with open('film', 'r+b') as film:\n\
    \x20       with mmap.mmap(film.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as map: map[len(map) // 2]\n\
    \x20   with open('film', 'rb') as film:\n\
    \x20       with mmap.mmap(film.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as map: map[len(map) // 2]";
const WRITE: &str = "import sys, time\n\
    for n in range(int(sys.argv[1])):\n\
    \x20   open('film', 'wb').write(bytes([int(sys.argv[2]) + n]) * (1 << 20)); time.sleep(0.05)";

#[test]
fn readers_writers_and_maps_of_one_file_get_along() {
    let pair = Pair::new();
    fs::write(pair.mine("film"), vec![255; 1 << 20]).unwrap();
    wait_until("bob has it", || fs::read(pair.theirs("film")).is_ok_and(|all| all.len() == 1 << 20));
    let (mine, theirs) = (pair.room(), pair.bob.path("garden"));
    let run = |room: &Path, body, args: &[&str]| {
        let mut python = Command::new("python3");
        python
            .args(["-c", body])
            .args(args)
            .current_dir(room)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // First only Bob writes, then both.
    for (reading, writers) in [("whole", &[(&theirs, "0")][..]), ("any", &[(&mine, "50"), (&theirs, "100")])]
    {
        let mut all = vec![
            run(&mine, READ, &["300", reading]),
            run(&mine, READ, &["300", reading]),
            run(&theirs, READ, &["300", "any"]),
        ];
        if reading == "whole" {
            all.push(run(&mine, MAP, &["150"]));
        }
        all.extend(writers.iter().map(|(room, first)| run(room, WRITE, &["20", first])));
        for program in all {
            let done = program.wait_with_output().unwrap();
            assert!(done.status.success(), "{reading}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
    wait_until("both have the same", || {
        fs::read(pair.mine("film")).unwrap() == fs::read(pair.theirs("film")).unwrap()
    });
}
