//! The agent's state as a file tree, at the kernel's speed.
//!
//! [`mount`] shows a [`Model`] as the tree of the design: records that the kernel caches and that the tree invalidates when
//! [`Tree::changed`] says so, and control files that turn a write into [`Model::command`]. The crate depends on no other of ours.
//!
//! There are two FUSE connections. Records are mounted read-only, are never opened as far as the daemon can see, and cost it no request
//! while they stay as they are. Control files are mounted inside at `.ctl`, and the record tree has relative links to them: `find` and
//! `grep -r` neither trigger nor wait for anything, and the tree can be bound elsewhere (`mount --rbind`, which takes `.ctl` along).
//!
//! From the top down: [`mount`](mount()) and `mountpoint` set it up; `fuse` translates; `engine` (inodes and invalidation) and `control` (what
//! a control file does) can be tested without a kernel; `storage` says what is where; `tree` is the one thread that tells the
//! kernel; `proxy` keeps waiting writers interruptible; `handover` lets another process go on with it.

// So that tests inside the crate can share the model of those outside.
#[cfg(test)]
extern crate self as fsview;

mod control;
mod engine;
mod events;
pub mod fault;
mod fuse;
mod handover;
mod kernel;
mod landing;
mod messenger;
mod model;
mod mount;
mod mountpoint;
mod names;
mod proxy;
mod session;
mod stats;
mod storage;
mod tree;
mod watched;

pub use handover::Handover;
pub use landing::ReadyBuffers;
pub use messenger::carry_messages;
pub use model::{
    Caller, Change, ElementNames, Model, Operation, Outcome, PAYLOAD_MAX, Plugin, Request, Server, Target,
    Verb,
};
pub use mount::{MountError, Mounted, Options, abandon, mount, take_over};
pub use mountpoint::unescaped;
pub use names::encode as file_name;
pub use stats::{Count, Stats};
pub use tree::Tree;
pub use watched::Hands;
