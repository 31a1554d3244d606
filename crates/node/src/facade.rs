//! Temporary.
use crate::{api::*, error::*};
use base::Oid;
/// The running node.
#[derive(Clone)]
pub struct Node;
/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Options { /// home
 pub home: std::path::PathBuf, /// listen
 pub listen: Vec<String>, /// network
 pub network: bool }
/// Temporary.
pub fn fsck(_home: &std::path::Path, _rebuild: bool) -> Result<FsckReport> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
#[allow(unused_variables)]
impl Node {
    /// .
    pub fn root(&self) -> Oid { std::process::abort() }
    /// .
    pub fn me(&self) -> base::PersonId { std::process::abort() }
    /// .
    pub fn attr(&self, oid: Oid) -> Result<Attr> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn lookup(&self, room: Oid, name: &str) -> Result<Found> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn list(&self, room: Oid, after: Option<&str>, max: usize) -> Result<Vec<Found>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn parent(&self, room: Oid) -> Option<Oid> { std::process::abort() }
    /// .
    pub fn path(&self, oid: Oid) -> Option<String> { std::process::abort() }
    /// .
    pub fn depth_in_space(&self, room: Oid) -> usize { std::process::abort() }
    /// .
    pub fn read(&self, oid: Oid) -> Result<(Version, Body)> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn read_version(&self, oid: Oid, version: base::Hash) -> Result<Body> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn read_remote(&self, oid: Oid, version: &Version, offset: u64, len: usize) -> Result<Vec<u8>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn read_link(&self, oid: Oid) -> Result<Vec<u8>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn scratch(&self) -> Result<std::fs::File> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn create(&self, room: Oid, name: &str, perm: u16, local: bool) -> Result<Oid> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn settle(&self, oid: Oid) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn mkdir(&self, room: Oid, name: &str, perm: u16) -> Result<Oid> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn symlink(&self, room: Oid, name: &str, target: &[u8]) -> Result<Oid> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn link(&self, oid: Oid, room: Oid, name: &str) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn unlink(&self, room: Oid, name: &str) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn rmdir(&self, room: Oid, name: &str) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn rename(&self, from: Oid, old: &str, to: Oid, new: &str, no_replace: bool) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn replace(&self, from: Oid, old: &str, to: Oid, new: &str, base: Option<&Version>) -> Result<Saved> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn is_fresh(&self, oid: Oid) -> bool { std::process::abort() }
    /// .
    pub fn reclaim_renamed(&self, room: Oid, name: &str, moved: (Oid, &str)) -> Result<Oid> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn reclaim_unlinked(&self, room: Oid, name: &str, oid: Oid) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn save(&self, oid: Oid, base: &Version, content: NewContent) -> Result<Saved> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn append(&self, oid: Oid, base: &Version, tail: Vec<u8>) -> Result<Saved> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn set_attr(&self, oid: Oid, perm: Option<u16>, mtime: Option<std::time::SystemTime>) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn xattr(&self, oid: Oid, name: &str) -> Result<Vec<u8>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn xattrs(&self, oid: Oid) -> Result<Vec<String>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn set_xattr(&self, oid: Oid, name: &str, value: &[u8]) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn remove_xattr(&self, oid: Oid, name: &str) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn sync(&self) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn describe(&self, oid: Oid) -> Result<Description> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn statfs(&self) -> Result<Statfs> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn status_text(&self) -> String { std::process::abort() }
    /// .
    pub fn events(&self) -> crossbeam_channel::Receiver<Event> { std::process::abort() }
    /// .
    pub fn start(options: Options) -> Result<Node> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn init(home: &std::path::Path, name: Option<&str>) -> Result<Identity> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn stop(&self) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn status(&self) -> Status { std::process::abort() }
    /// .
    pub fn invite(&self, path: Option<&str>, for_name: Option<&str>, role: Role) -> Result<String> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn peer_add(&self, card: &str, name: Option<&str>) -> Result<Added> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn peers(&self) -> Vec<PeerStatus> { std::process::abort() }
    /// .
    pub fn peer_show(&self, name: &str) -> Result<PeerStatus> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn peer_remove(&self, name: &str) -> Result<()> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn share(&self, path: &str, with: &str, role: Role) -> Result<Shared> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn join(&self, spec: &str, path: Option<&str>) -> Result<String> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn members(&self, path: &str) -> Result<Vec<Member>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn log(&self, path: &str, max: usize) -> Result<Vec<LogLine>> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
    /// .
    pub fn resolve(&self, path: &str) -> Result<Oid> { Err(Error::refused(base::Kind::Unsupported, "not yet")) }
}
