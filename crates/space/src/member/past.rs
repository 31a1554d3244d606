//! Sets of operations by small numbers: what an operation's author knew.

/// A set of the places that operations got when they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past(Vec<u64>);

impl Past {
    pub(super) fn insert(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (place % 64);
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    pub(super) fn join(&mut self, other: &Past) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Past;

    #[test]
    fn joins_and_remembers() {
        let (mut a, mut b) = (Past::default(), Past::default());
        a.insert(3);
        b.insert(200);
        a.join(&b);
        assert!(a.contains(3) && a.contains(200) && !a.contains(4) && !a.contains(1000));
        b.join(&a);
        assert_eq!(a, b);
    }
}
