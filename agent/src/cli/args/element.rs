//! What `oscctl element` takes.

use clap::{Args, Subcommand};

use super::{Act, Doom, Wait};

/// What a new element or file system is to be.
#[derive(Args, Debug)]
pub struct Wanted {
    /// The storage server
    pub server: String,
    /// The name, then further keys of the record
    #[arg(value_name = "NAME | KEY=VALUE")]
    pub words: Vec<String>,
    /// Size in bytes, or as 10GiB
    #[arg(short, long)]
    pub size: Option<String>,
    /// The quality of service
    #[arg(long)]
    pub qos: Option<String>,
    /// How long to wait.
    #[command(flatten)]
    pub wait: Wait,
}

/// `oscctl element`.
#[derive(Debug, Subcommand)]
pub enum Element {
    /// List storage elements, of one storage server or of all
    List {
        /// The storage server
        server: Option<String>,
    },
    /// Show an element's record
    #[command(override_usage = "oscctl element show [OPTIONS] SERVER/ELEMENT")]
    Show {
        /// The element
        #[arg(required = true, num_args = 1..=2, hide = true)]
        words: Vec<String>,
    },
    /// Create an element
    Create {
        /// What it is to be.
        #[command(flatten)]
        wanted: Wanted,
        /// The volume group to take it from
        #[arg(long, value_name = "NAME")]
        vol_group: Option<String>,
    },
    /// Take a read-only snapshot
    #[command(override_usage = "oscctl element snapshot [OPTIONS] SERVER/ELEMENT [NAME]")]
    Snapshot(Act),
    /// Make a writable clone, of an element or of a snapshot
    #[command(override_usage = "oscctl element clone [OPTIONS] SERVER/ELEMENT [NAME]")]
    Clone(Act),
    /// Roll an element back to one of its snapshots
    #[command(override_usage = "oscctl element restore [OPTIONS] SERVER/ELEMENT SNAPSHOT")]
    Restore(Act),
    /// Make a clone independent of its parent
    #[command(override_usage = "oscctl element split [OPTIONS] SERVER/ELEMENT")]
    Split(Act),
    /// Change an element's size
    #[command(override_usage = "oscctl element resize [OPTIONS] SERVER/ELEMENT SIZE")]
    Resize(Act),
    /// Bring an element online
    #[command(override_usage = "oscctl element online [OPTIONS] SERVER/ELEMENT")]
    Online(Act),
    /// Take an element offline
    #[command(override_usage = "oscctl element offline [OPTIONS] SERVER/ELEMENT")]
    Offline(Act),
    /// Present an element to access groups, or to this host
    #[command(override_usage = "oscctl element present [OPTIONS] SERVER/ELEMENT [GROUP]...")]
    Present(Act),
    /// Stop presenting an element to access groups, or to this host
    #[command(override_usage = "oscctl element unpresent [OPTIONS] SERVER/ELEMENT [GROUP]...")]
    Unpresent(Act),
    /// Remove an element and its data
    #[command(override_usage = "oscctl element remove [OPTIONS] SERVER/ELEMENT")]
    Remove(Doom),
}
