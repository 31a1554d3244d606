//! Bulk files.

use crate::{open, put, quick_dir};
use base::Kind;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::thread;

#[test]
fn a_file_has_its_name_only_when_persisted() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    let bulk = store.bulk();
    let name = [0xab; 16];
    let mut temp = bulk.create_temp().unwrap();
    temp.file.write_all(b"bytes").unwrap();
    assert_eq!(bulk.open(&name).unwrap_err().kind(), Kind::NotFound);
    bulk.persist(temp, &name).unwrap();
    let mut read = String::new();
    bulk.open(&name).unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, "bytes");
    assert_eq!(bulk.len(&name).unwrap(), Some(5));
    assert!(bulk.exists(&name).unwrap() && !bulk.exists(&[1; 16]).unwrap());
    assert!(dir.path().join("bulk/ab").join("ab".repeat(15)).exists());
    assert!(bulk.remove(&name).unwrap() && !bulk.remove(&name).unwrap());
    let path = {
        let temp = bulk.create_temp().unwrap();
        temp.path().to_owned()
    };
    assert!(!path.exists());
}

#[test]
fn many_threads_persist_and_garbage_goes() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    thread::scope(|scope| {
        for t in 0..8u8 {
            let bulk = store.bulk();
            scope.spawn(move || {
                for n in 0..8u8 {
                    let mut temp = bulk.create_temp().unwrap();
                    temp.file.write_all(&[t, n]).unwrap();
                    bulk.persist(temp, &[t * 8 + n; 16]).unwrap();
                }
            });
        }
    });
    fs::write(dir.path().join("bulk/00/README"), "not ours").unwrap();
    fs::write(dir.path().join("bulk/note"), "not ours").unwrap();
    let names: BTreeSet<_> = store.bulk().names().unwrap().map(|n| n.unwrap()).collect();
    assert_eq!(names, (0..64u8).map(|n| [n; 16]).collect());
    store.apply(put("record", "names 3")).unwrap();
    let removed = store.bulk_retain(&|name| name[0] == 3).unwrap();
    assert_eq!(removed.len(), 63);
    assert_eq!(store.bulk().names().unwrap().count(), 1);
    assert!(dir.path().join("bulk/00/README").exists());
}

#[test]
fn partial_files_are_sparse_and_scratch_has_no_name() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    let file = store.bulk().open_rw(&[9; 16]).unwrap();
    file.write_all_at(b"end", 50 << 20).unwrap();
    drop(file);
    let file = store.bulk().open_rw(&[9; 16]).unwrap();
    assert_eq!(file.metadata().unwrap().len(), (50 << 20) + 3);
    assert!(store.disk_bytes().unwrap() < 40 << 20);
    let mut scratch = store.bulk().scratch().unwrap();
    scratch.write_all(b"lent").unwrap();
    scratch.rewind().unwrap();
    let mut text = String::new();
    scratch.read_to_string(&mut text).unwrap();
    assert_eq!(text, "lent");
    assert!(fs::read_dir(dir.path().join("tmp")).unwrap().next().is_none());
}
