//! What is packed and sealed.

use base::{DeviceId, EpochId, Hash, Incarnation, LogId, SpaceId, limit};
use crypto::{EpochSecret, SealKey};

fn secret() -> EpochSecret {
    EpochSecret::new([4; 32])
}

pub(crate) fn packed(data: &[u8]) {
    for most in [0, 1 << 10, limit::BODY_BYTES] {
        if let Ok(plain) = crypto::unpack(data, most) {
            assert!(plain.len() <= most);
            if most == limit::BODY_BYTES && plain.len() < 1 << 16 {
                assert_eq!(crypto::unpack(&crypto::pack(&plain), most).as_ref(), Ok(&plain));
            }
        }
    }
    assert_eq!(crypto::unpack(&crypto::pack(data), data.len()).as_deref(), Ok(data));
}

pub(crate) fn sealed(data: &[u8]) {
    let (space, log) = (SpaceId([1; 32]), log(data));
    // What opens is what sealing makes again: nobody makes up another.
    let nonce = data.first_chunk().copied().unwrap_or_default();
    if let Ok(plain) = crypto::open_body(&secret(), &space, &log, b"header", data) {
        assert_eq!(crypto::seal_body(&secret(), &space, &log, b"header", &plain, nonce), data);
    }
    if let Ok(plain) = secret().topic_secret().open_frame(data) {
        assert_eq!(secret().topic_secret().seal_frame(nonce, &plain), data);
    }
    assert!(crypto::open_chunk(&secret(), &Hash([0; 32]), data).is_err());
    if let Ok(data) = data.try_into() {
        let epoch = EpochId([2; 32]);
        if let Ok(old) = crypto::open_previous(&secret(), &space, &epoch, data) {
            assert_eq!(&crypto::seal_previous(&secret(), &space, &epoch, &old), data);
        }
    }
    let body = crypto::seal_body(&secret(), &space, &log, b"header", data, [5; 24]);
    assert_eq!(crypto::open_body(&secret(), &space, &log, b"header", &body).as_deref(), Ok(data));
    let frame = secret().topic_secret().seal_frame([6; 24], data);
    assert_eq!(secret().topic_secret().open_frame(&frame).as_deref(), Ok(data));
    let (id, chunk, plain) = crypto::seal_chunk(&secret(), data);
    assert_eq!(crypto::open_chunk_checked(&secret(), &id, &plain, &chunk).as_deref(), Ok(data));
}

fn log(data: &[u8]) -> LogId {
    let at = |n: usize| data.get(n).copied().unwrap_or(0);
    LogId {
        device: DeviceId(std::array::from_fn(at)),
        incarnation: Incarnation(std::array::from_fn(|n| at(32 + n))),
    }
}

pub(crate) fn wrap(data: &[u8]) {
    let key = SealKey::from_seed([2; 32]);
    let _ = crypto::unwrap(&key, b"info", data);
    let _ = crypto::unwrap_secret(&key, b"info", data);
    if let Some(public) = data.first_chunk::<32>() {
        // A point of small order is no key.
        let _ = crypto::wrap(&crypto::SealPublic(*public), b"info", b"secret", &[3; 32]);
    }
    let made = crypto::wrap(&key.public(), b"info", data, &[3; 32]).unwrap();
    assert_eq!(crypto::unwrap(&key, b"info", &made).unwrap().as_slice(), data);
}
