//! What two sets have apart, for as many bytes as the difference has: a rateless invertible Bloom lookup
//! table (Yang, Gilad, Alizadeh, "Practical Rateless Set Reconciliation", SIGCOMM 2024).
//!
//! Each side can make an endless row of cells from its set. An entry goes into cell 0 and then into ever
//! fewer of those that follow, at places that its hash decides; a cell is the exclusive or of what goes
//! into it, and of its checks. The cells of one set taken off those of the other are the cells of what
//! they have apart, and a cell in which one entry is alone gives it away. About one and a half cells for
//! each entry are enough, however large the sets are, and whoever needs more asks for the next.

use base::Hash;

/// An entry of a log: its place and its hash.
pub type Item = (u64, Hash);

/// Bytes of a cell on the wire: the place (6), the hash (32) and the check (8).
pub const CELL_BYTES: usize = ITEM_BYTES + 8;

const ITEM_BYTES: usize = 38;

// An item as words: six bytes of the place and all of the hash, the last two bytes zero.
type Words = [u64; 5];

/// Several entries in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    items: Words,
    check: u64,
}

/// A cell that nothing is in.
const EMPTY: Cell = Cell { items: [0; 5], check: 0 };

impl Cell {
    /// As it travels.
    pub fn to_bytes(&self) -> [u8; CELL_BYTES] {
        let mut out = [0; CELL_BYTES];
        let (items, check) = out.split_at_mut(ITEM_BYTES);
        items.copy_from_slice(&bytes_of(&self.items));
        check.copy_from_slice(&self.check.to_be_bytes());
        out
    }

    /// Reads cells that lie one after the other; what does not make a whole cell is left away.
    pub fn read(bytes: &[u8]) -> Vec<Cell> {
        let (cells, _) = bytes.as_chunks::<CELL_BYTES>();
        let read = |cell: &[u8; CELL_BYTES]| {
            let (items, check) = cell.split_at(ITEM_BYTES);
            Cell { items: words_of(items), check: check.try_into().map_or(0, u64::from_be_bytes) }
        };
        cells.iter().map(read).collect()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        *self == EMPTY
    }

    fn toggle(&mut self, other: &Cell) {
        for (mine, theirs) in self.items.iter_mut().zip(other.items) {
            *mine ^= theirs;
        }
        self.check ^= other.check;
    }

    // The one entry that is in it, if it looks like that.
    fn only(&self, salt: u64) -> Option<(Cell, Places)> {
        if self.is_empty() {
            return None;
        }
        let (cell, places) = marked(self.items, salt);
        (cell.check == self.check).then_some((cell, places))
    }

    fn item(&self) -> Item {
        let bytes = bytes_of(&self.items);
        let (place, rest) = bytes.split_at(6);
        let mut seq = [0; 8];
        let mut hash = Hash::default();
        seq[2..].copy_from_slice(place);
        hash.0.copy_from_slice(rest);
        (u64::from_be_bytes(seq), hash)
    }
}

fn words(item: &Item) -> Words {
    let mut bytes = [0; ITEM_BYTES];
    let (place, rest) = bytes.split_at_mut(6);
    place.copy_from_slice(&item.0.to_be_bytes()[2..]);
    rest.copy_from_slice(&item.1.0);
    words_of(&bytes)
}

fn words_of(bytes: &[u8]) -> Words {
    let mut out = [0; 5];
    for (word, part) in out.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..part.len()].copy_from_slice(part);
        *word = u64::from_be_bytes(whole);
    }
    out
}

fn bytes_of(words: &Words) -> [u8; ITEM_BYTES] {
    let mut out = [0; ITEM_BYTES];
    for (part, word) in out.chunks_mut(8).zip(words) {
        part.copy_from_slice(&word.to_be_bytes()[..part.len()]);
    }
    out
}

// An entry as a cell of its own, and where it goes. The salt is new each time: nobody can make entries
// that look alike to it.
fn marked(items: Words, salt: u64) -> (Cell, Places) {
    let mark = Hash::of(&[b"chorus/cell/1", &salt.to_be_bytes(), &bytes_of(&items)]).0;
    let half = |at: usize| mark[at..at + 8].try_into().map_or(0, u64::from_be_bytes);
    (Cell { items, check: half(0) }, Places { next: 0, random: half(8) })
}

/// The places of one entry, rising, without end.
struct Places {
    next: u64,
    random: u64,
}

impl Iterator for Places {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let place = self.next;
        // SplitMix64 (Steele et al. 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The gap for which place `i` is filled by one entry in 1 + i/2. Only operations that every
        // machine rounds alike.
        let part = ((z >> 32) + 1) as f64;
        let gap = ((place as f64 + 1.5) * (65_536.0 / part.sqrt() - 1.0)).ceil();
        self.next = place.saturating_add((gap as u64).max(1));
        Some(place)
    }
}

/// The cells from one place to below another, of a set.
pub fn encode(items: &[Item], salt: u64, from: u64, to: u64) -> Vec<Cell> {
    let len = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
    let mut cells = vec![EMPTY; len];
    for item in items {
        let (cell, places) = marked(words(item), salt);
        for place in places.take_while(|place| *place < to).filter(|place| *place >= from) {
            if let Some(at) = usize::try_from(place - from).ok().and_then(|at| cells.get_mut(at)) {
                at.toggle(&cell);
            }
        }
    }
    cells
}

