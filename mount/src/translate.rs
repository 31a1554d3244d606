//! Values of the kernel's as values of the tree's, and answers back.

use crate::errno;
use fuser::{Errno, FileType, FopenFlags, OpenAccMode, OpenFlags, ReplyEmpty, ReplyXattr, Request};
use rustix::fs::OFlags;
use std::time::SystemTime;
use tree::{Caching, Caller, How, Opened, Sort, Stat};

/// Who asks.
pub(crate) fn caller(req: &Request) -> Caller {
    Caller { tid: req.pid() }
}

/// What a thing is to the kernel.
pub(crate) fn kind(sort: Sort) -> FileType {
    match sort {
        Sort::Room => FileType::Directory,
        Sort::File => FileType::RegularFile,
        Sort::Link => FileType::Symlink,
    }
}

/// What is shown of `.` and `..`, whose attributes the kernel does not take over.
pub(crate) fn dot(entry: &tree::Entry) -> Stat {
    Stat { ino: entry.ino, sort: entry.sort, size: 0, mtime: SystemTime::UNIX_EPOCH, perm: 0o755, links: 1 }
}

/// How a file is to be opened.
pub(crate) fn how(flags: OpenFlags) -> How {
    let bits = OFlags::from_bits_retain(flags.0 as u32);
    let mode = flags.acc_mode();
    How {
        read: mode != OpenAccMode::O_WRONLY,
        write: mode != OpenAccMode::O_RDONLY,
        truncate: bits.contains(OFlags::TRUNC),
        append: bits.contains(OFlags::APPEND),
        exclusive: bits.contains(OFlags::EXCL),
    }
}

/// What the kernel may cache of an open file.
pub(crate) fn cache_flags(opened: &Opened) -> FopenFlags {
    match opened.caching {
        Caching::Direct => FopenFlags::FOPEN_DIRECT_IO,
        Caching::Fresh => FopenFlags::empty(),
        Caching::Keep => FopenFlags::FOPEN_KEEP_CACHE,
    }
}

/// What the kernel may do with a file that is opened only so that others hear of it: nothing.
pub(crate) fn replay_flags() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH
}

/// Answers without a value.
pub(crate) fn empty(result: tree::Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno::of(&error)),
    }
}

/// Answers with a value of a size that the asker wanted to know, or allows.
pub(crate) fn sized(result: tree::Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match result {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno::of(&error)),
    }
}
