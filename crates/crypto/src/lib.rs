//! Keys, signatures, sealing and packing.
//!
//! Everything secret or signed passes through here: device keys and the keys derived from the
//! recovery phrase, signatures over entries, the secrets of an epoch and what is sealed under them,
//! and the wraps that hand such a secret to somebody. There is no randomness of its own (nonces and
//! seeds are arguments), no clock and no I/O; who may sign or read what is for `space` to judge.
//!
//! Every key that is derived has its own label (`label.rs`), so no two uses can ever share one.

mod error;
mod fingerprint;
mod keys;
mod label;
mod pack;
mod seal;
mod secret;
mod sign;
mod stream;
mod wrap;

pub use error::Error;
pub use fingerprint::fingerprint;
pub use keys::{DeviceKey, RootKey, SealKey, SealPublic};
pub use pack::{pack, unpack};
pub use seal::{
    BODY_OVERHEAD, PREVIOUS_BYTES, open_body, open_chunk, open_chunk_checked, open_previous, seal_body,
    seal_chunk, seal_chunk_again, seal_previous,
};
pub use secret::{EpochSecret, TopicSecret, expand_seed};
pub use sign::{verify, verify_entry};
pub use stream::{STREAM_BLOCK_BYTES, STREAM_OVERHEAD, StreamKey};
pub use wrap::{WRAPPED_SECRET_BYTES, unwrap, unwrap_secret, wrap, wrap_secret};
