//! The mount is as good as a disk: what POSIX promises a program, and what of it is this device's alone.
//!
//! The long form, with tools that others wrote and many operations, is `make posix` (`tests/posix.sh`).

use harness::{Person, befriend, must, shell, text, wait_until};
use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timestamps};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn alone() -> Person {
    let mut ann = Person::new("ann");
    ann.up();
    ann
}

fn tool(name: &str) -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    assert!(tools.is_file(), "no {name}; install it first: .ci/prepare test");
    tools
}

fn look(path: &Path) -> Metadata {
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn mode(path: &Path) -> u32 {
    look(path).mode() & 0o7777
}

#[test]
fn every_case_of_pjdfstest_that_applies_passes() {
    let mut ann = Person::new("ann");
    ann.up_with(&["--allow-other"]);
    let (cases, other) = (ann.path("cases"), ann.dir().join("other"));
    for dir in [&cases, &other] {
        fs::create_dir(dir).unwrap();
    }
    for dir in [ann.dir(), ann.mount(), &cases, &other] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Two ordinary users that every Debian has.
    let config = "[features]\nposix_fallocate = {}\nrename_ctime = {}\nutime_now = {}\nutimensat = {}\n\
                  [settings]\nnaptime = 0.01\nallow_remount = false\n\
                  [dummy_auth]\nentries = [[\"daemon\", \"daemon\"], [\"games\", \"games\"]]\n";
    let file = ann.dir().join("pjdfstest.toml");
    fs::write(&file, config).unwrap();
    let mut run = Command::new(tool("pjdfstest"));
    let run = run.arg("-c").arg(&file).arg("-p").arg(&cases).arg("-s").arg(&other).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(run.status.success() && failed.is_empty(), "{failed:#?}\n{said}");
    // Those that remount (the long form has them), and one that asks for the greatest number of links: there is none.
    let left_out = |line: &&str| line.contains("skipped") && line.contains("::");
    let left_out: Vec<&str> = said.lines().filter(left_out).map(|line| line.trim()).collect();
    let known = |line: &&str| line.contains("::erofs_") || line.starts_with("link::link_count_max");
    assert!(left_out.iter().all(known) && left_out.len() == 14, "{left_out:#?}");
    assert!(said.contains(" 384 passed"), "{said}");
}

#[test]
fn what_does_not_travel_stays_on_this_device_through_a_crash() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let room = ann.path("garden");
    shell(
        &room,
        "echo x > tool; chmod 6755 tool; mkdir drop; chmod 1770 drop; echo y > theirs; chown 1:2 theirs; \
         ln -s tool way; chown -h 3:4 way; mkfifo -m 640 pipe; mknod disk b 7 200; mknod tty c 4 1; \
         touch -a -d '2001-02-03 04:05:06.789' tool",
    );
    let socket = std::os::unix::net::UnixListener::bind(room.join("socket")).unwrap();
    let name = "trusted.colour";
    rustix::fs::setxattr(room.join("tool"), name, b"green", rustix::fs::XattrFlags::CREATE).unwrap();
    let seen = |person: &Person| {
        let of = |name: &str| {
            let found = look(&person.path("garden").join(name));
            let time = (found.mtime(), found.mtime_nsec());
            (found.mode(), found.uid(), found.gid(), found.rdev(), found.nlink(), time)
        };
        let names = ["tool", "drop", "theirs", "way", "pipe", "disk", "tty", "socket"];
        names.map(of).to_vec()
    };
    // A pipe is one, wherever it goes.
    shell(&room, "mv pipe drop/moved; ln drop/moved linked; mv drop/moved pipe; rm linked");
    assert_eq!(shell(&room, "echo through > pipe & cat pipe"), "through\n");
    let before = seen(&ann);
    assert_eq!((before[0].0 & 0o7777, before[1].0 & 0o7777), (0o6755, 0o1770));
    assert_eq!((before[2].1, before[2].2, before[3].1, before[3].2), (1, 2, 3, 4));
    assert!(
        look(&room.join("pipe")).file_type().is_fifo() && look(&room.join("socket")).file_type().is_socket()
    );
    assert_eq!(before[5].3, rustix::fs::makedev(7, 200));
    wait_until("bob has the files", || {
        text(&bob.path("garden/theirs")) == "y\n" && bob.path("garden/drop").is_dir()
    });
    wait_until("bob has the link", || fs::read_link(bob.path("garden/way")).is_ok());
    let at_bob = |name: &str| look(&bob.path("garden").join(name));
    assert_eq!((mode(&bob.path("garden/tool")), mode(&bob.path("garden/drop"))), (0o755, 0o770));
    assert_eq!((at_bob("theirs").uid(), at_bob("theirs").gid(), at_bob("way").uid()), (0, 0, 0));
    let names = harness::compare::names(&bob.path("garden"));
    assert_eq!(names, ["drop/", "theirs", "tool", "way"]);
    assert_eq!(attribute(&bob.path("garden/tool"), name), Err(Errno::NODATA));

    File::open(room.join("tool")).unwrap().sync_all().unwrap();
    drop(socket);
    ann.kill();
    ann.up();
    wait_until("the room is there", || ann.path("garden/tool").exists());
    assert_eq!(seen(&ann), before);
    assert_eq!(attribute(&ann.path("garden/tool"), name).as_deref(), Ok(&b"green"[..]));
    assert_eq!(look(&ann.path("garden/tool")).atime(), 981_173_106);
    // Set-id bits have no effect, and go with the next write by somebody who may not keep them.
    let options = shell(Path::new("/"), &format!("findmnt -no OPTIONS '{}'", ann.mount().display()));
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    let device = File::open(ann.path("garden/disk")).map_err(|e| e.raw_os_error());
    assert_eq!(device.err().flatten(), Some(Errno::ACCESS.raw_os_error()));
}