/// What became of taking one set off the cells of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apart {
    /// What only they have, and what only I have; each in order.
    Found(Vec<Item>, Vec<Item>),
    /// The cells are too few; so many are likely to do.
    Need(u64),
    /// The cells were made of nothing.
    MadeUp,
}

/// What a set and one that these first cells were made of have apart.
pub fn apart(mut cells: Vec<Cell>, mine: &[Item], salt: u64) -> Apart {
    let len = cells.len() as u64;
    for (cell, own) in cells.iter_mut().zip(encode(mine, salt, 0, len)) {
        cell.toggle(&own);
    }
    let need = likely(&cells);
    let mut found: Vec<Item> = Vec::new();
    let mut look: Vec<usize> = (0..cells.len()).collect();
    while let Some(at) = look.pop() {
        let Some((alone, places)) = cells.get(at).and_then(|cell| cell.only(salt)) else { continue };
        let places: Vec<usize> =
            places.take_while(|place| *place < len).filter_map(|place| usize::try_from(place).ok()).collect();
        // More than there can be, or one that does not belong there.
        if found.len() >= cells.len() || places.binary_search(&at).is_err() {
            return Apart::MadeUp;
        }
        found.push(alone.item());
        for place in places {
            if let Some(cell) = cells.get_mut(place) {
                cell.toggle(&alone);
                look.push(place);
            }
        }
    }
    // Everything is in the first.
    if cells.is_empty() || cells.iter().any(|cell| !cell.is_empty()) {
        return Apart::Need(need);
    }
    found.sort_unstable();
    let (ours, theirs) = found.into_iter().partition(|item| mine.binary_search(item).is_ok());
    Apart::Found(theirs, ours)
}

// How many cells are likely to do, by how many of these are empty: an entry is in cell `i` in one of 1 + i/2
// cases. Asked for generously: a further message costs more than some cells.
fn likely(cells: &[Cell]) -> u64 {
    let len = cells.len() as f64;
    let late = cells.get(cells.len() / 2..).unwrap_or_default();
    let empty = late.iter().filter(|cell| cell.is_empty()).count() as f64;
    // Fewer say nothing but that it is many.
    if empty < 3.0 {
        return (4 * cells.len() as u64).max(32);
    }
    let entries = (1.0 + len * 3.0 / 8.0) * (late.len() as f64 / empty).ln();
    (1.6 * entries + 16.0).max(1.25 * len).min(1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn item(n: u64) -> Item {
        (n / 3, Hash::of(&[&n.to_be_bytes()]))
    }

    fn set(from: u64, to: u64) -> Vec<Item> {
        (from..to).map(item).collect::<BTreeSet<_>>().into_iter().collect()
    }

    #[test]
    fn what_is_apart_is_found_with_few_cells() {
        let (mine, theirs) = (set(0, 5000), set(100, 5040));
        let (mut cells, mut tries) = (32, 1);
        let (only_they, only_i) = loop {
            match apart(encode(&theirs, 7, 0, cells), &mine, 7) {
                Apart::Found(theirs, mine) => break (theirs, mine),
                Apart::Need(more) => (cells, tries) = (more, tries + 1),
                Apart::MadeUp => panic!("of a true set"),
            }
        };
        assert!(cells <= 320 && tries <= 4, "{cells} in {tries} tries for 140");
        assert_eq!(only_i, set(0, 100));
        assert_eq!(only_they, set(5000, 5040));
        assert_eq!(apart(encode(&mine, 9, 0, 2), &mine, 9), Apart::Found(vec![], vec![]));
        assert!(matches!(apart(encode(&mine, 9, 0, 20), &[], 9), Apart::Need(21..)));
        assert_eq!(apart(Vec::new(), &mine, 9), Apart::Need(32));
    }

    #[test]
    fn cells_come_in_any_portions() {
        let items = set(0, 300);
        let mut portions = encode(&items, 1, 0, 10);
        portions.extend(encode(&items, 1, 10, 64));
        assert_eq!(portions, encode(&items, 1, 0, 64));
        let bytes: Vec<u8> = portions.iter().flat_map(|cell| cell.to_bytes()).collect();
        assert_eq!(Cell::read(&bytes), portions);
    }

    proptest! {
        #[test]
        fn cells_that_were_made_up_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000), salt: u64) {
            let _ = apart(Cell::read(&bytes), &set(0, 50), salt);
        }

        #[test]
        fn any_two_sets(mine in proptest::collection::btree_set(0u64..200, 0..100),
                        theirs in proptest::collection::btree_set(0u64..200, 0..100), salt: u64) {
            let of = |set: &BTreeSet<u64>| set.iter().map(|n| item(*n)).collect::<BTreeSet<_>>();
            let (mine, theirs) = (of(&mine), of(&theirs));
            let (a, b): (Vec<_>, Vec<_>) = (mine.iter().copied().collect(), theirs.iter().copied().collect());
            let found = |n: u64| match apart(encode(&b, salt, 0, n), &a, salt) {
                Apart::Found(theirs, mine) => Some((theirs, mine)),
                _ => None,
            };
            let (only_they, only_i) = (1..).find_map(|n| found(1 << n)).unwrap();
            prop_assert_eq!(only_i, mine.difference(&theirs).copied().collect::<Vec<_>>());
            prop_assert_eq!(only_they, theirs.difference(&mine).copied().collect::<Vec<_>>());
        }
    }
}
