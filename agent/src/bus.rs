//! The D-Bus door: the agent's objects on a message bus, for clients of any D-Bus library.
//!
//! Ten thousand elements are not ten thousand registered objects: one loop answers for the whole
//! subtree from the inventory's snapshot, by tables. [`label`] and [`path`] name the objects,
//! [`table`] holds the interfaces, [`dispatch`] answers calls, [`signals`] tells of changes.

mod call;
mod clients;
mod connect;
mod dispatch;
pub mod interface;
mod introspect;
pub mod label;
mod managed;
mod object;
mod own;
pub mod path;
pub mod permission;
mod signals;
mod source;
pub mod table;
mod value;

#[cfg(test)]
mod tests;

pub use connect::{Bus, serve, serve_behind};
pub use source::Source;

/// The name that the agent owns on the bus.
pub const NAME: &str = "org.storageconnect.Agent1";
