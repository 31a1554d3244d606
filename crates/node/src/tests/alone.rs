//! `.git` in a shared space is of one device alone, whatever is done with it and around it.

use super::Replicas;
use super::replicas::{text, write};
use crate::api::{NewContent, What};
use crate::core::Core;
use base::{Kind, Oid};
use object::{DoorKind, Target};

fn mkdir(core: &Core, room: Oid, name: &str) -> Oid {
    core.locked(|core| core.mkdir(room, name)).unwrap()
}

fn rename(core: &Core, from: (Oid, &str), to: (Oid, &str)) -> Result<(), Kind> {
    core.locked(|core| core.rename(from.0, from.1, to.0, to.1, false)).map_err(|e| e.kind())
}

fn names(core: &Core, room: &Oid) -> Vec<String> {
    core.list(room, None, usize::MAX).unwrap().into_iter().map(|found| found.name).collect()
}

fn unshared(core: &Core) -> Vec<String> {
    core.status().unshared.into_iter().map(|(path, _)| path).collect()
}

// A repository in a room `app`, with a file in a room, a symlink and a second name.
fn repository(replicas: &Replicas, n: usize) -> (Oid, Oid) {
    let core = replicas.core(n);
    let app = mkdir(core, replicas.root(), "app");
    let git = mkdir(core, app, ".git");
    let objects = mkdir(core, git, "objects");
    let object = write(core, objects, "object", "bytes");
    core.locked(|core| core.link(object, git, "same")).unwrap();
    core.locked(|core| core.symlink(git, "link", b"objects")).unwrap();
    core.set_attr(&git, Some(0o700), None).unwrap();
    core.set_attr(&objects, None, Some(std::time::UNIX_EPOCH)).unwrap();
    write(core, app, "file", "words");
    (app, git)
}

#[test]
fn a_repository_stays_and_survives_a_restart() {
    let mut replicas = Replicas::new(2);
    let (app, git) = repository(&replicas, 0);
    let attrs = |replicas: &Replicas| {
        let core = replicas.core(0);
        let mut all = vec![core.attr(&git).unwrap()];
        all.extend(core.list(&git, None, 9).unwrap().iter().map(|f| core.attr(&f.target.oid()).unwrap()));
        all.iter().map(|a| (a.what, a.perm, a.mtime, a.ctime, a.links, a.local)).collect::<Vec<_>>()
    };
    let before = attrs(&replicas);
    assert_eq!((before[0].1, before.len()), (0o700, 4));
    assert!(before.iter().all(|attr| attr.5), "{before:?}");
    replicas.exchange();
    replicas.restart(0);
    assert_eq!(attrs(&replicas), before);
    let core = replicas.core(0);
    assert_eq!(names(core, &git), ["link", "objects", "same"]);
    assert_eq!(text(core, &core.lookup(&git, "same").unwrap().target.oid()), "bytes");
    assert_eq!(unshared(core), ["/shared/app/.git"], "one line for all of it");
    // It is changed and removed as anything else is.
    rename(core, (git, "same"), (git, "other")).unwrap();
    rename(core, (app, ".git"), (replicas.root(), ".git")).unwrap();
    core.locked(|core| core.unlink(git, "link")).unwrap();
    replicas.exchange();
    replicas.restart(0);
    assert_eq!(names(replicas.core(0), &git), ["objects", "other"]);
    assert_eq!(names(replicas.core(0), &app), ["file"]);
    assert_eq!(replicas.tree(1), ["/app", "/app/file = \"words\""]);
    assert_eq!(replicas.core(1).status().local_files, 0);
    let entries = |n: usize| replicas.core(n).all_entries(&replicas.space.tag()).unwrap().len();
    assert_eq!(entries(0), entries(1));
}

#[test]
fn the_border_is_crossed_by_copying_only() {
    let replicas = Replicas::new(2);
    let (app, git) = repository(&replicas, 0);
    let core = replicas.core(0);
    let file = core.lookup(&app, "file").unwrap().target.oid();
    let across = Err(Kind::CrossSpace);
    assert_eq!(rename(core, (app, ".git"), (app, "git")), across);
    assert_eq!(rename(core, (app, "file"), (git, "file")), across);
    assert_eq!(rename(core, (app, "file"), (app, ".git~")).map(drop), Ok(()), "only the very name");
    assert_eq!(rename(core, (app, ".git~"), (app, "file")), Ok(()));
    assert_eq!(rename(core, (git, "same"), (app, "same")), across);
    let linked = |oid, room, name| core.locked(|core| core.link(oid, room, name)).map_err(|e| e.kind());
    assert_eq!(linked(file, git, "file"), across);
    assert_eq!(linked(core.lookup(&git, "same").unwrap().target.oid(), app, "same"), across);
    let exchanged = core.locked(|core| core.exchange(app, "file", git, "same")).map_err(|e| e.kind());
    assert_eq!(exchanged, across);
    // A worktree's file says where its repository is, on this machine.
    let wt = mkdir(core, replicas.root(), "wt");
    let pointer = write(core, wt, ".git", "gitdir: /somewhere");
    assert!(core.attr(&pointer).unwrap().local);
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/app", "/app/file = \"words\"", "/wt"]);
}

