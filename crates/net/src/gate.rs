//! Gossip only with friends, and only along the link.
//!
//! gossipsub tells a peer its topics once, on the first of several connections, and its queue is
//! emptied by whichever connection comes first; with a connection that is dying unnoticed, or with
//! a stranger, that is the wrong one. So the behaviour inside knows of exactly one connection per
//! friend, the one that carries the link, from when the link stands until it falls. A stranger's
//! connection does not offer the protocol at all.

use crate::gossip::{self, Gossip};
use crate::rules::{Class, SharedRules, lock};
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::gossipsub;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, FromSwarm};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, InboundUpgradeSend};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, NetworkBehaviour,
    NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

type Inner = THandler<Gossip>;
type Inbound = <Inner as ConnectionHandler>::InboundProtocol;
type Outbound = <Inner as ConnectionHandler>::OutboundProtocol;
type Accepted = <Inbound as InboundUpgradeSend>::Output;
type Out = ToSwarm<gossipsub::Event, Either<Order, std::convert::Infallible>>;

/// The behaviour around gossipsub.
pub(crate) struct Gate {
    rules: SharedRules,
    gossip: Gossip,
    // A handler that is on no connection: it says which protocols to offer where gossip has not
    // started yet.
    sample: Arc<Mutex<Inner>>,
    active: BTreeMap<PeerId, ConnectionId>,
    out: VecDeque<Out>,
}

impl Gate {
    /// A gate; fails where gossipsub refuses its configuration.
    pub(crate) fn new(rules: SharedRules) -> Result<Gate, String> {
        let nowhere = Multiaddr::empty();
        let sample = gossip::behaviour()?
            .handle_established_inbound_connection(
                ConnectionId::new_unchecked(0),
                PeerId::random(),
                &nowhere,
                &nowhere,
            )
            .map_err(|e| e.to_string())?;
        Ok(Gate {
            rules,
            gossip: gossip::behaviour()?,
            sample: Arc::new(Mutex::new(sample)),
            active: BTreeMap::new(),
            out: VecDeque::new(),
        })
    }

    /// The behaviour inside, for topics and publishing.
    pub(crate) fn gossip(&mut self) -> &mut Gossip {
        &mut self.gossip
    }

    /// The link with a friend stands on this connection: gossip runs along it, from the start.
    pub(crate) fn start(&mut self, peer: PeerId, conn: ConnectionId) {
        self.stop(peer);
        let nowhere = Multiaddr::empty();
        let started = self.gossip.handle_established_inbound_connection(conn, peer, &nowhere, &nowhere);
        // gossipsub refuses no connection.
        let Ok(handler) = started else { return };
        self.active.insert(peer, conn);
        self.order(peer, conn, Order::Start(Box::new(handler)));
        self.gossip.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: conn,
            endpoint: &somewhere(),
            failed_addresses: &[],
            other_established: 0,
        }));
    }

    /// The link with a friend fell.
    pub(crate) fn stop(&mut self, peer: PeerId) {
        let Some(conn) = self.active.remove(&peer) else { return };
        self.order(peer, conn, Order::Stop);
        self.gossip.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
            peer_id: peer,
            connection_id: conn,
            endpoint: &somewhere(),
            cause: None,
            remaining_established: 0,
        }));
    }

    fn order(&mut self, peer_id: PeerId, conn: ConnectionId, order: Order) {
        let handler = NotifyHandler::One(conn);
        self.out.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: Either::Left(order) });
    }

    fn handler(&self, conn: ConnectionId) -> THandler<Gate> {
        match lock(&self.rules).class(conn) {
            Some(Class::Friend) => {
                Either::Left(Porter { sample: self.sample.clone(), inner: None, early: None })
            }
            _ => Either::Right(dummy::ConnectionHandler),
        }
    }

    // What gossipsub wants of the swarm, as far as we let it: it may talk to friends along their
    // links, and may neither dial nor hang up.
    fn pass(&mut self, wish: ToSwarm<gossipsub::Event, THandlerInEvent<Gossip>>) -> Option<Out> {
        match wish {
            ToSwarm::GenerateEvent(event) => Some(ToSwarm::GenerateEvent(event)),
            ToSwarm::NotifyHandler { peer_id, event, .. } => {
                let conn = *self.active.get(&peer_id)?;
                let event = Either::Left(Order::Tell(event));
                Some(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(conn), event })
            }
            _ => None,
        }
    }
}

// gossipsub looks at the end points only to score addresses, which we do not.
fn somewhere() -> ConnectedPoint {
    ConnectedPoint::Listener { local_addr: Multiaddr::empty(), send_back_addr: Multiaddr::empty() }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = Either<Porter, dummy::ConnectionHandler>;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        conn: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(conn))
    }

    fn handle_established_outbound_connection(
        &mut self,
        conn: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(conn))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) = event
            && self.active.get(&peer_id) == Some(&connection_id)
        {
            self.stop(peer_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        conn: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) if self.active.get(&peer) == Some(&conn) => {
                self.gossip.on_connection_handler_event(peer, conn, event);
            }
            Either::Left(_) => {}
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(out) = self.out.pop_front() {
                return Poll::Ready(out);
            }
            match self.gossip.poll(cx) {
                Poll::Ready(wish) => {
                    if let Some(out) = self.pass(wish) {
                        return Poll::Ready(out);
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// What a connection's porter is told.
pub(crate) enum Order {
    Start(Box<Inner>),
    Tell(THandlerInEvent<Gossip>),
    Stop,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Order::Start(_) => "Start",
            Order::Tell(_) => "Tell",
            Order::Stop => "Stop",
        })
    }
}

/// gossipsub's handler on one connection with a friend, once it is started.
pub(crate) struct Porter {
    sample: Arc<Mutex<Inner>>,
    inner: Option<Box<Inner>>,
    // The other end may see the link stand before we do; its stream waits here for our start.
    early: Option<Accepted>,
}

impl ConnectionHandler for Porter {
    type FromBehaviour = Order;
    type ToBehaviour = THandlerOutEvent<Gossip>;
    type InboundProtocol = Inbound;
    type OutboundProtocol = Outbound;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Inbound, ()> {
        match &self.inner {
            Some(inner) => inner.listen_protocol(),
            None => lock(&self.sample).listen_protocol(),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Outbound, (), Self::ToBehaviour>> {
        self.inner.as_mut().map_or(Poll::Pending, |inner| inner.poll(cx))
    }

    fn on_behaviour_event(&mut self, order: Order) {
        match order {
            Order::Start(mut inner) => {
                if let Some(protocol) = self.early.take() {
                    let early = FullyNegotiatedInbound { protocol, info: () };
                    inner.on_connection_event(ConnectionEvent::FullyNegotiatedInbound(early));
                }
                self.inner = Some(inner);
            }
            Order::Tell(event) => {
                if let Some(inner) = &mut self.inner {
                    inner.on_behaviour_event(event);
                }
            }
            Order::Stop => self.inner = None,
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Inbound, Outbound, (), ()>) {
        match (&mut self.inner, event) {
            (Some(inner), event) => inner.on_connection_event(event),
            (None, ConnectionEvent::FullyNegotiatedInbound(event)) => self.early = Some(event.protocol),
            (None, _) => {}
        }
    }
}
