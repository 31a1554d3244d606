//! Two nodes on the loopback: invited, paired, one room shared; edits on both sides.

use node::{Body, NewContent, Node, Oid, Options, Role, Version};
use std::path::Path;
use std::time::{Duration, Instant};

fn start(home: &Path) -> Node {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".to_string()];
    Node::start(Options { home: home.to_path_buf(), listen, network: true }).unwrap()
}

fn alone(home: &Path) -> Node {
    Node::start(Options { home: home.to_path_buf(), listen: Vec::new(), network: false }).unwrap()
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write(node: &Node, room: Oid, name: &str, text: &str) -> Oid {
    let oid = node.create(room, name, 0o644, false).unwrap();
    node.save(oid, &Version::default(), NewContent::Bytes(text.into())).unwrap();
    oid
}

fn read(node: &Node, path: &str) -> Option<String> {
    let oid = node.resolve(path).ok()?;
    match node.read(oid).ok()?.1 {
        Body::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Body::File(file, size) => {
            use std::os::unix::fs::FileExt;
            let mut bytes = vec![0; size as usize];
            file.read_exact_at(&mut bytes, 0).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Body::Remote { .. } => None,
    }
}

#[test]
fn a_line_saved_on_one_is_read_on_the_other() {
    let (home_a, home_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (start(home_a.path()), start(home_b.path()));
    let garden = a.mkdir(a.root(), "garden", 0o755).unwrap();
    write(&a, garden, "todo.txt", "water the roses\n");
    let card = a.invite(Some("/garden"), Some("bob"), Role::Writer).unwrap();
    let added = b.peer_add(&card, Some("alice")).unwrap();
    assert!(added.met, "pairing was not answered");
    assert_eq!(added.room.as_deref(), Some("/garden"));
    eventually("the file", || read(&b, "/garden/todo.txt").filter(|t| t == "water the roses\n"));

    // Both edit the same version.
    let at_b = b.resolve("/garden/todo.txt").unwrap();
    let (base, _) = b.read(at_b).unwrap();
    b.save(at_b, &base, NewContent::Bytes(b"water the roses\nfeed the cat\n".to_vec())).unwrap();
    let at_a = a.resolve("/garden/todo.txt").unwrap();
    a.save(at_a, &Version::default(), NewContent::Bytes(b"water the red roses\n".to_vec())).unwrap();
    let merged = "water the red roses\nfeed the cat\n";
    eventually("the merge at a", || read(&a, "/garden/todo.txt").filter(|t| t == merged));
    eventually("the merge at b", || read(&b, "/garden/todo.txt").filter(|t| t == merged));

    // A blob.
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let room = b.resolve("/garden").unwrap();
    let blob = b.create(room, "photo.raw", 0o600, false).unwrap();
    b.save(blob, &Version::default(), NewContent::Bytes(bytes.clone())).unwrap();
    eventually("the blob", || {
        read(&a, "/garden/photo.raw").filter(|t| *t == String::from_utf8_lossy(&bytes))
    });

    // b is away, both go on, b comes back.
    b.stop().unwrap();
    drop(b);
    let sub = a.mkdir(a.resolve("/garden").unwrap(), "src", 0o755).unwrap();
    write(&a, sub, "from_a", "a");
    let b = alone(home_b.path());
    let sub = b.mkdir(b.resolve("/garden").unwrap(), "src", 0o755).unwrap();
    write(&b, sub, "from_b", "b");
    b.stop().unwrap();
    drop(b);
    let b = start(home_b.path());
    for node in [&a, &b] {
        eventually("both files", || read(node, "/garden/src/from_a").and(read(node, "/garden/src/from_b")));
        let names: Vec<String> = node
            .list(node.resolve("/garden").unwrap(), None, 100)
            .unwrap()
            .into_iter()
            .map(|f| f.name)
            .collect();
        assert_eq!(names, ["photo.raw", "src", "todo.txt"]);
    }
    for node in [a, b] {
        assert!(node.status().problems.is_empty(), "{:?}", node.status().problems);
        node.stop().unwrap();
    }
    for home in [home_a.path(), home_b.path()] {
        let report = node::fsck(home, true).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }
}

#[test]
fn what_is_made_offline_is_there_after_a_restart_sealed_or_not() {
    let home = tempfile::tempdir().unwrap();
    let node = alone(home.path());
    let room = node.mkdir(node.root(), "notes", 0o700).unwrap();
    write(&node, room, "one", "first\n");
    write(&node, room, ".one.swp", "scratch");
    node.sync().unwrap();
    node.rename(room, "one", room, "two", false).unwrap();
    let two = node.resolve("/notes/two").unwrap();
    node.save(two, &Version::default(), NewContent::Bytes(b"first\nsecond\n".to_vec())).unwrap();
    assert_eq!(read(&node, "/notes/two").as_deref(), Some("first\nsecond\n"));
    node.stop().unwrap();
    drop(node);
    let node = alone(home.path());
    assert_eq!(read(&node, "/notes/two").as_deref(), Some("first\nsecond\n"));
    assert_eq!(node.attr(node.resolve("/notes").unwrap()).unwrap().perm, 0o700);
    assert!(node.resolve("/notes/one").is_err());
    node.stop().unwrap();
    drop(node);
    let report = node::fsck(home.path(), true).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}
