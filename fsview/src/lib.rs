//! The agent's state as a file tree, at the kernel's speed.
//!
//! [`mount`] shows a [`Model`] as the tree of the design: records that the kernel caches and that the tree invalidates when
//! [`Tree::changed`] says so, and control files that turn a write into [`Model::command`]. The crate depends on no other of ours.

// So that tests inside the crate can share the model of those outside.
#[cfg(test)]
extern crate self as fsview;

mod control;
mod engine;
mod events;
mod fuse;
mod model;
mod mount;
mod mountpoint;
mod names;
mod proxy;
mod stats;
mod storage;
mod tree;

pub use model::{
    Caller, Change, ElementNames, Model, Operation, Outcome, PAYLOAD_MAX, Plugin, Request, Server, Target,
    Verb,
};
pub use mount::{MountError, Mounted, Options, mount};
pub use names::encode as file_name;
pub use stats::{Count, Stats};
pub use tree::Tree;
