//! Fingerprints: an id in a form two people can compare over a telephone.

use crate::label;
use base::Hash;

// Digits and letters without i, l, o and u, which are misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const DIGITS: usize = 32;
const GROUP: usize = 4;

/// 160 bits of a digest of the id, as eight groups of four digits and letters joined by `-`.
///
/// Finding a second id with the same fingerprint takes 2^160 tries.
pub fn fingerprint(id: &[u8]) -> String {
    let digest = Hash::of(&[label::FINGERPRINT.as_bytes(), &[0], id]);
    let mut out = String::with_capacity(DIGITS + DIGITS / GROUP - 1);
    for digit in 0..DIGITS {
        if digit > 0 && digit % GROUP == 0 {
            out.push('-');
        }
        let bit = digit * 5;
        let pair = u16::from_be_bytes([digest.0[bit / 8], digest.0[bit / 8 + 1]]);
        let value = (pair >> (11 - bit % 8)) & 31;
        out.push(char::from(ALPHABET[usize::from(value)]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn eight_groups_of_four_that_differ_with_the_id() {
        let one = fingerprint(&[1; 32]);
        assert_eq!(one.len(), 39);
        assert_eq!(one.split('-').count(), 8);
        assert!(one.split('-').all(|g| g.len() == 4));
        assert_ne!(one, fingerprint(&[2; 32]));
    }
}
