//! Group commit, and readers beside a writer.

use crate::{open, put, slow};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use store::{Batch, Options, Store};

#[test]
fn a_waiter_cuts_the_delay_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), slow()).unwrap().store;
    let first = store.apply(put("a", "1")).unwrap();
    let second = store.apply(put("b", "2")).unwrap();
    assert!(first < second);
    thread::sleep(Duration::from_millis(30));
    assert!(!store.durable(first));
    store.wait(first).unwrap();
    assert!(store.durable(second), "what was applied before the commit began goes with it");
    let begun = Instant::now();
    store.apply(put("c", "3")).unwrap();
    store.sync().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn without_a_waiter_it_becomes_durable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).store;
    let ticket = store.apply(put("a", "1")).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !store.durable(ticket) {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn listeners_hear_of_commits_in_order_and_few_syncs_serve_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).store;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    store.on_durable(Box::new(move |ticket| told.lock().unwrap().push(ticket)));
    store.on_durable(Box::new(|_| panic!("a listener that fails harms nobody")));
    thread::scope(|scope| {
        for t in 0..8u8 {
            let store = &store;
            scope.spawn(move || {
                let mut last = None;
                for n in 0..50u8 {
                    let ticket = store.apply(put([t, n], vec![n; 300])).unwrap();
                    assert!(last < Some(ticket));
                    last = Some(ticket);
                    if n % 5 == 0 {
                        store.wait(ticket).unwrap();
                        assert!(store.durable(ticket));
                    }
                }
            });
        }
    });
    store.sync().unwrap();
    let newest = store.newest();
    assert_eq!(newest.number(), 400);
    store.close().unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(heard.last(), Some(&newest));
    assert!(heard.len() < 400, "{} syncs for 400 batches", heard.len());
    assert_eq!(open(dir.path()).store.newest(), newest);
}

#[test]
fn a_reader_sees_whole_values_and_whole_batches_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap().store;
    let value = |n: u64| n.to_be_bytes().repeat(2000);
    let both = |n: u64| {
        let mut batch = Batch::new();
        batch.put("x", value(n));
        batch.put("y", value(n));
        batch
    };
    store.apply(both(0)).unwrap();
    let (over, seen) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let number = |v: &[u8]| {
                        assert!(v.len() == 16_000 && v.chunks(8).all(|c| c == &v[..8]), "a torn value");
                        u64::from_be_bytes(v[..8].try_into().unwrap())
                    };
                    let x = number(&store.get(b"x").unwrap().unwrap());
                    let y = number(&store.get(b"y").unwrap().unwrap());
                    assert!(x <= y, "a batch seen in parts");
                    let pairs: Vec<_> = store.range(b"").map(|p| p.unwrap()).collect();
                    assert_eq!(pairs.len(), 2);
                    assert!(y <= number(&pairs[0].1) && number(&pairs[0].1) <= number(&pairs[1].1));
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for n in 1..400 {
            store.apply(both(n)).unwrap();
        }
        over.store(true, Ordering::SeqCst);
    });
    assert!(seen.load(Ordering::SeqCst) > 0);
    assert!(store.check().unwrap().is_ok());
}

#[test]
fn the_last_clone_may_go_in_a_listener() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), slow()).unwrap().store;
    let slot = Arc::new(Mutex::new(None::<Store>));
    let held = slot.clone();
    let (said, heard) = std::sync::mpsc::channel();
    store.on_durable(Box::new(move |_| {
        let last = held.lock().unwrap().take();
        let _ = said.send(last.is_some());
    }));
    store.apply(put("k", "v")).unwrap();
    *slot.lock().unwrap() = Some(store.clone());
    store.sync().unwrap();
    drop(store);
    heard.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn what_is_deferred_comes_with_the_next_batch_or_commit_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), slow()).unwrap().store;
    let first = store.defer(put("a", "1")).unwrap();
    let second = store.defer(put("b", "1")).unwrap();
    assert_eq!((first, store.get(b"a").unwrap()), (second, None));
    let third = store.apply(put("a", "2")).unwrap();
    assert!(first <= third);
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get(b"b").unwrap().as_deref(), Some(&b"1"[..]));
    let mut batch = put("b", "3");
    batch.remove_prefix(b"a");
    let fourth = store.defer(batch).unwrap();
    assert!(third < fourth && fourth == store.newest() && !store.durable(fourth));
    store.wait(fourth).unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
    assert_eq!(store.get(b"b").unwrap().as_deref(), Some(&b"3"[..]));
    // A commit that nobody asked for brings it too; and so does closing.
    store.defer(put("c", "1")).unwrap();
    store.close().unwrap();
    let store = open(dir.path()).store;
    assert_eq!(store.get(b"c").unwrap().as_deref(), Some(&b"1"[..]));
    let ticket = store.defer(put("c", "2")).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !store.durable(ticket) {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(store.get(b"c").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn deferred_and_applied_batches_of_many_threads_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).store;
    thread::scope(|scope| {
        for t in 0..6u8 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..200u8 {
                    let batch = put([t], [n]);
                    let ticket = match (t + n) % 3 {
                        0 => store.apply(batch).unwrap(),
                        _ => store.defer(batch).unwrap(),
                    };
                    if n % 50 == 7 {
                        store.wait(ticket).unwrap();
                        assert_eq!(store.get(&[t]).unwrap().as_deref(), Some(&[n][..]));
                    }
                }
            });
        }
    });
    store.clone().close().unwrap();
    for t in 0..6u8 {
        assert_eq!(store.get(&[t]).unwrap().as_deref(), Some(&[199][..]));
    }
}
