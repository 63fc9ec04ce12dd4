//! The per-host storage agent: hosts storage plug-ins written in Python, and shows what they manage
//! as a file tree and on D-Bus.
//!
//! The modules are the design's layers; arrows point down only:
//! `daemon` → `bus` and `view` (the tree) → `service` → `operation`, `inventory`, `plugin` → `store`, `host` → `record`.

pub mod bus;
pub mod cli;
pub mod command;
pub mod config;
pub mod daemon;
pub mod error;
pub mod host;
pub mod inventory;
pub mod operation;
pub mod plugin;
pub mod pulse;
pub mod record;
pub mod service;
pub mod store;
pub mod survive;
pub mod view;

pub use error::{Error, Kind, Result};
