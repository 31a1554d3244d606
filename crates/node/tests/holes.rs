//! A store that lost entries below others gets them back from a friend.

use node::{Body, NewContent, Node, Oid, Options, Role, Version};
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Batch, Store};

fn start(home: &Path) -> Node {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".to_string()];
    Node::start(Options { home: home.to_path_buf(), listen, network: true }).unwrap()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn write(node: &Node, room: Oid, name: &str, text: &str) {
    let oid = node.create(room, name, 0o644, false).unwrap();
    node.save(oid, &Version::default(), NewContent::Bytes(text.into())).unwrap();
}

fn read(node: &Node, path: &str) -> Option<String> {
    match node.read(node.resolve(path).ok()?).ok()?.1 {
        Body::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        _ => None,
    }
}

// Takes entries out of the longest log, as damage would: some in the middle, and one more.
fn damage(home: &Path) -> usize {
    let store = Store::open(&home.join("store"), store::Options::default()).unwrap().store;
    let entries: Vec<Vec<u8>> = store.range(b"c").map(|found| found.unwrap().0).collect();
    let log = |key: &Vec<u8>| key[..1 + 16 + 40].to_vec();
    let longest = entries.iter().map(log).max_by_key(|l| entries.iter().filter(|k| log(k) == *l).count());
    let of_log: Vec<&Vec<u8>> = entries.iter().filter(|key| Some(log(key)) == longest).collect();
    assert!(of_log.len() > 12, "{} entries", of_log.len());
    let middle = of_log.len() / 2;
    let lost = [middle - 3, middle - 2, middle, of_log.len() - 3];
    let mut batch = Batch::new();
    for at in lost {
        batch.remove(of_log[at].clone());
    }
    store.apply(batch).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
    lost.len()
}

#[test]
fn entries_that_a_damaged_store_lost_come_back_from_a_friend() {
    let (home_a, home_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, mut b) = (start(home_a.path()), start(home_b.path()));
    let garden = a.mkdir(a.root(), "garden", 0o755).unwrap();
    let card = a.invite(Some("/garden"), Some("bob"), Role::Writer).unwrap();
    b.peer_add(&card, Some("alice")).unwrap();
    for n in 0..12 {
        write(&a, garden, &format!("f{n}"), &format!("text {n}\n"));
        eventually("the file", || read(&b, &format!("/garden/f{n}")));
    }
    for rebuild in [false, true] {
        b.stop().unwrap();
        drop(b);
        let whole = node::fsck(home_b.path(), false).unwrap();
        assert_eq!(whole.problems, Vec::<String>::new());
        let lost = damage(home_b.path());
        let found = node::fsck(home_b.path(), rebuild).unwrap();
        assert_eq!(found.entries + lost as u64, whole.entries);
        assert!(found.problems.iter().any(|p| p.contains("are missing before")), "{:?}", found.problems);
        b = start(home_b.path());
        let began = Instant::now();
        eventually("a whole store", || b.status().notes.is_empty().then_some(()));
        println!("rebuilt: {rebuild}; whole after {:?}", began.elapsed());
        for n in 0..12 {
            eventually("the text", || {
                read(&b, &format!("/garden/f{n}")).filter(|text| *text == format!("text {n}\n"))
            });
        }
        assert_eq!(b.status().problems, Vec::<String>::new());
    }
    b.stop().unwrap();
    drop(b);
    let whole = node::fsck(home_b.path(), true).unwrap();
    assert_eq!(whole.problems, Vec::<String>::new());
    a.stop().unwrap();
}