#[test]
fn both_have_their_own_and_a_sent_one_is_not_called_so() {
    let mut replicas = Replicas::new(2);
    let (app, git) = repository(&replicas, 0);
    replicas.exchange();
    let theirs = mkdir(replicas.core(1), app, ".git");
    assert_ne!(git, theirs);
    // Somebody whose program knows no border, or who knows it too well, sends one.
    let evil = write(replicas.core(1), replicas.root(), "evil", "gitdir: ../evil");
    replicas.core(1).seal_all(true).unwrap();
    for room in [app, replicas.root()] {
        replicas
            .core(1)
            .locked(|core| {
                let target = Target { space: None, object: evil.object };
                let step = core.with_space(&room.space, |space| {
                    core.add_door(space, room.object, ".git", target, DoorKind::Place, false)
                })?;
                core.perform(&room.space, vec![step])
            })
            .unwrap();
    }
    replicas.exchange();
    for restarted in [false, true] {
        for (n, own) in [(0, git), (1, theirs)] {
            if restarted {
                replicas.restart(n);
            }
            let core = replicas.core(n);
            assert_eq!(core.lookup(&app, ".git").unwrap().target.oid(), own);
            assert_eq!(names(core, &app), ["%2egit", ".git", "file"]);
            assert_eq!(names(core, &replicas.root()), ["%2egit", "app", "evil"]);
        }
    }
    // It can be looked at, renamed and removed.
    let core = replicas.core(0);
    assert_eq!(rename(core, (app, "%2egit"), (app, ".git2")), Ok(()));
    core.locked(|core| core.unlink(replicas.root(), "%2egit")).unwrap();
    replicas.exchange();
    assert_eq!(names(replicas.core(1), &replicas.root()), ["app", "evil"]);
    assert_eq!(names(replicas.core(1), &app), [".git", ".git2", "file"]);
}

#[test]
fn a_room_that_a_friend_removes_keeps_the_repository_in_it() {
    let mut replicas = Replicas::new(2);
    let (app, git) = repository(&replicas, 0);
    replicas.exchange();
    let bob = replicas.core(1);
    bob.locked(|core| core.unlink(app, "file")).unwrap();
    bob.locked(|core| core.rmdir(replicas.root(), "app")).unwrap();
    replicas.exchange();
    replicas.restart(0);
    assert_eq!(names(replicas.core(0), &app), [".git"]);
    assert_eq!(replicas.core(0).path(&git).as_deref(), Some("/shared/app/.git"));
    // Work in the repository alone brings nothing back; a file does.
    write(replicas.core(0), git, "index", "of nothing");
    replicas.exchange();
    assert_eq!(replicas.tree(1), Vec::<String>::new());
    write(replicas.core(0), app, "file", "checked out");
    replicas.exchange();
    assert_eq!(replicas.tree(1), ["/app", "/app/file = \"checked out\""]);
    assert_eq!(names(replicas.core(0), &app), [".git", "file"]);
}

#[test]
fn a_repository_of_home_is_left_at_home_when_its_room_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _woken) = Core::open(dir.path(), Some("somebody")).unwrap();
    let room = mkdir(&core, core.root(), "room");
    let git = mkdir(&core, room, ".git");
    let head = write(&core, git, "HEAD", "ref: refs/heads/main");
    let large = write(&core, git, "pack", "");
    let bytes: Vec<u8> = (0..100_000u32).flat_map(|n| n.to_be_bytes()).collect();
    core.save(&large, &Default::default(), NewContent::Bytes(bytes.clone())).unwrap();
    core.locked(|core| core.link(head, room, "borrowed")).unwrap();
    core.set_attr(&git, Some(0o700), None).unwrap();
    core.seal_all(true).unwrap();
    assert!(!core.attr(&git).unwrap().local && unshared(&core).is_empty(), "at home it is like the rest");
    assert!(
        rename(&core, (room, ".git"), (room, "git")).is_ok()
            && rename(&core, (room, "git"), (room, ".git")).is_ok()
    );

    let space = core.space_to_share("/room").unwrap();
    let at = |path: &str| core.resolve(path).unwrap();
    let attr = core.attr(&at("/room/.git")).unwrap();
    assert_eq!((attr.what, attr.perm, attr.local), (What::Room, 0o700, true));
    assert_eq!(text(&core, &at("/room/.git/HEAD")), "ref: refs/heads/main");
    assert_eq!(core.attr(&at("/room/.git/pack")).unwrap().size, bytes.len() as u64);
    assert_eq!(unshared(&core), ["/room/.git"]);
    // What had a name on either side is there on both, as two files.
    assert_eq!(text(&core, &at("/room/borrowed")), "ref: refs/heads/main");
    assert_ne!(at("/room/borrowed"), at("/room/.git/HEAD"));
    assert!(!core.attr(&at("/room/borrowed")).unwrap().local);
    core.seal_all(true).unwrap();
    let (heads, pending) =
        core.with_space(&space, |space| Ok((space.heads.len(), space.pending.births.len()))).unwrap();
    assert_eq!((heads, pending), (5, 3), "the root, what was borrowed, and three that stay");
}
