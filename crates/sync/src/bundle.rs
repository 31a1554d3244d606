//! Bundles: envelopes in a row for a carrier that nobody answers on, as they stand inside the seal.
//!
//! A bundle is a list of items, each four bytes of length and so many bytes: first an [`Opening`],
//! then envelopes as on any link, then an item of no bytes, the signature, and zeros to the end.
//! What is signed is a chain of digests over all items, so neither side ever holds more than one of
//! them. Sealing, signing and files are for the node; nothing here judges what an envelope says.

use crate::{Envelope, Error};
use base::{DeviceId, Hash, PersonId, cbor, limit};
use minicbor::{Decoder, Encoder, decode, encode};

/// The one version of what is inside a bundle.
pub const BUNDLE_VERSION: u64 = 1;

/// Bytes of a signature.
const SIGNATURE: usize = 64;

/// Bytes of an item's length.
const LENGTH: usize = 4;

/// The first item of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The device that made it.
    pub from: DeviceId,
    /// The person it is for.
    pub to: PersonId,
    /// Rises with every bundle of this device: what an older one says of frontiers is passed over.
    pub number: u64,
}

impl encode::Encode<()> for Opening {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut (),
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.u64(BUNDLE_VERSION)?.encode(self.from)?.encode(self.to)?.u64(self.number)?.ok()
    }
}

impl<'b> decode::Decode<'b, ()> for Opening {
    fn decode(d: &mut Decoder<'b>, _: &mut ()) -> Result<Self, decode::Error> {
        cbor::expect_array(d, 4)?;
        if d.u64()? != BUNDLE_VERSION {
            return Err(decode::Error::message("version"));
        }
        Ok(Opening { from: d.decode()?, to: d.decode()?, number: d.u64()? })
    }
}

/// What a bundle is made of.
// One is read and used up at a time.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Who it is from and for.
    Opening(Opening),
    /// A message.
    Envelope(Envelope),
    /// The end: the signature, and what must be signed by it.
    Closing {
        /// The digest over all items before.
        digest: Hash,
        /// The sender's signature.
        signature: [u8; SIGNATURE],
    },
}

/// Writes the items of a bundle: each call answers the bytes that come next.
#[derive(Debug)]
pub struct Composer {
    chain: Hash,
}

impl Composer {
    /// Begins a bundle.
    pub fn begin(opening: &Opening) -> (Composer, Vec<u8>) {
        let mut composer = Composer { chain: first_link() };
        let bytes = composer.item(&cbor::encode(opening));
        (composer, bytes)
    }

    /// One more message.
    pub fn add(&mut self, envelope: &Envelope) -> Vec<u8> {
        self.item(&envelope.encode())
    }

    /// What the sender signs once nothing more is added.
    pub fn digest(&self) -> Hash {
        self.chain
    }

    /// The end, with the signature over `digest`.
    pub fn close(&self, signature: &[u8; SIGNATURE]) -> Vec<u8> {
        let mut out = vec![0; LENGTH];
        out.extend(signature);
        out
    }

    fn item(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.chain = next_link(&self.chain, bytes);
        // No item is over `limit::ENVELOPE_BYTES`; a reader would refuse one that is.
        let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
        out.extend(bytes);
        out
    }
}

/// Reads the items of a bundle from its bytes, whatever pieces these come in.
#[derive(Debug)]
pub struct Items {
    bytes: Vec<u8>,
    at: usize,
    chain: Hash,
    opened: bool,
    closed: bool,
}

impl Default for Items {
    fn default() -> Items {
        Items { bytes: Vec::new(), at: 0, chain: first_link(), opened: false, closed: false }
    }
}

impl Items {
    /// Takes the bytes that come next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend(bytes);
    }

    /// The next item; none until more bytes are pushed. An error if these bytes are no bundle.
    pub fn read(&mut self) -> Result<Option<Item>, Error> {
        if self.closed {
            return self.nothing_but_zeros();
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > limit::ENVELOPE_BYTES {
            return Err(base::Error::Limit { what: "item", limit: limit::ENVELOPE_BYTES }.into());
        }
        if length == 0 {
            return Ok(self.close());
        }
        let Some(bytes) = rest.get(..length) else { return Ok(None) };
        let item =
            if self.opened { Item::Envelope(envelope(bytes)?) } else { Item::Opening(opening(bytes)?) };
        self.opened = true;
        self.chain = next_link(&self.chain, bytes);
        self.at += LENGTH + length;
        Ok(Some(item))
    }

    /// Whether the end was read.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn close(&mut self) -> Option<Item> {
        let rest = self.bytes.get(self.at + LENGTH..)?;
        let signature = *rest.first_chunk::<SIGNATURE>()?;
        self.closed = true;
        self.at += LENGTH + SIGNATURE;
        Some(Item::Closing { digest: self.chain, signature })
    }

    fn nothing_but_zeros(&mut self) -> Result<Option<Item>, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.iter().any(|byte| *byte != 0) {
            return Err(base::Error::Malformed { what: "end of a bundle" }.into());
        }
        self.at = self.bytes.len();
        Ok(None)
    }
}

