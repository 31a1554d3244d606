//! `chorus fsck`: the full check of a store, and making everything derived again.

use crate::api::FsckReport;
use crate::core::Core;
use crate::error::Result;
use crate::home::Home;
use crate::record::{self, BlobRecord};
use base::{Entry, Hash, Kind, ObjectId, SpaceId, SpaceTag};
use std::collections::BTreeMap;
use std::path::Path;
use store::{Batch, Store};

/// What shows where, and with what bytes: equal digests are equal trees.
pub(crate) fn tree_digest(core: &Core) -> Result<Hash> {
    let mut lines = Vec::new();
    for space in space_ids(core) {
        walk(core, &space, &space.root(), "", &mut lines)?;
    }
    lines.sort();
    Ok(Hash::of(&lines.iter().map(|l| l.as_bytes()).collect::<Vec<_>>()))
}

fn walk(core: &Core, space: &SpaceId, room: &ObjectId, path: &str, lines: &mut Vec<String>) -> Result<()> {
    use crate::api::{Body, Target, What};
    let room = base::Oid { space: *space, object: *room };
    for found in core.list(&room, None, usize::MAX)? {
        let oid = found.target.oid();
        let here = format!("{path}/{}", found.name);
        let content = match (&found.target, found.what) {
            (Target::LinkTo(to), _) => format!("to {}", to.object),
            (_, What::Room) if oid.space == *space => {
                walk(core, space, &oid.object, &here, lines)?;
                "room".into()
            }
            (_, What::Room) => format!("space {}", oid.space),
            _ => match core.read(&oid)?.1 {
                Body::Bytes(bytes) => Hash::of(&[&bytes]).hex(),
                Body::File(_, size) | Body::Remote { size } => {
                    format!("{size} {:?}", core.head_content(&oid))
                }
            },
        };
        let perm = core.attr(&oid).map_or(0, |a| a.perm);
        lines.push(format!("{space} {here} {} {perm:o} {content}\n", oid.object));
    }
    Ok(())
}

fn space_ids(core: &Core) -> Vec<SpaceId> {
    core.state.read().spaces.values().map(|s| s.id).collect()
}

pub(crate) fn fsck(dir: &Path, rebuild: bool) -> Result<FsckReport> {
    let mut report = FsckReport::default();
    let (core, _) = Core::open(dir, None)?;
    check_entries(&core, &mut report)?;
    check_blobs(&core, &mut report)?;
    report.objects = core.state.read().spaces.values().map(|s| s.heads.len() as u64).sum();
    let checked = core.store.check()?;
    report.problems.extend(checked.faults);
    if !rebuild {
        core.store.clone().close()?;
        return Ok(report);
    }
    let before = tree_digest(&core)?;
    let store = core.store.clone();
    drop(core);
    let mut batch = Batch::new();
    batch.put(record::node_key("rebuild", b""), Vec::new());
    store.apply(batch)?;
    store.sync()?;
    delete_derived(&store)?;
    let again = reopen(dir, store)?;
    if tree_digest(&again)? != before {
        report.problems.push("the tree built again differs from the one that was shown".into());
    }
    again.store.clone().close()?;
    Ok(report)
}

fn reopen(dir: &Path, store: Store) -> Result<Core> {
    let home = Home::open(dir)?;
    let keys = home.keys()?;
    let me = crate::core::read_me(&store)?.ok_or_else(crate::core::no_object)?;
    Ok(Core::with_store(store, keys, me)?.0)
}

/// Deletes everything that can be made again from the entries.
pub(crate) fn delete_derived(store: &Store) -> Result<()> {
    for family in record::DERIVED {
        loop {
            let keys: Vec<Vec<u8>> = store
                .range(&[family])
                .take(4096)
                .map(|found| found.map(|(key, _)| key))
                .collect::<Result<_, _>>()?;
            if keys.is_empty() {
                break;
            }
            let mut batch = Batch::new();
            for key in keys {
                batch.remove(key);
            }
            store.apply(batch)?;
        }
    }
    Ok(store.sync()?)
}

fn check_entries(core: &Core, report: &mut FsckReport) -> Result<()> {
    let mut tags: BTreeMap<SpaceTag, SpaceId> = BTreeMap::new();
    {
        let state = core.state.read();
        tags.extend(state.spaces.values().map(|s| (s.tag, s.id)));
        tags.extend(state.statements.iter().map(|(tag, (person, _))| (*tag, person.space())));
    }
    for (tag, space) in tags {
        let mut chain = crate::holes::Chain::default();
        for found in core.store.range(&record::entries_of(&tag)) {
            let (_, bytes) = found?;
            report.entries += 1;
            let entry = match Entry::decode(bytes) {
                Ok(entry) => entry,
                Err(e) => {
                    report.problems.push(format!("an entry of space {tag} does not decode: {e}"));
                    continue;
                }
            };
            if let Err(e) = crypto::verify_entry(&space, &entry) {
                report.problems.push(format!("entry {}: {e}", entry.hash()));
            }
            if !chain.follows(&entry) {
                let (log, seq) = (entry.header().log, entry.header().seq);
                let whose = core.name_of_device(&log.device);
                report.problems.push(format!(
                    "entries of {whose} are missing before number {seq} (space {tag}); friends who have them are \
                     asked when the node runs"
                ));
                core.note_hole(&tag, &log);
            }
        }
    }
    Ok(())
}

fn check_blobs(core: &Core, report: &mut FsckReport) -> Result<()> {
    for space in space_ids(core) {
        let tag = space.tag();
        for found in core.store.range(&record::chunks_of(&tag)) {
            let (key, _) = found?;
            let id = base::ChunkId::from_slice(&key[key.len() - base::ChunkId::LEN..])?;
            if let Err(e) = core.sealed_chunk(&tag, &id) {
                let what = if e.kind() == Kind::Corrupt { "is damaged" } else { "cannot be read" };
                report.problems.push(format!("chunk {id} {what}: {e}"));
            }
        }
    }
    for found in core.store.range(b"b") {
        let blob: BlobRecord = record::from_bytes(&found?.1, "blob record")?;
        if core.store.bulk().len(&blob.bulk.name)? != Some(blob.bulk.size) {
            report.problems.push("a large file is missing or has another size than its record says".into());
        }
    }
    Ok(())
}
