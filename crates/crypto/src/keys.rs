//! Keys: of a device, for sealing, and those the recovery phrase gives.

use crate::label;
use crate::secret::derive;
use base::DeviceId;
use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// An ed25519 key: of a device, or the root key of a person. Wiped from memory when dropped.
#[derive(Clone)]
pub struct DeviceKey(pub(crate) SigningKey);

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DeviceKey of {:?}", self.id())
    }
}

impl DeviceKey {
    /// The key made of 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> DeviceKey {
        let seed = Zeroizing::new(seed);
        DeviceKey(SigningKey::from_bytes(&seed))
    }

    /// The random bytes it was made of, for the owner's own disk and for libp2p.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn id(&self) -> DeviceId {
        DeviceId(self.0.verifying_key().to_bytes())
    }
}

/// An X25519 public key that secrets are wrapped to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealPublic(pub [u8; 32]);

impl std::fmt::Debug for SealPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealPublic:{}", &base::Hash(self.0).hex()[..8])
    }
}

impl<C> minicbor::Encode<C> for SealPublic {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SealPublic {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes =
            d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message("length of sealing key"))?;
        Ok(SealPublic(bytes))
    }
}

/// An X25519 private key: opens what was wrapped to its public half. Wiped from memory when dropped.
#[derive(Clone)]
pub struct SealKey(pub(crate) StaticSecret);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey of {:?}", self.public())
    }
}

impl SealKey {
    /// The key made of 32 random bytes.
    pub fn from_seed(seed: [u8; 32]) -> SealKey {
        SealKey(StaticSecret::from(*Zeroizing::new(seed)))
    }

    /// The random bytes it was made of, for the owner's own disk.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> SealPublic {
        SealPublic(PublicKey::from(&self.0).to_bytes())
    }
}

/// The two keys a person's recovery phrase gives: one signs statements, one opens wraps.
#[derive(Clone, Debug)]
pub struct RootKey {
    sign: DeviceKey,
    recovery: SealKey,
}

impl RootKey {
    /// Derives both from the 32 bytes of entropy that the phrase spells.
    pub fn from_entropy(entropy: &[u8; 32]) -> RootKey {
        RootKey {
            sign: DeviceKey::from_seed(*derive(entropy, label::ROOT, &[])),
            recovery: SealKey::from_seed(*derive(entropy, label::RECOVERY, &[])),
        }
    }

    /// The root signing key.
    pub fn sign(&self) -> &DeviceKey {
        &self.sign
    }

    /// The root signing key's public half.
    pub fn id(&self) -> DeviceId {
        self.sign.id()
    }

    /// The recovery sealing key.
    pub fn recovery(&self) -> &SealKey {
        &self.recovery
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let root = RootKey::from_entropy(&[7; 32]);
        let printed =
            format!("{root:?} {:?} {:?}", DeviceKey::from_seed([7; 32]), SealKey::from_seed([7; 32]));
        for secret in [root.sign().seed(), root.recovery().seed(), Zeroizing::new([7; 32])] {
            assert!(!printed.contains(&base::Hash(*secret).hex()[..8]));
        }
    }

    #[test]
    fn the_keys_of_a_phrase_are_its_own() {
        let (a, b) = (RootKey::from_entropy(&[1; 32]), RootKey::from_entropy(&[2; 32]));
        assert_ne!(a.id(), b.id());
        assert_ne!(a.sign().seed(), a.recovery().seed());
        assert_eq!(RootKey::from_entropy(&[1; 32]).id(), a.id());
    }
}
