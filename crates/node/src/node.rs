//! The handle that faces hold: every question and every edit goes through it.

use crate::api::{
    Appended, Attr, Body, Description, Event, Found, FsckReport, Identity, LogLine, NewContent, Read, Saved,
    Statfs, Status, Version,
};
use crate::arriving;
use crate::chunks::{self, ToChunks};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::holes;
use crate::link::{Link, ToLink};
use crate::local::{LocalEdit, Special};
use crate::scratch::{Scratch, ToCut, cut_loop};
use crate::serving::{SERVERS, serve_loop};
use crate::state::Newborn;
use base::{Hash, Kind, Oid, PersonId};
use lru::LruCache;
use object::{Birth, Content, Meta, MetaEdit, Type};
use parking_lot::Mutex;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How long an object born here counts as one that a program is just making.
const FRESH: Duration = Duration::from_secs(600);

/// How many of them are remembered.
const FRESH_OBJECTS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// How to start a node.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The home directory.
    pub home: PathBuf,
    /// Addresses to listen on; empty: those of last time, or ones chosen now and kept.
    pub listen: Vec<String>,
    /// Whether to speak to friends at all.
    pub network: bool,
}

/// The running node. Clones are handles to the same one.
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Arc<Core>,
    threads: Arc<Mutex<Threads>>,
    fresh: Arc<Mutex<LruCache<Oid, Instant>>>,
}

#[derive(Default)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    chunks: Option<crossbeam_channel::Sender<ToChunks>>,
}

impl Node {
    /// Makes the identity of a home without running it. Errors: `Exists` where there is one.
    pub fn init(home: &Path, name: Option<&str>) -> Result<Identity> {
        if home.join("store").join("FORMAT").exists() || home.join("keys").join("device").exists() {
            return Err(Error::refused(Kind::Exists, format!("{} has an identity already", home.display())));
        }
        let (core, _) = Core::open(home, name)?;
        let identity = core.identity();
        core.store.clone().close()?;
        Ok(identity)
    }

    /// Starts the node of a home, making the identity at the first time.
    pub fn start(options: Options) -> Result<Node> {
        let (core, woken) = Core::open(&options.home, None)?;
        let core = Arc::new(core);
        let fresh = Arc::new(Mutex::new(LruCache::new(FRESH_OBJECTS)));
        let node = Node { core: core.clone(), threads: Arc::default(), fresh };
        let sealing = core.clone();
        let cutting = core.clone();
        node.spawn("cut", move || cut_loop(&cutting, &cutting.cutting.1));
        node.spawn("seal", move || sealing.seal_loop(&woken));
        core.finish_all_placings();
        if options.network {
            node.go_online(&options)?;
        }
        Ok(node)
    }

