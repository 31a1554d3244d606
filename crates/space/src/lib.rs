//! Rooms, doors, the tree view and membership: what is where, and who may.

pub mod member;
pub mod view;
