//! Numbers and fields of a change's frame (LEB128, as in DWARF 7.6).

/// What is left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    /// The next bytes.
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// Bytes behind their length.
    pub(super) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.uleb()?).ok()?;
        self.take(n)
    }

    /// An unsigned integer, in its shortest encoding only.
    pub(super) fn uleb(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { None } else { Some(value) };
            }
        }
        None
    }

    /// A signed integer.
    pub(super) fn sleb(&mut self) -> Option<i64> {
        let mut value = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if shift < 57 && byte & 0x40 != 0 {
                    value |= -1 << (shift + 7);
                }
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leb128_is_read_in_its_shortest_form() {
        assert_eq!(Input(&[0xe5, 0x8e, 0x26]).uleb(), Some(624_485));
        assert_eq!(Input(&[0x80, 0x00]).uleb(), None);
        assert_eq!(Input(&[0xff; 11]).uleb(), None);
        assert_eq!(Input(&[0x7f]).sleb(), Some(-1));
        assert_eq!(Input(&[0xc0, 0xbb, 0x78]).sleb(), Some(-123_456));
        assert_eq!(Input(&[0x3f]).sleb(), Some(63));
    }
}
