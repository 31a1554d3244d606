//! Flipped bits, cut and old files: an error or the right bytes, never others, and never a panic.

use crate::{Numbers, put, quick_dir};
use base::Kind;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::{Batch, Error, Options, Store};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

// A store with small and large values, some replaced, some removed, over two openings.
fn make(dir: &Path) -> Model {
    let mut model = Model::new();
    let mut numbers = Numbers(5);
    for _ in 0..2 {
        let store = Store::open(dir, Options::default()).unwrap().store;
        for _ in 0..150 {
            let mut batch = Batch::new();
            for _ in 0..3 {
                let key = format!("key {:03}", numbers.below(200)).into_bytes();
                match numbers.below(8) {
                    0 => {
                        batch.remove(key.clone());
                        model.remove(&key);
                    }
                    n => {
                        let len = if n == 1 { 9000 } else { 200 };
                        let value = vec![numbers.next() as u8; len];
                        batch.put(key.clone(), value.clone());
                        model.insert(key, value);
                    }
                }
            }
            store.apply(batch).unwrap();
        }
        store.close().unwrap();
    }
    model
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_name() == "bulk" {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

// Whether damage was noticed; panics where wrong bytes came back as right ones.
fn noticed(dir: &Path, model: &Model, options: Options) -> bool {
    let store = match Store::open(dir, options) {
        Ok(opened) => opened.store,
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Corrupt), "{error}");
            return true;
        }
    };
    let mut noticed = false;
    for (key, value) in model {
        match store.get(key) {
            Ok(found) => {
                assert!(found.as_ref() == Some(value), "wrong bytes for {}", String::from_utf8_lossy(key))
            }
            Err(_) => noticed = true,
        }
    }
    let mut seen = 0;
    for pair in store.range(b"") {
        match pair {
            Ok((key, value)) => assert!(model.get(&key) == Some(&value)),
            Err(_) => noticed = true,
        }
        seen += 1;
    }
    assert!(noticed || seen == model.len());
    noticed
}

fn flip(path: &Path, at: u64, bit: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, at).unwrap();
}

// The child of the tests below: looks at the store in a directory, in a process of its own, because the engine may go
// in circles on a damaged file and take all memory that there is.
#[test]
fn looker() {
    let Ok(dir) = std::env::var(LOOK) else { return };
    let good = Path::new(&dir).with_file_name("good model");
    let model: Model = fs::read(good).unwrap().chunks_exact(RECORD).map(record).collect();
    let found = noticed(Path::new(&dir), &model, Options::default());
    std::process::exit(if found { NOTICED } else { NOTHING });
}

const LOOK: &str = "CHORUS_STORE_LOOK";
const NOTICED: i32 = 10;
const NOTHING: i32 = 11;
/// A key of 7 bytes, the length and the byte of its value.
const RECORD: usize = 16;

fn record(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let len = usize::from_be_bytes(bytes[7..15].try_into().unwrap());
    (bytes[..7].to_vec(), vec![bytes[15]; len])
}

fn keep(model: &Model, file: &Path) {
    let records =
        model.iter().map(|(key, value)| [&key[..], &value.len().to_be_bytes(), &value[..1]].concat());
    fs::write(file, records.collect::<Vec<_>>().concat()).unwrap();
}

// Whether damage was noticed; none where the engine goes in circles.
fn noticed_elsewhere(dir: &Path) -> Option<bool> {
    let mut look = Command::new(std::env::current_exe().unwrap());
    look.args(["damage::looker", "--exact", "--nocapture"]).env(LOOK, dir);
    let mut look = look.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while look.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            look.kill().unwrap();
            look.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let done = look.wait_with_output().unwrap();
    match done.status.code() {
        Some(NOTICED) => Some(true),
        Some(NOTHING) => Some(false),
        _ => panic!("{}", String::from_utf8_lossy(&done.stderr)),
    }
}

