//! What makes `oscd` a good service: its command line, and what it tells the service manager.

pub mod args;
pub mod journal;
pub mod manager;
pub mod watchdog;
