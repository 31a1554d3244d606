//! Cases that were once wrong: each lost, doubled or stopped something.

use super::Replicas;
use super::replicas::{text, write};
use crate::api::NewContent;
use crate::core::Core;
use crate::intake::Took;
use base::{Entry, EntryKind, Header, Incarnation, LogId, Oid, Run};
use crypto::DeviceKey;

fn save(core: &Core, oid: &Oid, content: &str) {
    let (version, _) = core.read(oid).unwrap();
    core.save(oid, &version, NewContent::Bytes(content.into())).unwrap();
}

#[test]
fn a_file_that_came_back_can_be_edited_by_who_removed_it() {
    let replicas = Replicas::new(2);
    let (a, b, root) = (replicas.core(0), replicas.core(1), replicas.root());
    let file = write(a, root, "f", "one\n");
    replicas.exchange();
    a.locked(|core| core.unlink(root, "f")).unwrap();
    save(b, &file, "one\ntwo\n");
    replicas.exchange();
    assert_eq!(text(a, &file), "one\ntwo\n");
    save(a, &file, "one\ntwo\nthree\n");
    replicas.exchange();
    assert_eq!(text(b, &file), "one\ntwo\nthree\n");
}

#[test]
fn a_newborn_rewritten_as_a_large_file_reads_as_it_is() {
    let replicas = Replicas::new(1);
    let (core, root) = (replicas.core(0), replicas.root());
    let file = write(core, root, "out", "header");
    core.read(&file).unwrap();
    core.save(&file, &Default::default(), NewContent::Bytes(vec![7; 5 << 20])).unwrap();
    match core.read(&file).unwrap().1 {
        crate::api::Body::File(_, size) => assert_eq!(size, 5 << 20),
        other => panic!("{other:?}"),
    }
}

#[test]
fn permissions_of_a_new_room_survive_a_restart_and_friends_build_on_it() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    let room = replicas.core(0).locked(|core| core.mkdir(root, "private")).unwrap();
    replicas.core(0).set_attr(&room, Some(0o700), None).unwrap();
    replicas.core(0).seal_all(true).unwrap();
    replicas.restart(0);
    replicas.exchange();
    write(replicas.core(1), room, "from-b", "b");
    replicas.exchange();
    assert_eq!(replicas.core(0).attr(&room).unwrap().perm, 0o700);
    assert!(replicas.core(0).lookup(&room, "from-b").is_ok());
    assert_eq!(replicas.tree(0), replicas.tree(1));
}

#[test]
fn a_log_that_came_ahead_of_another_is_no_fork_and_waits_over_a_restart() {
    let mut replicas = Replicas::new(3);
    let root = replicas.root();
    write(replicas.core(0), root, "a", "a\n");
    replicas.carry(0, 1, usize::MAX);
    // b builds on a, twice; c gets b's entries before a's, stops, and gets a's after the restart.
    write(replicas.core(1), root, "b1", "b\n");
    replicas.core(1).seal_all(true).unwrap();
    write(replicas.core(1), root, "b2", "b\n");
    replicas.core(1).seal_all(true).unwrap();
    replicas.carry_only(1, 2, replicas.core(1).log());
    assert!(replicas.core(2).lookup(&root, "b1").is_err());
    replicas.restart(2);
    replicas.exchange();
    assert!(replicas.core(2).lookup(&root, "b1").is_ok());
    for n in 0..3 {
        let state = replicas.core(n).state.read();
        let space = state.space(&replicas.space).unwrap();
        assert!(space.logs.tips.values().all(|tips| tips.len() == 1), "{:?}", space.logs.tips);
        assert!(space.waiting.is_empty());
    }
}

#[test]
fn unsealed_edits_found_at_a_start_are_sealed_and_sent() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    let file = write(replicas.core(0), root, "f", "one\n");
    replicas.exchange();
    save(replicas.core(0), &file, "one\ntwo\n");
    write(replicas.core(0), root, "g", "new\n");
    replicas.core(0).locked(|core| core.rename(root, "f", root, "h", false)).unwrap();
    replicas.restart(0);
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/g = \"new\\n\"", "/h = \"one\\ntwo\\n\""]);
    assert_eq!(replicas.tree(0), replicas.tree(1));
}

