//! The chunks of a large file, in order.

use base::{ChunkId, EpochId, Hash, cbor, limit};
use minicbor::decode::Error as DecodeError;
use minicbor::{Decoder, Encoder};

/// How a file was cut: the sizes of content-defined chunking, in bytes. Recorded with the file so
/// that whoever edits it cuts at the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunking {
    /// No chunk but the last is smaller.
    pub min: u32,
    /// The size aimed at.
    pub avg: u32,
    /// No chunk is larger.
    pub max: u32,
}

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManifestChunk {
    /// Its sealed form.
    pub id: ChunkId,
    /// SHA-256 of its bytes before sealing.
    pub plain: Hash,
    /// How many bytes it has before sealing.
    pub len: u32,
}

/// The chunks of a large file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the file.
    pub size: u64,
    /// How it was cut.
    pub chunking: Chunking,
    /// The epoch whose secret sealed the chunks.
    pub epoch: EpochId,
    /// 0: the chunks are the file's bytes. Above: joined, they are the list of chunks of the level below.
    pub level: u8,
    /// The chunks; at most `limit::MANIFEST_CHUNKS`.
    pub chunks: Vec<ManifestChunk>,
}

/// Bytes of a chunk before sealing, which adds a few.
const CHUNK: u32 = (limit::CHUNK_BYTES - 64) as u32;

impl Manifest {
    /// Whether its chunks are the file's bytes, and not lists of further chunks: only then `size` is what the chunks
    /// hold. This version makes no others, and must not fetch what they name.
    pub fn is_plain(&self) -> bool {
        self.level == 0
    }

    // At the lowest level the lengths are the file's; a reader may rely on each and on the sum.
    fn check(&self) -> Result<(), &'static str> {
        if i64::try_from(self.size).is_err() {
            return Err("size of a file");
        }
        if !self.is_plain() {
            return Ok(());
        }
        let empty = self.size == 0 && self.chunks.len() <= 1;
        if self.chunks.iter().any(|chunk| chunk.len > CHUNK || chunk.len == 0 && !empty) {
            return Err("length of a chunk");
        }
        let sum: u64 = self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum();
        if sum == self.size { Ok(()) } else { Err("manifest size") }
    }

    /// Names the content: equal for equal bytes cut and sealed alike.
    pub fn hash(&self) -> Hash {
        Hash::of(&[b"chorus/manifest/1", &cbor::encode(self)])
    }

    /// The bytes that the chunks of a higher level hold: the list of chunks below it. The chunks of a
    /// long file's manifest may exceed `limit::MANIFEST_CHUNKS` only here.
    pub fn list_to_bytes(chunks: &[ManifestChunk]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunks.len() * LISTED);
        for chunk in chunks {
            out.extend_from_slice(chunk.id.as_ref());
            out.extend_from_slice(chunk.plain.as_ref());
            out.extend_from_slice(&chunk.len.to_be_bytes());
        }
        out
    }

    /// Reads what `list_to_bytes` wrote. Errors: bytes of another length than whole records have.
    pub fn list_from_bytes(bytes: &[u8]) -> Result<Vec<ManifestChunk>, base::Error> {
        if !bytes.len().is_multiple_of(LISTED) {
            return Err(base::Error::Malformed { what: "list of chunks" });
        }
        bytes.chunks_exact(LISTED).map(listed).collect()
    }
}

const LISTED: usize = ChunkId::LEN + Hash::LEN + 4;

fn listed(bytes: &[u8]) -> Result<ManifestChunk, base::Error> {
    let (id, rest) = bytes.split_at(ChunkId::LEN);
    let (plain, len) = rest.split_at(Hash::LEN);
    let len = len.try_into().map_err(|_| base::Error::Malformed { what: "list of chunks" })?;
    Ok(ManifestChunk {
        id: ChunkId::from_slice(id)?,
        plain: Hash::from_slice(plain)?,
        len: u32::from_be_bytes(len),
    })
}

impl<C> minicbor::Encode<C> for ManifestChunk {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.encode(self.id)?.encode(self.plain)?.u32(self.len)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for ManifestChunk {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::expect_array(d, 3)?;
        Ok(ManifestChunk { id: d.decode()?, plain: d.decode()?, len: d.u32()? })
    }
}

impl<C> minicbor::Encode<C> for Manifest {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(7)?.u64(self.size)?;
        e.u32(self.chunking.min)?.u32(self.chunking.avg)?.u32(self.chunking.max)?;
        e.encode(self.epoch)?.u8(self.level)?;
        cbor::write_list(e, &self.chunks)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Manifest {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        cbor::expect_array(d, 7)?;
        let manifest = Manifest {
            size: d.u64()?,
            chunking: Chunking { min: d.u32()?, avg: d.u32()?, max: d.u32()? },
            epoch: d.decode()?,
            level: d.u8()?,
            chunks: cbor::list(d, limit::MANIFEST_CHUNKS)?,
        };
        manifest.check().map_err(DecodeError::message)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_chunks_round_trips() {
        let chunks: Vec<_> = (0..3)
            .map(|n| ManifestChunk { id: ChunkId([n; 32]), plain: Hash([n + 9; 32]), len: 70_000 })
            .collect();
        let bytes = Manifest::list_to_bytes(&chunks);
        assert_eq!(Manifest::list_from_bytes(&bytes), Ok(chunks));
        assert!(Manifest::list_from_bytes(&bytes[1..]).is_err());
    }

    #[test]
    fn a_manifest_whose_lengths_do_not_add_up_is_refused() {
        let mut manifest = Manifest {
            size: 5,
            chunking: Chunking { min: 1, avg: 2, max: 3 },
            epoch: EpochId([1; 32]),
            level: 0,
            chunks: vec![ManifestChunk { id: ChunkId([1; 32]), plain: Hash([2; 32]), len: 5 }],
        };
        assert_eq!(cbor::decode::<Manifest>(&cbor::encode(&manifest), "manifest"), Ok(manifest.clone()));
        manifest.size = 6;
        assert!(cbor::decode::<Manifest>(&cbor::encode(&manifest), "manifest").is_err());
    }
}
