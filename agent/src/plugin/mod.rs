//! Vendors' plug-ins: what is installed, and the calls into them.

mod announced;
pub mod announcement;
pub mod api;
pub(crate) mod assets;
mod cache;
mod catalog;
mod contract;
pub(crate) mod interpreter;
mod keeper;
mod kept;
mod load;
mod model;
mod module;
mod scan;
pub mod version;
mod watch;
mod wire;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use announcement::Announcement;
use api::Method;
use cache::Cache;
use catalog::Catalog;
use interpreter::Interpreters;
use load::{Settings, Shared};
use module::{Module, Phase};
use worker::{Job, Outcome, SocketDir, Worker};

pub use model::{Abilities, Plugin, PluginStatus};

/// One call of a plug-in's method.
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

/// Without the arguments: they hold credentials.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("id", &self.id)
            .field("method", &self.method.name)
            .finish_non_exhaustive()
    }
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

/// How long ending by themselves may take the workers, once every call has been ended.
const GRACE: Duration = Duration::from_millis(1200);

/// How often what has expired in the cache is looked for.
const PURGE: Duration = Duration::from_secs(30);

/// How often a call that never began is tried again: a worker was replaced under it.
const ATTEMPTS: u32 = 4;

/// The plug-in runtime: catalog, workers and cache. A handle: clones are the same runtime.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Arc<Catalog>,
    shared: Arc<Shared>,
    cache: Arc<Cache>,
    host: Host,
    /// Where calls have their temporary files.
    tmp: PathBuf,
}

impl Runtime {
    /// Starts loading what is installed, and tells of it through `events`. The state directory is
    /// the caller's alone: what another runtime has in its run directory is removed.
    ///
    /// # Errors
    /// When the run directory below the state directory cannot be made.
    pub async fn start(config: &Config, events: mpsc::UnboundedSender<Event>) -> Result<Runtime> {
        Runtime::start_on(config, events, Host::linux()).await
    }

