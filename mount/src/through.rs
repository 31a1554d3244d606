//! Files that the kernel reads by itself, past us, at the speed of the disk below (FUSE passthrough).
//!
//! As long as one handle of an inode is served so, the kernel wants to be given the same file with every other, also
//! with those that ask us. It keeps no pages meanwhile: which handles that fits, the tree says. Where the kernel cannot
//! do it, or does not let an ordinary user, its pages are kept instead, and it is not asked again.

use fuser::{BackingId, InitFlags, KernelConfig, ReplyOpen};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file that the kernel has, for some handles.
struct Backing {
    id: Arc<BackingId>,
    handles: Vec<u64>,
}

/// The files that the kernel has.
#[derive(Default)]
pub(crate) struct Through {
    possible: AtomicBool,
    of: Mutex<HashMap<u64, Backing>>,
}

impl Through {
    /// Asks the kernel, when it begins, whether it can.
    pub(crate) fn ask(&self, config: &mut KernelConfig) {
        let able = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok()
            && config.set_max_stack_depth(1).is_ok();
        self.possible.store(able, Ordering::Relaxed);
    }

    /// The file to be given to the kernel with a handle of an inode: the one it has already; else `file`, if there is
    /// one for it to serve the handle from. None: none, or it will not.
    pub(crate) fn open(
        &self,
        ino: u64,
        handle: u64,
        file: Option<&File>,
        reply: &ReplyOpen,
    ) -> Option<Arc<BackingId>> {
        let mut of = self.of.lock();
        if let Some(backing) = of.get_mut(&ino) {
            backing.handles.push(handle);
            return Some(backing.id.clone());
        }
        if !self.possible.load(Ordering::Relaxed) {
            return None;
        }
        match reply.open_backing(file?) {
            Ok(id) => {
                let id = Arc::new(id);
                of.insert(ino, Backing { id: id.clone(), handles: vec![handle] });
                Some(id)
            }
            Err(error) => {
                tracing::debug!("large files are read through this program: {error}");
                self.possible.store(false, Ordering::Relaxed);
                None
            }
        }
    }

    /// A handle was closed.
    pub(crate) fn release(&self, ino: u64, handle: u64) {
        let mut of = self.of.lock();
        if let Some(backing) = of.get_mut(&ino) {
            backing.handles.retain(|open| *open != handle);
            if backing.handles.is_empty() {
                of.remove(&ino);
            }
        }
    }
}
