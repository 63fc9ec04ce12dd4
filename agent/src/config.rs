//! What the agent was told: command line first, then the configuration files, then defaults.
//!
//! [`table`] holds every key once; [`file`] reads by it, a reload compares by it, and `oscd.toml(5)` is
//! printed from it.

mod file;
pub mod table;
pub mod value;

use std::path::PathBuf;
use std::time::Duration;

pub use file::{DEFAULT, Read, Source};

/// The agent's settings. The keys of the configuration file have the same names; what each means
/// stands in [`table::KEYS`] and [`table::LIMITS`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the state lives; mode 0700.
    pub state_dir: PathBuf,
    /// Directories with installed plug-ins, besides the stock ones.
    pub plugin_dirs: Vec<PathBuf>,
    /// How often each server is refreshed unless its registration says otherwise; zero is never.
    pub refresh_interval: Duration,
    /// How long a write to a control file waits for its operation.
    pub write_wait: Duration,
    /// Mutations that one storage server works on at the same time.
    pub mutations_per_server: usize,
    /// How long a plug-in module may take to be imported.
    pub import_deadline: Duration,
    /// Deadlines by method name, over the method table's.
    pub deadlines: std::collections::BTreeMap<String, Duration>,
    /// Interpreters by module (`vendor.module`), tried instead of `python3`, `python2.7`.
    pub interpreters: std::collections::BTreeMap<String, PathBuf>,
    /// Directories in which `python3` and `python2.7` are looked for before those on `PATH`.
    pub interpreter_path: Vec<PathBuf>,
    /// What a call may use up.
    pub limits: Limits,
    /// The same by module (`vendor.module`), instead of [`Config::limits`].
    pub module_limits: std::collections::BTreeMap<String, Limits>,
}

/// What one call of a plug-in may use up; its time is bounded by the method's deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes.
    pub memory: Option<u64>,
    /// Processor time in seconds.
    pub cpu: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Bytes of one value that it answers, or of one element of a list.
    pub value: usize,
    /// Bytes of everything that it answers, asks and logs.
    pub output: usize,
    /// Calls of one module that run at the same time; the others wait.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory: Some(2 << 30),
            cpu: None,
            open_files: Some(1024),
            value: 16 << 20,
            output: 64 << 20,
            calls: 32,
        }
    }
}

impl Config {
    /// What a call of that module may use up.
    pub fn limits_of(&self, module: &str) -> &Limits {
        self.module_limits.get(module).unwrap_or(&self.limits)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            state_dir: "/var/lib/osc".into(),
            plugin_dirs: vec!["/opt/storage-connect/plugins".into()],
            refresh_interval: Duration::from_secs(60),
            write_wait: Duration::from_secs(60),
            mutations_per_server: 8,
            import_deadline: Duration::from_secs(10),
            deadlines: Default::default(),
            interpreters: Default::default(),
            interpreter_path: Vec::new(),
            limits: Limits::default(),
            module_limits: Default::default(),
        }
    }
}

/// How the configuration stands, for whoever asks after the agent.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The files that are in force, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// Why the last reload changed nothing; the empty string where it worked.
    pub error: String,
    /// Keys whose new values wait for a restart.
    pub waiting: Vec<&'static str>,
}
