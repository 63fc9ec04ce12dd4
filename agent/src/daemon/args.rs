//! The command line of `oscd`, as the design fixes it.

use std::path::PathBuf;

use clap::Parser;

/// The per-host storage agent.
#[derive(Clone, Debug, Parser)]
#[command(name = "oscd", version)]
pub struct Args {
    /// Configuration file; those of the folder FILE.d beside it (agent.toml: agent.d) are read after it
    /// [default: /etc/osc/agent.toml, where it is there].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the tree is mounted.
    #[arg(long, value_name = "DIR", default_value = "/osc")]
    pub mountpoint: PathBuf,
    /// Where the state lives [default: /var/lib/osc].
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// A directory with installed plug-ins; may be given again [default: /opt/storage-connect/plugins].
    #[arg(long, value_name = "DIR")]
    pub plugin_dir: Vec<PathBuf>,
    /// The message bus: `system`, `session`, `none` or an address.
    #[arg(long, value_name = "BUS", default_value = "system")]
    pub bus: String,
    /// What to log, as `info` or `oscd=debug,agent::plugin=trace`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Stay as a parent that starts the agent again when it dies, and keeps its tree mounted meanwhile; for where no systemd does.
    #[arg(long)]
    pub supervise: bool,
}