    /// The same for plug-ins that have things done on `host`.
    ///
    /// # Errors
    /// As [`Runtime::start`].
    pub async fn start_on(
        config: &Config,
        events: mpsc::UnboundedSender<Event>,
        host: Host,
    ) -> Result<Runtime> {
        let state_dir = config.state_dir.clone();
        let doing = || format!("{} cannot be used", config.state_dir.join("run").display());
        let run = tokio::task::spawn_blocking(move || assets::RunDir::create(&state_dir)).await;
        let run =
            run.map_err(|error| Error::internal(doing(), error))?.map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull => Error::new(Kind::NoSpace, format!("{}: {error}", doing())),
                _ => Error::internal(doing(), error),
            })?;
        let sockets = SocketDir::open(&run.sockets).map_err(|error| Error::internal(doing(), error))?;
        let shared = Arc::new(Shared {
            sdk: run.sdk,
            sockets,
            interpreters: Interpreters::new(&config.interpreter_path),
            settings: ArcSwap::from_pointee(Settings::of(config)),
            imports: Semaphore::new(load::IMPORTS),
            packages: announced::Announced::open(&config.state_dir),
            kept: kept::Kept::open(&config.state_dir),
            events,
            stop: CancellationToken::new(),
            workers: Mutex::default(),
        });
        let catalog = Catalog::start(config, run.stock, shared.clone()).await;
        let cache = Arc::new(Cache::new(cache::SERVER_BYTES));
        tokio::spawn(purge(cache.clone(), shared.stop.clone()));
        Ok(Runtime { inner: Arc::new(Inner { catalog, shared, cache, host, tmp: run.tmp }) })
    }

    /// Makes a call, and returns what the method returned (wire form).
    ///
    /// Where the method answers a list of records, each is given to `item`, one by one as it
    /// arrives, and the result is `null`, also for a list of none; `item` is not called for
    /// anything else. What `item` was given counts only if the call then succeeds.
    ///
    /// The deadline covers all of it: waiting for the plug-in to be loaded and for a place among
    /// its calls, too. Dropping the future ends the call.
    ///
    /// # Errors
    /// The plug-in's exception by the error table; [`Kind::Timeout`], [`Kind::WorkerDied`],
    /// [`Kind::PluginUnavailable`], [`Kind::PluginFault`] or [`Kind::Cancelled`];
    /// [`Kind::Interrupted`] when the runtime is shut down meanwhile.
    pub async fn call(
        &self,
        impl_name: &str,
        mut call: Call,
        item: &mut (dyn FnMut(&RawValue) + Send),
    ) -> Result<Value> {
        let (id, method, cancel) = (call.id, call.method, call.cancel.clone());
        let deadline = call.deadline;
        let told = |error: Error| error.in_method(impl_name, method.name).of_operation(id);
        let Some(module) = self.inner.catalog.module_of(impl_name) else {
            return Err(told(not_installed(impl_name)));
        };
        let result = tokio::select! {
            biased;
            () = self.inner.shared.stop.cancelled() => {
                Err(Error::new(Kind::Interrupted, format!("the agent stopped while {} ran", method.name)))
            }
            () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, format!("{} was cancelled", method.name))),
            result = self.attempt(&module, impl_name, &mut call, item) => result,
            () = tokio::time::sleep(deadline) => Err(Error::new(
                Kind::Timeout,
                format!(
                    "{} did not end within {} and was ended",
                    method.name,
                    humantime::format_duration(deadline)
                ),
            )),
        };
        result.map_err(|error| {
            if let Some(problem) = contract::as_problem(&error, method.name) {
                module.report(Some(impl_name), &problem);
            }
            if let Some(traceback) = error.traceback() {
                tracing::debug!(plugin = impl_name, method = method.name, operation = %id, "{traceback}");
            }
            told(error)
        })
    }

    async fn attempt(
        &self,
        module: &Module,
        impl_name: &str,
        call: &mut Call,
        item: &mut (dyn FnMut(&RawValue) + Send),
    ) -> Result<Value> {
        let mut why = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                // Time for the module to notice what happened to its worker.
                tokio::time::sleep(Duration::from_millis(20) * 4u32.pow(attempt)).await;
            }
            // The semaphore is never closed.
            let Ok(place) = module.places.load_full().acquire_owned().await else {
                return Err(catalog::stopping());
            };
            let worker = serving(module, impl_name, call.method).await?;
            let limits = module.limits.load_full();
            let job = Job {
                impl_name,
                call,
                limits: &limits,
                cache: &self.inner.cache,
                host: &self.inner.host,
                tmp: &self.inner.tmp,
                item,
            };
            match worker::run(&worker, job, place).await {
                Outcome::Ended(result) => return result,
                Outcome::NotBegun(reason) => why = reason,
            }
        }
        let text = format!("the worker of {} does not take calls: {why}", module.name);
        Err(Error::new(Kind::PluginUnavailable, text))
    }

    /// Waits until the module of a plug-in, if it is installed, has been loaded for the first time or
    /// could not be; [`Event`]s told of it by then. Bounded by the import deadline.
    pub async fn loaded(&self, impl_name: &str) {
        if let Some(module) = self.inner.catalog.module_of(impl_name) {
            let mut state = module.state.subscribe();
            // The sender is the module's own: it is there for as long as `module` is.
            let _ = state.wait_for(|state| !matches!(state.phase, Phase::Loading)).await;
        }
    }

    /// Waits until of every module that was there at the start it is known what it holds: from the last
    /// time, or since it has been loaded or could not be.
    pub async fn all_known(&self) {
        self.inner.catalog.known().await;
    }

    /// Everything installed, as [`Event::Present`] last told it. Right after the start that is what was
    /// loaded the last time, where its files are still the same; calls wait for it to be loaded again.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.inner.catalog.plugins()
    }

    /// Loads a module (`vendor.module`) afresh, whether it has changed or not; without a name, all
    /// of them. Returns when they serve.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when there is no such module; [`Kind::PluginUnavailable`] when it cannot
    /// be loaded: what served until now goes on serving.
    pub async fn reload(&self, module: Option<&str>) -> Result<()> {
        self.inner.catalog.reload(module).await
    }

    /// Takes in what a plug-in's package announces. Returns without waiting for what it makes of it:
    /// a module that loads, or is refused because its version is not its package's.
    pub async fn announce(&self, announcement: Announcement) {
        self.inner.catalog.announce(announcement).await;
    }

    /// Goes by another configuration: limits from the next call on, interpreters and the import
    /// deadline from when a module is loaded next.
    pub fn configure(&self, config: &Config) {
        self.inner.shared.settings.store(Arc::new(Settings::of(config)));
        self.inner.catalog.configure(config);
    }

    /// Tells that a plug-in broke the contract in what it answered (a field of the wrong type, one
    /// that it may not change), the first time each `text` is told: in its status, and as an
    /// [`Event::Problem`].
    pub fn report(&self, impl_name: &str, text: &str) {
        if let Some(module) = self.inner.catalog.module_of(impl_name) {
            module.report(Some(impl_name), text);
        }
    }

    /// The host that plug-ins have things done on.
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Forgets what the plug-ins of a storage server cached (`IPlugin.cache`).
    pub fn forget_cache(&self, ss_uuid: Uuid) {
        self.inner.cache.forget(ss_uuid);
    }

    /// Ends every worker, and every call with it.
    pub async fn shutdown(&self) {
        let shared = &self.inner.shared;
        shared.stop.cancel();
        let workers: Vec<Arc<Worker>> = {
            let workers = shared.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers.iter().filter_map(std::sync::Weak::upgrade).collect()
        };
        // On SIGTERM a worker ends what its calls have left behind, then itself.
        workers.iter().for_each(|worker| worker.retire());
        let ends = || async {
            for worker in &workers {
                worker.died().await;
            }
        };
        if tokio::time::timeout(GRACE, ends()).await.is_err() {
            workers.iter().for_each(|worker| worker.kill());
            let _ = tokio::time::timeout(GRACE / 2, ends()).await;
        }
    }
}

