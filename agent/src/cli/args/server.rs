//! What `oscctl server` takes.

use clap::{Args, Subcommand};

use super::{Act, Doom, Wait};

/// `oscctl server`.
#[derive(Debug, Subcommand)]
pub enum Server {
    /// List the registered storage servers
    List,
    /// Show a storage server's record, state and abilities
    #[command(override_usage = "oscctl server show [OPTIONS] SERVER")]
    Show {
        /// The storage server
        server: String,
    },
    /// Register a storage server with a plug-in
    Add(ServerAdd),
    /// Unregister a storage server; nothing on it is changed
    #[command(override_usage = "oscctl server remove [OPTIONS] SERVER")]
    Remove(Doom),
    /// List everything on a storage server afresh
    #[command(override_usage = "oscctl server refresh [OPTIONS] SERVER")]
    Refresh(Act),
    /// Make a storage server usable on this host
    #[command(override_usage = "oscctl server start [OPTIONS] SERVER")]
    Start(Act),
    /// Stop using a storage server on this host
    #[command(override_usage = "oscctl server stop [OPTIONS] SERVER")]
    Stop(Act),
}

/// `oscctl server add`.
#[derive(Args, Debug)]
#[command(after_help = "Keys are those of the ss_record, such as admin_host=, admin_user=, storage_type=, \
                      storage_name=, access_host=, extra_info=. Passwords are never given on the command line.")]
pub struct ServerAdd {
    /// The plug-in's implementation name, or a part of it that is unique
    pub plugin: String,
    /// The storage server's name, then its record
    #[arg(value_name = "NAME | KEY=VALUE")]
    pub words: Vec<String>,
    /// Read admin_passwd from the first line of a file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub admin_password_file: Option<String>,
    /// Read passwd, for access to the storage, from the first line of a file; - is standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<String>,
    /// Ask for admin_passwd on the terminal
    #[arg(long, conflicts_with = "admin_password_file")]
    pub ask_password: bool,
    /// How long to wait.
    #[command(flatten)]
    pub wait: Wait,
}
