//! The bytes of a working copy: shared with the node until they are written, then in memory, or
//! in a scratch file where they are large.

use crate::error::{Error, Result};
use base::{Kind, limit};
use node::{Body, NewContent, Scratch};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes above which a working copy is a file.
const IN_MEMORY: usize = limit::TEXT_BYTES;
/// The largest file, in bytes: what a signed offset can reach.
const LARGEST: u64 = i64::MAX as u64;

/// Lends a new, empty scratch file.
pub(crate) type Lend<'a> = &'a dyn Fn() -> Result<Scratch>;

/// The bytes of an open file.
#[derive(Debug)]
pub(crate) enum Content {
    /// As the node gave them.
    Shared(Arc<[u8]>),
    /// Small, and written to.
    Memory(Vec<u8>),
    /// In a file that others may hold too: never written.
    Frozen(Arc<File>, u64),
    /// In a scratch file that only this working copy writes.
    Own(Arc<Scratch>, u64),
    /// Not wholly on this machine; read through the node.
    Remote(u64),
}

impl Content {
    pub(crate) fn of(body: Body) -> Content {
        match body {
            Body::Bytes(bytes) => Content::Shared(bytes),
            Body::File(file, size) => Content::Frozen(file, size),
            Body::Remote { size } => Content::Remote(size),
        }
    }

