//! What the service needs of the plug-in runtime, so that its own tests can do without Python.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::config::Config;
use crate::error::Result;
use crate::host::Host;
use crate::plugin::announcement::Announcement;
use crate::plugin::{Call, Plugin, Runtime};

/// Takes the records of a list, one by one.
pub type Item<'a> = &'a mut (dyn FnMut(&RawValue) + Send);

/// The plug-in runtime: [`Runtime`], or what stands in for it.
pub trait Plugins: Send + Sync + 'static {
    /// As [`Runtime::call`].
    fn call<'a>(&'a self, name: &'a str, call: Call, item: Item<'a>) -> BoxFuture<'a, Result<Value>>;
    /// As [`Runtime::loaded`].
    fn loaded<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }
    /// As [`Runtime::all_known`].
    fn all_known(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
    /// As [`Runtime::plugins`].
    fn plugins(&self) -> Vec<Arc<Plugin>>;
    /// As [`Runtime::reload`].
    fn reload<'a>(&'a self, module: Option<&'a str>) -> BoxFuture<'a, Result<()>>;
    /// As [`Runtime::announce`].
    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, ()>;
    /// As [`Runtime::configure`].
    fn configure(&self, _config: &Config) {}
    /// As [`Runtime::report`].
    fn report(&self, name: &str, text: &str);
    /// As [`Runtime::forget_cache`].
    fn forget_cache(&self, ss: Uuid);
    /// As [`Runtime::shutdown`].
    fn shutdown(&self) -> BoxFuture<'_, ()>;
    /// As [`Runtime::host`]; without one, nothing of a host shows.
    fn host(&self) -> Option<Host> {
        None
    }
}

impl Plugins for Runtime {
    fn host(&self) -> Option<Host> {
        Some(Runtime::host(self).clone())
    }

    fn call<'a>(&'a self, name: &'a str, call: Call, item: Item<'a>) -> BoxFuture<'a, Result<Value>> {
        Runtime::call(self, name, call, item).boxed()
    }

    fn loaded<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        Runtime::loaded(self, name).boxed()
    }

    fn all_known(&self) -> BoxFuture<'_, ()> {
        Runtime::all_known(self).boxed()
    }

    fn plugins(&self) -> Vec<Arc<Plugin>> {
        Runtime::plugins(self)
    }

    fn reload<'a>(&'a self, module: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        Runtime::reload(self, module).boxed()
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, ()> {
        Runtime::announce(self, announcement).boxed()
    }

    fn configure(&self, config: &Config) {
        Runtime::configure(self, config);
    }

    fn report(&self, name: &str, text: &str) {
        Runtime::report(self, name, text);
    }

    fn forget_cache(&self, ss: Uuid) {
        Runtime::forget_cache(self, ss);
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Runtime::shutdown(self).boxed()
    }
}
