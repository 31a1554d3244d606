//! Ids: fixed-width byte strings, each of its own type, ordered by their bytes.

use crate::error::Error;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// How many bytes it has.
            pub const LEN: usize = $len;

            /// The id as lower-case hex.
            pub fn hex(&self) -> String {
                HEXLOWER.encode(&self.0)
            }

            /// Reads exactly `LEN` bytes.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
                bytes.try_into().map($name).map_err(|_| Error::Malformed { what: stringify!($name) })
            }

            /// Reads lower-case hex of exactly `2 * LEN` digits.
            pub fn from_hex(text: &str) -> Result<Self, Error> {
                let bytes = HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(|_| Error::Malformed { what: stringify!($name) })?;
                Self::from_slice(&bytes)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}", stringify!($name), &self.hex()[..8])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.hex())
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_slice(d.bytes()?)
                    .map_err(|_| minicbor::decode::Error::message(concat!("length of ", stringify!($name))))
            }
        }
    };
}

id!(
    /// A SHA-256 digest: of an entry, of a change, of content.
    Hash, 32
);
impl Hash {
    /// The sum of two as numbers of 256 bits, big-endian, what is over left away. The sum over a set does not
    /// depend on any order.
    pub fn plus(&self, other: &Hash) -> Hash {
        let mut out = [0; 32];
        let mut carry = 0;
        for at in (0..32).rev() {
            let sum = u16::from(self.0[at]) + u16::from(other.0[at]) + carry;
            out[at] = sum.to_be_bytes()[1];
            carry = sum >> 8;
        }
        Hash(out)
    }
}

id!(
    /// A space: the hash of its genesis entry. A person's log of statements is a space too, whose
    /// id is the person's.
    SpaceId, 32
);
id!(
    /// What a space is called in headers and envelopes: the first 16 bytes of
    /// SHA-256("chorus/tag/1", space id). Zero in a genesis entry, which cannot know its own hash.
    SpaceTag, 16
);
id!(
    /// An object in its space. Random, rooms excepted, whose ids follow from parent and name.
    ObjectId, 16
);
id!(
    /// A door in its room; random, never derived from the door's name.
    DoorId, 16
);
id!(
    /// A device: its ed25519 public key, which is its libp2p peer id as well.
    DeviceId, 32
);
id!(
    /// A person: the hash of their first statement.
    PersonId, 32
);
id!(
    /// A period with one space key: the hash of the operation that began it.
    EpochId, 32
);
id!(
    /// Sealed bytes: the SHA-256 of the sealed form.
    ChunkId, 32
);
id!(
    /// Who made a CRDT change: derived from space, device, incarnation, run and object.
    Actor, 16
);
id!(
    /// Random, one for each home directory: a copied or restored home gets another.
    Incarnation, 8
);
id!(
    /// Random, one for each start of a node.
    Run, 8
);

impl Hash {
    /// SHA-256 over the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Hash {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part);
        }
        Hash(digest.finalize().into())
    }
}

/// The first 16 bytes of a digest.
pub fn first16(hash: &Hash) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&hash.0[..16]);
    out
}

impl SpaceId {
    /// The tag by which headers and envelopes name this space.
    pub fn tag(&self) -> SpaceTag {
        SpaceTag(first16(&Hash::of(&[b"chorus/tag/1", &self.0])))
    }

    /// The id of the space's root room.
    pub fn root(&self) -> ObjectId {
        ObjectId(first16(&Hash::of(&[b"chorus/root/1", &self.0])))
    }
}

impl ObjectId {
    /// The id of the `n`th room ever made under `name` in the room `parent`: two people who make
    /// one apart get the same.
    pub fn of_room(parent: &ObjectId, name: &[u8], n: u64) -> ObjectId {
        ObjectId(first16(&Hash::of(&[b"chorus/room/1", &parent.0, &n.to_be_bytes(), name])))
    }
}

impl PersonId {
    /// The space that a person's statements form.
    pub fn space(&self) -> SpaceId {
        SpaceId(self.0)
    }
}

impl Actor {
    /// The actor under which a device changes one object during one run.
    pub fn derive(
        space: &SpaceId,
        device: &DeviceId,
        incarnation: &Incarnation,
        run: &Run,
        object: &ObjectId,
    ) -> Actor {
        Actor(first16(&Hash::of(&[&space.0, &device.0, &incarnation.0, &run.0, &object.0])))
    }
}

/// An append-only log: of one device and incarnation, in one space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LogId {
    /// The device that signs it.
    pub device: DeviceId,
    /// The incarnation of that device's home.
    pub incarnation: Incarnation,
}

impl LogId {
    /// How many bytes `to_bytes` gives.
    pub const LEN: usize = DeviceId::LEN + Incarnation::LEN;

    /// Device, then incarnation: the form it has in store keys.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..DeviceId::LEN].copy_from_slice(&self.device.0);
        out[DeviceId::LEN..].copy_from_slice(&self.incarnation.0);
        out
    }

    /// Reads what `to_bytes` wrote.
    pub fn from_slice(bytes: &[u8]) -> Result<LogId, Error> {
        if bytes.len() != Self::LEN {
            return Err(Error::Malformed { what: "log id" });
        }
        let (device, incarnation) = bytes.split_at(DeviceId::LEN);
        Ok(LogId {
            device: DeviceId::from_slice(device)?,
            incarnation: Incarnation::from_slice(incarnation)?,
        })
    }
}

impl<C> minicbor::Encode<C> for LogId {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.to_bytes())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for LogId {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        LogId::from_slice(d.bytes()?).map_err(|_| minicbor::decode::Error::message("length of log id"))
    }
}

/// An object's whole identity, in every key, inode and cache.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Oid {
    /// The space it lives in.
    pub space: SpaceId,
    /// Its id there.
    pub object: ObjectId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_an_id() {
        let id = ObjectId([7; 16]);
        assert_eq!(ObjectId::from_hex(&id.hex()), Ok(id));
        assert!(ObjectId::from_hex("07").is_err());
        assert!(ObjectId::from_hex(&"zz".repeat(16)).is_err());
    }

    #[test]
    fn rooms_made_apart_get_one_id() {
        let parent = SpaceId([1; 32]).root();
        assert_eq!(ObjectId::of_room(&parent, b"src", 0), ObjectId::of_room(&parent, b"src", 0));
        assert_ne!(ObjectId::of_room(&parent, b"src", 0), ObjectId::of_room(&parent, b"src", 1));
    }

    #[test]
    fn log_ids_keep_their_order_as_bytes() {
        let a = LogId { device: DeviceId([1; 32]), incarnation: Incarnation([9; 8]) };
        let b = LogId { device: DeviceId([2; 32]), incarnation: Incarnation([0; 8]) };
        assert!(a < b && a.to_bytes() < b.to_bytes());
        assert_eq!(LogId::from_slice(&a.to_bytes()), Ok(a));
    }
}
