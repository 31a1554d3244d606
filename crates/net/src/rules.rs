//! Who may connect, and as what. Set by the carrier, asked by every behaviour.

use crate::counted::Counters;
use base::limit;
use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a connection is for. Decided once, when the other end's key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// With a friend: everything.
    Friend,
    /// From somebody unknown, while pairing is open: pairing only.
    Stranger,
    /// Our own question to somebody whom we want to pair with: pairing only.
    Asking,
}

/// Why a connection is closed as soon as the other end's key is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("not a friend")]
    Stranger,
    #[error("too many connections")]
    TooMany,
}

/// The present rules and the connections that passed them.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) friends: BTreeMap<PeerId, Arc<Counters>>,
    pub(crate) pairing: bool,
    // Dials that shall ask for pairing.
    pub(crate) asking: BTreeSet<ConnectionId>,
    classes: BTreeMap<ConnectionId, (PeerId, Class)>,
}

impl Rules {
    /// Decides about a connection whose other end is known now.
    pub(crate) fn admit(&mut self, conn: ConnectionId, peer: PeerId) -> Result<Class, Refused> {
        let class = if self.asking.remove(&conn) {
            Class::Asking
        } else if self.friends.contains_key(&peer) {
            Class::Friend
        } else if self.pairing {
            Class::Stranger
        } else {
            return Err(Refused::Stranger);
        };
        let of_peer = self.classes.values().filter(|(p, c)| *p == peer && *c == class).count();
        let alike = self.classes.values().filter(|(_, c)| *c == class).count();
        let (each, all) = match class {
            Class::Friend => (limit::CONNECTIONS, limit::PEERS * 2),
            Class::Stranger => (limit::CONNECTIONS, limit::STRANGERS),
            Class::Asking => (limit::PEERS, limit::PEERS),
        };
        if of_peer >= each || alike >= all {
            return Err(Refused::TooMany);
        }
        self.classes.insert(conn, (peer, class));
        Ok(class)
    }

    /// What an admitted connection is for.
    pub(crate) fn class(&self, conn: ConnectionId) -> Option<Class> {
        self.classes.get(&conn).map(|(_, class)| *class)
    }

    /// Forgets a connection that closed or never came to be.
    pub(crate) fn forget(&mut self, conn: ConnectionId) {
        self.asking.remove(&conn);
        self.classes.remove(&conn);
    }

    /// Where a peer's bytes are counted; a stranger's are counted nowhere.
    pub(crate) fn counters(&self, peer: &PeerId) -> Arc<Counters> {
        self.friends.get(peer).cloned().unwrap_or_default()
    }
}

/// The rules, shared within the carrier.
pub(crate) type SharedRules = Arc<Mutex<Rules>>;

/// Locks; a panic elsewhere while locked leaves the value as it was, and it is whole after every
/// statement here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn strangers_pass_only_while_pairing_is_open_and_only_few() {
        let mut rules = Rules::default();
        assert!(rules.admit(conn(0), PeerId::random()).is_err());
        rules.pairing = true;
        for n in 0..limit::STRANGERS {
            assert!(matches!(rules.admit(conn(n), PeerId::random()), Ok(Class::Stranger)));
        }
        assert!(rules.admit(conn(99), PeerId::random()).is_err());
        rules.forget(conn(0));
        assert!(rules.admit(conn(99), PeerId::random()).is_ok());
    }

    #[test]
    fn a_friend_has_a_bounded_number_of_connections() {
        let friend = PeerId::random();
        let mut rules = Rules::default();
        rules.friends.insert(friend, Arc::default());
        for n in 0..limit::CONNECTIONS {
            assert!(matches!(rules.admit(conn(n), friend), Ok(Class::Friend)));
        }
        assert!(rules.admit(conn(99), friend).is_err());
    }

    #[test]
    fn a_question_is_no_friends_connection() {
        let friend = PeerId::random();
        let mut rules = Rules::default();
        rules.friends.insert(friend, Arc::default());
        rules.asking.insert(conn(1));
        assert!(matches!(rules.admit(conn(1), friend), Ok(Class::Asking)));
        assert_eq!(rules.class(conn(1)), Some(Class::Asking));
    }
}
