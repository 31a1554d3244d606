//! Values, ranges, openings.

use crate::{open, put, quick_dir, slow};
use base::Kind;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Batch, Error, Options, Store};

#[test]
fn values_of_every_size_come_back_also_after_reopening() {
    let dir = quick_dir();
    let sizes = [0, 1, 255, 3834, 3835, 3836, 4096, 8148, 8149, 100_000, 1 << 20, base::limit::ENTRY_BYTES];
    let value = |n: usize| (0..n).map(|i| (i * 7 + n) as u8).collect::<Vec<u8>>();
    let store = open(dir.path()).store;
    for n in sizes {
        store.apply(put(format!("k{n:08}"), value(n))).unwrap();
    }
    let all: Vec<_> = store.range(b"k").map(|p| p.unwrap()).collect();
    assert_eq!(all, sizes.map(|n| (format!("k{n:08}").into_bytes(), value(n))).to_vec());
    store.close().unwrap();
    let opened = open(dir.path());
    assert!(opened.report.clean && !opened.report.new);
    for n in sizes {
        assert_eq!(opened.store.get(format!("k{n:08}").as_bytes()).unwrap(), Some(value(n)), "{n} bytes");
    }
    assert!(opened.store.check().unwrap().is_ok());
    assert!(no_blobs(dir.path()));
}

fn no_blobs(dir: &std::path::Path) -> bool {
    fs::read_dir(dir.join("db/blobs")).unwrap().next().is_none()
}

#[test]
fn the_engine_puts_nothing_into_files_that_it_never_syncs() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    // The fattest records there are, many to a page, overwritten so that pages are rewritten whole.
    for round in 0..6u8 {
        for n in 0..400u32 {
            let mut key = n.to_be_bytes().to_vec();
            key.resize(255, round * (n % 2) as u8);
            store.apply(put(key, vec![round; 3835])).unwrap();
        }
        assert!(no_blobs(dir.path()), "round {round}");
    }
}

#[test]
fn a_large_value_replaced_or_removed_leaves_no_pieces() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    for value in [vec![1; 100_000], vec![2; 50_000], b"small".to_vec(), vec![3; 9000]] {
        store.apply(put("k", value.clone())).unwrap();
        assert_eq!(store.get(b"k").unwrap(), Some(value));
        assert_eq!(store.check().unwrap().faults, Vec::<String>::new());
    }
    let mut batch = Batch::new();
    batch.remove("k");
    batch.remove("never there");
    store.apply(batch).unwrap();
    assert_eq!(store.get(b"k").unwrap(), None);
    let check = store.check().unwrap();
    assert_eq!((check.keys, check.bytes, check.is_ok()), (0, 0, true));
}

#[test]
fn ranges_keep_to_their_prefix_and_start() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    let mut batch = Batch::new();
    for key in ["a", "ab", "ab1", "ab2", "ac", "b"] {
        batch.put(key, key);
    }
    batch.put(vec![0xff, 0xff], "last");
    batch.put(vec![], "first");
    store.apply(batch).unwrap();
    let keys =
        |r: store::Range| r.map(|p| String::from_utf8_lossy(&p.unwrap().0).into_owned()).collect::<Vec<_>>();
    assert_eq!(keys(store.range(b"ab")), ["ab", "ab1", "ab2"]);
    assert_eq!(keys(store.range_from(b"ab", b"ab2")), ["ab2"]);
    assert_eq!(keys(store.range_from(b"ab", b"aa")), ["ab", "ab1", "ab2"]);
    assert!(keys(store.range_from(b"ab", b"zz")).is_empty());
    assert_eq!(store.range(b"").count(), 8);
    assert_eq!(store.range(b"ab").next_back().unwrap().unwrap().0, b"ab2");
    assert_eq!(store.range(&[0xff]).count(), 1);
    let mut batch = Batch::new();
    batch.remove_prefix(b"ab");
    batch.put("ab3", "new");
    store.apply(batch).unwrap();
    assert_eq!(keys(store.range(b"a")), ["a", "ab3", "ac"]);
    assert!(store.contains(b"ab3").unwrap() && !store.contains(b"ab").unwrap());
    assert!(store.check().unwrap().is_ok());
}

#[test]
fn what_is_over_a_limit_is_refused_and_changes_nothing() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    let mut batch = put("fine", "value");
    batch.put(vec![0; 256], "value");
    assert_eq!(store.apply(batch).unwrap_err().kind(), Kind::TooLarge);
    assert_eq!(store.get(b"fine").unwrap(), None);
    store.apply(put(vec![0; 255], "value")).unwrap();
}

