//! What the formats of statements, operations, cards and pairing have in common.
//!
//! A body is an array that begins with its version and the kind of what follows, so a later
//! version is known to be one without being understood.

use base::{Hash, LogId, cbor, limit};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};
use std::collections::BTreeMap;

/// The version of statements, operations, cards and pairing messages that this build writes.
pub const VERSION: u64 = 1;

/// Of somebody who may no longer write: up to where their logs count. A log not named counts
/// nothing.
pub type Cut = BTreeMap<LogId, (u64, Hash)>;

/// A body: understood, or of a version this build does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body<T> {
    Known(T),
    Newer,
}

/// Reads a body of any version.
pub(super) fn body<'b, T>(bytes: &'b [u8], what: &'static str) -> Result<Body<T>, base::Error>
where
    T: minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    if version_of(bytes).is_some_and(|version| version > VERSION) {
        return Ok(Body::Newer);
    }
    cbor::decode(bytes, what).map(Body::Known)
}

/// The version that a body begins with.
pub(super) fn version_of(bytes: &[u8]) -> Option<u64> {
    let mut d = Decoder::new(bytes);
    d.array().ok().flatten()?;
    d.u64().ok()
}

/// Reads array head and version, and gives the kind that follows along with how many items.
pub(super) fn head(d: &mut Decoder<'_>) -> Result<(u64, u64), DecodeError> {
    let items = d.array()?.ok_or_else(|| DecodeError::message("indefinite length"))?;
    if d.u64()? != VERSION {
        return Err(DecodeError::message("version"));
    }
    Ok((d.u64()?, items))
}

/// Reads a byte string of exactly `N` bytes.
pub(super) fn fixed<const N: usize>(d: &mut Decoder<'_>) -> Result<[u8; N], DecodeError> {
    d.bytes()?.try_into().map_err(|_| DecodeError::message("length of byte string"))
}

/// Reads a text of at most `limit` bytes that is printable as it stands.
pub(super) fn text(d: &mut Decoder<'_>, limit: usize) -> Result<String, DecodeError> {
    let text = d.str()?;
    if text.len() > limit || text.is_empty() || text.chars().any(base::name::is_deceptive) {
        return Err(DecodeError::message("text"));
    }
    Ok(text.to_owned())
}

/// Reads a text or null.
pub(super) fn optional_text(d: &mut Decoder<'_>, limit: usize) -> Result<Option<String>, DecodeError> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    text(d, limit).map(Some)
}

/// Writes a cut: an array of `[log, seq, hash]`, by log.
pub(super) fn write_cut<W: minicbor::encode::Write>(
    e: &mut Encoder<W>,
    cut: &Cut,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(cut.len() as u64)?;
    for (log, (seq, hash)) in cut {
        e.array(3)?.encode(log)?.u64(*seq)?.encode(hash)?;
    }
    Ok(())
}

/// Reads a cut. One that is not sorted encodes differently and is refused by `cbor::decode`.
pub(super) fn cut(d: &mut Decoder<'_>) -> Result<Cut, DecodeError> {
    let mut out = Cut::new();
    for _ in 0..cbor::array_len(d, limit::FRONTIER_LOGS)? {
        cbor::expect_array(d, 3)?;
        out.insert(d.decode()?, (d.u64()?, d.decode()?));
    }
    Ok(out)
}