fn attribute(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 256];
    let n = rustix::fs::lgetxattr(path, name, &mut value[..])?;
    value.truncate(n);
    Ok(value)
}

#[test]
fn names_change_places_and_a_friend_sees_it() {
    let (mut ann, mut bob) = (Person::new("ann"), Person::new("bob"));
    ann.up();
    bob.up();
    befriend(&ann, &bob, Some("garden"));
    let room = ann.path("garden");
    shell(&room, "mkdir d e; echo in > d/in; echo one > f; echo two > e/g");
    wait_until("bob has them", || text(&bob.path("garden/e/g")) == "two\n");
    let swap = |a: &str, b: &str| {
        rustix::fs::renameat_with(CWD, room.join(a), CWD, room.join(b), RenameFlags::EXCHANGE)
    };
    let numbers = (look(&room.join("f")).ino(), look(&room.join("e/g")).ino());
    swap("f", "e/g").unwrap();
    assert_eq!((look(&room.join("e/g")).ino(), look(&room.join("f")).ino()), numbers);
    assert_eq!((text(&room.join("f")), text(&room.join("e/g"))), ("two\n".into(), "one\n".into()));
    // Of different kinds.
    swap("f", "d").unwrap();
    assert_eq!((text(&room.join("d")), text(&room.join("f/in"))), ("two\n".into(), "in\n".into()));
    assert_eq!(swap("f", "none"), Err(Errno::NOENT));
    assert_eq!(swap("e", "e/g"), Err(Errno::INVAL));
    wait_until("bob sees the same", || {
        let there = |name: &str| text(&bob.path("garden").join(name));
        there("d") == "two\n" && there("e/g") == "one\n" && there("f/in") == "in\n"
    });
    let no = rustix::fs::renameat_with(CWD, room.join("d"), CWD, room.join("e/g"), RenameFlags::NOREPLACE);
    assert_eq!(no, Err(Errno::EXIST));
}