fn first_link() -> Hash {
    Hash::of(&[b"chorus/bundle/1"])
}

fn next_link(chain: &Hash, item: &[u8]) -> Hash {
    Hash::of(&[&chain.0, item])
}

fn opening(bytes: &[u8]) -> Result<Opening, Error> {
    // A later version may say more in its opening; what it is, is still told.
    let mut d = Decoder::new(bytes);
    match (d.array(), d.u64()) {
        (Ok(Some(_)), Ok(version)) if version != BUNDLE_VERSION => {
            Err(base::Error::Version { what: "bundle", version }.into())
        }
        _ => Ok(cbor::decode(bytes, "opening of a bundle")?),
    }
}

// What is only meant for a link (a greeting, the lack of something, a piece) says nothing later.
fn envelope(bytes: &[u8]) -> Result<Envelope, Error> {
    match Envelope::decode(bytes)? {
        Envelope::Hello(_)
        | Envelope::Absent { .. }
        | Envelope::Chunk { bytes: None, .. }
        | Envelope::Part(_)
        | Envelope::Rest { .. } => Err(base::Error::Malformed { what: "message of a bundle" }.into()),
        envelope => Ok(envelope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opening() -> Opening {
        Opening { from: DeviceId([1; 32]), to: PersonId([2; 32]), number: 3 }
    }

    fn composed(envelopes: &[Envelope]) -> (Vec<u8>, Hash) {
        let (mut composer, mut bytes) = Composer::begin(&opening());
        for envelope in envelopes {
            bytes.extend(composer.add(envelope));
        }
        let digest = composer.digest();
        bytes.extend(composer.close(&[7; 64]));
        (bytes, digest)
    }

    fn read_in(pieces: usize, bytes: &[u8]) -> Result<Vec<Item>, Error> {
        let mut items = Items::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(pieces.max(1)) {
            items.push(piece);
            while let Some(item) = items.read()? {
                out.push(item);
            }
        }
        Ok(out)
    }

    fn some() -> Vec<Envelope> {
        vec![Envelope::Addr(vec![1, 2]), Envelope::Entries(vec![vec![9; 300], vec![]])]
    }

    #[test]
    fn what_was_composed_is_read_in_whatever_pieces() {
        let (mut bytes, digest) = composed(&some());
        bytes.extend([0; 50]);
        let mut want = vec![Item::Opening(opening())];
        want.extend(some().into_iter().map(Item::Envelope));
        want.push(Item::Closing { digest, signature: [7; 64] });
        for pieces in [1, 3, 64, 1000] {
            assert_eq!(read_in(pieces, &bytes).unwrap(), want);
        }
    }

    #[test]
    fn an_end_with_something_in_it_is_refused_and_a_cut_one_never_closes() {
        let (bytes, _) = composed(&some());
        let mut more = bytes.clone();
        more.extend([0, 0, 1]);
        assert!(read_in(1000, &more).is_err());
        for cut in 0..bytes.len() {
            let items = read_in(7, &bytes[..cut]).unwrap();
            assert!(!items.iter().any(|item| matches!(item, Item::Closing { .. })));
        }
    }

    #[test]
    fn a_claimed_length_waits_for_nothing() {
        let mut items = Items::default();
        items.push(&[0xff; 4]);
        assert!(items.read().is_err());
        let mut items = Items::default();
        let mut later = vec![0, 0, 0, 3];
        later.extend([0x82, 0x02, 0x00]);
        items.push(&later);
        let error = items.read().unwrap_err();
        assert_eq!(error.kind(), base::Kind::Unsupported);
    }

    #[test]
    fn a_link_s_own_words_have_no_place_in_a_bundle() {
        let absent = Envelope::Absent { ranges: vec![], hashes: vec![] };
        assert!(read_in(1000, &composed(&[absent]).0).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn garbage_ends_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_in(13, &bytes);
        }

        #[test]
        fn a_changed_item_changes_the_digest(at in 4usize..370, bit in 0u8..8) {
            let (mut bytes, digest) = composed(&some());
            prop_assume!(at < bytes.len() - 68);
            bytes[at] ^= 1 << bit;
            if let Ok(items) = read_in(1000, &bytes) {
                for item in items {
                    if let Item::Closing { digest: found, .. } = item {
                        prop_assert!(found != digest);
                    }
                }
            }
        }
    }
}
