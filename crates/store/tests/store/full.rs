//! A full disk: edits are refused, nothing is lost, and it goes on when there is space again.

use crate::power::Mounted;
use crate::put;
use base::Kind;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};
use store::{Batch, Options, Store};

#[test]
fn below_the_reserve_edits_are_refused_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap().store;
    store.apply(put("k", "v")).unwrap();
    store.close().unwrap();
    let store =
        Store::open(dir.path(), Options { reserve_bytes: 1 << 60, ..Options::default() }).unwrap().store;
    let error = store.apply(put("k", "w")).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("nothing was lost"));
    assert_eq!(store.bulk().create_temp().unwrap_err().kind(), Kind::NoSpace);
    assert_eq!(store.get(b"k").unwrap(), Some(b"v".to_vec()));
    assert!(!store.is_poisoned());
    store.close().unwrap();
}

#[test]
fn a_small_disk_fills_up_and_is_emptied() {
    for kind in ["tmpfs", "ext4"] {
        let Some(disk) = Mounted::new(kind, 96 << 20) else {
            eprintln!("not shown on {kind}: mounting is not permitted here");
            continue;
        };
        fill_and_empty(disk.path());
    }
}

fn fill_and_empty(disk: &std::path::Path) {
    let dir = disk.join("store");
    let store = Store::open(&dir, Options { reserve_bytes: 4 << 20, ..Options::default() }).unwrap().store;
    let mut n = 0u32;
    let mut write = |store: &Store| {
        let done = store.apply(put(n.to_be_bytes(), vec![n as u8; 20_000])).map(|_| ());
        n += u32::from(done.is_ok());
        done.map(|()| n)
    };
    for _ in 0..200 {
        write(&store).unwrap();
    }
    // Somebody else takes all there is, to the last byte.
    let balloon = disk.join("balloon");
    let mut file = fs::File::create(&balloon).unwrap();
    for block in [1 << 20, 4096, 1] {
        while file.write_all(&vec![7; block]).is_ok() {}
    }
    let _ = file.sync_all();
    drop(file);
    assert_eq!(write(&store).unwrap_err().kind(), Kind::NoSpace);
    let mut temp = store.bulk().create_temp();
    assert_eq!(temp.as_mut().err().map(|e| e.kind()), Some(Kind::NoSpace));
    // What was applied before can still become durable.
    store.sync().unwrap();
    assert!(!store.is_poisoned());
    fs::remove_file(&balloon).unwrap();
    // A filesystem gives the blocks back when it likes.
    let back = Instant::now() + Duration::from_secs(20);
    while store.bulk().create_temp().is_err() && Instant::now() < back {
        std::thread::sleep(Duration::from_millis(20));
    }
    let last = (0..50).map(|_| write(&store).unwrap()).last().unwrap();
    assert_eq!(last, 250);
    // Now the store itself fills the disk.
    let last = (0..).find_map(|_| write(&store).err()).unwrap();
    assert_eq!(last.kind(), Kind::NoSpace, "{last}");
    store.sync().unwrap();
    let written = store.range(b"").count() as u32;
    let mut batch = Batch::new();
    (0..written).step_by(2).take(50).for_each(|n| batch.remove(n.to_be_bytes()));
    batch.frees_space();
    store.apply(batch).unwrap();
    store.sync().unwrap();
    store.close().unwrap();
    let opened =
        Store::open(&dir, Options { check: true, reserve_bytes: 4 << 20, ..Options::default() }).unwrap();
    assert!(opened.report.clean);
    for pair in opened.store.range(b"") {
        let (key, value) = pair.unwrap();
        assert!(value == vec![key[3]; 20_000]);
    }
    assert_eq!(opened.store.range(b"").count() as u32, written - 50.min(written.div_ceil(2)));
}
