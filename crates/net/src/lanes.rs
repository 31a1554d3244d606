//! The two protocols of our own on a connection: the one long-lived stream between friends, and
//! one question and answer for pairing. This behaviour opens and accepts their streams on the very
//! connection it is told; what is said on them is for `link` and `pairing`.

use crate::rules::{Class, SharedRules, lock};
use futures::future::{Ready, ready};
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, UpgradeInfo};
use libp2p::swarm::behaviour::FromSwarm;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{InboundUpgrade, Multiaddr, OutboundUpgrade, PeerId};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll};

/// A protocol of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The long-lived stream of envelopes between friends.
    Sync,
    /// One request, one answer.
    Pair,
}

const SYNC: StreamProtocol = StreamProtocol::new("/chorus/sync/1");
const PAIR: StreamProtocol = StreamProtocol::new("/chorus/pair/1");
const ALL: &[Lane] = &[Lane::Sync, Lane::Pair];
const PAIR_ONLY: &[Lane] = &[Lane::Pair];
const NONE: &[Lane] = &[];

impl Lane {
    fn protocol(self) -> StreamProtocol {
        match self {
            Lane::Sync => SYNC,
            Lane::Pair => PAIR,
        }
    }
}

/// What became of a stream.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The other end opened one.
    Inbound(Lane, Stream),
    /// The other end took the one that we opened.
    Outbound(Lane, Stream),
    /// The other end did not take it.
    Failed(Lane, &'static str),
}

/// A stream's fate, and where.
#[derive(Debug)]
pub(crate) struct LaneEvent {
    pub(crate) peer: PeerId,
    pub(crate) conn: ConnectionId,
    pub(crate) opened: Opened,
}

/// The behaviour.
pub(crate) struct Lanes {
    rules: SharedRules,
    out: VecDeque<ToSwarm<LaneEvent, Lane>>,
}

impl Lanes {
    pub(crate) fn new(rules: SharedRules) -> Lanes {
        Lanes { rules, out: VecDeque::new() }
    }

    /// Opens a stream on this connection; the outcome comes as a `LaneEvent`, or never if the
    /// connection closes first.
    pub(crate) fn open(&mut self, peer: PeerId, conn: ConnectionId, lane: Lane) {
        self.out.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(conn),
            event: lane,
        });
    }

    fn handler(&self, conn: ConnectionId) -> Handler {
        let accepts = match lock(&self.rules).class(conn) {
            Some(Class::Friend) => ALL,
            Some(Class::Stranger) => PAIR_ONLY,
            Some(Class::Asking) | None => NONE,
        };
        Handler { accepts, wanted: VecDeque::new(), out: VecDeque::new() }
    }
}

impl NetworkBehaviour for Lanes {
    type ConnectionHandler = Handler;
    type ToSwarm = LaneEvent;

    fn handle_established_inbound_connection(
        &mut self,
        conn: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(conn))
    }

    fn handle_established_outbound_connection(
        &mut self,
        conn: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(conn))
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        conn: ConnectionId,
        opened: THandlerOutEvent<Self>,
    ) {
        self.out.push_back(ToSwarm::GenerateEvent(LaneEvent { peer, conn, opened }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<LaneEvent, THandlerInEvent<Self>>> {
        self.out.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What one connection offers and is asked to open.
pub(crate) struct Handler {
    accepts: &'static [Lane],
    wanted: VecDeque<Lane>,
    out: VecDeque<Opened>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Lane;
    type ToBehaviour = Opened;
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Lane;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer, ()> {
        SubstreamProtocol::new(Offer(self.accepts.to_vec()), ())
    }

    // The carrier decides which connections stay.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Offer, Lane, Opened>> {
        if let Some(opened) = self.out.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(opened));
        }
        match self.wanted.pop_front() {
            Some(lane) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Offer(vec![lane]), lane),
            }),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, lane: Lane) {
        self.wanted.push_back(lane);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Offer, Offer, (), Lane>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, lane),
                ..
            }) => {
                self.out.push_back(Opened::Inbound(lane, stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, lane),
                ..
            }) => {
                self.out.push_back(Opened::Outbound(lane, stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: lane, error }) => {
                self.out.push_back(Opened::Failed(lane, reason(&error)));
            }
            _ => {}
        }
    }
}

fn reason(error: &StreamUpgradeError<Infallible>) -> &'static str {
    match error {
        StreamUpgradeError::Timeout => "no answer in time",
        StreamUpgradeError::NegotiationFailed => "the other end does not take us for a friend yet",
        StreamUpgradeError::Apply(_) | StreamUpgradeError::Io(_) => "the connection broke",
    }
}

/// The protocols offered on a stream under negotiation.
pub(crate) struct Offer(Vec<Lane>);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|lane| lane.protocol()).collect::<Vec<_>>().into_iter()
    }
}

fn agreed(info: &StreamProtocol) -> Lane {
    if *info == SYNC { Lane::Sync } else { Lane::Pair }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (Stream, Lane);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, info: StreamProtocol) -> Self::Future {
        ready(Ok((stream, agreed(&info))))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (Stream, Lane);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, info: StreamProtocol) -> Self::Future {
        ready(Ok((stream, agreed(&info))))
    }
}
