//! What `oscctl fs` and `oscctl file` take.

use clap::Subcommand;

use super::{Act, Doom, Wanted};

/// `oscctl fs`.
#[derive(Debug, Subcommand)]
pub enum Fs {
    /// List file systems, of one storage server or of all
    List {
        /// The storage server
        server: Option<String>,
    },
    /// Show a file system's record and mounts
    #[command(override_usage = "oscctl fs show [OPTIONS] SERVER/FS")]
    Show {
        /// The file system
        #[arg(required = true, num_args = 1..=2, hide = true)]
        words: Vec<String>,
    },
    /// Create a file system
    Create {
        /// What it is to be.
        #[command(flatten)]
        wanted: Wanted,
        /// What to make it on; repeat for several
        #[arg(long, value_name = "DEVICE")]
        device: Vec<String>,
    },
    /// Destroy a file system and everything in it
    #[command(override_usage = "oscctl fs destroy [OPTIONS] SERVER/FS")]
    Destroy(Doom),
    /// Change a file system's size
    #[command(override_usage = "oscctl fs resize [OPTIONS] SERVER/FS SIZE")]
    Resize(Act),
    /// Mount a file system on this host
    #[command(override_usage = "oscctl fs mount [OPTIONS] SERVER/FS MOUNT_POINT")]
    Mount {
        /// What to act on.
        #[command(flatten)]
        act: Act,
        /// Path below the exported one
        #[arg(long, value_name = "PATH")]
        share_path: Option<String>,
        /// Mount options, as a,b,c; can be repeated
        #[arg(long, value_name = "OPTIONS", value_delimiter = ',')]
        options: Vec<String>,
    },
    /// Unmount a file system from this host
    #[command(override_usage = "oscctl fs unmount [OPTIONS] SERVER/FS [MOUNT_POINT]")]
    Unmount(Act),
}

/// `oscctl file`.
#[derive(Debug, Subcommand)]
pub enum File {
    /// List files
    #[command(override_usage = "oscctl file list [OPTIONS] SERVER/FS [PATH]")]
    List {
        /// What to act on.
        #[command(flatten)]
        act: Act,
        /// Only names that this regular expression matches
        #[arg(long, value_name = "REGEX")]
        pattern: Option<String>,
    },
    /// Create a file or a directory
    #[command(override_usage = "oscctl file create [OPTIONS] SERVER/FS PATH")]
    Create {
        /// What to act on.
        #[command(flatten)]
        act: Act,
        /// Size in bytes, or as 10GiB
        #[arg(short, long)]
        size: Option<String>,
        /// File or Directory
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
    },
    /// Clone a file
    #[command(override_usage = "oscctl file clone [OPTIONS] SERVER/FS PATH [NAME]")]
    Clone(Act),
    /// Take a snapshot of a file
    #[command(override_usage = "oscctl file snapshot [OPTIONS] SERVER/FS PATH [NAME]")]
    Snapshot(Act),
    /// Remove a file or a directory
    #[command(override_usage = "oscctl file remove [OPTIONS] SERVER/FS PATH")]
    Remove(Act),
}
