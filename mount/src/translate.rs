//! Values of the kernel's as values of the tree's, and answers back.

use crate::errno;
use fuser::{
    Errno, FileType, FopenFlags, OpenAccMode, OpenFlags, ReplyEmpty, ReplyXattr, Request, TimeOrNow,
};
use rustix::fs::OFlags;
use std::time::{Duration, SystemTime};
use tree::{Allocate, Caching, Caller, How, Opened, Sort, Special, Stat};

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
        Sort::Special(Special::Fifo) => FileType::NamedPipe,
        Sort::Special(Special::Socket) => FileType::Socket,
        Sort::Special(Special::Char(_)) => FileType::CharDevice,
        Sort::Special(Special::Block(_)) => FileType::BlockDevice,
    }
}

/// The number of a device.
pub(crate) fn device(sort: Sort) -> u32 {
    match sort {
        Sort::Special(Special::Char(device) | Special::Block(device)) => device,
        _ => 0,
    }
}

/// What mknod(2) is asked for, where it is no file.
pub(crate) fn special(mode: u32, device: u32) -> Option<Special> {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(mode) {
        FileType::Fifo => Some(Special::Fifo),
        FileType::Socket => Some(Special::Socket),
        FileType::CharacterDevice => Some(Special::Char(device)),
        FileType::BlockDevice => Some(Special::Block(device)),
        _ => None,
    }
}

/// What fallocate(2) is asked for, where that is possible here.
pub(crate) fn allocation(mode: i32) -> Option<Allocate> {
    use rustix::fs::FallocateFlags as Flags;
    let flags = Flags::from_bits_retain(mode as u32);
    let (keep, punch, zero) = (Flags::KEEP_SIZE, Flags::PUNCH_HOLE, Flags::ZERO_RANGE);
    match flags {
        flags if flags.is_empty() => Some(Allocate::Extend),
        flags if flags == keep => Some(Allocate::Reserve),
        flags if flags == punch | keep || flags == zero | keep => Some(Allocate::Punch),
        flags if flags == zero => Some(Allocate::Zero),
        _ => None,
    }
}

/// A time to set.
pub(crate) fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => match SystemTime::UNIX_EPOCH.duration_since(time) {
            // fuser counts the nanoseconds of a time before 1970 backwards; the kernel never does.
            Ok(before) => time + 2 * Duration::from_nanos(before.subsec_nanos().into()),
            Err(_) => time,
        },
        TimeOrNow::Now => tree::now(),
    }
}

/// What is shown of `.` and `..`, whose attributes the kernel does not take over.
pub(crate) fn dot(entry: &tree::Entry) -> Stat {
    Stat::plain(entry.ino, entry.sort, 0, SystemTime::UNIX_EPOCH, 0o755)
}

// Among the flags of a file that the kernel opens to run it (`__FMODE_EXEC`).
const EXEC: i32 = 0x20;

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
        execute: flags.0 & EXEC != 0,
    }
}

/// What the kernel may cache of an open file.
pub(crate) fn cache_flags(opened: &Opened, how: How) -> FopenFlags {
    let caching = match opened.caching {
        Caching::Direct => FopenFlags::FOPEN_DIRECT_IO,
        Caching::Fresh => FopenFlags::empty(),
        Caching::Keep => FopenFlags::FOPEN_KEEP_CACHE,
    };
    // What only reads has nothing to hand over when it is closed: one request less.
    if how.write { caching } else { caching | FopenFlags::FOPEN_NOFLUSH }
}

/// What the kernel may cache of an open room.
pub(crate) fn list_flags(caching: Caching) -> FopenFlags {
    match caching {
        Caching::Direct => FopenFlags::empty(),
        Caching::Fresh => FopenFlags::FOPEN_CACHE_DIR,
        Caching::Keep => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
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
