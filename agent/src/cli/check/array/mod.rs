//! Checks of storage array plug-ins, by what they are about.

pub mod access;
pub mod copies;
pub mod device;
pub mod elements;
pub mod snapshots;
