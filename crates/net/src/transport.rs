//! The transports: TCP with noise and yamux, and QUIC, with names looked up as the system does.

use crate::counted::{Counted, Counters};
use crate::paced::PacedBelow;
use crate::rules::{SharedRules, lock};
use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, dns, noise, quic, tcp, yamux};
use std::sync::Arc;
use std::time::Duration;

/// What a transport yields: who, and the streams with them.
pub(crate) type Connection = (PeerId, StreamMuxerBox);

/// How long a dial and its handshakes may take.
pub(crate) const DIAL: Duration = Duration::from_secs(10);
// Streams one peer may hold open; ours are a handful.
const STREAMS: usize = 32;

/// All transports as one, each connection's bytes counted for its peer.
pub(crate) fn transport(key: &Keypair, rules: &SharedRules) -> Result<Boxed<Connection>, String> {
    match dns::tokio::Transport::system(numbers(key, rules)?) {
        Ok(named) => Ok(named.boxed()),
        // Without a resolver of the system's, names lead nowhere and numbers still do; nobody
        // else's resolver is asked.
        Err(e) => {
            tracing::info!("no names can be looked up: {e}");
            let none = dns::ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            let named =
                dns::tokio::Transport::custom(numbers(key, rules)?, none, dns::ResolverOpts::default());
            Ok(named.boxed())
        }
    }
}

fn numbers(key: &Keypair, rules: &SharedRules) -> Result<Boxed<Connection>, String> {
    let mut muxing = yamux::Config::default();
    muxing.set_max_num_streams(STREAMS);
    let (for_tcp, for_quic) = (counting(rules), counting(rules));
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).map_err(|e| e.to_string())?)
        .multiplex(PacedBelow(muxing))
        .timeout(DIAL)
        .map(move |(peer, muxer), _| (peer, StreamMuxerBox::new(Counted::new(muxer, for_tcp(&peer)))));
    let mut config = quic::Config::new(key);
    config.max_concurrent_stream_limit = STREAMS as u32;
    let quic = quic::tokio::Transport::new(config)
        .map(move |(peer, muxer), _| (peer, StreamMuxerBox::new(Counted::new(muxer, for_quic(&peer)))));
    Ok(tcp.or_transport(quic).map(|either, _| either.into_inner()).boxed())
}

fn counting(rules: &SharedRules) -> impl Fn(&PeerId) -> Arc<Counters> + Clone + Send + 'static {
    let rules = rules.clone();
    move |peer| lock(&rules).counters(peer)
}
