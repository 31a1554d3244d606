//! What all requests go by, and the answers that many of them have in common.

use crate::errno;
use crate::replay::Answers;
use crate::through::Through;
use crate::translate::{cache_flags, device, kind};
use crate::waiting::Waiting;
use fuser::{
    FileAttr, FileHandle, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyEntry, ReplyOpen, Request,
};
use std::sync::Arc;
use std::time::Duration;
use tree::{How, Opened, Owner, Stat, Tree};

/// How long the kernel may believe names and attributes: it is told when they change.
pub(crate) const BELIEVED: Duration = Duration::from_secs(300);
/// Bytes in a block, as `df` counts them.
pub(crate) const BLOCK: u64 = 4096;
/// Bytes that programs are told to read and write at a time where there are that many: each time is a request.
const LARGE_BLOCK: u64 = 128 << 10;

/// The tree as the kernel asks for it.
pub(crate) struct Face {
    pub(crate) tree: Tree,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) waiting: Waiting,
    pub(crate) replay: Arc<Answers>,
    pub(crate) through: Through,
}

impl Face {
    pub(crate) fn new(tree: Tree, replay: Arc<Answers>) -> Face {
        Face {
            tree,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            waiting: Waiting::default(),
            replay,
            through: Through::default(),
        }
    }

    pub(crate) fn attr(&self, stat: &Stat) -> FileAttr {
        FileAttr {
            ino: INodeNo(stat.ino),
            size: stat.size,
            blocks: stat.size.div_ceil(512),
            atime: stat.atime,
            mtime: stat.mtime,
            ctime: stat.ctime,
            crtime: stat.mtime,
            kind: kind(stat.sort),
            perm: stat.perm,
            nlink: stat.links,
            uid: stat.owner.uid.unwrap_or(self.uid),
            gid: stat.owner.gid.unwrap_or(self.gid),
            rdev: device(stat.sort),
            blksize: if stat.size < LARGE_BLOCK { BLOCK } else { LARGE_BLOCK } as u32,
            flags: 0,
        }
    }

    pub(crate) fn entry(&self, result: tree::Result<Stat>, reply: ReplyEntry) {
        match result {
            Ok(stat) => reply.entry(&BELIEVED, &self.attr(&stat), Generation(0)),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    pub(crate) fn attributes(&self, result: tree::Result<Stat>, reply: ReplyAttr) {
        match result {
            Ok(stat) => reply.attr(&BELIEVED, &self.attr(&stat)),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    // Whoever mounted owns what nobody was given.
    pub(crate) fn owner(&self, uid: u32, gid: u32) -> Owner {
        Owner { uid: Some(uid).filter(|uid| *uid != self.uid), gid: Some(gid).filter(|gid| *gid != self.gid) }
    }

    pub(crate) fn opened(&self, ino: INodeNo, opened: Opened, how: How, reply: ReplyOpen) {
        let (handle, flags) = (FileHandle(opened.handle), cache_flags(&opened, how));
        match (self.through.open(ino.0, opened.handle, opened.whole.as_deref(), &reply), opened.whole) {
            (Some(backing), Some(_)) => {
                self.tree.was_read(ino.0);
                reply.opened_passthrough(handle, FopenFlags::FOPEN_NOFLUSH, &backing);
            }
            // Served by us all the same, and without pages.
            (Some(backing), None) => {
                let flags = flags & FopenFlags::FOPEN_NOFLUSH | FopenFlags::FOPEN_DIRECT_IO;
                reply.opened_passthrough(handle, flags, &backing);
            }
            (None, _) => reply.opened(handle, flags),
        }
    }

    // What was made belongs to its maker; what goes wrong with that leaves it to whoever mounted.
    pub(crate) fn adopt(&self, req: &Request, parent: INodeNo, mode: u32, made: Stat) -> Stat {
        let owner = self.owner(req.uid(), req.gid());
        self.tree.adopt(parent.0, made, owner, (mode & 0o7000) as u16).unwrap_or(made)
    }
}
