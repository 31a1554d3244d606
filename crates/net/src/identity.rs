//! A device's id and its libp2p peer id are one ed25519 key, written in two ways.

use base::DeviceId;
use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};

// The multihash code under which a peer id holds the key itself and not its digest.
const IDENTITY: u64 = 0;

/// The peer id of a device; none where the bytes are no ed25519 public key.
pub(crate) fn peer_of(device: &DeviceId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&device.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The device behind a peer id; none where its key is of another kind.
pub(crate) fn device_of(peer: &PeerId) -> Option<DeviceId> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?.try_into_ed25519().ok()?;
    Some(DeviceId(key.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn one_key_has_one_name_of_each_kind() {
        let key = Keypair::ed25519_from_bytes([7; 32]).unwrap();
        let peer = key.public().to_peer_id();
        let device = device_of(&peer).unwrap();
        assert_eq!(peer_of(&device), Some(peer));
        assert_eq!(device.0, key.public().try_into_ed25519().unwrap().to_bytes());
    }

    #[test]
    fn bytes_that_are_no_key_are_nobody() {
        let nobodies = (0..=255u8).filter(|b| peer_of(&DeviceId([*b; 32])).is_none()).count();
        assert!(nobodies > 0);
        assert_eq!(device_of(&PeerId::random()), None);
    }
}
