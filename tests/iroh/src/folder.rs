//! The directory: what changed in it goes into the document, what comes goes into it.

use anyhow::{Context, Result};
use iroh_blobs::{Hash, api::Store};
use iroh_docs::api::Doc;
use iroh_docs::engine::LiveEvent;
use iroh_docs::{AuthorId, ContentStatus};
use n0_future::StreamExt;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tokio::task::JoinSet;

/// Files brought into the document at once.
const AT_ONCE: usize = 16;
/// Up to here a file's bytes are handed over; a larger one is by its path.
const SMALL: u64 = 64 << 10;

type Stamp = (SystemTime, u64);

/// A directory, and the document that holds what is in it.
#[derive(Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
    doc: Doc,
    blobs: Store,
    author: AuthorId,
    // What a file was when it was last brought in or put there.
    seen: Arc<Mutex<HashMap<PathBuf, Stamp>>>,
}

impl Folder {
    pub(crate) fn new(dir: PathBuf, doc: Doc, blobs: Store, author: AuthorId) -> Folder {
        Folder { dir, doc, blobs, author, seen: Arc::default() }
    }

    /// Brings what changed into the document.
    pub(crate) async fn scan(&self) -> Result<()> {
        let mut changed = Vec::new();
        self.look(&self.dir, &mut changed)?;
        let mut tasks = JoinSet::new();
        for (path, stamp) in changed {
            if tasks.len() == AT_ONCE {
                tasks.join_next().await.context("a task")???;
            }
            let folder = self.clone();
            tasks.spawn(async move { folder.bring(path, stamp).await });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    fn look(&self, dir: &Path, changed: &mut Vec<(PathBuf, Stamp)>) -> Result<()> {
        for item in std::fs::read_dir(dir)? {
            let item = item?;
            let (path, meta) = (item.path(), item.metadata()?);
            if meta.is_dir() {
                self.look(&path, changed)?;
            } else if !is_temporary(&path) {
                let stamp = (meta.modified()?, meta.len());
                if self.seen.lock().expect("no panic").get(&path) != Some(&stamp) {
                    changed.push((path, stamp));
                }
            }
        }
        Ok(())
    }

    async fn bring(&self, path: PathBuf, stamp: Stamp) -> Result<()> {
        let key = path.strip_prefix(&self.dir)?.as_os_str().as_bytes().to_vec();
        if stamp.1 <= SMALL {
            self.doc.set_bytes(self.author, key, tokio::fs::read(&path).await?).await?;
        } else {
            let tag = self.blobs.add_path(&path).await?;
            self.doc.set_hash(self.author, key, tag.hash, stamp.1).await?;
        }
        self.seen.lock().expect("no panic").insert(path, stamp);
        Ok(())
    }

    /// What puts into the directory whatever others write.
    pub(crate) async fn receive(self) -> Result<impl Future<Output = Result<()>> + Send> {
        let mut events = self.doc.subscribe().await?;
        Ok(async move {
            // Several files may hold the same bytes.
            let mut waiting: HashMap<Hash, Vec<Vec<u8>>> = HashMap::new();
            while let Some(event) = events.next().await {
                match event? {
                    LiveEvent::InsertRemote { entry, content_status, .. } => {
                        let (key, hash) = (entry.key().to_vec(), entry.content_hash());
                        if content_status == ContentStatus::Complete {
                            self.put(&key, hash).await?;
                        } else {
                            waiting.entry(hash).or_default().push(key);
                        }
                    }
                    LiveEvent::ContentReady { hash } => {
                        for key in waiting.remove(&hash).unwrap_or_default() {
                            self.put(&key, hash).await?;
                        }
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }

    async fn put(&self, key: &[u8], hash: Hash) -> Result<()> {
        let path = self.dir.join(OsStr::from_bytes(key));
        let dir = path.parent().context("a directory")?;
        tokio::fs::create_dir_all(dir).await?;
        let name = path.file_name().context("a name")?.to_string_lossy();
        let temporary = dir.join(format!(".{name}.part"));
        self.blobs.export(hash, &temporary).await?;
        let meta = tokio::fs::metadata(&temporary).await?;
        self.seen.lock().expect("no panic").insert(path.clone(), (meta.modified()?, meta.len()));
        tokio::fs::rename(temporary, path).await?;
        Ok(())
    }
}

fn is_temporary(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("part"))
}