#[test]
fn what_is_asked_of_a_new_file_does_not_become_what_it_was_born_as() {
    let replicas = Replicas::new(2);
    let (a, root) = (replicas.core(0), replicas.root());
    let file = a.locked(|core| core.create(root, "f", 0o600, false)).unwrap();
    assert!(a.knows(&file, &Default::default()));
    save(a, &file, "one\n");
    assert!(a.knows(&file, &Default::default()));
    save(a, &file, "two\n");
    assert!(a.knows(&file, &Default::default()));
    a.set_attr(&file, Some(0o640), None).unwrap();
    replicas.exchange();
    save(a, &file, "two\nthree\n");
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/f = \"two\\nthree\\n\""]);
    assert_eq!(replicas.tree(0), replicas.tree(1));
}

#[test]
fn an_edit_does_not_overtake_what_was_made_before_it() {
    let replicas = Replicas::new(2);
    let (a, root) = (replicas.core(0), replicas.root());
    let file = write(a, root, "reference", "nothing\n");
    replicas.exchange();
    write(a, root, "object", "what it speaks of\n");
    save(a, &file, "object\n");
    // Not sealed yet, either of them; and together once they are.
    let unsealed = |core: &Core| {
        core.with_space(&replicas.space, |s| Ok((s.pending.births.len(), s.pending.changes.len()))).unwrap()
    };
    a.seal_all(false).unwrap();
    let early = unsealed(a);
    assert!(early == (1, 1) || early == (0, 0), "{early:?}");
    while unsealed(a) != (0, 0) {
        a.seal_all(false).unwrap();
        assert_ne!(unsealed(a), (1, 0));
    }
    // Alone it waits for nothing, whatever else there is on this device only.
    let scratch = a.locked(|core| core.create(root, ".x.swp", 0o600, true)).unwrap();
    a.save(&scratch, &Default::default(), NewContent::Bytes(b"scratch".to_vec())).unwrap();
    a.locked(|core| core.create(root, "open", 0o600, false)).unwrap();
    save(a, &file, "none\n");
    a.seal_all(false).unwrap();
    assert_eq!(unsealed(a), (2, 0));
}

#[test]
fn a_change_of_permissions_alone_does_not_move_the_time() {
    let replicas = Replicas::new(2);
    let (a, b, root) = (replicas.core(0), replicas.core(1), replicas.root());
    let file = write(a, root, "f", "one\n");
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    a.set_attr(&file, None, Some(then)).unwrap();
    replicas.exchange();
    a.set_attr(&file, Some(0o600), None).unwrap();
    replicas.exchange();
    let seen = b.attr(&file).unwrap();
    assert_eq!((seen.perm, seen.mtime), (0o600, then));
}

#[test]
fn what_is_written_once_more_is_new_here_and_nothing_to_a_friend() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (name, bytes) in [("text", &b"words\n"[..]), ("blob", &b"\0\xff"[..])] {
        let file = replicas.core(0).locked(|core| core.create(root, name, 0o644, false)).unwrap();
        let save = |replicas: &Replicas| {
            let (version, _) = replicas.core(0).read(&file).unwrap();
            replicas.core(0).save(&file, &version, NewContent::Bytes(bytes.to_vec())).unwrap()
        };
        save(&replicas);
        replicas.core(0).set_attr(&file, None, Some(then)).unwrap();
        replicas.exchange();
        save(&replicas);
        assert_eq!(replicas.carry(0, 1, usize::MAX), 0, "{name}");
        let now = replicas.core(0).attr(&file).unwrap();
        assert!(now.mtime > then && now.ctime == now.mtime, "{name}");
        replicas.restart(0);
        assert_eq!(replicas.core(0).attr(&file).unwrap().mtime, now.mtime);
        assert_eq!(replicas.core(1).attr(&file).unwrap().mtime, then);
    }
}

#[test]
fn several_edits_of_one_entry_are_no_disagreement() {
    let replicas = Replicas::new(2);
    let (a, b, root) = (replicas.core(0), replicas.core(1), replicas.root());
    let file = write(a, root, "f", "one two three\n");
    replicas.exchange();
    for text in ["one zwei three\n", "one deux three\n", "one dos three\n"] {
        save(a, &file, text);
    }
    replicas.exchange();
    assert_eq!(text(b, &file), "one dos three\n");
    assert!(b.status().overlaps.is_empty());
    save(a, &file, "one duo three\n");
    save(a, &file, "one deka three\n");
    save(b, &file, "one dva three\n");
    replicas.exchange();
    assert!(!b.status().overlaps.is_empty(), "this is one");
}

