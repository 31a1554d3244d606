//! What the handle says and does about people: friends, what is shared with them, and what they agreed on.

use crate::api::{Added, Member, PeerStatus, Role, Shared};
use crate::error::Result;
use crate::link::ToLink;
use crate::node::Node;

impl Node {
    /// Makes a peer file with a one-time token; with a path it also invites to that room.
    pub fn invite(&self, path: Option<&str>, for_name: Option<&str>, role: Role) -> Result<String> {
        self.core.invite(path, for_name, role)
    }

    /// Adds the friend whose peer file this is.
    pub fn peer_add(&self, card: &str, name: Option<&str>) -> Result<Added> {
        self.core.peer_add(card, name)
    }

    /// All friends.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.core.peers()
    }

    /// One friend. Errors: `NotFound`.
    pub fn peer_show(&self, name: &str) -> Result<PeerStatus> {
        self.core.peer_show(name)
    }

    /// Forgets a friend with whom nothing is shared. Errors: `Busy` where something is.
    pub fn peer_remove(&self, name: &str) -> Result<()> {
        self.core.peer_remove(name)
    }

    /// Adds a friend to the members of a room.
    pub fn share(&self, path: &str, with: &str, role: Role) -> Result<Shared> {
        let shared = self.core.share(path, with, role)?;
        self.core.tell_link(ToLink::Refresh);
        Ok(shared)
    }

    /// Joins a space that a friend shares, `NAME/SPACE`; answers where its door is.
    pub fn join(&self, spec: &str, path: Option<&str>) -> Result<String> {
        self.core.join(spec, path)
    }

    /// The members of the space at a path.
    pub fn members(&self, path: &str) -> Result<Vec<Member>> {
        self.core.members(path)
    }

    /// The names that are scratch in the room at a path: never sent, there and below. Errors: it is no room.
    pub fn scratch_names(&self, path: &str) -> Result<Vec<String>> {
        self.core.scratch_names(&self.core.resolve(path)?)
    }

    /// Gives a room other scratch names; what is shared already stays shared. Errors: it may not be written, or one
    /// of them is no pattern for a name.
    pub fn set_scratch_names(&self, path: &str, names: &[String]) -> Result<()> {
        self.core.set_scratch_names(&self.core.resolve(path)?, names)
    }
}
