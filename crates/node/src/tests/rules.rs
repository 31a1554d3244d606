//! What a room's rules name stays on each device, whoever made the rules, and whatever is done with it.

use super::Replicas;
use super::replicas::{text, write};
use crate::core::Core;
use base::{Kind, Oid};

fn mkdir(core: &Core, room: Oid, name: &str) -> Oid {
    core.locked(|core| core.mkdir(room, name)).unwrap()
}

fn rename(core: &Core, from: (Oid, &str), to: (Oid, &str)) -> Result<(), Kind> {
    core.locked(|core| core.rename(from.0, from.1, to.0, to.1, false)).map_err(|e| e.kind())
}

fn rule(core: &Core, room: &Oid, names: &[&str]) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    core.set_scratch_names(room, &names).unwrap();
}

#[test]
fn a_friends_rule_holds_here_below_its_room_and_after_a_restart() {
    let mut replicas = Replicas::new(2);
    let app = mkdir(replicas.core(0), replicas.root(), "app");
    let src = mkdir(replicas.core(0), app, "src");
    write(replicas.core(0), app, "old.o", "shared before");
    rule(replicas.core(0), &app, &["target", "*.o"]);
    replicas.exchange();
    for restarted in [false, true] {
        if restarted {
            replicas.restart(1);
        }
        let bob = replicas.core(1);
        let n = u8::from(restarted);
        let target = mkdir(bob, if restarted { src } else { app }, "target");
        write(bob, mkdir(bob, target, "debug"), "app", "of this machine");
        let object = write(bob, src, &format!("main{n}.o"), "of this machine");
        write(bob, src, &format!("main{n}.c"), "for everybody");
        write(bob, replicas.root(), &format!("above{n}.o"), "the rule is of the room below");
        assert!(bob.attr(&target).unwrap().local && bob.attr(&object).unwrap().local);
        assert!(bob.resolve("/shared/app/old.o").is_ok_and(|old| !bob.attr(&old).unwrap().local));
    }
    replicas.exchange();
    let paths: Vec<String> = replicas
        .tree(0)
        .into_iter()
        .map(|line| line.split(" = ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        paths,
        ["/above0.o", "/above1.o", "/app", "/app/old.o", "/app/src", "/app/src/main0.c", "/app/src/main1.c"]
    );
    let unshared = replicas.core(1).status().unshared;
    assert!(unshared.iter().all(|(_, why)| *why == "named as scratch by a rule of its room"), "{unshared:?}");
    assert_eq!(unshared.len(), 4, "a room stands for all that is in it: {unshared:?}");
    // Taken back, it concerns what is made from then on.
    rule(replicas.core(0), &app, &[]);
    replicas.exchange();
    assert!(!replicas.core(1).attr(&write(replicas.core(1), src, "late.o", "shared")).unwrap().local);
}

#[test]
fn a_file_is_scratch_while_it_is_called_so_and_a_room_for_ever() {
    let replicas = Replicas::new(2);
    let (core, root) = (replicas.core(0), replicas.root());
    rule(core, &root, &["build", "out", "*.o"]);
    let build = mkdir(core, root, "build");
    write(core, build, "part", "local");
    // As compilers write: a temporary takes the name, before anybody heard of it.
    let temporary = write(core, root, "cc1234", "object code");
    assert!(!core.attr(&temporary).unwrap().local);
    assert_eq!(rename(core, (root, "cc1234"), (root, "a.o")), Ok(()));
    assert!(core.attr(&temporary).unwrap().local);
    assert_eq!(rename(core, (root, "build"), (root, "kept")), Err(Kind::CrossSpace));
    assert_eq!(rename(core, (build, "part"), (root, "part")), Err(Kind::CrossSpace));
    assert_eq!(rename(core, (root, "build"), (root, "out")), Ok(()));
    replicas.exchange();
    assert_eq!(replicas.tree(1), Vec::<String>::new());
    assert_eq!(rename(core, (root, "a.o"), (root, "a.txt")), Ok(()));
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/a.txt = \"object code\""]);
    // What friends have keeps being theirs.
    assert_eq!(rename(core, (root, "a.txt"), (root, "b.o")), Ok(()));
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/b.o = \"object code\""]);
}

#[test]
fn readers_make_no_rules_and_no_file_has_one() {
    let replicas = Replicas::with_reader();
    let (core, root) = (replicas.core(0), replicas.root());
    let file = write(core, root, "file", "words");
    replicas.exchange();
    let refused = |core: &Core, at: &Oid, name: &str| core.set_scratch_names(at, &[name.into()]).unwrap_err();
    assert_eq!(refused(replicas.core(1), &root, "*.o").kind(), Kind::ReadOnly);
    assert_eq!(refused(core, &file, "*.o").kind(), Kind::NotRoom);
    assert_eq!(refused(core, &root, "*").kind(), Kind::Invalid);
    assert_eq!(core.scratch_names(&root).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_scratch_at_home_is_not_sent_when_its_room_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _woken) = Core::open(dir.path(), Some("somebody")).unwrap();
    let room = mkdir(&core, core.root(), "room");
    // One rule goes with the room; the other is of the room above.
    rule(&core, &core.root(), &["above"]);
    rule(&core, &room, &["inside", "*.o"]);
    for name in ["above", "inside", "open"] {
        let made = mkdir(&core, room, name);
        write(&core, made, "file", name);
    }
    write(&core, room, "a.o", "object code");
    core.seal_all(true).unwrap();
    let space = core.space_to_share("/room").unwrap();
    let local = |path: &str| core.attr(&core.resolve(path).unwrap()).unwrap().local;
    for path in ["/room/above", "/room/inside", "/room/above/file", "/room/inside/file", "/room/a.o"] {
        assert!(local(path), "{path}");
    }
    assert!(!local("/room/open") && !local("/room/open/file"));
    assert_eq!(text(&core, &core.resolve("/room/inside/file").unwrap()), "inside");
    assert_eq!(core.scratch_names(&Oid { space, object: space.root() }).unwrap(), ["inside", "*.o"]);
}
