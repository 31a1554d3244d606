//! What the kernel keeps of a room's listing is never older than the room.

mod house;

use house::House;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_others_change_is_listed_at_once_however_many_list_meanwhile() {
    let house = House::new();
    house.sh("mkdir room && cd room && for i in $(seq 300); do mkdir n$i; done");
    let (dir, room) = (house.at("room"), house.oid("room"));
    let mut there = names(&dir);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            // Fills the kernel's cache over and over, at every moment of a change.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(names(&dir).len() > 200);
                }
            });
        }
        let changes = || {
            for n in 0..1500 {
                let old = format!("n{}", n % 300 + 1);
                let (new, text) = (format!("m{n}"), format!("t{n}"));
                match n % 3 {
                    // As through another face: the kernel is not told of a name that is new.
                    0 => drop(house.node.mkdir(room, &new, 0o755).unwrap()),
                    1 if there.contains(&old) => {
                        house.node.rename(room, &old, room, &new, true).unwrap();
                        there.remove(&old);
                    }
                    _ => std::fs::create_dir(dir.join(&new)).unwrap(),
                }
                there.insert(new);
                std::fs::write(dir.join(&text), "").unwrap();
                assert!(names(&dir).is_superset(&there) && names(&dir).contains(&text), "change {n}");
                std::fs::remove_file(dir.join(&text)).unwrap();
                assert_eq!(names(&dir), there, "change {n}");
                if n % 50 == 0 {
                    let gone: Vec<String> = there.iter().skip(280).cloned().collect();
                    for name in gone {
                        house.node.rmdir(room, &name).unwrap();
                        there.remove(&name);
                    }
                    assert_eq!(names(&dir), there, "change {n}");
                }
            }
        };
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(changes));
        done.store(true, Ordering::Relaxed);
        changed.unwrap();
    });
}

#[test]
fn what_is_there_all_the_while_is_listed_once_whatever_comes_and_goes() {
    let house = House::new();
    house.sh("mkdir room && cd room && for i in $(seq 900); do : > stays$i; : > goes$i; done");
    let dir = house.at("room");
    // Listed in one go, so that the kernel holds all of it and serves what follows.
    assert_eq!((names(&dir).len(), names(&dir).len()), (1800, 1800));
    let mut found = BTreeSet::new();
    for (n, entry) in std::fs::read_dir(&dir).unwrap().enumerate() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(found.insert(name.clone()), "{name} is listed twice");
        if n < 900 {
            std::fs::remove_file(dir.join(format!("goes{}", n + 1))).unwrap();
            std::fs::write(dir.join(format!("comes{n}")), "").unwrap();
        }
        // Others list it anew, which makes the kernel forget what it held.
        if n % 100 == 50 {
            assert!(names(&dir).len() >= 1800);
        }
    }
    assert_eq!(found.iter().filter(|name| name.starts_with("stays")).count(), 900);
    house.sh("rm -r room && [ -z \"$(ls -A)\" ]");
}
