//! The model: an immutable [`Snapshot`] that readers share without locking, and the one stream of
//! [`Change`]s that everything else learns of changes from.

pub mod model;

pub use model::{
    Abilities, Change, Element, Elements, FileSystem, Plugin, PluginStatus, Server, ServerState, Snapshot,
    What,
};
