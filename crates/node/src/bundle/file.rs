//! A bundle as a file: in clear only the secret wrapped for each of the receiver's devices, which
//! names nobody; everything else in sealed blocks. Both ends hold one block and one item at a time.
//!
//! ```text
//! magic (8), number of wraps (1), wraps (80 each), then blocks of 64 KiB sealed, the last shorter
//! ```

use super::head::{Bad, Head, WRAP};
use crate::error::{During, Error, Result};
use crate::home::random_bytes;
use base::{Kind, PersonId, limit};
use crypto::{DeviceKey, STREAM_BLOCK_BYTES, STREAM_OVERHEAD, SealKey, SealPublic, StreamKey};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use sync::{Composer, Envelope, Item, Items, Opening};
use zeroize::Zeroizing;

/// What a bundle's signature is for.
const SIGN: &str = "chorus/bundle/1";
/// Bundles below this size are made a little longer, so that their length says less.
const PADDED_BELOW: u64 = 1 << 20;

/// Who a bundle is for.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) person: PersonId,
    /// Where each of their devices opens what is sealed.
    pub(crate) seals: Vec<SealPublic>,
}

/// Writes one bundle.
pub(crate) struct Writer<W: Write> {
    out: W,
    key: StreamKey,
    blocks: u64,
    waiting: Vec<u8>,
    composer: Composer,
    plain: u64,
    written: u64,
}

/// Bytes of a bundle beside its envelopes, at most.
pub(crate) const OVERHEAD: u64 = 8 << 10;

impl<W: Write> Writer<W> {
    /// Begins a bundle.
    pub(crate) fn begin(out: W, opening: &Opening, to: &Recipient) -> Result<Writer<W>> {
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes()?);
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes()?);
        Writer::sealed_with(out, opening, to, &secret, &seed)
    }

    fn sealed_with(
        mut out: W,
        opening: &Opening,
        to: &Recipient,
        secret: &[u8; 32],
        seed: &[u8; 32],
    ) -> Result<Writer<W>> {
        if to.seals.is_empty() || to.seals.len() > limit::BUNDLE_WRAPS {
            return Err(Error::refused(Kind::Unsupported, "they have no device that it can be sealed for"));
        }
        let wraps = to.seals.iter().map(|seal| Ok(crypto::wrap_secret(seal, WRAP, secret, seed)?.to_vec()));
        let head = Head::new(&wraps.collect::<Result<Vec<_>>>()?);
        out.write_all(head.bytes()).during(writing)?;
        let (composer, first) = Composer::begin(opening);
        let key = StreamKey::new(secret, head.bytes());
        let (plain, written) = (first.len() as u64, head.bytes().len() as u64);
        Ok(Writer { out, key, blocks: 0, waiting: first, composer, plain, written })
    }

    /// One more message.
    pub(crate) fn add(&mut self, envelope: &Envelope) -> Result<()> {
        let bytes = self.composer.add(envelope);
        self.push(&bytes)
    }

    /// Bytes of messages so far.
    pub(crate) fn len(&self) -> u64 {
        self.plain
    }

    /// Signs and ends it; what was written to, and the size of the bundle.
    pub(crate) fn finish(mut self, key: &DeviceKey, to: &PersonId) -> Result<(W, u64)> {
        let signature = key.sign(SIGN, &to.space(), &self.composer.digest().0);
        self.push(&self.composer.close(&signature))?;
        let zeros = padded(self.plain) - self.plain;
        self.push(&vec![0; zeros as usize])?;
        let last = std::mem::take(&mut self.waiting);
        self.seal(&last, true)?;
        self.out.flush().during(writing)?;
        Ok((self.out, self.written))
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.plain += bytes.len() as u64;
        self.waiting.extend(bytes);
        // The last block is sealed as such, so it is never empty: one byte stays.
        let full = self.waiting.len().saturating_sub(1) / STREAM_BLOCK_BYTES * STREAM_BLOCK_BYTES;
        let rest = self.waiting.split_off(full);
        let ready = std::mem::replace(&mut self.waiting, rest);
        for block in ready.chunks(STREAM_BLOCK_BYTES) {
            self.seal(block, false)?;
        }
        Ok(())
    }

    fn seal(&mut self, block: &[u8], last: bool) -> Result<()> {
        let sealed = self.key.seal(self.blocks, last, block);
        self.blocks += 1;
        self.written += sealed.len() as u64;
        self.out.write_all(&sealed).during(writing)
    }
}

fn writing() -> String {
    "writing the bundle".into()
}