    /// No bytes.
    pub(crate) fn of_nothing() -> Content {
        Content::Memory(Vec::new())
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Content::Shared(bytes) => bytes.len() as u64,
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Frozen(_, size) | Content::Own(_, size) | Content::Remote(size) => *size,
        }
    }

    // The file that holds it.
    fn file(&self) -> Option<&Arc<File>> {
        match self {
            Content::Frozen(file, _) => Some(file),
            Content::Own(scratch, _) => Some(scratch.file()),
            _ => None,
        }
    }

    /// Whether both are surely the same bytes: those of one file, or few enough to be looked at.
    pub(crate) fn same(&self, other: &Content) -> bool {
        if self.size() != other.size() {
            return false;
        }
        let file = |content: &Content| {
            let stat = rustix::fs::fstat(content.file()?).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        if let (Some(own), Some(others)) = (file(self), file(other))
            && own == others
        {
            return true;
        }
        let bytes = |content: &Content| content.read(0, IN_MEMORY).ok().flatten();
        let few = self.size() <= IN_MEMORY as u64;
        few && bytes(self).is_some_and(|own| bytes(other).is_some_and(|others| own == others))
    }

    /// The bytes from `offset`, at most `len`, fewer only at the end. None: they must be asked of the node.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>> {
        let within = self.size().saturating_sub(offset).min(len as u64) as usize;
        Ok(match self {
            _ if within == 0 => Some(Vec::new()),
            Content::Shared(bytes) => Some(bytes[offset as usize..offset as usize + within].to_vec()),
            Content::Memory(bytes) => Some(bytes[offset as usize..offset as usize + within].to_vec()),
            Content::Frozen(file, _) => Some(read_file(file, offset, within)?),
            Content::Own(file, _) => Some(read_file(file.file(), offset, within)?),
            Content::Remote(_) => None,
        })
    }

    /// Puts bytes at `offset`; what lies between the end and there becomes zeros. A remote content must have
    /// been fetched before.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8], lend: Lend<'_>) -> Result<()> {
        let end =
            offset.checked_add(data.len() as u64).filter(|end| *end <= LARGEST).ok_or_else(too_large)?;
        self.make_writable(end, lend)?;
        match self {
            Content::Memory(bytes) => {
                let (start, end) = (offset as usize, end as usize);
                if bytes.len() == start {
                    bytes.extend_from_slice(data);
                } else {
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[start..end].copy_from_slice(data);
                }
            }
            Content::Own(file, size) => {
                file.write_at(data, offset)?;
                *size = end.max(*size);
            }
            _ => return Err(not_here()),
        }
        Ok(())
    }

    /// Cuts it, or fills it up with zeros.
    pub(crate) fn resize(&mut self, size: u64, lend: Lend<'_>) -> Result<()> {
        if size == 0 {
            *self = Content::Memory(Vec::new());
            return Ok(());
        }
        if size > LARGEST {
            return Err(too_large());
        }
        self.make_writable(size, lend)?;
        match self {
            Content::Memory(bytes) => bytes.resize(size as usize, 0),
            Content::Own(file, len) => {
                file.set_len(size)?;
                *len = size;
            }
            _ => return Err(not_here()),
        }
        Ok(())
    }

    /// Makes zeros of a range, as far as there are bytes; a file gives the space back.
    pub(crate) fn punch(&mut self, from: u64, len: u64, lend: Lend<'_>) -> Result<()> {
        let end = from.saturating_add(len).min(self.size());
        if from >= end {
            return Ok(());
        }
        self.make_writable(end, lend)?;
        match self {
            Content::Memory(bytes) => bytes[from as usize..end as usize].fill(0),
            Content::Own(file, _) => {
                if file.punch(from, end).is_err() {
                    write_zeros(file, from, end)?;
                }
            }
            _ => return Err(not_here()),
        }
        Ok(())
    }

    /// Where the next bytes (`data`), or the next hole, begin from `from` on; None past the last. What is not in
    /// a file of its own is bytes to its end.
    pub(crate) fn seek(&self, from: u64, data: bool) -> Result<Option<u64>> {
        let size = self.size();
        if from >= size {
            return Ok(None);
        }
        let Some(file) = self.file() else {
            return Ok(Some(if data { from } else { size }));
        };
        // Another descriptor: the place of this one is shared with whoever else holds it.
        let other = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&**file)))?;
        let to = if data { rustix::fs::SeekFrom::Data(from) } else { rustix::fs::SeekFrom::Hole(from) };
        match rustix::fs::seek(&other, to) {
            Ok(at) => Ok(Some(at.min(size)).filter(|at| !data || *at < size)),
            Err(rustix::io::Errno::NXIO) if data => Ok(None),
            Err(rustix::io::Errno::INVAL) => Ok(Some(if data { from } else { size })),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }

    /// What to hand to the node as it is now. A file is frozen by it: the node may keep it, so the next write
    /// goes to a copy.
    pub(crate) fn snapshot(&mut self) -> Result<NewContent> {
        let content = match self {
            Content::Shared(bytes) => NewContent::Bytes(bytes.to_vec()),
            Content::Memory(bytes) => NewContent::Bytes(bytes.clone()),
            Content::Frozen(file, size) => NewContent::File(file.try_clone()?, *size),
            Content::Own(scratch, size) => NewContent::Scratch(scratch.clone(), *size),
            Content::Remote(_) => return Err(not_here()),
        };
        if let NewContent::Scratch(scratch, size) = &content {
            *self = Content::Frozen(scratch.file().clone(), *size);
        }
        Ok(content)
    }

    /// The bytes from `offset` on, where they are in memory.
    pub(crate) fn tail(&self, offset: u64) -> Option<Vec<u8>> {
        match self {
            Content::Memory(bytes) => bytes.get(offset as usize..).map(<[u8]>::to_vec),
            _ => None,
        }
    }

    fn make_writable(&mut self, end: u64, lend: Lend<'_>) -> Result<()> {
        if let Content::Shared(bytes) = self {
            *self = Content::Memory(bytes.to_vec());
        }
        match self {
            Content::Memory(bytes) if end > IN_MEMORY as u64 => {
                let file = Arc::new(lend()?);
                file.write_at(bytes, 0)?;
                *self = Content::Own(file, bytes.len() as u64);
            }
            Content::Frozen(file, size) => {
                let own = lend()?;
                own.copy_from(file, *size)?;
                *self = Content::Own(Arc::new(own), *size);
            }
            _ => {}
        }
        Ok(())
    }
}

fn write_zeros(file: &Arc<Scratch>, from: u64, end: u64) -> Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = from;
    while at < end {
        let n = (end - at).min(zeros.len() as u64) as usize;
        file.write_at(&zeros[..n], at)?;
        at += n as u64;
    }
    Ok(())
}

