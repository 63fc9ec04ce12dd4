//! The one façade: everything above (the tree, D-Bus, and through it `oscctl`) asks [`Agent`], and
//! nothing else.

mod apply;
mod beforehand;
mod configure;
mod core;
mod desk;
mod devices;
mod execute;
mod follow;
mod listing;
mod mounts;
mod plugins;
mod refresh;
mod register;
mod run;
mod start;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::{broadcast, mpsc};
use uuid::Uuid;

use crate::command::Command;
use crate::config::{Config, Read, Standing};
use crate::error::Result;
use crate::inventory::{Caller, Change, Snapshot, Target};
use crate::plugin::announcement::Announcement;
use crate::plugin::{Event, Runtime};
use crate::pulse::Watch;

pub use plugins::{Item, Plugins};

/// The agent. A handle: clones are the same agent.
#[derive(Clone)]
pub struct Agent {
    core: Arc<core::Core>,
}

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
    pub async fn start(config: Config) -> Result<Agent> {
        let opened = start::open(&config).await?;
        let (tell, events) = mpsc::unbounded_channel();
        let runtime = Runtime::start(&config, tell).await?;
        Ok(start::serve(config, opened, Arc::new(runtime), events))
    }

    /// As [`Agent::start`], with something else in the place of the plug-in runtime.
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub async fn start_with(
        config: Config,
        plugins: Arc<dyn Plugins>,
        events: mpsc::UnboundedReceiver<Event>,
    ) -> Result<Agent> {
        let opened = start::open(&config).await?;
        Ok(start::serve(config, opened, plugins, events))
    }

    /// Everything there is right now; reading it never blocks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.core.inventory.snapshot()
    }

    /// Every change from now on. A receiver that lags behind must read the snapshot again.
    ///
    /// Of a storage server's state, that another refresh worked (`refreshed`) is not a change:
    /// whoever shows it reads the snapshot when asked.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.core.inventory.subscribe()
    }

    /// The retained changes with a sequence number above `seq`, oldest first, as event lines of
    /// JSON: `{"seq":…,"time":…,"kind":…,"path":…,…}`.
    ///
    /// `fields` names what changed of an element's or a file system's record; `record` is the
    /// object's public record, where it still exists.
    pub fn events_since(&self, seq: u64) -> Vec<(u64, Arc<str>)> {
        self.core.inventory.events_since(seq)
    }

    /// The event line of one change.
    pub fn event_line(&self, change: &Arc<Change>) -> Arc<str> {
        self.core.inventory.event_line(change)
    }

    /// Checks a request, journals it as an operation, and queues it.
    ///
    /// # Errors
    /// What is wrong with the request; nothing was changed and no operation exists then.
    pub async fn submit(&self, request: Request) -> Result<Uuid> {
        run::submit(&self.core, request, || ()).await
    }

    /// As [`Agent::submit`]. `journaled` is called once the journal has the operation, and before it is begun: from then on a crash leaves
    /// it `interrupted`. It is not called for what changes nothing, which anybody may just ask again.
    ///
    /// # Errors
    /// As [`Agent::submit`].
    pub async fn submit_and_tell(&self, request: Request, journaled: impl FnOnce() + Send) -> Result<Uuid> {
        run::submit(&self.core, request, journaled).await
    }

    /// Waits until an operation has ended and returns its result in public form.
    ///
    /// # Errors
    /// The operation's own error; [`Kind::InProgress`](crate::Kind::InProgress) when `timeout`
    /// passes first; [`Kind::NotFound`](crate::Kind::NotFound) when there is no such operation.
    pub async fn wait(&self, operation: Uuid, timeout: Duration) -> Result<Value> {
        run::wait(&self.core, operation, timeout).await
    }

    /// Waits until everything installed is in the snapshot, no longer than `limit`. What an earlier process has loaded is there from
    /// the beginning.
    pub async fn plugins_known(&self, limit: Duration) {
        let known = async {
            let mut changes = self.core.inventory.subscribe();
            self.core.plugins.all_known().await;
            let told = || {
                let snapshot = self.core.inventory.snapshot();
                self.core
                    .plugins
                    .plugins()
                    .iter()
                    .all(|plugin| snapshot.plugins.contains_key(&plugin.impl_name))
            };
            while !told() && !matches!(changes.recv().await, Err(broadcast::error::RecvError::Closed)) {}
        };
        let _ = tokio::time::timeout(limit, known).await;
    }

    /// Loads a plug-in module (`<vendor>.<plugin-module>`) afresh; all of them where it is empty.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::Kind::NotFound) when no such module is installed;
    /// [`Kind::PluginUnavailable`](crate::Kind::PluginUnavailable) when it cannot be loaded.
    pub async fn reload_plugins(&self, module: &str) -> Result<()> {
        self.core.plugins.reload((!module.is_empty()).then_some(module)).await
    }

    /// Takes in what the scriptlet of a plug-in's package announces (specification, Appendix B):
    /// `install`, `upgrade` or `erase`, then name, version-release, directory, vendor and module.
    ///
    /// # Errors
    /// When the words are not these six; what the catalog makes of it is never an error.
    pub async fn announce(&self, words: &[String]) -> Result<()> {
        let announcement = Announcement::parse(words)?;
        // The package's transaction goes on whatever comes of it; the plug-in's status tells.
        self.core.plugins.announce(announcement).await;
        Ok(())
    }

    /// How long a write to a control file waits for its operation.
    pub fn write_wait(&self) -> Duration {
        self.core.config().write_wait
    }

    /// Takes in what a reload has read: what can change now does, the rest waits for a restart. Where
    /// nothing could be read, everything stays as it was, and [`Agent::standing`] says why.
    pub fn configure(&self, read: Result<Read>) {
        configure::reload(&self.core, read);
    }

    /// How the configuration stands, now and later.
    pub fn standing(&self) -> Arc<ArcSwap<Standing>> {
        self.core.standing.clone()
    }

    /// The loops that must go round for anything to be done.
    pub fn watches(&self) -> Vec<Watch> {
        vec![Watch::of("store", self.core.store.pulse()), Watch::of("operations", self.core.pulse.clone())]
    }

    /// Stops taking requests, ends what runs as interrupted, and closes the store.
    pub async fn shutdown(&self) {
        start::stop(&self.core).await;
    }
}

#[cfg(test)]
mod tests;
