//! The command line, as the design fixes it.

mod element;
mod fs;
mod plugin;
mod server;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use element::{Element, Wanted};
pub use fs::{File, Fs};
pub use plugin::{Plugin, PluginCheck};
pub use server::{Server, ServerAdd};

/// Administer the storage agent of this host.
#[derive(Debug, Parser)]
#[command(
    name = "oscctl",
    version,
    after_help = "Exit status: 0 done, 1 the array or the plug-in said no, 2 bad usage, \
                  3 the agent cannot be reached, 4 still in progress.\n\
                  An object is named by its UUID, a unique beginning of it, or its name; \
                  an element or a file system as SERVER/NAME or SERVER NAME."
)]
pub struct Cli {
    /// The bus the agent is on: system, session, or an address such as unix:path=/run/x
    #[arg(long, global = true, default_value = "system")]
    pub bus: String,
    /// How to print: table, for people, or json, for scripts
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub output: Format,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
}

/// The groups of commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how the agent, its plug-ins and its storage servers are doing
    Status,
    /// Find out what this host lacks, and which package has it
    Doctor(Doctor),
    /// Print what happened, one line an event
    Events {
        /// Print what happens from now on, or from --since on, until interrupted
        #[arg(short, long)]
        follow: bool,
        /// Only events after this sequence number
        #[arg(long, value_name = "SEQ")]
        since: Option<u64>,
    },
    /// Installed plug-ins
    #[command(subcommand)]
    Plugin(Plugin),
    /// Storage servers
    #[command(subcommand)]
    Server(Server),
    /// Storage elements: LUNs, snapshots, clones
    #[command(subcommand)]
    Element(Element),
    /// File systems
    #[command(subcommand)]
    Fs(Fs),
    /// Files in a file system
    #[command(subcommand)]
    File(File),
    /// Operations
    #[command(subcommand)]
    Op(Op),
    /// Call any command of the API: `oscctl call OBJECT` lists those of the object
    #[command(
        override_usage = "oscctl call [OPTIONS] OBJECT [COMMAND [VALUE | KEY=VALUE]...]",
        after_help = "OBJECT is SERVER, SERVER/ELEMENT or SERVER/FS; SERVER/se/ELEMENT and SERVER/fs/FS \
                      tell an element and a file system of one name apart. A list is a,b,c; a record \
                      is JSON, or @FILE."
    )]
    Call {
        /// The object to call
        object: String,
        /// The command; without one, those of the object are listed
        command: Option<String>,
        /// The command's parameters
        args: Vec<String>,
        /// How long to wait.
        #[command(flatten)]
        wait: Wait,
    },
    /// Tell the agent that a plug-in package was installed, upgraded or erased
    #[command(
        override_usage = "oscctl announce install|upgrade|erase NAME VERSION-RELEASE INSTALL_DIR VENDOR MODULE",
        after_help = "For package scripts: never fails and never takes longer than 3 seconds, \
                      whether or not the agent runs."
    )]
    Announce {
        /// The action and what it is about
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where `doctor` looks.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Where the tree is mounted
    #[arg(long, value_name = "DIR", default_value = "/osc")]
    pub mountpoint: std::path::PathBuf,
    /// Where the agent keeps its state
    #[arg(long, value_name = "DIR", default_value = "/var/lib/osc")]
    pub state_dir: std::path::PathBuf,
}

/// How long to wait for an operation.
#[derive(Args, Clone, Debug, Default)]
pub struct Wait {
    /// Print the operation's id instead of waiting for its end
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Wait at most so long; exit 4 when the operation still runs then
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// An action on an object: the words name the object, and then what the action takes.
#[derive(Args, Debug)]
pub struct Act {
    /// The object, and what the action takes
    #[arg(required = true, hide = true)]
    pub words: Vec<String>,
    /// How long to wait.
    #[command(flatten)]
    pub wait: Wait,
}

/// An action that cannot be undone.
#[derive(Args, Debug)]
pub struct Doom {
    /// What to act on.
    #[command(flatten)]
    pub act: Act,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub yes: bool,
}

/// `oscctl op`.
#[derive(Debug, Subcommand)]
pub enum Op {
    /// List operations, the oldest first
    List {
        /// Only those that are queued or running
        #[arg(long)]
        running: bool,
    },
    /// Show an operation
    Show {
        /// Its id, or a unique beginning of it
        id: String,
    },
    /// Wait for an operation's end, and print its result
    Wait {
        /// Its id, or a unique beginning of it
        id: String,
        /// Wait at most so long; exit 4 when the operation still runs then
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Cancel an operation
    Cancel {
        /// Its id, or a unique beginning of it
        id: String,
    },
}

#[cfg(test)]
mod tests;
