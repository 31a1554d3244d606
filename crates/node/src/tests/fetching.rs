//! Large files arrive chunk by chunk, also where the disk fails for a while.

use super::Replicas;
use super::replicas::write;
use crate::api::{Body, NewContent};
use crate::chunks::Fetcher;
use crate::core::Core;
use base::Oid;
use object::Manifest;
use std::fs::File;
use std::os::unix::fs::FileExt;

struct Sent {
    replicas: Replicas,
    oid: Oid,
    content: Vec<u8>,
    manifest: Manifest,
}

// A large file that the second of two has heard of.
fn sent() -> Sent {
    let replicas = Replicas::new(2);
    let mut n: u64 = 1;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (n >> 33) as u8
    })
    .take(2 << 20)
    .collect();
    let oid = write(replicas.core(0), replicas.root(), "large", "");
    replicas.core(0).save(&oid, &Default::default(), NewContent::Bytes(content.clone())).unwrap();
    replicas.exchange();
    let manifest = crate::read::manifests(replicas.core(1), &oid).unwrap().pop().unwrap();
    assert!(manifest.chunks.len() > 2);
    Sent { replicas, oid, content, manifest }
}

impl Sent {
    fn core(&self) -> &Core {
        self.replicas.core(1)
    }

    fn hand_over(&self, fetcher: &mut Fetcher<'_>, n: usize) {
        let tag = self.replicas.space.tag();
        let id = self.manifest.chunks[n].id;
        let sealed = self.replicas.core(0).sealed_chunk(&tag, &id).unwrap().unwrap();
        fetcher.arrived(tag, id, &sealed);
    }

    fn check_whole(&self) {
        let Body::File(file, size) = self.core().read(&self.oid).unwrap().1 else {
            panic!("it is not whole")
        };
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == self.content);
        for chunk in &self.manifest.chunks {
            let served = self.core().sealed_chunk(&self.replicas.space.tag(), &chunk.id).unwrap();
            assert!(served.is_some(), "a chunk that is here is served");
        }
    }
}

fn rest_and_wake(fetcher: &mut Fetcher<'_>) {
    std::thread::sleep(fetcher.rest());
    fetcher.wake();
}

#[test]
fn a_write_that_fails_costs_nothing_but_time() {
    let sent = sent();
    let mut fetcher = Fetcher::new(sent.core());
    let key = (sent.replicas.space.tag(), sent.manifest.hash());
    fetcher.want(key.0, sent.manifest.clone());
    sent.hand_over(&mut fetcher, 0);
    // From here on the file takes nothing.
    fetcher.active.get_mut(&key).unwrap().file = File::open("/dev/null").unwrap();
    sent.hand_over(&mut fetcher, 1);
    assert!(fetcher.active.is_empty(), "it rests");
    assert_eq!(sent.core().fetching.load(std::sync::atomic::Ordering::Relaxed), 1);
    // What was asked for before comes late, and does no harm.
    sent.hand_over(&mut fetcher, 2);
    fetcher.want(key.0, sent.manifest.clone());
    assert!(fetcher.active.is_empty(), "it is not begun before its time");
    rest_and_wake(&mut fetcher);
    assert!(fetcher.active.contains_key(&key));
    for n in 0..sent.manifest.chunks.len() {
        sent.hand_over(&mut fetcher, n);
    }
    assert!(fetcher.active.is_empty());
    assert_eq!(sent.core().fetching.load(std::sync::atomic::Ordering::Relaxed), 0);
    sent.check_whole();
}

#[test]
fn a_file_that_cannot_be_opened_is_not_forgotten() {
    let sent = sent();
    let (core, tag) = (sent.core(), sent.replicas.space.tag());
    let mut fetcher = Fetcher::new(core);
    fetcher.want(tag, sent.manifest.clone());
    drop(fetcher);
    let bulk = core.blob(&tag, &sent.manifest.hash()).unwrap().unwrap().bulk;
    let path = core.store.bulk().path(&bulk.name);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let mut fetcher = Fetcher::new(core);
    fetcher.want(tag, sent.manifest.clone());
    assert!(fetcher.active.is_empty());
    std::fs::remove_dir(&path).unwrap();
    rest_and_wake(&mut fetcher);
    for n in 0..sent.manifest.chunks.len() {
        sent.hand_over(&mut fetcher, n);
    }
    sent.check_whole();
}

#[test]
fn old_versions_of_large_files_stay_as_long_as_there_is_room_for_them() {
    let Sent { replicas, oid, content, .. } = sent();
    let core = replicas.core(0);
    let tag = replicas.space.tag();
    // Another file has the first content too, and its chunks with it.
    let twin = write(core, replicas.root(), "twin", "");
    core.save(&twin, &Default::default(), NewContent::Bytes(content.clone())).unwrap();
    replicas.exchange();
    let kept = |core: &Core| core.store.range(b"b").count();
    let mut newest = content.clone();
    for version in 1..=8u8 {
        newest[..4096].fill(version);
        core.save(&oid, &core.attr(&oid).unwrap().version, NewContent::Bytes(newest.clone())).unwrap();
        replicas.exchange();
    }
    assert_eq!(kept(core), 9, "all are here while there is room");
    core.thin_superseded_to(3 * newest.len() as u64).unwrap();
    assert_eq!(kept(core), 5, "two that are shown, and three of the past");
    core.thin_superseded_to(0).unwrap();
    assert_eq!(kept(core), 2);
    for (oid, bytes) in [(&oid, &newest), (&twin, &content)] {
        let Body::File(file, size) = core.read(oid).unwrap().1 else { panic!("it is not whole") };
        let mut found = vec![0; size as usize];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == *bytes);
        // Whatever a friend may still need of what is shown is served.
        for manifest in crate::read::manifests(core, oid).unwrap() {
            assert!(manifest.chunks.iter().all(|c| core.sealed_chunk(&tag, &c.id).unwrap().is_some()));
        }
    }
}

#[test]
fn a_version_that_is_superseded_is_not_waited_for_for_ever() {
    let sent = sent();
    let (core, tag) = (sent.core(), sent.replicas.space.tag());
    let mut fetcher = Fetcher::new(core);
    fetcher.want(tag, sent.manifest.clone());
    sent.hand_over(&mut fetcher, 0);
    let stuck = |fetcher: &mut Fetcher<'_>| {
        for fetch in fetcher.active.values_mut() {
            fetch.moved = std::time::Instant::now() - std::time::Duration::from_secs(60);
        }
        fetcher.look_again();
        (fetcher.active.len(), core.fetching.load(std::sync::atomic::Ordering::Relaxed))
    };
    assert_eq!(stuck(&mut fetcher), (1, 1), "it is what the file shows");
    let newer = NewContent::Bytes(vec![0; 2 << 20]);
    let maker = sent.replicas.core(0);
    maker.save(&sent.oid, &maker.attr(&sent.oid).unwrap().version, newer).unwrap();
    sent.replicas.exchange();
    assert_eq!(stuck(&mut fetcher), (0, 0), "nothing shows it, and nobody sends it");
}