#[test]
fn what_is_removed_while_open_is_still_what_it_was() {
    let ann = alone();
    let (file, room) = (ann.path("f"), ann.path("r"));
    fs::write(&file, "words\n").unwrap();
    fs::create_dir(&room).unwrap();
    // Once as something new, once as something that was long there.
    for round in 0..2 {
        let open = File::options().read(true).write(true).open(&file).unwrap();
        let other = File::options().read(true).open(&file).unwrap();
        let path_only = rustix::fs::open(&file, OFlags::PATH, Mode::empty()).unwrap();
        fs::remove_file(&file).unwrap();
        open.write_all_at(b"WORDS and more", 0).unwrap();
        open.sync_all().unwrap();
        let mut read = String::new();
        (&other).read_to_string(&mut read).unwrap();
        assert_eq!(read, "WORDS and more");
        let found = other.metadata().unwrap();
        assert_eq!((found.nlink(), found.len()), (0, 14), "round {round}");
        rustix::fs::fchmod(&open, Mode::from_raw_mode(0o4711)).unwrap();
        rustix::fs::fchown(&open, Some(rustix::fs::Uid::from_raw(5)), None).unwrap();
        let found = rustix::fs::fstat(&path_only).unwrap();
        assert_eq!((found.st_mode & 0o777, found.st_uid, found.st_nlink), (0o711, 5, 0));
        // What comes in its place is another.
        fs::write(&file, "new\n").unwrap();
        assert_eq!((text(&file).as_str(), look(&file).uid(), mode(&file)), ("new\n", 0, 0o644));
        drop((open, other));
        assert_eq!(text(&file), "new\n");

        let inside = File::open(&room).unwrap();
        fs::remove_dir(&room).unwrap();
        assert_eq!(inside.metadata().unwrap().nlink(), 0);
        let make =
            rustix::fs::openat(&inside, "x", OFlags::CREATE | OFlags::WRONLY, Mode::from_raw_mode(0o644));
        assert_eq!(make.err(), Some(Errno::NOENT));
        fs::create_dir(&room).unwrap();
        assert!(harness::compare::names(&room).is_empty());
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
}

#[test]
fn times_move_as_posix_says() {
    let ann = alone();
    let at = |name: &str| ann.path(name);
    shell(ann.mount(), "mkdir r; echo x > r/f; sleep 0.05");
    let times = |name: &str| {
        let found = look(&at(name));
        let whole = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        (
            whole(found.atime(), found.atime_nsec()),
            whole(found.mtime(), found.mtime_nsec()),
            whole(found.ctime(), found.ctime_nsec()),
        )
    };
    let moves = |name: &str, act: &dyn Fn()| {
        let before = times(name);
        std::thread::sleep(std::time::Duration::from_millis(20));
        act();
        let after = times(name);
        (after.0 != before.0, after.1 != before.1, after.2 > before.2)
    };
    let run = |line: &'static str| move |dir: &Path| drop(shell(dir, line));
    let sh = |line: &'static str| {
        let mount = ann.mount().to_owned();
        move || run(line)(&mount)
    };
    assert_eq!(moves("r/f", &sh("chmod 600 r/f")), (false, false, true));
    assert_eq!(moves("r/f", &sh("chmod 600 r/f")), (false, false, true));
    assert_eq!(moves("r/f", &sh("chown 7 r/f")), (false, false, true));
    assert_eq!(moves("r/f", &sh("ln r/f g")), (false, false, true));
    assert_eq!(look(&at("g")).nlink(), 2);
    assert_eq!(moves("r/f", &sh("rm g")), (false, false, true));
    assert_eq!(look(&at("r/f")).nlink(), 1);
    assert_eq!(moves("r/f", &sh("echo y >> r/f")), (false, true, true));
    assert_eq!(moves("r/f", &sh("stat r/f; ls -l r; echo y | cat > /dev/null")), (false, false, false));
    assert_eq!(moves("r/f", &sh("cat r/f")), (true, false, false));
    // As with relatime: only the first reading after a change.
    assert_eq!(moves("r/f", &sh("cat r/f")), (false, false, false));
    assert_eq!(moves("r", &sh("touch r/new")), (false, true, true));
    assert_eq!(moves("", &sh("mkdir s")), (false, true, true));
    assert_eq!(look(&at("")).nlink(), 4);
    // Nothing of the time of change is taken back by what is done later on its own.
    let before = times("r/f");
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(times("r/f"), before);

    let set = |atime: (i64, i64), mtime: (i64, i64)| {
        let spec = |(tv_sec, tv_nsec): (i64, i64)| rustix::fs::Timespec { tv_sec, tv_nsec: tv_nsec as _ };
        let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
        rustix::fs::utimensat(CWD, at("r/f"), &times, AtFlags::empty()).unwrap();
    };
    const OMIT: (i64, i64) = (0, rustix::fs::UTIME_OMIT);
    const NOW: (i64, i64) = (0, rustix::fs::UTIME_NOW);
    set((1, 2), (3, 4));
    assert_eq!((times("r/f").0, times("r/f").1), (1_000_000_002, 3_000_000_004));
    set(OMIT, (-5, 6));
    assert_eq!((times("r/f").0, times("r/f").1), (1_000_000_002, -4_999_999_994));
    set((1 << 32, 7), OMIT);
    assert_eq!((times("r/f").0, times("r/f").1), ((1 << 32) * 1_000_000_000 + 7, -4_999_999_994));
    set(NOW, NOW);
    assert!(times("r/f").1 > before.1);
}

