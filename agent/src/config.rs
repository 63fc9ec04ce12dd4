//! What the agent was told at start: command line first, then the configuration file, then defaults.

use std::path::PathBuf;
use std::time::Duration;

/// The agent's settings.
#[derive(Clone, Debug)]
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
        }
    }
}
