//! Deterministic CBOR (RFC 8949 §4.2.1): definite lengths, shortest integers, one encoding of a value.
//!
//! A frame that is signed, hashed or compared must have one encoding only, so [`decode`] encodes
//! again what it read and refuses bytes that differ.

use crate::error::Error;

/// The encoding of a value.
pub fn encode<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into a vector cannot fail, and our own encoders report no error of their own.
    let _ = minicbor::encode(value, &mut out);
    out
}

/// Reads a value, all of it, in its one encoding.
pub fn decode<'b, T>(bytes: &'b [u8], what: &'static str) -> Result<T, Error>
where
    T: minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|_| Error::Malformed { what })?;
    if decoder.position() != bytes.len() || encode(&value) != bytes {
        return Err(Error::Malformed { what });
    }
    Ok(value)
}

/// The length of an array about to be read: definite, and within its limit.
pub fn array_len(d: &mut minicbor::Decoder<'_>, limit: usize) -> Result<usize, minicbor::decode::Error> {
    let n = d.array()?.ok_or_else(|| minicbor::decode::Error::message("indefinite length"))?;
    usize::try_from(n)
        .ok()
        .filter(|n| *n <= limit)
        .ok_or_else(|| minicbor::decode::Error::message("array over its limit"))
}

/// Reads the head of an array that must have exactly `n` items.
pub fn expect_array(d: &mut minicbor::Decoder<'_>, n: u64) -> Result<(), minicbor::decode::Error> {
    if d.array()? == Some(n) { Ok(()) } else { Err(minicbor::decode::Error::message("array length")) }
}

/// Reads a list of at most `limit` values. Memory grows with what is really there, never with
/// what a head claims.
pub fn list<'b, T: minicbor::Decode<'b, ()>>(
    d: &mut minicbor::Decoder<'b>,
    limit: usize,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let n = array_len(d, limit)?;
    let mut out = Vec::new();
    for _ in 0..n {
        out.push(d.decode()?);
    }
    Ok(out)
}

/// Reads a byte string of at most `limit` bytes.
pub fn bytes_within<'b>(
    d: &mut minicbor::Decoder<'b>,
    limit: usize,
) -> Result<&'b [u8], minicbor::decode::Error> {
    let bytes = d.bytes()?;
    if bytes.len() <= limit {
        Ok(bytes)
    } else {
        Err(minicbor::decode::Error::message("byte string over its limit"))
    }
}

/// Writes a list as an array of definite length.
pub fn write_list<T: minicbor::Encode<()>, W: minicbor::encode::Write>(
    e: &mut minicbor::Encoder<W>,
    items: &[T],
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(items.len() as u64)?;
    for item in items {
        e.encode(item)?;
    }
    Ok(())
}

/// How many bytes the head of a byte string of `n` bytes takes.
pub(crate) fn head_len(n: usize) -> usize {
    match n {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Hash;

    #[test]
    fn a_second_encoding_of_the_same_value_is_refused() {
        let good = encode(&Hash([3; 32]));
        assert_eq!(decode::<Hash>(&good, "hash"), Ok(Hash([3; 32])));
        let mut long = vec![0x59, 0x00, 0x20];
        long.extend([3; 32]);
        assert!(decode::<Hash>(&long, "hash").is_err());
        let mut trailing = good.clone();
        trailing.push(0);
        assert!(decode::<Hash>(&trailing, "hash").is_err());
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let claim = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(list::<Hash>(&mut minicbor::Decoder::new(&claim), 10).is_err());
    }
}
