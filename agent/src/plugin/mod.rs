//! Vendors' plug-ins: what is installed, and the calls into them.

pub mod api;
mod model;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use api::Method;

pub use model::{Abilities, Plugin, PluginStatus};

/// One call of a plug-in's method.
#[derive(Debug)]
pub struct Call {
    /// The operation it belongs to, or an id of its own.
    pub id: Uuid,
    /// The method.
    pub method: &'static Method,
    /// Arguments in the API's order: the parameter's name and the value in wire form.
    pub args: Vec<(&'static str, Value)>,
    /// How long it may take.
    pub deadline: Duration,
    /// Ends the call early, as a [`Kind::Cancelled`].
    pub cancel: CancellationToken,
}

/// What the catalog tells as it finds out.
#[derive(Clone, Debug)]
pub enum Event {
    /// A plug-in is there for the first time, or has changed.
    Present(Arc<Plugin>),
    /// A plug-in, by implementation name, is gone.
    Gone(String),
    /// A plug-in broke the contract: implementation name, and what it did, worded so that saying
    /// it once is enough.
    Problem(String, String),
}

/// The plug-in runtime: catalog, workers and cache. A handle: clones are the same runtime.
#[derive(Clone)]
pub struct Runtime {}

impl Runtime {
    /// Starts loading what is installed, and tells of it through `events`.
    ///
    /// # Errors
    /// When the run directory below the state directory cannot be made.
    pub async fn start(_config: &Config, _events: mpsc::UnboundedSender<Event>) -> Result<Runtime> {
        Ok(Runtime {})
    }

    /// Makes a call, and returns what the method returned (wire form).
    ///
    /// Where the method answers a list of records, each is given to `item`, one by one as it
    /// arrives, and the result is `null`, also for a list of none; `item` is not called for
    /// anything else. What `item` was given counts only if the call then succeeds.
    ///
    /// # Errors
    /// The plug-in's exception by the error table; [`Kind::Timeout`], [`Kind::WorkerDied`],
    /// [`Kind::PluginUnavailable`], [`Kind::PluginFault`] or [`Kind::Cancelled`].
    pub async fn call(
        &self,
        _impl_name: &str,
        _call: Call,
        _item: &mut (dyn FnMut(&RawValue) + Send),
    ) -> Result<Value> {
        Err(Error::new(Kind::PluginUnavailable, "no plug-in is installed"))
    }

    /// Everything installed, as [`Event::Present`] last told it.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        Vec::new()
    }

    /// Loads a module (`vendor.module`) afresh, whether it has changed or not; without a name, all
    /// of them. Returns when they serve.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such module; [`Kind::PluginUnavailable`] when it cannot
    /// be loaded: what served until now goes on serving.
    pub async fn reload(&self, _module: Option<&str>) -> Result<()> {
        Ok(())
    }

    /// Tells that a plug-in broke the contract in what it answered (a field of the wrong type, one
    /// that it may not change), the first time each `text` is told: in its status, and as an
    /// [`Event::Problem`].
    pub fn report(&self, _impl_name: &str, _text: &str) {}

    /// Forgets what the plug-ins of a storage server cached (`IPlugin.cache`).
    pub fn forget_cache(&self, _ss_uuid: Uuid) {}

    /// Ends every worker, and every call with it.
    pub async fn shutdown(&self) {}
}
