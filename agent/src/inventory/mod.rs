//! The model: an immutable [`Snapshot`] that readers share without locking, and the one stream of
//! [`Change`]s that everything else learns of changes from.

pub mod draft;
pub mod index;
pub mod model;
pub mod operation;
pub mod publish;

pub use draft::Draft;
pub use model::{Change, Element, Elements, FileSystem, Server, ServerState, Snapshot, What};
pub use operation::{Caller, Operation, State, Target};
pub use publish::Inventory;