fn read_file(file: &File, offset: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn too_large() -> Error {
    Error::refused(Kind::TooLarge, "a file cannot be that large")
}

fn not_here() -> Error {
    Error::refused(Kind::Unreachable, "the file's bytes are not on this machine yet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scratch() -> Result<Scratch> {
        Ok(tempfile::tempfile()?.into())
    }

    fn all(content: &Content) -> Vec<u8> {
        content.read(0, usize::MAX).unwrap().unwrap()
    }

    #[test]
    fn what_the_node_holds_is_never_written() {
        let shared: Arc<[u8]> = b"abc".as_slice().into();
        let mut content = Content::of(Body::Bytes(shared.clone()));
        content.write(1, b"X", &scratch).unwrap();
        assert_eq!((&*shared, all(&content)), (&b"abc"[..], b"aXc".to_vec()));

        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        let file = Arc::new(file);
        let mut content = Content::of(Body::File(file.clone(), 3));
        content.write(3, b"d", &scratch).unwrap();
        assert_eq!(all(&content), b"abcd");
        assert_eq!(file.metadata().unwrap().len(), 3);
    }

    #[test]
    fn the_same_bytes_are_known_wherever_they_lie() {
        let frozen = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(bytes, 0).unwrap();
            Content::of(Body::File(Arc::new(file), bytes.len() as u64))
        };
        let shared = |bytes: &[u8]| Content::of(Body::Bytes(bytes.into()));
        let memory = |bytes: &[u8]| Content::Memory(bytes.to_vec());
        let all = |bytes: &[u8]| [frozen(bytes), shared(bytes), memory(bytes)];
        for a in all(b"abc") {
            assert!(all(b"abc").iter().all(|b| a.same(b)) && !a.same(&Content::Remote(3)));
            assert!(!all(b"abd").iter().chain(&all(b"abcd")).any(|b| a.same(b)));
        }
        // More than is compared; one file is the same as itself all the same.
        let large = vec![7; IN_MEMORY + 1];
        let (one, other) = (frozen(&large), frozen(&large));
        assert!(one.same(&one) && !one.same(&other));
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let mut content = Content::Memory(Vec::new());
        content.write(3 << 20, b"end", &scratch).unwrap();
        assert!(matches!(content, Content::Own(..)));
        let NewContent::Scratch(file, size) = content.snapshot().unwrap() else { panic!() };
        content.write(0, b"new", &scratch).unwrap();
        assert_eq!(size, (3 << 20) + 3);
        assert_eq!(read_file(file.file(), 0, 3).unwrap(), [0, 0, 0]);
        assert_eq!(content.read(0, 3).unwrap().unwrap(), b"new");
        assert_eq!(content.read(3 << 20, 9).unwrap().unwrap(), b"end");
    }

    #[test]
    fn what_is_not_here_is_asked_of_the_node() {
        let mut content = Content::of(Body::Remote { size: 10 });
        assert!(content.read(0, 4).unwrap().is_none());
        assert_eq!(content.read(10, 4).unwrap().unwrap(), b"");
        assert_eq!(content.write(0, b"x", &scratch).unwrap_err().kind(), Kind::Unreachable);
        content.resize(0, &scratch).unwrap();
        content.write(0, b"x", &scratch).unwrap();
        assert_eq!(all(&content), b"x");
        assert_eq!(content.write(u64::MAX - 1, b"xyz", &scratch).unwrap_err().kind(), Kind::TooLarge);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_behaves_as_bytes_do(steps in proptest::collection::vec((0..3u8, 0..3_000_000u64, 0..5_000usize), 0..12)) {
            let mut content = Content::of(Body::Bytes(b"start".as_slice().into()));
            let mut model = b"start".to_vec();
            for (n, (what, at, len)) in steps.into_iter().enumerate() {
                match what {
                    0 => {
                        let data = vec![n as u8 + 1; len];
                        content.write(at, &data, &scratch).unwrap();
                        let end = at as usize + len;
                        if model.len() < end { model.resize(end, 0); }
                        model[at as usize..end].copy_from_slice(&data);
                    }
                    1 => { content.resize(at, &scratch).unwrap(); model.resize(at as usize, 0); }
                    _ => {
                        content.snapshot().unwrap();
                        let from = (at as usize).min(model.len());
                        let to = (from + len).min(model.len());
                        prop_assert_eq!(content.read(at, len).unwrap().unwrap(), &model[from..to]);
                    }
                }
                prop_assert_eq!(content.size(), model.len() as u64);
            }
            prop_assert!(all(&content) == model);
        }
    }
}
