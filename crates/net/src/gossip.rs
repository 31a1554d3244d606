//! How gossipsub is set up among friends.
//!
//! Entries sign for themselves, so messages are anonymous and named by their content. All peers are
//! friends and explicit: whatever is published goes at once to each of them who subscribed, and on
//! from there; no mesh has to form, nobody is scored.

use base::{Hash, limit};
use libp2p::gossipsub::{
    AllowAllSubscriptionFilter, Behaviour, ConfigBuilder, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId, ValidationMode,
};
use std::time::Duration;

/// The behaviour as we use it.
pub(crate) type Gossip = Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

/// Bytes of a topic's name; with `limit::TOPICS` of them a whole set of subscriptions still fits
/// into the one message that carries it to a new peer.
pub(crate) const TOPIC_BYTES: usize = 96;
const CONTROL_BYTES: usize = limit::TOPICS * (TOPIC_BYTES + 32);
// Nothing but bookkeeping hangs on the heartbeat among explicit peers; seldom, so that an idle
// node sleeps.
const HEARTBEAT: Duration = Duration::from_secs(5);
const REMEMBERED: Duration = Duration::from_secs(120);

/// A new behaviour without topics or peers.
pub(crate) fn behaviour() -> Result<Gossip, String> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(message_id)
        .flood_publish(true)
        .heartbeat_interval(HEARTBEAT)
        .duplicate_cache_time(REMEMBERED)
        .max_transmit_size(CONTROL_BYTES + limit::GOSSIP_BYTES)
        // The default lets a peer with some 250 topics subscribe to none at all.
        .max_control_message_size(CONTROL_BYTES)
        .connection_handler_queue_len(limit::QUEUE)
        .build()
        .map_err(|e| e.to_string())?;
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: limit::TOPICS,
        max_subscriptions_per_request: limit::TOPICS,
    };
    Behaviour::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)
        .map_err(str::to_owned)
}

/// The topic of this name; none where the name is too long.
pub(crate) fn topic(name: &str) -> Option<IdentTopic> {
    (name.len() <= TOPIC_BYTES).then(|| IdentTopic::new(name))
}

fn message_id(message: &Message) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    let length = (topic.len() as u64).to_be_bytes();
    MessageId::from(Hash::of(&[&length, topic, &message.data]).0.to_vec())
}
