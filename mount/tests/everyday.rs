//! What people and their programs do every day, on a real mount.

mod house;

use house::House;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

#[test]
fn the_tools_of_a_shell_work() {
    let house = House::new();
    house.sh("mkdir -p a/b && echo one > a/b/f && cat a/b/f && cp -r a c && mv c/b c/d && diff -r a/b c/d");
    house.sh(
        "ln a/b/f hard && ln -s a/b/f soft && [ \"$(cat soft)\" = one ] && [ \"$(stat -c %h hard)\" = 2 ]",
    );
    house.sh(": > found; find . -type f | sort > found; grep -r one . > grepped; [ $(wc -l < found) = 4 ] || { cat found; false; }");
    house.sh("chmod 640 hard && [ $(stat -c %a a/b/f) = 640 ] && touch -d '2001-02-03 04:05:06' hard && [ $(stat -c %Y a/b/f) = $(date -d '2001-02-03 04:05:06' +%s) ]");
    house.sh("tar cf - a | (mkdir t && cd t && tar xf -) && diff -r a t/a");
    house.sh("rm hard && cat a/b/f && ! rmdir a 2>/dev/null && rm -r a t c && ls -la && df . > /dev/null");
    house.sh("touch 'a name with spaces' 'naïve 日本' && ls | grep -q naïve && rm -- *");
    assert_eq!(house.sh("ls -A"), "");
}

#[test]
fn a_copied_tree_is_the_same() {
    let house = House::new();
    let script = r#"
        src=../src; mkdir $src && cd $src
        for i in $(seq 1 200); do mkdir -p d$((i % 7))/e; echo "file $i" > d$((i % 7))/e/f$i; done
        : > empty; head -c 3000000 /dev/urandom > big; head -c 70000 /dev/urandom > middle; printf 'a\0b' > nul
        ln -s d1/e/f1 link; ln -s ../elsewhere out; ln d0/e/f7 hard; chmod 755 d0/e/f7; chmod 600 empty
        touch -d '2020-01-01' big d2/e/f2 d1; touch -h -d '2019-01-01' link; echo x > 'ünï cödé ☂'
        cd - > /dev/null; cp -a $src copy
        diff -r --no-dereference $src copy
        list() { (cd $1 && find . ! -type d -printf '%p %m %s %T@ %l %y\n' | sort); }
        list $src > ../a; list copy > ../b; diff ../a ../b
        (cd $src && find . -type d -printf '%p %m\n' | sort) > ../a; (cd copy && find . -type d -printf '%p %m\n' | sort) > ../b
        diff ../a ../b
    "#;
    house.sh(script);
    let house = house.restart();
    house.sh("diff -r --no-dereference ../src copy; cd copy; find . ! -type d -printf '%p %m %s %T@ %l %y\n' | sort > ../../b; cd ../../src; find . ! -type d -printf '%p %m %s %T@ %l %y\n' | sort > ../a; diff ../a ../b");
}

#[test]
fn git_works_in_it() {
    let house = House::new();
    house.sh(
        "git init -q r && cd r && git config user.email a@b && git config user.name n && echo one > f && git add f \
         && git commit -qm one && echo two >> f && git commit -qam two && git checkout -q HEAD~1 && [ $(cat f) = one ] \
         && git checkout -q - && git status --porcelain | wc -l | grep -qx 0 && git gc -q && git fsck --strict \
         && git clone -q . ../c && diff -r --exclude=.git . ../c && git mv f g && git commit -qm mv && git log --oneline | wc -l",
    );
}

#[test]
fn large_files_are_written_read_and_changed_in_place() {
    let house = House::new();
    let path = house.at("big");
    let block: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2654435761) >> 24) as u8).collect();
    let mut file = std::fs::File::create(&path).unwrap();
    for _ in 0..8 {
        file.write_all(&block).unwrap();
    }
    drop(file);
    assert_eq!(path.metadata().unwrap().len(), 8 << 20);
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    file.write_all_at(b"changed", 5 << 20).unwrap();
    file.sync_all().unwrap();
    file.write_all_at(b"again", (5 << 20) + 100).unwrap();
    drop(file);
    let mut all = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut all).unwrap();
    let mut expected = block.repeat(8);
    expected[5 << 20..(5 << 20) + 7].copy_from_slice(b"changed");
    expected[(5 << 20) + 100..(5 << 20) + 105].copy_from_slice(b"again");
    assert!(all == expected);
    // Cached by now, and the second reading is the same.
    assert!(std::fs::read(&path).unwrap() == expected);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(3 << 20).unwrap();
    assert!(std::fs::read(&path).unwrap() == expected[..3 << 20]);
    let house = house.restart();
    assert!(std::fs::read(house.at("big")).unwrap() == expected[..3 << 20]);
}

#[test]
fn what_is_removed_while_open_stays_usable_and_does_not_return() {
    let house = House::new();
    house.write("f", "words");
    let mut file = std::fs::File::options().read(true).write(true).open(house.at("f")).unwrap();
    std::fs::remove_file(house.at("f")).unwrap();
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b" more").unwrap();
    file.sync_all().unwrap();
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "words more");
    drop(file);
    assert_eq!(house.sh("ls -A"), "");
    // Never saved at all.
    let mut file = std::fs::File::create(house.at("g")).unwrap();
    file.write_all(b"x").unwrap();
    std::fs::remove_file(house.at("g")).unwrap();
    drop(file);
    assert_eq!(house.restart().sh("ls -A"), "");
}