fn flip_many(clean: bool) {
    let rounds = 40;
    let home = quick_dir();
    let model = make(&home.path().join("good"));
    let good = home.path().join("good");
    if !clean {
        fs::remove_file(good.join("clean")).unwrap();
    }
    let mut numbers = Numbers(9);
    keep(&model, &home.path().join("good model"));
    let (mut found, mut circles) = (0, 0);
    for round in 0..rounds {
        let bad = home.path().join(format!("bad{round}"));
        copy(&good, &bad);
        let files: Vec<_> = fs::read_dir(bad.join("db"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_file())
            .collect();
        let mut files: Vec<_> = files.into_iter().filter(|p| p.metadata().unwrap().len() > 0).collect();
        files.sort();
        // Mostly the log, where nearly all bytes are.
        let log = bad.join("db/db");
        let file = if round % 6 == 0 { &files[round / 6 % files.len()] } else { &log };
        let len = file.metadata().unwrap().len();
        for _ in 0..1 + numbers.below(3) {
            flip(file, numbers.below(len), numbers.below(8) as u8);
        }
        match noticed_elsewhere(&bad) {
            Some(noticed) => found += usize::from(noticed),
            None => circles += 1,
        }
        fs::remove_dir_all(&bad).unwrap();
    }
    println!("{found} of {rounds} noticed, {circles} in circles; the others hit nothing that counts");
    assert!(circles <= 2, "{circles} of {rounds}");
}

#[test]
fn flipped_bits_after_a_crash() {
    flip_many(false);
}

#[test]
fn flipped_bits_after_a_clean_close() {
    flip_many(true);
}

#[test]
fn a_database_older_than_its_promises_is_refused() {
    let home = quick_dir();
    let (dir, old) = (home.path().join("store"), home.path().join("old"));
    let store = Store::open(&dir, Options::default()).unwrap().store;
    store.apply(put("a", "1")).unwrap();
    store.close().unwrap();
    copy(&dir, &old);
    let store = Store::open(&dir, Options::default()).unwrap().store;
    store.apply(put("b", "2")).unwrap();
    store.close().unwrap();
    fs::remove_dir_all(dir.join("db")).unwrap();
    copy(&old.join("db"), &dir.join("db"));
    let error = Store::open(&dir, Options::default()).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { what, .. } if what.contains("batch 2 was durable")), "{error}");
    let opened = Store::open(&dir, Options { salvage: true, ..Options::default() }).unwrap();
    assert!(!opened.report.faults.is_empty());
    assert_eq!(opened.store.get(b"a").unwrap(), Some(b"1".to_vec()));
    opened.store.apply(put("c", "3")).unwrap();
    opened.store.close().unwrap();
    let opened = Store::open(&dir, Options { check: true, ..Options::default() }).unwrap();
    assert_eq!(opened.store.range(b"").count(), 2);
}

#[test]
fn a_damaged_database_is_set_aside_only_when_asked() {
    let home = quick_dir();
    let dir = home.path();
    make(dir);
    let log = dir.join("db/db");
    let len = fs::metadata(&log).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    (0..len / 512).for_each(|n| file.write_all_at(&[0xa5; 256], n * 512).unwrap());
    for _ in 0..2 {
        let error = Store::open(dir, Options::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("db.corrupt-N"));
    }
    assert_eq!(Store::quarantine(dir).unwrap(), Some(dir.join("db.corrupt-1")));
    let opened = Store::open(dir, Options::default()).unwrap();
    assert!(opened.report.new);
    assert_eq!(opened.store.range(b"").count(), 0);
    opened.store.apply(put("k", "v")).unwrap();
    opened.store.close().unwrap();
    assert!(dir.join("db.corrupt-1/db").exists());
}

#[test]
fn a_missing_database_is_damage_and_not_a_new_store() {
    let home = quick_dir();
    make(home.path());
    fs::remove_dir_all(home.path().join("db")).unwrap();
    assert_eq!(Store::open(home.path(), Options::default()).unwrap_err().kind(), Kind::Corrupt);
    fs::remove_dir_all(home.path().join("db")).unwrap();
    assert_eq!(Store::quarantine(home.path()).unwrap(), None);
    fs::write(home.path().join("FORMAT"), "?").unwrap();
    assert_eq!(Store::open(home.path(), Options::default()).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(Store::quarantine(home.path()).unwrap(), None);
    assert!(Store::open(home.path(), Options::default()).unwrap().report.new);
}
