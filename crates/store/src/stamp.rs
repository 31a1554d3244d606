//! What the marks say, as bytes: the format of the store, and the number of a batch with its checksum.

const FORMAT_WORDS: &str = "chorus store ";

/// Bytes of a number with its checksum.
pub(crate) const NUMBER_BYTES: usize = 12;

/// The format mark.
pub(crate) fn format_words(format: u64) -> String {
    format!("{FORMAT_WORDS}{format}\n")
}

/// The format that a mark says; none where it says no format.
pub(crate) fn format_of(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.strip_prefix(FORMAT_WORDS)?.trim_end().parse().ok()
}

/// A batch's number: most significant byte first, then its CRC-32.
pub(crate) fn number(seq: u64) -> [u8; NUMBER_BYTES] {
    let mut out = [0; NUMBER_BYTES];
    out[..8].copy_from_slice(&seq.to_be_bytes());
    let crc = crc32fast::hash(&out[..8]);
    out[8..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The number that a mark says; none where it is damaged.
pub(crate) fn number_of(bytes: &[u8]) -> Option<u64> {
    let seq = u64::from_be_bytes(*bytes.first_chunk()?);
    (bytes == number(seq)).then_some(seq)
}
