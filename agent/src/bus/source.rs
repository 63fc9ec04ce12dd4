//! What the door asks of the agent: the part of the façade that it needs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::config::Standing;
use crate::error::Result;
use crate::inventory::{Change, Snapshot};
use crate::service::{Agent, Request};

/// The façade's queries and operations, each as [`Agent`] documents it.
pub trait Source: Send + Sync + 'static {
    /// [`Agent::snapshot`].
    fn snapshot(&self) -> Arc<Snapshot>;
    /// [`Agent::subscribe`].
    fn subscribe(&self) -> broadcast::Receiver<Arc<Change>>;
    /// [`Agent::events_since`].
    fn events_since(&self, seq: u64) -> Vec<(u64, Arc<str>)>;
    /// [`Agent::submit`].
    fn submit(&self, request: Request) -> BoxFuture<'_, Result<Uuid>>;
    /// [`Agent::wait`].
    fn wait(&self, operation: Uuid, timeout: Duration) -> BoxFuture<'_, Result<Value>>;
    /// [`Agent::reload_plugins`].
    fn reload_plugins(&self, module: String) -> BoxFuture<'_, Result<()>>;
    /// [`Agent::announce`].
    fn announce(&self, words: Vec<String>) -> BoxFuture<'_, Result<()>>;
    /// [`Agent::standing`].
    fn standing(&self) -> Arc<ArcSwap<Standing>> {
        Arc::default()
    }
}

impl Source for Agent {
    fn snapshot(&self) -> Arc<Snapshot> {
        Agent::snapshot(self)
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        Agent::subscribe(self)
    }

    fn events_since(&self, seq: u64) -> Vec<(u64, Arc<str>)> {
        Agent::events_since(self, seq)
    }

    fn submit(&self, request: Request) -> BoxFuture<'_, Result<Uuid>> {
        Box::pin(Agent::submit(self, request))
    }

    fn wait(&self, operation: Uuid, timeout: Duration) -> BoxFuture<'_, Result<Value>> {
        Box::pin(Agent::wait(self, operation, timeout))
    }

    fn reload_plugins(&self, module: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Agent::reload_plugins(self, &module).await })
    }

    fn announce(&self, words: Vec<String>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Agent::announce(self, &words).await })
    }

    fn standing(&self) -> Arc<ArcSwap<Standing>> {
        Agent::standing(self)
    }
}