// Of what a room holds all the while, each name comes once, whatever comes and goes beside it.
#[test]
fn a_listing_is_whole_while_names_come_and_go() {
    let ann = alone();
    shell(ann.mount(), "mkdir r; cd r; for n in $(seq 1500); do : > stay$n; : > go$n; done");
    let room = ann.path("r");
    let dir = rustix::fs::open(&room, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut cookies = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); 2048];
    let mut round = 0;
    loop {
        let mut entries = rustix::fs::RawDir::new(&dir, &mut buffer);
        let mut any = false;
        while let Some(entry) = entries.next() {
            let entry = entry.unwrap();
            any = true;
            let name = entry.file_name().to_string_lossy().into_owned();
            cookies.push((name.clone(), entry.next_entry_cookie()));
            *seen.entry(name).or_default() += 1;
            if entries.is_buffer_empty() {
                break;
            }
        }
        if !any {
            break;
        }
        round += 1;
        if round <= 400 {
            let _ = fs::remove_file(room.join(format!("go{round}")));
            fs::write(room.join(format!("new{round}")), "").unwrap();
            fs::rename(room.join(format!("new{round}")), room.join(format!("newer{round}"))).unwrap();
        }
    }
    assert!(round > 20, "the names came in {round} portions");
    for n in 1..=1500 {
        assert_eq!(seen.get(&format!("stay{n}")), Some(&1), "stay{n}");
    }
    assert!(seen.values().all(|n| *n == 1));
    // Going back to where a name was read goes on with the one after it.
    for at in [cookies.len() / 3, 0, cookies.len() - 2, cookies.len() / 2] {
        rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(cookies[at].1)).unwrap();
        let mut entries = rustix::fs::RawDir::new(&dir, &mut buffer);
        let next = entries.next().unwrap().unwrap().file_name().to_string_lossy().into_owned();
        assert_eq!(next, cookies[at + 1].0);
    }
    // From the beginning, it is what it is now.
    rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(0)).unwrap();
    assert_eq!(harness::compare::names(&room).len(), fs::read_dir(&room).unwrap().count());
}

