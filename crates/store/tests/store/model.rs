//! Any sequence of batches against a map in memory.

use crate::{open, quick_dir};
use proptest::prelude::*;
use std::collections::BTreeMap;
use store::{Batch, Store};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Change {
    Put(Vec<u8>, usize, u8),
    Remove(Vec<u8>),
    Clear(Vec<u8>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(b'h'), Just(0xff)], 0..4),
        1 => proptest::collection::vec(Just(0xffu8), 250..=255),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0usize..40, 3 => 3700usize..12_500, 1 => 12_500usize..200_000, 1 => Just(1usize << 20)]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (key(), size(), any::<u8>()).prop_map(|(k, n, b)| Change::Put(k, n, b)),
        3 => key().prop_map(Change::Remove),
        1 => proptest::collection::vec(Just(0xffu8), 0..2).prop_map(Change::Clear),
    ]
}

fn value(len: usize, byte: u8) -> Vec<u8> {
    (0..len).map(|i| byte.wrapping_add((i >> 3) as u8)).collect()
}

fn apply(model: &mut Model, changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for change in changes {
        match change {
            Change::Put(key, len, byte) => {
                batch.put(key.clone(), value(*len, *byte));
                model.insert(key.clone(), value(*len, *byte));
            }
            Change::Remove(key) => {
                batch.remove(key.clone());
                model.remove(key);
            }
            Change::Clear(prefix) => {
                batch.remove_prefix(prefix);
                model.retain(|k, _| !k.starts_with(prefix));
            }
        }
    }
    batch
}

fn same(store: &Store, model: &Model) {
    let all: Model = store.range(b"").map(|p| p.unwrap()).collect();
    assert!(all == *model, "the store has {:?}, the model {:?}", shape(&all), shape(model));
    let back: Vec<_> = store.range(b"").rev().map(|p| p.unwrap().0).collect();
    assert!(back.iter().rev().eq(model.keys()));
}

fn shape(model: &Model) -> Vec<(&[u8], usize)> {
    model.iter().map(|(k, v)| (k.as_slice(), v.len())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_store_is_a_sorted_map(
        batches in proptest::collection::vec((proptest::collection::vec(change(), 0..6), any::<bool>()), 1..10),
        prefix in key(),
        start in key(),
    ) {
        let dir = quick_dir();
        let mut store = open(dir.path()).store;
        let mut model = Model::new();
        for (changes, reopen) in &batches {
            store.apply(apply(&mut model, changes)).unwrap();
            if *reopen {
                store.close().unwrap();
                store = open(dir.path()).store;
            }
            for change in changes {
                if let Change::Put(key, ..) | Change::Remove(key) = change {
                    prop_assert!(store.get(key).unwrap().as_ref() == model.get(key));
                }
            }
        }
        same(&store, &model);
        let found: Vec<_> = store.range_from(&prefix, &start).map(|p| p.unwrap().0).collect();
        let wanted: Vec<_> = model.keys().filter(|k| k.starts_with(&prefix) && **k >= start).cloned().collect();
        prop_assert_eq!(found, wanted);
        let check = store.check().unwrap();
        prop_assert_eq!((check.keys, check.faults), (model.len() as u64, vec![]));
    }
}
