//! An entry: the signed, sealed record that travels. Its envelope is frozen; `schema/entry.cddl`.
//!
//! Here an entry is bytes and a header. Who may sign it, what is in its body and whether it counts
//! is for `crypto`, `object` and `space`; relays and blind hosts need none of these.

use crate::cbor;
use crate::error::Error;
use crate::id::{EpochId, Hash, LogId, Run, SpaceTag};
use crate::limit;
use minicbor::{Decoder, Encoder};
use std::ops::Range;
use std::sync::Arc;

/// The one version of the envelope.
pub const VERSION: u64 = 1;

/// What an entry's body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// Births and changes, sealed under an epoch.
    Content,
    /// A membership operation, in clear.
    Membership,
    /// A person's statement about their devices, in clear.
    Statement,
}

impl EntryKind {
    fn code(self) -> u64 {
        match self {
            EntryKind::Content => 0,
            EntryKind::Membership => 1,
            EntryKind::Statement => 2,
        }
    }

    fn from_code(code: u64) -> Option<EntryKind> {
        match code {
            0 => Some(EntryKind::Content),
            1 => Some(EntryKind::Membership),
            2 => Some(EntryKind::Statement),
            _ => None,
        }
    }
}

/// What everyone who carries an entry may read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the body holds.
    pub kind: EntryKind,
    /// The space, by its tag; zero in the entry whose hash is the space's id.
    pub tag: SpaceTag,
    /// The signer's log.
    pub log: LogId,
    /// The start of the node that made the changes.
    pub run: Run,
    /// The place in the log, from 0, without gaps.
    pub seq: u64,
    /// One more than the greatest among `prev` and `deps`; 1 where there is neither.
    pub lamport: u64,
    /// The entry before it in the log; none for the first.
    pub prev: Option<Hash>,
    /// The newest entry of each other log that the body builds on, sorted.
    pub deps: Vec<Hash>,
    /// The epoch under whose key the body is sealed; none where it is in clear.
    pub epoch: Option<EpochId>,
    /// The newest membership operations the author knew, sorted.
    pub auth: Vec<Hash>,
    /// The id of the list of sealed chunks this entry adds, for hosts.
    pub chunks: Option<Hash>,
}

impl<C> minicbor::Encode<C> for Header {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(12)?.u64(VERSION)?.u64(self.kind.code())?;
        e.encode(self.tag)?.encode(self.log)?.encode(self.run)?;
        e.u64(self.seq)?.u64(self.lamport)?.encode(self.prev)?;
        cbor::write_list(e, &self.deps)?;
        e.encode(self.epoch)?;
        cbor::write_list(e, &self.auth)?;
        e.encode(self.chunks)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Header {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        cbor::expect_array(d, 12)?;
        if d.u64()? != VERSION {
            return Err(minicbor::decode::Error::message("header version"));
        }
        let kind =
            EntryKind::from_code(d.u64()?).ok_or_else(|| minicbor::decode::Error::message("entry kind"))?;
        let header = Header {
            kind,
            tag: d.decode()?,
            log: d.decode()?,
            run: d.decode()?,
            seq: d.u64()?,
            lamport: d.u64()?,
            prev: d.decode()?,
            deps: cbor::list(d, limit::DEPS)?,
            epoch: d.decode()?,
            auth: cbor::list(d, limit::AUTH)?,
            chunks: d.decode()?,
        };
        header.check().map_err(minicbor::decode::Error::message)?;
        Ok(header)
    }
}

impl Header {
    /// The bytes that are signed, and that a sealed body is bound to.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    // What must hold of a header whatever else is known.
    fn check(&self) -> Result<(), &'static str> {
        let rising = |hashes: &[Hash]| hashes.windows(2).all(|w| w[0] < w[1]);
        if self.seq >= limit::CLOCK || self.lamport >= limit::CLOCK {
            return Err("seq or lamport over its limit");
        }
        if (self.seq == 0) != self.prev.is_none() {
            return Err("prev and seq disagree");
        }
        if !rising(&self.deps) || !rising(&self.auth) {
            return Err("hashes out of order");
        }
        if (self.kind == EntryKind::Content) != self.epoch.is_some() {
            return Err("epoch and kind disagree");
        }
        let roots = self.prev.is_none() && self.deps.is_empty();
        if self.lamport == 0 || (roots && self.lamport != 1) || (!roots && self.lamport == 1) {
            return Err("lamport");
        }
        if self.tag == SpaceTag::default() && (!roots || self.kind == EntryKind::Content) {
            return Err("genesis");
        }
        Ok(())
    }

    /// Whether this is the first entry of a space or of a person, whose hash is its id.
    pub fn is_genesis(&self) -> bool {
        self.tag == SpaceTag::default()
    }
}