// The next length of those that Padmé (Nikitin et al. 2019) allows: at most 12 % more.
fn padded(len: u64) -> u64 {
    if !(2..PADDED_BELOW).contains(&len) {
        return len;
    }
    let e = len.ilog2();
    let mask = (1u64 << (e - (e.ilog2() + 1).min(e))) - 1;
    (len + mask) & !mask
}

/// Reads one bundle, from its beginning to its end.
pub(crate) struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    key: StreamKey,
    blocks: u64,
    read: u64,
    size: u64,
    ended: bool,
    items: Items,
    opening: Option<Opening>,
}

impl Reader {
    /// Opens a bundle that is sealed for this device. Errors: `NotFound`, `Io`; `Invalid` where it is none;
    /// `Unsupported` where a newer version made it; `Denied` where it is for somebody else.
    pub(crate) fn open(path: &Path, seal: &SealKey) -> Result<Reader> {
        let during = || format!("reading {}", path.display());
        let file = File::open(path).during(during)?;
        let meta = file.metadata().during(during)?;
        if !meta.is_file() {
            return Err(Error::refused(Kind::Invalid, format!("{} is no file", path.display())));
        }
        let mut file = BufReader::with_capacity(STREAM_BLOCK_BYTES + STREAM_OVERHEAD, file);
        let head = Head::read(&mut file).map_err(|bad| match bad {
            Bad::NoBundle => Error::refused(Kind::Invalid, format!("{} is no bundle", path.display())),
            Bad::Newer => {
                let text = format!("{} is a bundle of a newer version", path.display());
                Error::refused(Kind::Unsupported, text)
            }
            Bad::Damaged => damaged(path, 0),
        })?;
        let key = head.open(seal).ok_or_else(|| {
            Error::refused(Kind::Denied, format!("{} is sealed for somebody else", path.display()))
        })?;
        let (read, items) = (head.bytes().len() as u64, Items::default());
        let path = path.to_owned();
        Ok(Reader { file, path, key, blocks: 0, read, size: meta.len(), ended: false, items, opening: None })
    }

    /// The next envelope; none at the end, once the sender's signature was seen to hold. What comes
    /// before that is not known to be theirs.
    pub(crate) fn read(&mut self) -> Result<Option<Envelope>> {
        loop {
            match self.items.read().map_err(|e| self.strange(&e))? {
                Some(Item::Opening(opening)) => self.opening = Some(opening),
                Some(Item::Envelope(envelope)) => return Ok(Some(envelope)),
                Some(Item::Closing { digest, signature }) => {
                    let opening = self.opening.as_ref().ok_or_else(|| damaged(&self.path, self.read))?;
                    crypto::verify(&opening.from, SIGN, &opening.to.space(), &digest.0, &signature)
                        .map_err(|_| damaged(&self.path, self.read))?;
                }
                None if self.ended && self.items.is_closed() => return Ok(None),
                None if self.ended => return Err(damaged(&self.path, self.read)),
                None => self.block()?,
            }
        }
    }

    /// Who it says it is from and for; reads as far as is needed.
    pub(crate) fn opening(&mut self) -> Result<Opening> {
        while self.opening.is_none() {
            match self.items.read().map_err(|e| self.strange(&e))? {
                Some(Item::Opening(opening)) => self.opening = Some(opening),
                None if !self.ended => self.block()?,
                _ => return Err(damaged(&self.path, self.read)),
            }
        }
        self.opening.clone().ok_or_else(|| damaged(&self.path, self.read))
    }

    /// How many bytes were read, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.read, self.size)
    }

    fn block(&mut self) -> Result<()> {
        let during = || format!("reading {}", self.path.display());
        let mut sealed = Vec::with_capacity(STREAM_BLOCK_BYTES + STREAM_OVERHEAD);
        let most = (STREAM_BLOCK_BYTES + STREAM_OVERHEAD) as u64;
        (&mut self.file).take(most).read_to_end(&mut sealed).during(during)?;
        self.ended = self.file.fill_buf().during(during)?.is_empty();
        let plain = self.key.open(self.blocks, self.ended, &sealed);
        let plain = plain.map_err(|_| damaged(&self.path, self.read))?;
        self.blocks += 1;
        self.read += sealed.len() as u64;
        self.items.push(&plain);
        Ok(())
    }

    fn strange(&self, error: &sync::Error) -> Error {
        match error.kind() {
            Kind::Unsupported => Error::refused(
                Kind::Unsupported,
                format!("{} is a bundle of a newer version", self.path.display()),
            ),
            _ => damaged(&self.path, self.read),
        }
    }
}

