//! What changes the world: requests are checked, turned into calls of a plug-in, and what it
//! answers is merged into the inventory.
//!
//! Everything here is a function of a request and a snapshot; `service` puts it to work.

pub mod ability;
pub mod args;
pub mod call;
pub mod context;
pub mod credential;
pub mod locks;
pub mod merge;
mod split;
pub mod usage;
pub mod words;

pub use args::Args;
pub use usage::{file_usage, usage};
pub use words::{file_control, parse_words};