fn not_installed(impl_name: &str) -> Error {
    let text = format!("no plug-in {impl_name} is installed");
    Error::new(Kind::PluginUnavailable, text)
}

/// The worker to ask, once the module has been loaded.
async fn serving(module: &Module, impl_name: &str, method: &Method) -> Result<Arc<Worker>> {
    let mut state = module.state.subscribe();
    let state = state.wait_for(|state| !matches!(state.phase, Phase::Loading)).await;
    // The sender is the module's own.
    let Ok(state) = state else { return Err(not_installed(impl_name)) };
    let unavailable = |text: &str| Error::new(Kind::PluginUnavailable, text);
    let plugin = state.plugins.iter().find(|plugin| plugin.impl_name == impl_name);
    match (&state.phase, plugin) {
        (Phase::Down(why), _) => Err(unavailable(why)),
        (Phase::Serving(worker), Some(plugin)) if plugin.status.usable => {
            if plugin.plugin_type == Some(method.plugin_type) {
                Ok(worker.clone())
            } else {
                let text = format!("{impl_name} is not of the type that {} is a method of", method.name);
                Err(Error::new(Kind::NoSuchOperation, text))
            }
        }
        (Phase::Serving(_), Some(plugin)) => {
            Err(unavailable(plugin.status.error.as_deref().unwrap_or("the plug-in is not usable")))
        }
        _ => Err(not_installed(impl_name)),
    }
}

async fn purge(cache: Arc<Cache>, stop: CancellationToken) {
    let mut next = tokio::time::interval_at(Instant::now() + PURGE, PURGE);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = next.tick() => cache.purge(std::time::Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests;