// An entry by a key that nobody knows.
fn forged(replicas: &Replicas, kind: EntryKind, lamport: u64, body: &[u8]) -> Entry {
    let key = DeviceKey::from_seed([9; 32]);
    let dep =
        replicas.core(0).state.read().space(&replicas.space).unwrap().logs.applied.values().next().unwrap().1;
    let header = Header {
        kind,
        tag: replicas.space.tag(),
        log: LogId { device: key.id(), incarnation: Incarnation([1; 8]) },
        run: Run([1; 8]),
        seq: 0,
        lamport,
        prev: None,
        deps: vec![dep],
        epoch: None,
        auth: Vec::new(),
        chunks: None,
    };
    key.sign_entry(&replicas.space, &header, body).unwrap()
}

#[test]
fn what_a_stranger_signs_is_not_kept_and_stops_nobody() {
    let mut replicas = Replicas::new(2);
    let root = replicas.root();
    for kind in [EntryKind::Statement, EntryKind::Membership] {
        for lamport in [2, 3, (1 << 48) - 1] {
            for n in 0..20u8 {
                let entry = forged(&replicas, kind, lamport, &[0x80, n]);
                let took = replicas.core(0).take_entry(&entry, false).unwrap();
                assert!(matches!(took, Took::Refused(_) | Took::Waits), "{took:?}");
                assert!(replicas.core(0).entry_record(&entry.hash()).unwrap().is_none());
            }
        }
    }
    replicas.restart(0);
    write(replicas.core(0), root, "f", "still\n");
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/f = \"still\\n\""]);
}

#[test]
fn a_readers_entry_is_refused_by_the_writers_node() {
    let replicas = Replicas::with_reader();
    let (writer, reader, root) = (replicas.core(0), replicas.core(1), replicas.root());
    write(writer, root, "f", "text\n");
    replicas.exchange();
    assert_eq!(reader.lookup(&root, "f").unwrap().name, "f");
    let refused = reader.locked(|core| core.create(root, "mine", 0o644, false)).unwrap_err();
    assert_eq!(refused.kind(), base::Kind::ReadOnly);
    // A dishonest program seals all the same.
    let body = object::Body { time: 0, items: Vec::new() };
    let (epoch, secret) = reader.epoch_to_seal(&replicas.space).unwrap();
    let mut header = {
        let state = reader.state.read();
        reader.next_header(state.space(&replicas.space).unwrap(), EntryKind::Content, reader.run)
    };
    header.epoch = Some(epoch);
    let packed = crypto::pack(&body.encode());
    let sealed =
        crypto::seal_body(&secret, &replicas.space, &header.log, &header.to_bytes(), &packed, [3; 24]);
    let entry = reader.keys.device.sign_entry(&replicas.space, &header, &sealed).unwrap();
    let took = writer.take_entry(&entry, false).unwrap();
    assert!(matches!(took, Took::Refused(_)), "{took:?}");
    assert!(writer.entry_record(&entry.hash()).unwrap().is_none());
}

#[test]
fn an_entry_of_one_space_is_nothing_in_another() {
    let (one, other) = (Replicas::new(2), Replicas::new(2));
    let entry = one.core(0).all_entries(&one.space.tag()).unwrap().pop().unwrap();
    assert!(matches!(other.core(0).take_entry(&entry, false).unwrap(), Took::Refused(_)));
}

#[test]
fn a_name_that_an_honest_program_cannot_make_arrives_escaped() {
    let replicas = Replicas::new(2);
    let (a, b, root) = (replicas.core(0), replicas.core(1), replicas.root());
    let names: [&[u8]; 4] = [b"esc\x1b[31m", b"a/b", b"..", "x\u{202e}txt.exe".as_bytes()];
    for name in names {
        let file = write(a, root, "honest", "text\n");
        let steps = a.with_space(&replicas.space, |space| {
            let target = object::Target { space: None, object: file.object };
            let mut step = a.add_door(space, root.object, "x", target, object::DoorKind::Place, false)?;
            if let crate::steps::Step::Add { door, .. } = &mut step {
                door.name = name.to_vec();
            }
            Ok(vec![step])
        });
        a.locked(|core| core.perform(&replicas.space, steps?)).unwrap();
        a.locked(|core| core.unlink(root, "honest")).unwrap();
    }
    replicas.exchange();
    let shown: Vec<String> = b.list(&root, None, 100).unwrap().into_iter().map(|f| f.name).collect();
    assert_eq!(shown, ["%2e%2e", "a%2fb", "esc%1b[31m", "x%e2%80%aetxt.exe"]);
    for name in shown {
        let file = b.lookup(&root, &name).unwrap().target.oid();
        assert_eq!(text(b, &file), "text\n");
        b.locked(|core| core.unlink(root, &name)).unwrap();
    }
    replicas.exchange();
    assert_eq!(replicas.tree(0), [] as [&str; 0]);
}