fn damaged(path: &Path, at: u64) -> Error {
    Error::refused(
        Kind::Corrupt,
        format!("{} is damaged or was cut off (after {at} bytes); nothing of it was taken", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{DeviceId, SpaceTag};

    fn keys() -> (DeviceKey, SealKey) {
        (DeviceKey::from_seed([1; 32]), SealKey::from_seed([2; 32]))
    }

    fn person() -> PersonId {
        PersonId([9; 32])
    }

    fn envelopes(n: usize) -> Vec<Envelope> {
        let chunk = |n| Envelope::Chunk {
            tag: SpaceTag([1; 16]),
            id: base::ChunkId([n as u8; 32]),
            bytes: Some(vec![n as u8; 100_000]),
        };
        (0..n).map(chunk).collect()
    }

    fn bundle(from: DeviceId, signer: &DeviceKey, all: &[Envelope]) -> Vec<u8> {
        let to = Recipient {
            person: person(),
            seals: vec![SealKey::from_seed([7; 32]).public(), keys().1.public()],
        };
        let mut writer = Writer::begin(Vec::new(), &Opening { from, to: person(), number: 1 }, &to).unwrap();
        for envelope in all {
            writer.add(envelope).unwrap();
        }
        let (bytes, size) = writer.finish(signer, &person()).unwrap();
        assert_eq!(bytes.len() as u64, size);
        bytes
    }

    fn read(bytes: &[u8], seal: &SealKey) -> Result<Vec<Envelope>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        std::fs::write(&path, bytes).unwrap();
        let mut reader = Reader::open(&path, seal)?;
        reader.opening()?;
        let mut out = Vec::new();
        while let Some(envelope) = reader.read()? {
            out.push(envelope);
        }
        Ok(out)
    }

    #[test]
    fn what_was_written_is_read_by_any_of_the_devices_and_nobody_else() {
        let (device, seal) = keys();
        for n in [0, 1, 5] {
            let bytes = bundle(device.id(), &device, &envelopes(n));
            assert_eq!(read(&bytes, &seal).unwrap(), envelopes(n));
            assert_eq!(read(&bytes, &SealKey::from_seed([7; 32])).unwrap(), envelopes(n));
            let other = read(&bytes, &SealKey::from_seed([8; 32])).unwrap_err();
            assert_eq!(other.kind(), Kind::Denied);
            // Neither end is named.
            for id in [device.id().0, person().0, seal.public().0] {
                assert!(!bytes.windows(32).any(|w| w == id));
            }
        }
    }

    #[test]
    fn golden_bytes_are_written_and_read_as_ever() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schema/vectors/bundle.txt");
        let text = std::fs::read_to_string(path).unwrap();
        let golden = text.lines().find_map(|line| line.strip_prefix("file ")).unwrap();
        let (device, seal) = keys();
        let to = Recipient { person: person(), seals: vec![seal.public()] };
        let opening = Opening { from: device.id(), to: person(), number: 5 };
        let mut writer = Writer::sealed_with(Vec::new(), &opening, &to, &[3; 32], &[4; 32]).unwrap();
        let envelope = Envelope::Entries(vec![b"an entry".to_vec()]);
        writer.add(&envelope).unwrap();
        let (bytes, _) = writer.finish(&device, &person()).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, golden);
        assert_eq!(read(&bytes, &seal).unwrap(), [envelope]);
    }

    #[test]
    fn damage_anywhere_is_seen() {
        let (device, seal) = keys();
        let bytes = bundle(device.id(), &device, &envelopes(2));
        for at in (0..bytes.len()).step_by(997).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(read(&changed, &seal).is_err(), "byte {at}");
            assert!(read(&bytes[..at], &seal).is_err(), "cut at {at}");
        }
        let mut more = bytes.clone();
        more.push(0);
        assert!(read(&more, &seal).is_err());
    }

    #[test]
    fn a_bundle_in_another_s_name_is_refused() {
        let (device, seal) = keys();
        let other = DeviceKey::from_seed([3; 32]);
        let bytes = bundle(device.id(), &other, &envelopes(1));
        assert_eq!(read(&bytes, &seal).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn small_ones_are_as_long_as_others() {
        let lengths: std::collections::BTreeSet<u64> = (400..500).map(padded).collect();
        assert!(lengths.len() < 10, "{lengths:?}");
        for len in [0, 1, 2, 3, 63, 1000, 70_000, PADDED_BELOW, 1 << 40] {
            assert!(padded(len) >= len && padded(len) - len <= len / 8, "{len}");
        }
    }
}
