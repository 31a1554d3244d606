//! The labels under which keys are derived and messages signed: one for each use, for ever.

/// Signs and verifies entries.
pub(crate) const ENTRY: &str = "chorus/entry/1";

/// Recovery entropy → root signing key.
pub(crate) const ROOT: &str = "chorus/root/1";
/// Recovery entropy → recovery sealing key.
pub(crate) const RECOVERY: &str = "chorus/recovery/1";

/// Epoch secret → what the epoch's operation commits to.
pub(crate) const COMMIT: &str = "chorus/commit/1";
/// Epoch secret → topic secret.
pub(crate) const TOPIC: &str = "chorus/topic/1";
/// Epoch secret, space and log → key of entry bodies.
pub(crate) const BODY: &str = "chorus/body/1";
/// Epoch secret and plain hash → key of one chunk.
pub(crate) const CHUNK: &str = "chorus/chunk/1";
/// Epoch secret and replaced epoch → key of that epoch's secret.
pub(crate) const PREVIOUS: &str = "chorus/previous/1";

/// Topic secret → what the epoch's operation commits to, for hosts.
pub(crate) const TOPIC_COMMIT: &str = "chorus/topic-commit/1";
/// Topic secret → the name gossip goes under.
pub(crate) const TOPIC_NAME: &str = "chorus/topic-name/1";
/// Topic secret → key of gossip frames.
pub(crate) const FRAME: &str = "chorus/frame/1";

/// Secret and beginning of a stream → key of its blocks.
pub(crate) const STREAM: &str = "chorus/stream/1";

/// Seed of a wrap → its ephemeral key.
pub(crate) const EPHEMERAL: &str = "chorus/ephemeral/1";
/// What a fingerprint is a digest of.
pub(crate) const FINGERPRINT: &str = "chorus/fingerprint/1";
