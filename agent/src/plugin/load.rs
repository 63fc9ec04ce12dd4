//! Loading a module: under which interpreter it serves, and what its classes are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::announced::Announced;
use super::api::PluginType;
use super::interpreter::Interpreters;
use super::kept::Kept;
use super::scan::Source;
use super::worker::{Failure, Ready, Setup, SocketDir, Worker};
use super::{Event, Plugin, PluginStatus};
use crate::config::Config;

/// What all modules share.
pub struct Shared {
    /// The SDK.
    pub sdk: PathBuf,
    /// The workers' sockets.
    pub sockets: SocketDir,
    /// The interpreters of this host.
    pub interpreters: Interpreters,
    /// What counts for the next module that is loaded.
    pub settings: ArcSwap<Settings>,
    /// Places for imports: with more at a time than the host has processors for, the import deadline
    /// would say how busy the host is instead of how slow a module.
    pub imports: Semaphore,
    /// The packages that modules came with, as far as they were announced.
    pub packages: Announced,
    /// What modules were when they were last loaded.
    pub kept: Kept,
    /// Where everything is told.
    pub events: mpsc::UnboundedSender<Event>,
    /// The runtime's end.
    pub stop: CancellationToken,
    /// Every worker that may still run.
    pub workers: Mutex<Vec<Weak<Worker>>>,
}

/// What the configuration says of loading modules.
pub struct Settings {
    /// How long an import may take.
    pub import_deadline: Duration,
    /// Interpreters by module.
    pub interpreters: BTreeMap<String, PathBuf>,
}

impl Settings {
    /// Those of a configuration.
    pub fn of(config: &Config) -> Settings {
        Settings { import_deadline: config.import_deadline, interpreters: config.interpreters.clone() }
    }
}

/// Modules that are imported at the same time. One that hangs keeps its place until the deadline.
pub const IMPORTS: usize = 4;

/// Starts a worker for a module under the first interpreter that can serve all of it, else under
/// the one that can serve most.
///
/// # Errors
/// Why none can, for each of them.
pub async fn start(name: &str, shared: &Shared, source: &Source) -> Result<(Arc<Worker>, Ready), String> {
    let settings = shared.settings.load_full();
    let candidates = match settings.interpreters.get(name) {
        Some(path) => vec![shared.interpreters.ask(path).await?],
        None => shared.interpreters.all().await,
    };
    if candidates.is_empty() {
        return Err("no Python runs on this host: install python3, or name an interpreter in the \
                    configuration"
            .into());
    }
    let setup = Setup {
        module: name,
        plugin_dir: &source.dir,
        sdk: &shared.sdk,
        sockets: &shared.sockets,
        deadline: settings.import_deadline,
    };
    let mut best: Option<(Arc<Worker>, Ready)> = None;
    let mut reasons = Vec::new();
    for interpreter in &candidates {
        // The semaphore is never closed.
        let _place = shared.imports.acquire().await;
        match Worker::start(&setup, interpreter).await {
            Ok((worker, ready)) => {
                let mut workers = shared.workers.lock().unwrap_or_else(PoisonError::into_inner);
                workers.retain(|worker| worker.strong_count() > 0);
                workers.push(Arc::downgrade(&worker));
                if best.as_ref().is_none_or(|(_, best)| ready.unusable() < best.unusable()) {
                    best = Some((worker, ready));
                }
                if best.as_ref().is_some_and(|(_, best)| best.unusable() == 0) {
                    break;
                }
            }
            Err(Failure { reason, hung }) => {
                reasons.push(format!("{interpreter}: {reason}"));
                if hung {
                    break;
                }
            }
        }
    }
    best.ok_or_else(|| reasons.join("; "))
}

/// The classes of a module as everybody sees them.
pub fn describe(module: &str, worker: &Worker, source: &Source, ready: Ready) -> Vec<Plugin> {
    let interpreter = Some(worker.interpreter.to_string());
    let directory = Some(source.dir.display().to_string());
    let classes = ready.classes.into_iter().map(|class| {
        let fatal = class.fatal().map(str::to_owned);
        Plugin {
            module: module.to_owned(),
            plugin_type: PluginType::from_name(&class.plugin_type),
            status: PluginStatus {
                usable: fatal.is_none(),
                interpreter: interpreter.clone(),
                directory: directory.clone(),
                error: fatal,
                problems: class.problems.into_iter().filter(|p| !p.fatal).map(|p| p.text).collect(),
            },
            impl_name: class.impl_name,
            info: class.attrs,
            abilities: class.abilities,
        }
    });
    let broken = ready.broken.into_iter().map(|broken| {
        tracing::debug!(
            plugin = broken.impl_name,
            traceback = broken.traceback,
            "a plug-in class cannot be had"
        );
        let mut plugin = unknown(module);
        plugin.plugin_type = broken.plugin_type.as_deref().and_then(PluginType::from_name);
        plugin.status.interpreter = interpreter.clone();
        plugin.status.directory = directory.clone();
        plugin.status.error = Some(format!("{}: {}: {}", broken.impl_name, broken.class, broken.message));
        plugin.impl_name = broken.impl_name;
        plugin
    });
    classes.chain(broken).collect()
}

/// A plug-in of which no more is known than what it is called.
pub fn unknown(name: &str) -> Plugin {
    Plugin {
        impl_name: name.to_owned(),
        module: name.to_owned(),
        plugin_type: None,
        info: serde_json::Map::new(),
        abilities: BTreeMap::new(),
        status: PluginStatus::default(),
    }
}
