//! The door: closes strangers as soon as the handshake has shown their key, before any protocol is
//! spoken, and bounds the handshakes under way.

use crate::rules::{Class, Refused, SharedRules, lock};
use base::limit;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, DialFailure, FromSwarm, ListenFailure};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, NetworkBehaviour, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::task::{Context, Poll};

/// The first of the behaviours: what it refuses the others never see.
pub(crate) struct Door {
    rules: SharedRules,
    pending: BTreeSet<ConnectionId>,
}

impl Door {
    pub(crate) fn new(rules: SharedRules) -> Door {
        Door { rules, pending: BTreeSet::new() }
    }

    fn admit(&mut self, conn: ConnectionId, peer: PeerId) -> Result<Class, ConnectionDenied> {
        lock(&self.rules).admit(conn, peer).map_err(ConnectionDenied::new)
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        conn: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.pending.len() >= limit::PENDING_CONNECTIONS {
            return Err(ConnectionDenied::new(Refused::TooMany));
        }
        self.pending.insert(conn);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        conn: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        self.pending.remove(&conn);
        self.admit(conn, peer).map(|_| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        conn: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        match self.admit(conn, peer)? {
            Class::Friend | Class::Asking => Ok(dummy::ConnectionHandler),
            // Whom we dial as a friend may have ceased to be one meanwhile.
            Class::Stranger => {
                lock(&self.rules).forget(conn);
                Err(ConnectionDenied::new(Refused::Stranger))
            }
        }
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.pending.remove(&connection_id);
                lock(&self.rules).forget(connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