#[test]
fn mapped_files_and_programs_run_from_it() {
    let house = House::new();
    house.sh(
        "cp /bin/true prog && ./prog && printf '#!/bin/sh\necho ran' > s && chmod +x s && [ $(./s) = ran ]",
    );
    let python = "import mmap\nf=open('m','wb'); f.write(b'0'*10000); f.close()\nf=open('m','r+b'); m=mmap.mmap(f.fileno(),0); m[5000:5003]=b'abc'; m.flush(); m.close(); f.close()\nassert open('m','rb').read()==b'0'*5000+b'abc'+b'0'*4997";
    std::fs::write(house.scratch().join("m.py"), python).unwrap();
    house.sh("python3 ../m.py");
}

#[test]
fn what_cannot_be_is_refused_as_posix_says() {
    let house = House::new();
    let refused = |script: &str, says: &str| {
        let (ok, text) = house.try_sh(script);
        assert!(!ok && text.contains(says), "{script}: {text}");
    };
    house.sh("mkdir d e; echo x > f; mkdir d/in");
    refused("mkdir .chorus", "File exists");
    refused("mkdir .room", "Permission denied");
    refused("mkdir d/.chorus", "Permission denied");
    refused("mv f .room", "Permission denied");
    refused("rm -f .chorus/status", "Permission denied");
    refused("rmdir .chorus", "Permission denied");
    refused("echo x > .chorus/status", "Permission denied");
    refused("touch $(printf 'a\\033b')", "Invalid argument");
    refused("touch $(head -c 256 /dev/zero | tr '\\0' a)", "File name too long");
    refused("rmdir d", "Directory not empty");
    refused("rmdir f", "Not a directory");
    refused("unlink d", "Is a directory");
    refused("mv -T d f", "with directory");
    refused("mv d d/in", "subdirectory of itself");
    refused("ln d g", "not allowed");
    refused("cat none", "No such file");
    assert!(house.sh("cat .chorus/status").len() > 10);
    assert_eq!(house.sh("ls -A"), "d\ne\nf\n");
    let here = rustix::fs::CWD;
    let exchange = |a: &str, b: &str| {
        let two = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(here, house.at(a), here, house.at(b), two)
    };
    assert_eq!(exchange("d", "none"), Err(rustix::io::Errno::NOENT));
    assert_eq!(exchange("d", "d/in"), Err(rustix::io::Errno::INVAL));
    let no = rustix::fs::RenameFlags::NOREPLACE;
    let onto = rustix::fs::renameat_with(here, house.at("f"), here, house.at("e"), no);
    assert_eq!(onto, Err(rustix::io::Errno::EXIST));
}

#[test]
fn many_at_once_neither_block_nor_lose() {
    let house = House::new();
    house.sh("mkdir a b; for i in $(seq 20); do echo x > a/s$i; done; ls -l a b > /dev/null");
    let (a, b) = (house.oid("a"), house.oid("b"));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let house = &house;
            scope.spawn(move || {
                house.sh(&format!(
                    "for i in $(seq 60); do echo {n}.$i > a/t{n}; mv a/t{n} b/f{n}.$i; ls b > /dev/null; \
                     ln b/f{n}.$i a/l{n}.$i; rm b/f{n}.$i; sed -i s/$/!/ a/l{n}.$i; done"
                ))
            });
        }
        // Beside the mount, so that the kernel is told of names in the same rooms all the while.
        for round in 0..20 {
            for n in 1..=20 {
                let (from, to) = if round % 2 == 0 { (a, b) } else { (b, a) };
                let name = format!("s{n}");
                house.node.rename(from, &name, to, &name, false).unwrap();
            }
            house.sh("ls -l a b > /dev/null; cat a/s* b/s* > /dev/null 2>&1 || true");
        }
    });
    assert_eq!(
        house.sh("ls a | grep -v '^[ls][0-9.]*$'; ls a | wc -l; ls b | wc -l; cat a/l* | sort -u | wc -l; cat a/l2.60"),
        "260\n0\n240\n2.60!\n"
    );
}

#[test]
fn attributes_are_kept() {
    let house = House::new();
    house.write("f", "x");
    let (path, name) = (house.at("f"), "user.colour");
    rustix::fs::setxattr(&path, name, b"green", rustix::fs::XattrFlags::CREATE).unwrap();
    assert_eq!(house.xattr("f", name).as_deref(), Some("green"));
    let again = rustix::fs::setxattr(&path, name, b"red", rustix::fs::XattrFlags::CREATE);
    assert_eq!(again, Err(rustix::io::Errno::EXIST));
    let own = rustix::fs::setxattr(&path, "user.chorus.id", b"red", rustix::fs::XattrFlags::empty());
    assert_eq!(own, Err(rustix::io::Errno::INVAL));
    let other = rustix::fs::setxattr(&path, "system.colour", b"red", rustix::fs::XattrFlags::empty());
    assert_eq!(other, Err(rustix::io::Errno::OPNOTSUPP));
    assert_eq!(house.xattr("f", "user.chorus.type").as_deref(), Some("text"));
    assert!(house.xattr("f", "user.chorus.space").is_some());
    let house = house.restart();
    assert_eq!(house.xattr("f", name).as_deref(), Some("green"));
    rustix::fs::removexattr(house.at("f"), name).unwrap();
    assert_eq!(house.xattr("f", name), None);
    // Set-id bits are kept on this device.
    std::fs::set_permissions(house.at("f"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    let house = house.restart();
    assert_eq!(house.at("f").metadata().unwrap().mode() & 0o7777, 0o4755);
}