// What a program did to a file and to bytes in memory alike, in any order, must be the same.
#[test]
fn a_file_behaves_as_bytes_do() {
    let ann = alone();
    for (seed, largest) in [(1, 100_000), (2, 4 << 20)] {
        let path = ann.path(&format!("f{seed}"));
        let mut bytes: Vec<u8> = Vec::new();
        let mut state = seed;
        let mut next = move |below: u64| {
            // A linear congruence: the same steps at every run.
            state =
                u64::wrapping_mul(state, 6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below.max(1)
        };
        let open = |flags: OFlags| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.custom_flags(flags.bits() as i32).open(&path).unwrap()
        };
        let mut file = open(OFlags::empty());
        for step in 0..1500 {
            let (at, len) = (next(largest), next(largest / 16) + 1);
            match next(11) {
                0..=2 => {
                    let new = vec![(step % 255) as u8 + 1; len as usize];
                    put(&mut bytes, at as usize, &new);
                    file.write_all_at(&new, at).unwrap();
                }
                3 | 4 => {
                    let mut read = vec![0; len as usize];
                    let n = file.read_at(&mut read, at).unwrap();
                    let from = bytes.len().min(at as usize);
                    assert_eq!(&read[..n], &bytes[from..bytes.len().min(from + len as usize)], "step {step}");
                }
                5 => {
                    file.set_len(at).unwrap();
                    bytes.resize(at as usize, 0);
                }
                6 => {
                    rustix::fs::fallocate(&file, FallocateFlags::empty(), at, len).unwrap();
                    bytes.resize(bytes.len().max((at + len) as usize), 0);
                }
                7 => {
                    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                    rustix::fs::fallocate(&file, hole, at, len).unwrap();
                    let end = bytes.len().min((at + len) as usize);
                    bytes[end.min(at as usize)..end].fill(0);
                }
                8 => {
                    let (mut from, mut to) = (at, at + len + next(largest / 4));
                    let source = bytes
                        .get(at as usize..bytes.len().min((at + len) as usize))
                        .unwrap_or_default()
                        .to_vec();
                    let mut left = source.len();
                    while left > 0 {
                        left -=
                            rustix::fs::copy_file_range(&file, Some(&mut from), &file, Some(&mut to), left)
                                .unwrap();
                    }
                    if !source.is_empty() {
                        put(&mut bytes, to as usize - source.len(), &source);
                    }
                }
                9 => {
                    // Another handle appends, then this one is opened anew.
                    let mut end = open(OFlags::APPEND);
                    end.seek(SeekFrom::Start(0)).unwrap();
                    end.write_all(b"appended").unwrap();
                    bytes.extend_from_slice(b"appended");
                    file = open(OFlags::empty());
                }
                _ => {
                    let keep = FallocateFlags::KEEP_SIZE;
                    rustix::fs::fallocate(&file, keep, at, len).unwrap();
                    assert_eq!(file.metadata().unwrap().len(), bytes.len() as u64, "step {step}");
                }
            }
        }
        drop(file);
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    bytes.resize(bytes.len().max(at + new.len()), 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

#[test]
fn holes_stay_holes_and_mapped_pages_are_where_they_are() {
    let ann = alone();
    let file = File::options().read(true).write(true).create_new(true).open(ann.path("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"data", 32 << 20).unwrap();
    let seek = |to| rustix::fs::seek(&file, to);
    let data = seek(rustix::fs::SeekFrom::Data(0)).unwrap();
    assert!(data > 16 << 20 && data <= 32 << 20, "{data}");
    assert!(seek(rustix::fs::SeekFrom::Hole(32 << 20)).unwrap() < 48 << 20);
    assert_eq!(seek(rustix::fs::SeekFrom::Data(48 << 20)), Err(Errno::NXIO));
    assert_eq!(seek(rustix::fs::SeekFrom::Hole(64 << 20)), Err(Errno::NXIO));
    let huge = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 1 << 60);
    assert_eq!(huge, Err(Errno::NOSPC));
    let shift = rustix::fs::fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 4096);
    assert_eq!(shift, Err(Errno::OPNOTSUPP));
    drop(file);
    // A mapping of a handle that appends writes its pages back where they belong.
    let script = "import mmap, os\n\
        open('m', 'wb').write(b'0' * 10000)\n\
        f = os.open('m', os.O_RDWR | os.O_APPEND)\n\
        m = mmap.mmap(f, 10000)\n\
        m[5000:5003] = b'abc'\n\
        m.flush()\n\
        os.write(f, b'end')\n\
        m[0:1] = b'x'\n\
        m.close(); os.close(f)\n\
        assert open('m', 'rb').read() == b'x' + b'0' * 4999 + b'abc' + b'0' * 4997 + b'end'\n";
    must(Command::new("python3").arg("-c").arg(script).current_dir(ann.mount()));
}

#[test]
fn locks_and_refusals_are_those_of_a_disk() {
    let ann = alone();
    let at = |name: &str| ann.path(name);
    shell(ann.mount(), "echo x > f; mkdir d; ln -s loop loop; cp /bin/sleep prog");
    // Locks hold between processes.
    let line = "exec 9< f; flock 9; flock -n f true && exit 1; flock -u 9; flock -n f true";
    shell(ann.mount(), line);
    let open =
        |name: &str, flags: OFlags| rustix::fs::open(at(name), flags, Mode::from_raw_mode(0o600)).map(drop);
    assert_eq!(open("f", OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY), Err(Errno::EXIST));
    assert_eq!(open("d", OFlags::WRONLY), Err(Errno::ISDIR));
    assert_eq!(open("f/x", OFlags::RDONLY), Err(Errno::NOTDIR));
    assert_eq!(open("loop", OFlags::RDONLY), Err(Errno::LOOP));
    assert_eq!(open("f", OFlags::DIRECTORY), Err(Errno::NOTDIR));
    assert_eq!(open(&"n".repeat(256), OFlags::CREATE | OFlags::WRONLY), Err(Errno::NAMETOOLONG));
    assert_eq!(open(&"n/".repeat(3000), OFlags::RDONLY), Err(Errno::NAMETOOLONG));
    let mut running = Command::new(at("prog")).arg("30").stdin(Stdio::null()).spawn().unwrap();
    wait_until("the program runs", || open("prog", OFlags::WRONLY) == Err(Errno::TXTBSY));
    running.kill().unwrap();
    running.wait().unwrap();
    // Attributes: what fits, what exists, what there is.
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(at("f"), "user.a", &[b'v'; 60_000], flags).unwrap();
    let create = rustix::fs::setxattr(at("f"), "user.a", b"", rustix::fs::XattrFlags::CREATE);
    assert_eq!(create, Err(Errno::EXIST));
    let replace = rustix::fs::setxattr(at("f"), "user.b", b"", rustix::fs::XattrFlags::REPLACE);
    assert_eq!(replace, Err(Errno::NODATA));
    assert_eq!(rustix::fs::getxattr(at("f"), "user.a", &mut [0u8; 10]), Err(Errno::RANGE));
    rustix::fs::setxattr(at("f"), "user.c", &[b'v'; 60_000], flags).unwrap();
    let full = rustix::fs::setxattr(at("f"), "user.d", &[b'v'; 60_000], flags);
    assert_eq!(full, Err(Errno::NOSPC));
    rustix::fs::setxattr(at("f"), "trusted.e", b"1", flags).unwrap();
    let mut list = vec![0; 4096];
    let n = rustix::fs::listxattr(at("f"), &mut list[..]).unwrap();
    assert_eq!(&list[..n], b"user.a\0user.c\0trusted.e\0");
    rustix::fs::removexattr(at("f"), "trusted.e").unwrap();
    assert_eq!(rustix::fs::removexattr(at("f"), "trusted.e"), Err(Errno::NODATA));
    let disk = rustix::fs::statvfs(ann.mount()).unwrap();
    assert!(disk.f_blocks > 0 && disk.f_bavail <= disk.f_blocks && disk.f_namemax == 255);
    let pipe = rustix::fs::mknodat(CWD, at("f"), FileType::Fifo, Mode::from_raw_mode(0o600), 0);
    assert_eq!(pipe, Err(Errno::EXIST));
}

#[test]
fn what_is_made_in_a_room_with_the_group_bit_is_the_groups() {
    let ann = alone();
    shell(
        ann.mount(),
        "mkdir team; chgrp 5 team; chmod 2775 team; mkdir team/in; echo x > team/f; mkfifo team/p; ln -s f team/l",
    );
    for (name, bits) in [("team/in", 0o2755), ("team/f", 0o644), ("team/p", 0o644), ("team/l", 0o777)] {
        let found = look(&ann.path(name));
        assert_eq!((found.gid(), found.mode() & 0o7777), (5, bits), "{name}");
    }
    // A file that replaces another brings its own owner and bits along.
    shell(ann.mount(), "echo y > f; chown 3:4 f; chmod 4750 f; echo z > new; mv new f");
    assert_eq!((look(&ann.path("f")).uid(), mode(&ann.path("f"))), (0, 0o644));
}

#[test]
fn a_program_that_runs_is_not_emptied() {
    let ann = alone();
    let program = ann.path("program");
    for _ in 0..20 {
        fs::copy("/usr/bin/sleep", &program).unwrap();
        let mut running = Command::new(&program).arg("100").spawn().unwrap();
        for how in [OFlags::WRONLY, OFlags::RDONLY | OFlags::TRUNC] {
            let refused = rustix::fs::open(&program, how, Mode::empty()).unwrap_err();
            assert_eq!(refused, Errno::TXTBSY);
        }
        assert_eq!(running.try_wait().unwrap(), None, "it runs on");
        running.kill().unwrap();
        running.wait().unwrap();
        assert_eq!(fs::read(&program).unwrap(), fs::read("/usr/bin/sleep").unwrap());
        fs::remove_file(&program).unwrap();
    }
}

#[test]
fn a_database_on_the_mount_survives_kill_9() {
    let mut ann = alone();
    for journal in ["delete", "wal"] {
        let file = ann.path(&format!("{journal}.db"));
        let file = file.to_str().unwrap().to_owned();
        let sql = |line: &str| must(Command::new("sqlite3").args([&file, line]));
        sql(&format!("pragma journal_mode={journal}; create table t(n integer primary key, s text)"));
        // With less, a rollback journal that was removed may return with a power cut, on any disk. SQLite takes a
        // directory that it cannot open for one that need not be synced; so the mount must be there afterwards.
        let told = ann.dir().join(journal);
        let insert = "for n in $(seq 500); do sqlite3 -cmd '.timeout 2000' -cmd 'pragma synchronous=extra' \"$0\" \
                      'insert into t(s) values(hex(randomblob(200)))' && head -c 1 \"$0\" && echo $n >> \"$1\"; done";
        let mut shell = Command::new("bash");
        let quiet = shell.args(["-c", insert, &file]).arg(&told).stdout(Stdio::null()).stderr(Stdio::null());
        let mut writer = quiet.spawn().unwrap();
        wait_until("some is written", || text(&told).lines().count() > 30);
        ann.kill();
        let _ = writer.kill();
        writer.wait().unwrap();
        let told = text(&told).lines().count();
        ann.up();
        assert_eq!(sql("pragma integrity_check"), "ok\n", "{journal}");
        let kept: usize = sql("select count(*) from t").trim().parse().unwrap();
        assert!(kept >= told, "{journal}: {told} were told, {kept} kept");
    }
}
