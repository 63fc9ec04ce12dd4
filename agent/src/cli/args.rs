//! The command line, as the design fixes it.

use clap::{Args, Parser, Subcommand, ValueEnum};

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