    /// What all its threads share.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        match std::thread::Builder::new().name(format!("chorus-{name}")).spawn(work) {
            Ok(handle) => self.threads.lock().handles.push(handle),
            Err(e) => self.core.problem(format!("a thread could not be started: {e}")),
        }
    }

    fn go_online(&self, options: &Options) -> Result<()> {
        let core = &self.core;
        let (carried, carrier) = crossbeam_channel::bounded(base::limit::QUEUE);
        let listen = core.listen_addresses(&options.listen)?;
        let config = net::Config { seed: core.keys.device_seed.clone(), listen };
        let net = Arc::new(net::Net::start(config, move |event| drop(carried.send(event)))?);
        let (inbox_tx, inbox) = crossbeam_channel::unbounded();
        let (arriving_tx, arriving) = crossbeam_channel::bounded(base::limit::QUEUE);
        let (chunks_tx, chunks) = crossbeam_channel::unbounded();
        let (serve_tx, serve) = crossbeam_channel::unbounded();
        *core.net.write() = Some(net.clone());
        *core.link.write() = Some(inbox_tx);
        self.threads.lock().chunks = Some(chunks_tx.clone());
        let own = chunks_tx.clone();
        let (lister_tx, listing) = crossbeam_channel::bounded(holes::QUEUE);
        let link = Link::new(core.clone(), net.clone(), arriving_tx, chunks_tx, lister_tx)?;
        self.spawn("link", move || link.run(&inbox, &carrier));
        let taking = core.clone();
        self.spawn("intake", move || arriving::intake_loop(&taking, &arriving));
        let lists = core.clone();
        self.spawn("list", move || holes::list_loop(&lists, &listing));
        let fetching = core.clone();
        self.spawn("fetch", move || chunks::fetch_loop(&fetching, &chunks, &own, &serve_tx));
        let (wake, woken) = crossbeam_channel::bounded(1);
        core.load_dtn()?;
        *core.dtn.wake.lock() = Some(wake);
        let posting = core.clone();
        self.spawn("dtn", move || crate::dtn::post_loop(&posting, &woken));
        for _ in 0..SERVERS {
            let (serving, net, serve) = (core.clone(), net.clone(), serve.clone());
            self.spawn("serve", move || serve_loop(&serving, &net, &serve));
        }
        Ok(())
    }

    /// Stops: seals what is pending, ends the threads, closes the store.
    pub fn stop(&self) -> Result<()> {
        if self.core.stopping.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let sealed = self.core.seal_all(true);
        self.core.wake_sealer();
        self.core.wake_dtn();
        let _ = self.core.cutting.0.send(ToCut::Stop);
        self.core.tell_link(ToLink::Stop);
        let mut threads = self.threads.lock();
        if let Some(chunks) = threads.chunks.take() {
            let _ = chunks.send(ToChunks::Stop);
        }
        *self.core.link.write() = None;
        if let Some(net) = self.core.net.write().take() {
            // The threads below hold the last handles.
            drop(net);
        }
        for handle in threads.handles.drain(..) {
            let _ = handle.join();
        }
        self.core.events.close();
        let closed = self.core.store.clone().close();
        sealed?;
        Ok(closed?)
    }

    /// Home's root room, which is the mount's root.
    pub fn root(&self) -> Oid {
        self.core.root()
    }

    /// The person who runs this node.
    pub fn me(&self) -> PersonId {
        self.core.me.person
    }

    /// Who runs this node, with what people compare.
    pub fn identity(&self) -> Identity {
        self.core.identity()
    }

    /// What `stat` needs of an object.
    pub fn attr(&self, oid: Oid) -> Result<Attr> {
        self.core.attr(&oid)
    }

    /// Where a name of a room leads. Errors: `NotFound`, `NotRoom`.
    pub fn lookup(&self, room: Oid, name: &str) -> Result<Found> {
        let room = self.core.now_at(room);
        self.core.lookup(&room, name)
    }

    /// At most `max` names of a room in order, those after `after`.
    pub fn list(&self, room: Oid, after: Option<&str>, max: usize) -> Result<Vec<Found>> {
        let room = self.core.now_at(room);
        self.core.list(&room, after, max)
    }

    /// A number of what a room lists now, to be asked for before it is listed: another one after any of its names changed.
    pub fn listing(&self, room: Oid) -> u64 {
        self.core.listings.number(self.core.now_at(room))
    }

    /// The room above, across spaces up to home; none above home's root.
    pub fn parent(&self, room: Oid) -> Option<Oid> {
        let room = self.core.now_at(room);
        self.core.parent(&room)
    }

    /// The path from home's root, if a way leads to the object.
    pub fn path(&self, oid: Oid) -> Option<String> {
        self.core.path(&oid)
    }

    /// How many rooms are above a room within its space.
    pub fn depth_in_space(&self, room: Oid) -> usize {
        self.core.depth_in_space(&room)
    }

    /// The newest version of a file, and its bytes.
    pub fn read(&self, oid: Oid) -> Result<(Version, Body)> {
        self.core.read(&oid)
    }

    /// Another version that stands beside the newest.
    pub fn read_version(&self, oid: Oid, version: Hash) -> Result<Body> {
        self.core.read_version(&oid, &version)
    }

    /// Bytes of a blob that is not wholly here; waits for them up to a deadline. Errors: `Unreachable`.
    pub fn read_remote(&self, oid: Oid, version: &Version, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.core.read_remote(&oid, version, offset, len)
    }

    /// The bytes of a blob's version, once all of them are here; none while some are on their way.
    pub fn whole(&self, oid: Oid, version: &Version) -> Option<Body> {
        self.core.whole(&oid, version)
    }

    /// The text of a symlink.
    pub fn read_link(&self, oid: Oid) -> Result<Vec<u8>> {
        self.core.read_link(&oid)
    }

    /// A file without a name, for a working copy of an object.
    pub fn scratch(&self, oid: Oid) -> Result<Scratch> {
        self.core.scratch(oid)
    }

    /// Makes an empty file, only in memory until it is saved or settled; `local` is never sent.
    pub fn create(&self, room: Oid, name: &str, perm: u16, local: bool) -> Result<Oid> {
        let room = self.core.now_at(room);
        let oid = self.core.locked_to_add(&room, |core| core.create(room, name, perm, local))?;
        self.fresh.lock().put(oid, Instant::now());
        Ok(oid)
    }

    /// A created file that was closed without a save is an empty file from now on.
    pub fn settle(&self, oid: Oid) -> Result<()> {
        self.core.settle(&oid)
    }

    /// Makes a room.
    pub fn mkdir(&self, room: Oid, name: &str, perm: u16) -> Result<Oid> {
        let room = self.core.now_at(room);
        let oid = self.core.locked_to_add(&room, |core| core.mkdir(room, name))?;
        if self.core.attr(&oid)?.perm & 0o777 != perm & 0o777 {
            self.core.set_attr(&oid, Some(perm), None)?;
        }
        Ok(oid)
    }

    /// Makes a symlink.
    pub fn symlink(&self, room: Oid, name: &str, target: &[u8]) -> Result<Oid> {
        let room = self.core.now_at(room);
        self.core.locked_to_add(&room, |core| core.symlink(room, name, target))
    }

    /// Puts another door to a file.
    pub fn link(&self, oid: Oid, room: Oid, name: &str) -> Result<()> {
        let (oid, room) = (self.core.now_at(oid), self.core.now_at(room));
        self.core.locked(|core| core.link(oid, room, name))
    }

    /// Removes a name of a file or link.
    pub fn unlink(&self, room: Oid, name: &str) -> Result<()> {
        let room = self.core.now_at(room);
        let found = self.core.lookup(&room, name)?;
        match found.version {
            Some(version) => self.core.drop_version(&found.target.oid(), &version),
            None => self.core.locked(|core| core.unlink(room, name)),
        }
    }

    /// Removes an empty room.
    pub fn rmdir(&self, room: Oid, name: &str) -> Result<()> {
        let room = self.core.now_at(room);
        self.core.locked(|core| core.rmdir(room, name))
    }

    /// Renames; what had the new name loses it. Errors: as rename(2).
    pub fn rename(&self, from: Oid, old: &str, to: Oid, new: &str, no_replace: bool) -> Result<()> {
        let (from, to) = (self.core.now_at(from), self.core.now_at(to));
        self.core.locked(|core| core.rename(from, old, to, new, no_replace))
    }

    /// A save by replacement: `target` takes the content, permissions and time of the object at (from, old) as an edit
    /// of `base`, or of one of those read earlier (of the newest, if none); the other's name vanishes.
    pub fn replace(
        &self,
        from: Oid,
        old: &str,
        target: Oid,
        base: Option<(&Version, &[Version])>,
    ) -> Result<Saved> {
        let (from, now) = (self.core.now_at(from), self.core.now_at(target));
        let source = self.core.lookup(&from, old)?.target.oid();
        let (newest, _) = self.core.read(&now)?;
        let content = match self.core.read(&source)?.1 {
            Body::Bytes(bytes) => NewContent::Bytes(bytes.to_vec()),
            Body::File(file, size) => NewContent::File(reopen(&file)?, size),
            Body::Remote { .. } => {
                return Err(Error::refused(Kind::Unreachable, "the new content is not on this machine"));
            }
        };
        let attr = self.core.attr(&source)?;
        let (target, base) = match (base, &content) {
            (None, _) => (now, newest),
            (Some((base, earlier)), NewContent::Bytes(bytes)) => {
                (target, self.likeliest(target, base, earlier, bytes))
            }
            (Some((base, _)), _) => (target, base.clone()),
        };
        let saved = self.core.save(&target, &base, content)?;
        self.core.set_attr(&target, Some(attr.perm), None)?;
        self.core.copy_local(&source, &target)?;
        self.unlink(from, old)?;
        Ok(saved)
    }

    /// Whether this node's own unlink took an object's last name.
    pub fn is_unlinked(&self, oid: Oid) -> bool {
        self.core.with_space(&oid.space, |space| Ok(space.is_unlinked(&oid.object))).unwrap_or(false)
    }

    /// Where an object is now: elsewhere, if its room was shared in this run.
    pub fn now_at(&self, oid: Oid) -> Oid {
        self.core.now_at(oid)
    }

    /// What an object was before its room was shared in this run.
    pub fn formerly(&self, oid: Oid) -> Option<Oid> {
        self.core.formerly(&oid)
    }

    /// How many objects went elsewhere with their rooms in this run.
    pub fn count_moved(&self) -> usize {
        self.core.count_moved()
    }

    /// A version of what an object was, as a version of what it is now; none where only a save can tell.
    pub fn carried(&self, oid: Oid, version: &Version) -> Option<(Oid, Version)> {
        self.core.carried(&oid, version)
    }

    /// Whether a version of an object is one that this node can go by.
    pub fn knows(&self, oid: Oid, version: &Version) -> bool {
        self.core.knows(&oid, version)
    }

    /// Of several versions that somebody has read, the one that new content is most likely an edit of.
    pub fn likeliest(&self, oid: Oid, last: &Version, earlier: &[Version], bytes: &[u8]) -> Version {
        self.core.likeliest(&oid, last, earlier, bytes)
    }

    /// A text as it was at a version. Errors: it was none then, or the version is not here.
    pub fn text_at(&self, oid: Oid, version: &Version) -> Result<String> {
        self.core.text_at(&oid, version)
    }

    /// Keeps what was read (true) or forgets it (false), for the next start; lazily, and never more than a little.
    pub fn keep_reads(&self, reads: Vec<(Read, bool)>) -> Result<()> {
        self.core.keep_reads(reads)
    }

    /// What an earlier run kept, the oldest first.
    pub fn kept_reads(&self) -> Result<Vec<Read>> {
        self.core.kept_reads()
    }

    /// Whether an object was born on this device in this run, lately, and has one name.
    pub fn is_fresh(&self, oid: Oid) -> bool {
        let fresh = self.fresh.lock().peek(&oid).is_some_and(|since| since.elapsed() < FRESH);
        fresh && self.core.attr(&oid).is_ok_and(|attr| attr.links <= 1)
    }

    /// After `rename F F~`, when the same process makes F anew: F's object goes on under F, and F~
    /// becomes a file of this device alone with the old content. Returns the backup.
    pub fn reclaim_renamed(&self, room: Oid, name: &str, moved: (Oid, &str)) -> Result<Oid> {
        let object = self.core.lookup(&moved.0, moved.1)?.target.oid();
        let attr = self.core.attr(&object)?;
        let meta =
            Meta { perm: Some(attr.perm), mtime: Some(crate::clock::to_ns(attr.mtime)), ..Meta::default() };
        let mut birth =
            Birth { id: crate::core::new_object()?, kind: Type::Text, meta, content: Content::Empty };
        let mut bulk = None;
        match self.core.read(&object)?.1 {
            Body::Bytes(bytes) => {
                birth.kind = if crate::policy::is_text(&bytes) { Type::Text } else { Type::Blob };
                birth.content = Content::Bytes(bytes.to_vec());
            }
            Body::File(file, size) => {
                birth.kind = Type::Blob;
                bulk = Some(crate::blob::keep_file(&self.core.store, &file, size)?);
            }
            Body::Remote { .. } => birth.content = Content::Bytes(Vec::new()),
        }
        let backup = Newborn { birth, bulk, local: true, open: false, stored: false };
        self.core.locked(|core| core.reclaim_renamed(room, name, moved, backup))
    }

    /// After `unlink`, when the same process makes the name anew: the object goes on under it.
    pub fn reclaim_unlinked(&self, room: Oid, name: &str, oid: Oid) -> Result<()> {
        self.core.locked(|core| core.reclaim_unlinked(room, name, oid))
    }

    /// Saves new content as an edit of the version `base`.
    pub fn save(&self, oid: Oid, base: &Version, content: NewContent) -> Result<Saved> {
        self.core.save(&oid, base, content)
    }

    /// Adds bytes at the end of a text as it is now. Errors: `Unsupported` for anything but a text.
    pub fn append(&self, oid: Oid, tail: &[u8]) -> Result<Appended> {
        self.core.append(&oid, tail)
    }

    /// Whether an object was made here and is not sealed: it has one version, whatever its bytes are.
    pub fn is_newborn(&self, oid: Oid) -> bool {
        self.core.is_newborn(&self.core.now_at(oid))
    }

    /// Makes a pipe, a socket or a device, of this device alone: it is never sent.
    pub fn make_special(&self, room: Oid, name: &str, perm: u16, special: Special) -> Result<Oid> {
        let room = self.core.now_at(room);
        self.core.locked(|core| core.make_special(room, name, perm, special))
    }

    /// Two names change places. Errors: as rename(2).
    pub fn exchange(&self, from: Oid, old: &str, to: Oid, new: &str) -> Result<()> {
        let (from, to) = (self.core.now_at(from), self.core.now_at(to));
        self.core.locked(|core| core.exchange(from, old, to, new))
    }

    /// Changes what only this device knows of an object.
    pub fn set_local(&self, oid: Oid, edit: &LocalEdit) -> Result<()> {
        self.core.set_local(&oid, edit)
    }

    /// An object was read: its time moves as with `relatime`.
    pub fn was_read(&self, oid: Oid) {
        self.core.was_read(&oid);
    }

    /// The bytes that a save handed over were written earlier.
    pub fn written_at(&self, oid: Oid, wrote: &Version, at: SystemTime) -> Result<()> {
        self.core.written_at(&oid, wrote, at)
    }

    /// The attributes of an object that are not the users' own, and stay on this device.
    pub fn local_xattrs(&self, oid: Oid) -> Result<Vec<(String, Vec<u8>)>> {
        self.core.local_xattrs(&oid)
    }

    /// Sets permission bits and an explicit modification time.
    pub fn set_attr(&self, oid: Oid, perm: Option<u16>, mtime: Option<SystemTime>) -> Result<()> {
        self.core.set_attr(&oid, perm, mtime)
    }

    /// A user's extended attribute. Errors: `NoAttribute`.
    pub fn xattr(&self, oid: Oid, name: &str) -> Result<Vec<u8>> {
        let value = self.core.xattrs(&oid)?.remove(name);
        value.ok_or_else(|| Error::refused(Kind::NoAttribute, "no such attribute"))
    }

    /// The names of users' extended attributes.
    pub fn xattrs(&self, oid: Oid) -> Result<Vec<String>> {
        Ok(self.core.xattrs(&oid)?.into_keys().collect())
    }

    /// Sets an extended attribute.
    pub fn set_xattr(&self, oid: Oid, name: &str, value: &[u8]) -> Result<()> {
        let xattrs = [(name.to_string(), Some(value.to_vec()))].into();
        self.core.set_meta(&oid, MetaEdit { xattrs, ..MetaEdit::default() })
    }

    /// Removes an extended attribute. Errors: `NoAttribute`.
    pub fn remove_xattr(&self, oid: Oid, name: &str) -> Result<()> {
        self.xattr(oid, name)?;
        let xattrs = [(name.to_string(), None)].into();
        self.core.set_meta(&oid, MetaEdit { xattrs, ..MetaEdit::default() })
    }

    /// Makes everything edited so far durable: what `fsync(2)` promises.
    pub fn sync(&self) -> Result<()> {
        Ok(self.core.store.sync()?)
    }

    /// What a face shows beside the content.
    pub fn describe(&self, oid: Oid) -> Result<Description> {
        self.core.describe(&oid)
    }

    /// The disk below.
    pub fn statfs(&self) -> Result<Statfs> {
        self.core.statfs()
    }

    /// The text of the status file.
    pub fn status_text(&self) -> String {
        self.core.status_text()
    }

    /// Who hears whom, as far as it is known here: text for people.
    pub fn map_text(&self) -> String {
        self.core.map_text()
    }

    /// The same in the language of Graphviz.
    pub fn map_dot(&self) -> String {
        self.core.map_dot()
    }

    /// Everything that `chorus status` prints.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// What changes from now on, content saved through this node's own faces excepted; bounded: who falls
    /// behind is told so.
    pub fn events(&self) -> crossbeam_channel::Receiver<Event> {
        self.core.events.listen()
    }

    /// The history of what is at a path, the newest first.
    pub fn log(&self, path: &str, max: usize) -> Result<Vec<LogLine>> {
        self.core.log_of(path, max)
    }

    /// The object at a path from home's root.
    pub fn resolve(&self, path: &str) -> Result<Oid> {
        self.core.resolve(path)
    }
}

// A second descriptor with its own place in the file.
fn reopen(file: &File) -> Result<File> {
    use std::os::fd::AsRawFd;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|error| Error::Io { what: "opening a large file again".into(), error })
}

/// Checks the store of a home that is not running; with `rebuild` everything derived is made again.
pub fn fsck(home: &Path, rebuild: bool) -> Result<FsckReport> {
    crate::check::fsck(home, rebuild)
}
