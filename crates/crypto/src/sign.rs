//! Signatures: over a domain, the space, and the bytes as they were received.

use crate::error::Error;
use crate::keys::DeviceKey;
use crate::label;
use base::{DeviceId, Entry, Header, SpaceId};
use ed25519_dalek::{Signature, Signer, VerifyingKey};

// A domain holds no zero byte, so none is the beginning of another's message.
fn message(domain: &str, space: &SpaceId, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(domain.len() + 33 + bytes.len());
    out.extend(domain.as_bytes());
    out.push(0);
    out.extend(space.0);
    out.extend(bytes);
    out
}

impl DeviceKey {
    /// Signs `bytes` for one purpose, named by `domain` (`chorus/KIND/1`), in one space.
    pub fn sign(&self, domain: &str, space: &SpaceId, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(&message(domain, space, bytes)).to_bytes()
    }

    /// Signs header and body and puts the entry together.
    ///
    /// For a genesis `space` is not looked at: it is the hash that comes out. Errors if the header
    /// names another device or space, or contradicts itself.
    pub fn sign_entry(&self, space: &SpaceId, header: &Header, body: &[u8]) -> Result<Entry, Error> {
        if header.log.device != self.id() {
            return Err(Error::Foreign { what: "device" });
        }
        let space = if header.is_genesis() {
            SpaceId::default()
        } else if header.tag == space.tag() {
            *space
        } else {
            return Err(Error::Foreign { what: "space" });
        };
        let signature = self.sign(label::ENTRY, &space, &Entry::signed_part(&header.to_bytes(), body));
        Ok(Entry::assemble(header, body, &signature)?)
    }
}

/// Whether `signature` is the device's over `bytes` for this purpose in this space.
pub fn verify(
    device: &DeviceId,
    domain: &str,
    space: &SpaceId,
    bytes: &[u8],
    signature: &[u8; 64],
) -> Result<(), Error> {
    let key = VerifyingKey::from_bytes(&device.0).map_err(|_| Error::Key)?;
    key.verify_strict(&message(domain, space, bytes), &Signature::from_bytes(signature))
        .map_err(|_| Error::Signature)
}

/// Whether an entry is of this space and signed by the device its header names. A genesis must be
/// the very one whose hash is the space's id.
pub fn verify_entry(space: &SpaceId, entry: &Entry) -> Result<(), Error> {
    let header = entry.header();
    let signed_for = if header.is_genesis() {
        if entry.hash().0 != space.0 {
            return Err(Error::Foreign { what: "space" });
        }
        SpaceId::default()
    } else if header.tag == space.tag() {
        *space
    } else {
        return Err(Error::Foreign { what: "space" });
    };
    verify(&header.log.device, label::ENTRY, &signed_for, entry.signed_bytes(), &entry.signature())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{EntryKind, EpochId, Hash, Incarnation, LogId, Run, SpaceTag};
    use proptest::prelude::*;

    const SPACE: SpaceId = SpaceId([1; 32]);

    fn key() -> DeviceKey {
        DeviceKey::from_seed([2; 32])
    }

    fn header() -> Header {
        Header {
            kind: EntryKind::Content,
            tag: SPACE.tag(),
            log: LogId { device: key().id(), incarnation: Incarnation([3; 8]) },
            run: Run([4; 8]),
            seq: 1,
            lamport: 9,
            prev: Some(Hash([5; 32])),
            deps: vec![],
            epoch: Some(EpochId([8; 32])),
            auth: vec![Hash([9; 32])],
            chunks: None,
        }
    }

    #[test]
    fn an_entry_verifies_in_its_space_only() {
        let entry = key().sign_entry(&SPACE, &header(), b"body").unwrap();
        assert_eq!(verify_entry(&SPACE, &entry), Ok(()));
        assert_eq!(verify_entry(&SpaceId([9; 32]), &entry), Err(Error::Foreign { what: "space" }));
    }

    #[test]
    fn nobody_signs_for_another() {
        let other = DeviceKey::from_seed([6; 32]);
        assert_eq!(other.sign_entry(&SPACE, &header(), b""), Err(Error::Foreign { what: "device" }));
        let forged = Entry::assemble(&header(), b"body", &other.sign(label::ENTRY, &SPACE, b"body")).unwrap();
        assert_eq!(verify_entry(&SPACE, &forged), Err(Error::Signature));
    }

    #[test]
    fn a_genesis_is_its_space() {
        let header = Header {
            kind: EntryKind::Membership,
            tag: SpaceTag::default(),
            seq: 0,
            lamport: 1,
            prev: None,
            epoch: None,
            auth: vec![],
            ..header()
        };
        let entry = key().sign_entry(&SPACE, &header, b"genesis").unwrap();
        assert_eq!(verify_entry(&SpaceId(entry.hash().0), &entry), Ok(()));
        assert!(verify_entry(&SPACE, &entry).is_err());
    }

    #[test]
    fn domains_and_spaces_do_not_mix() {
        let signature = key().sign("chorus/a/1", &SPACE, b"bytes");
        assert_eq!(verify(&key().id(), "chorus/a/1", &SPACE, b"bytes", &signature), Ok(()));
        assert!(verify(&key().id(), "chorus/b/1", &SPACE, b"bytes", &signature).is_err());
        assert!(verify(&key().id(), "chorus/a/1", &SpaceId([9; 32]), b"bytes", &signature).is_err());
    }

    #[test]
    fn weak_keys_verify_nothing() {
        // The identity point: a lax check accepts signatures under it for any message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(verify(&DeviceId(identity), "chorus/a/1", &SPACE, b"any", &signature).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_bit_never_verifies(at in any::<usize>(), bit in 0u8..8) {
            let entry = key().sign_entry(&SPACE, &header(), b"body").unwrap();
            let mut bytes = entry.bytes().to_vec();
            let n = bytes.len();
            bytes[at % n] ^= 1 << bit;
            if let Ok(changed) = Entry::decode(bytes) {
                prop_assert!(verify_entry(&SPACE, &changed).is_err());
            }
        }
    }
}
