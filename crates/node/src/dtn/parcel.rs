//! Where the pieces of bundles that came over DTN wait for each other. A bundle's pieces are the same however often
//! it is sent, so what one sending lost another completes.

use super::piece::Piece;
use crate::error::{During, Result};
use base::{Hash, limit};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder in which pieces wait for the others of their bundle. Anybody may send some: there is room
/// for so many bytes, and the oldest make it.
pub(crate) struct Pieces {
    dir: PathBuf,
    most: u64,
}

impl Pieces {
    pub(crate) fn in_dir(dir: &Path) -> Result<Pieces> {
        fs::create_dir_all(dir).during(|| format!("making {}", dir.display()))?;
        Ok(Pieces { dir: dir.to_owned(), most: limit::DTN_SPOOL_BYTES })
    }

    /// Takes a piece; where the bundle lies if it is whole now. What is none is passed over.
    pub(crate) fn take(&self, bytes: &[u8]) -> Result<Option<PathBuf>> {
        let Some(piece) = Piece::read(bytes) else { return Ok(None) };
        self.make_room(piece.bytes.len() as u64)?;
        let of = piece.of.hex();
        let name = |index: u8| self.dir.join(format!("{of}.{index:02}-{:02}", piece.count));
        self.put(&name(piece.index), piece.bytes)?;
        let mut bundle = Vec::new();
        for index in 0..piece.count {
            match fs::read(name(index)) {
                Ok(part) => bundle.extend(part),
                Err(_) => return Ok(None),
            }
        }
        let whole = Hash::of(&[&bundle]) == piece.of;
        let path = self.dir.join(format!("{of}.bundle"));
        if whole {
            self.put(&path, &bundle)?;
        }
        // Pieces that do not fit together were not all cut from it: they are sent again.
        for index in 0..piece.count {
            let _ = fs::remove_file(name(index));
        }
        Ok(whole.then_some(path))
    }

    /// The bundles that are whole.
    pub(crate) fn whole(&self) -> Result<Vec<PathBuf>> {
        crate::bundle::bundles_in(&self.dir)
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let during = || format!("writing {}", path.display());
        let part = path.with_extension("part");
        fs::write(&part, bytes).during(during)?;
        fs::rename(&part, path).during(during)
    }

    fn make_room(&self, bytes: u64) -> Result<()> {
        let during = || format!("listing {}", self.dir.display());
        let mut all = BTreeMap::new();
        let mut sum = bytes;
        for entry in fs::read_dir(&self.dir).during(during)? {
            let entry = entry.during(during)?;
            let Ok(meta) = entry.metadata() else { continue };
            sum += meta.len();
            all.insert((meta.modified().ok(), entry.path()), meta.len());
        }
        for ((_, path), len) in all {
            if sum <= self.most {
                break;
            }
            sum -= len;
            let _ = fs::remove_file(path);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtn::piece::{HEAD, MAGIC, cut};

    fn bundle(size: usize) -> Vec<u8> {
        (0..size).map(|n| (n / 1000) as u8).collect()
    }

    #[test]
    fn a_bundle_is_whole_when_its_pieces_are_in_whatever_order() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = Pieces::in_dir(dir.path()).unwrap();
        for size in [1, limit::DTN_BYTES - HEAD, 2_500_000] {
            let cut = cut(&bundle(size)).unwrap();
            assert!(cut.iter().all(|piece| piece.len() <= limit::DTN_BYTES));
            let (last, others) = cut.split_last().unwrap();
            for piece in others.iter().rev().chain(others) {
                assert_eq!(pieces.take(piece).unwrap(), None);
            }
            let path = pieces.take(last).unwrap().unwrap();
            assert!(fs::read(&path).unwrap() == bundle(size));
            assert_eq!(pieces.whole().unwrap(), std::slice::from_ref(&path));
            fs::remove_file(path).unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
        assert!(cut(&bundle(limit::DTN_PIECES * limit::DTN_BYTES)).is_none());
    }

    #[test]
    fn what_is_no_piece_is_passed_over_and_a_false_one_only_costs_time() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = Pieces::in_dir(dir.path()).unwrap();
        let cut = cut(&bundle(1_500_000)).unwrap();
        for junk in [&b""[..], b"chorusp1", &cut[0][..HEAD], b"chorusp2 and more"] {
            assert_eq!(pieces.take(junk).unwrap(), None);
        }
        let mut backwards = cut[0].clone();
        backwards.swap(40, 41);
        assert_eq!(pieces.take(&backwards).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut false_one = cut[0].clone();
        false_one.push(7);
        pieces.take(&false_one).unwrap();
        assert_eq!(pieces.take(&cut[1]).unwrap(), None);
        pieces.take(&cut[1]).unwrap();
        assert!(pieces.take(&cut[0]).unwrap().is_some());
    }

    #[test]
    fn pieces_that_never_become_whole_take_no_more_than_their_room() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = Pieces { most: 10_000, ..Pieces::in_dir(dir.path()).unwrap() };
        for n in 0..50u8 {
            let mut piece = MAGIC.to_vec();
            piece.extend([n; 32]);
            piece.extend([0, 2]);
            piece.extend(vec![n; 1000]);
            pieces.take(&piece).unwrap();
        }
        let sum: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!((5_000..=10_000).contains(&sum), "{sum}");
    }
}
