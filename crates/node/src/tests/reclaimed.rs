//! A name that a process empties and fills again stays with its object, also where another file slips into it.

use super::Replicas;
use super::replicas::{text, write};
use crate::state::Newborn;
use base::Oid;
use object::{Birth, Content, Meta, Type};

// Two who made a file of one name apart, the other's earlier.
fn two_of_one_name() -> (Replicas, Oid, Oid) {
    let replicas = Replicas::new(2);
    let root = replicas.root();
    for n in 0..3 {
        write(replicas.core(1), root, &format!("later{n}"), "");
        replicas.core(1).seal_all(true).unwrap();
    }
    let theirs = write(replicas.core(0), root, "f", "theirs");
    let own = write(replicas.core(1), root, "f", "own");
    replicas.exchange();
    assert_eq!(at(&replicas, 1, "f"), theirs, "what has the name");
    (replicas, theirs, own)
}

fn at(replicas: &Replicas, n: usize, name: &str) -> Oid {
    replicas.core(n).lookup(&replicas.root(), name).unwrap().target.oid()
}

fn backup() -> Newborn {
    let content = Content::Bytes(b"theirs".to_vec());
    let birth =
        Birth { id: crate::core::new_object().unwrap(), kind: Type::Text, meta: Meta::default(), content };
    Newborn { birth, bulk: None, local: true, open: false, stored: false }
}

fn as_before(replicas: &Replicas, theirs: Oid, own: Oid) {
    replicas.exchange();
    for n in 0..2 {
        let core = replicas.core(n);
        let files = core.list(&replicas.root(), None, usize::MAX).unwrap();
        let named: Vec<(bool, Oid)> = files
            .iter()
            .filter(|found| found.name.starts_with('f') && found.name != "f~")
            .map(|found| (found.name == "f", found.target.oid()))
            .collect();
        assert_eq!(named, [(true, theirs), (false, own)], "as {n} sees it");
        assert_eq!((text(core, &theirs), text(core, &own)), ("theirs".into(), "own".into()));
    }
    replicas.check_oracle();
}

#[test]
fn what_is_set_aside_and_made_anew_has_its_name_back() {
    for told in [false, true] {
        let (replicas, theirs, own) = two_of_one_name();
        let (root, core) = (replicas.root(), replicas.core(1));
        core.locked(|core| core.rename(root, "f", root, "f~", false)).unwrap();
        if told {
            core.seal_all(true).unwrap();
        }
        assert_eq!(at(&replicas, 1, "f"), own, "what slips into the name");
        core.locked(|core| core.reclaim_renamed(root, "f", (root, "f~"), backup())).unwrap();
        as_before(&replicas, theirs, own);
    }
}

#[test]
fn what_is_removed_and_made_anew_has_its_name_back() {
    for told in [false, true] {
        let (replicas, theirs, own) = two_of_one_name();
        let (root, core) = (replicas.root(), replicas.core(1));
        core.locked(|core| core.unlink(root, "f")).unwrap();
        if told {
            core.seal_all(true).unwrap();
        }
        assert_eq!(at(&replicas, 1, "f"), own, "what slips into the name");
        core.locked(|core| core.reclaim_unlinked(root, "f", theirs)).unwrap();
        as_before(&replicas, theirs, own);
    }
}