#[test]
fn a_second_opening_hears_who_has_it() {
    let dir = quick_dir();
    let store = open(dir.path()).store;
    let error = Store::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Running { pid: Some(pid) } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains("already running (pid"));
    assert_eq!(Store::quarantine(dir.path()).unwrap_err().kind(), Kind::Running);
    let clone = store.clone();
    store.close().unwrap();
    assert_eq!(clone.apply(put("k", "v")).unwrap_err().kind(), Kind::Poisoned);
    drop(clone);
    for _ in 0..5 {
        open(dir.path());
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = quick_dir();
    open(dir.path()).store.close().unwrap();
    fs::write(dir.path().join("FORMAT"), "chorus store 2\n").unwrap();
    let error = Store::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(dir.path().join("clean").exists());
    fs::write(dir.path().join("FORMAT"), [0xff, 0]).unwrap();
    assert_eq!(Store::open(dir.path(), Options::default()).unwrap_err().kind(), Kind::Corrupt);
}

/// Written by the first version; every later one must read it.
#[test]
fn a_store_of_the_first_format_opens() {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/format-1");
    let dir = quick_dir();
    fs::create_dir(dir.path().join("db")).unwrap();
    for file in ["FORMAT", "clean", "durable", "db/conf", "db/db"] {
        fs::copy(from.join(file), dir.path().join(file)).unwrap();
    }
    let opened = open(dir.path());
    assert!(opened.report.clean && !opened.report.new);
    let store = opened.store;
    let large: Vec<u8> = (0..1500u32).flat_map(u32::to_be_bytes).collect();
    let wanted: [(&[u8], &[u8]); 3] = [(b"empty", b""), (b"large", &large), (b"small", b"value")];
    let found: Vec<_> = store.range(b"").map(|p| p.unwrap()).collect();
    assert!(found.iter().map(|(k, v)| (k.as_slice(), v.as_slice())).eq(wanted));
    assert_eq!(store.newest().number(), 2);
    assert_eq!(store.apply(put("more", "value")).unwrap().number(), 3);
}

#[test]
fn the_report_tells_new_clean_and_unclean_apart() {
    let dir = quick_dir();
    let opened = open(dir.path());
    assert!(opened.report.new && opened.report.clean);
    opened.store.apply(put("k", "v")).unwrap();
    drop(opened);
    let opened = open(dir.path());
    assert!(!opened.report.new && opened.report.clean);
    drop(opened);
    fs::remove_file(dir.path().join("clean")).unwrap();
    fs::write(dir.path().join("tmp/7"), "half a file").unwrap();
    let opened = open(dir.path());
    assert!(!opened.report.clean);
    assert_eq!(opened.report.removed_bulk, ["7"]);
    assert_eq!(opened.store.get(b"k").unwrap(), Some(b"v".to_vec()));
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_again() {
    let dir = quick_dir();
    fs::create_dir(dir.path().join("db")).unwrap();
    fs::write(dir.path().join("db/conf"), "half of something").unwrap();
    assert!(open(dir.path()).report.new);
    let store = open(dir.path()).store;
    store.apply(put("k", "v")).unwrap();
    store.close().unwrap();
    fs::remove_file(dir.path().join("FORMAT")).unwrap();
    assert_eq!(Store::open(dir.path(), Options::default()).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_failed_sync_poisons_until_reopened() {
    let dir = quick_dir();
    let fail = Arc::new(AtomicBool::new(false));
    let options = Options { fail_sync: Some(fail.clone()), ..slow() };
    let store = Store::open(dir.path(), options).unwrap().store;
    let first = store.apply(put("a", "1")).unwrap();
    store.wait(first).unwrap();
    fail.store(true, Ordering::SeqCst);
    let second = store.apply(put("b", "2")).unwrap();
    assert_eq!(store.wait(second).unwrap_err().kind(), Kind::Poisoned);
    fail.store(false, Ordering::SeqCst);
    assert!(store.is_poisoned() && store.durable(first) && !store.durable(second));
    assert_eq!(store.apply(put("c", "3")).unwrap_err().kind(), Kind::Poisoned);
    assert_eq!(store.sync().unwrap_err().kind(), Kind::Poisoned);
    store.wait(first).unwrap();
    assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.close().unwrap_err().kind(), Kind::Poisoned);
    let opened = open(dir.path());
    assert!(!opened.report.clean && !opened.store.is_poisoned());
    assert_eq!(opened.store.get(b"a").unwrap(), Some(b"1".to_vec()));
    let again = opened.store.apply(put("c", "3")).unwrap();
    opened.store.wait(again).unwrap();
}
