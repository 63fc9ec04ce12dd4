//! The one façade: everything above (the tree, D-Bus, and through it `oscctl`) asks [`Agent`], and
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::command::Command;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Caller, Change, Snapshot, Target};

/// The agent. A handle: clones are the same agent.
#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}

struct Inner {}

/// One thing asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is asked of.
    pub target: Target,
    /// What is asked.
    pub command: &'static Command,
    /// The command's parameters by name, as the door received them; checked by [`Agent::submit`].
    pub args: Map<String, Value>,
    /// Who asks.
    pub caller: Caller,
}

impl Agent {
    /// Opens the state directory, publishes what it holds (stale), and starts everything else
    /// behind it: loading plug-ins, refreshing servers.
    ///
    /// # Errors
    /// When the state directory cannot be used: it says why and what to do.
    pub async fn start(_config: Config) -> Result<Agent> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// Everything there is right now; reading it never blocks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let _ = &self.inner;
        Arc::default()
    }

    /// Every change from now on. A receiver that lags behind must read the snapshot again.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        broadcast::channel(1).1
    }

    /// The retained changes with a sequence number above `seq`, oldest first, as event lines of
    /// JSON: `{"seq":…,"time":…,"kind":…,"path":…,…}`.
    pub fn events_since(&self, _seq: u64) -> Vec<(u64, Arc<str>)> {
        Vec::new()
    }

    /// Checks a request, journals it as an operation, and queues it.
    ///
    /// # Errors
    /// What is wrong with the request; nothing was changed and no operation exists then.
    pub async fn submit(&self, _request: Request) -> Result<Uuid> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// Waits until an operation has ended and returns its result in public form.
    ///
    /// # Errors
    /// The operation's own error; [`Kind::InProgress`] when `timeout` passes first;
    /// [`Kind::NotFound`] when there is no such operation.
    pub async fn wait(&self, _operation: Uuid, _timeout: Duration) -> Result<Value> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// Loads a plug-in module (`<vendor>.<plugin-module>`) afresh; all of them where it is empty.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when no such module is installed.
    pub async fn reload_plugins(&self, _module: &str) -> Result<()> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// Takes in what the scriptlet of a plug-in's package announces (specification, Appendix B):
    /// `install`, `upgrade` or `erase`, then name, version-release, directory, vendor and module.
    ///
    /// # Errors
    /// When the words are not these six; what the catalog makes of it is never an error.
    pub async fn announce(&self, _words: &[String]) -> Result<()> {
        Err(Error::new(Kind::Internal, "not built yet"))
    }

    /// How long a write to a control file waits for its operation.
    pub fn write_wait(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Stops taking requests, ends what runs as interrupted, and closes the store.
    pub async fn shutdown(&self) {}
}
