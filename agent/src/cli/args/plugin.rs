//! What `oscctl plugin` takes.

use clap::{Args, Subcommand};

/// `oscctl plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// List the installed plug-ins
    List,
    /// Show what a plug-in is and can do
    Show {
        /// Its implementation name, or a part of it that is unique
        plugin: String,
    },
    /// Check a plug-in against the guide, and with --server what it does; exit 1 when a check fails
    Check(Box<PluginCheck>),
    /// Load plug-ins afresh
    Reload {
        /// The module as VENDOR.MODULE; all of them when left out
        module: Option<String>,
    },
}

/// `oscctl plugin check`.
#[derive(Args, Debug)]
#[command(
    after_help = "With --server, elements, file systems and files named osc-check-... are made on the storage \
                      server, and removed again. Nothing else on it is changed."
)]
pub struct PluginCheck {
    /// The directory VENDOR/MODULE, which needs no agent, or the implementation name of an installed plug-in
    #[arg(value_name = "PATH | PLUGIN", required_unless_present = "list")]
    pub plugin: Option<String>,
    /// Try everything that the plug-in claims to do on this storage server
    #[arg(long)]
    pub server: Option<String>,
    /// Only these checks, as a,b,c; can be repeated
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub only: Vec<String>,
    /// List the checks
    #[arg(long)]
    pub list: bool,
    /// Write the results to a file as JUnit XML, too
    #[arg(long, value_name = "FILE")]
    pub junit: Option<std::path::PathBuf>,
    /// Check under this interpreter as well; can be repeated
    #[arg(long, value_name = "FILE")]
    pub python: Vec<std::path::PathBuf>,
    /// The size of the elements that are made
    #[arg(long, default_value = "64MiB")]
    pub size: String,
    /// The volume group to make elements in; the one with most room when left out
    #[arg(long, value_name = "NAME")]
    pub vol_group: Option<String>,
    /// Snapshot and clone this element where the plug-in creates none itself
    #[arg(long)]
    pub element: Option<String>,
    /// A blank backing device for the checks of file systems: they erase it
    #[arg(long)]
    pub device: Option<String>,
    /// Longest time that one operation may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
}