/// A whole entry: the bytes as they came, and its header.
#[derive(Clone)]
pub struct Entry {
    bytes: Arc<[u8]>,
    hash: Hash,
    header: Header,
    header_at: Range<usize>,
    body_at: Range<usize>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("hash", &self.hash)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Entry {}

impl Entry {
    /// Reads an entry. Its signature is not looked at here.
    pub fn decode(bytes: impl Into<Arc<[u8]>>) -> Result<Entry, Error> {
        let bytes: Arc<[u8]> = bytes.into();
        let malformed = |_| Error::Malformed { what: "entry" };
        if bytes.len() > limit::ENTRY_BYTES {
            return Err(Error::Limit { what: "entry", limit: limit::ENTRY_BYTES });
        }
        let mut d = Decoder::new(&bytes);
        cbor::expect_array(&mut d, 3).map_err(malformed)?;
        let header_bytes = cbor::bytes_within(&mut d, limit::HEADER_BYTES).map_err(malformed)?;
        let header_at = d.position() - header_bytes.len()..d.position();
        let body = d.bytes().map_err(malformed)?;
        let body_at = d.position() - body.len()..d.position();
        let signature = d.bytes().map_err(malformed)?;
        let canonical =
            1 + [header_bytes.len(), body.len(), 64].iter().map(|n| n + cbor::head_len(*n)).sum::<usize>();
        if signature.len() != 64 || d.position() != bytes.len() || canonical != bytes.len() {
            return Err(Error::Malformed { what: "entry" });
        }
        let header: Header = cbor::decode(header_bytes, "entry header")?;
        let hash = Hash::of(&[&bytes]);
        Ok(Entry { hash, header, header_at, body_at, bytes })
    }

    /// What a signer signs: header and body in their encoded form, as they will stand in the entry.
    pub fn signed_part(header: &[u8], body: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(Vec::with_capacity(header.len() + body.len() + 18));
        // Writing into a vector cannot fail.
        let _ = e.bytes(header).and_then(|e| e.bytes(body));
        e.into_writer()
    }

    /// Puts header, body and signature together.
    pub fn assemble(header: &Header, body: &[u8], signature: &[u8; 64]) -> Result<Entry, Error> {
        let mut bytes = vec![0x83];
        bytes.extend(Entry::signed_part(&header.to_bytes(), body));
        bytes.extend([0x58, 64]);
        bytes.extend(signature);
        Entry::decode(bytes)
    }

    /// The entry's name everywhere.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The space it belongs to, by its tag: a genesis entry begins the space that its hash names.
    pub fn space_tag(&self) -> SpaceTag {
        if self.header.is_genesis() { crate::id::SpaceId(self.hash.0).tag() } else { self.header.tag }
    }

    /// The header, decoded.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header as it was received; what a sealed body is bound to.
    pub fn header_bytes(&self) -> &[u8] {
        &self.bytes[self.header_at.clone()]
    }

    /// The body: sealed, or an operation or statement in clear.
    pub fn body(&self) -> &[u8] {
        &self.bytes[self.body_at.clone()]
    }

    /// The received bytes that the signature covers, after the domain and the space.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.bytes[1..self.body_at.end]
    }

    /// The signature.
    pub fn signature(&self) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(&self.bytes[self.bytes.len() - 64..]);
        out
    }

    /// The whole entry as it travels.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, Incarnation};
    use proptest::prelude::*;

    pub(crate) fn header() -> Header {
        Header {
            kind: EntryKind::Content,
            tag: SpaceTag([1; 16]),
            log: LogId { device: DeviceId([2; 32]), incarnation: Incarnation([3; 8]) },
            run: Run([4; 8]),
            seq: 1,
            lamport: 9,
            prev: Some(Hash([5; 32])),
            deps: vec![Hash([6; 32]), Hash([7; 32])],
            epoch: Some(EpochId([8; 32])),
            auth: vec![Hash([9; 32])],
            chunks: None,
        }
    }

    #[test]
    fn an_entry_reads_back_as_it_was_put_together() {
        let entry = Entry::assemble(&header(), b"sealed", &[7; 64]).unwrap();
        let again = Entry::decode(entry.bytes().clone()).unwrap();
        assert_eq!(again.header(), &header());
        assert_eq!(again.body(), b"sealed");
        assert_eq!(again.signature(), [7; 64]);
        assert_eq!(again.hash(), entry.hash());
        assert_eq!(again.signed_bytes(), Entry::signed_part(&header().to_bytes(), b"sealed"));
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused() {
        let wrong = [
            Header { seq: 0, ..header() },
            Header { deps: vec![Hash([7; 32]), Hash([6; 32])], ..header() },
            Header { epoch: None, ..header() },
            Header { lamport: 1, ..header() },
            Header { tag: SpaceTag::default(), ..header() },
            Header { seq: limit::CLOCK, ..header() },
            Header { seq: u64::MAX, ..header() },
            Header { lamport: limit::CLOCK, ..header() },
            Header { lamport: u64::MAX, ..header() },
        ];
        for header in wrong {
            assert!(Entry::assemble(&header, b"", &[0; 64]).is_err(), "{header:?}");
        }
        let last = Header { seq: limit::CLOCK - 1, lamport: limit::CLOCK - 1, ..header() };
        assert!(Entry::assemble(&last, b"", &[0; 64]).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Entry::decode(bytes);
        }

        #[test]
        fn a_changed_byte_is_another_entry_or_none(at in 0usize..150, bit in 0u8..8) {
            let entry = Entry::assemble(&header(), b"sealed", &[7; 64]).unwrap();
            let mut bytes = entry.bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = Entry::decode(bytes) {
                prop_assert_ne!(other.hash(), entry.hash());
            }
        }
    }
}
