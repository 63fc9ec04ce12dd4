//! Which modules are installed, kept in step with the plug-in directories.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::Plugin;
use super::announcement::{Action, Announcement};
use super::keeper::keep;
use super::load::Shared;
use super::module::{Module, Phase, State};
use super::scan::{Source, scan};
use super::watch::Watcher;
use crate::config::Config;
use crate::error::{Error, Kind, Result};

/// Directories that cannot be watched are looked at this often.
const POLL: Duration = Duration::from_secs(5);

/// Every module there is or was.
pub struct Catalog {
    shared: Arc<Shared>,
    /// Plug-in directories; the first one that has a module wins.
    dirs: Vec<PathBuf>,
    config: ArcSwap<Config>,
    modules: RwLock<BTreeMap<String, Arc<Module>>>,
    /// One scan at a time: what an older one found never replaces what a newer one did.
    turn: Semaphore,
}

impl Catalog {
    /// Finds what is installed, starts loading it, and goes on watching.
    pub async fn start(config: &Config, stock: PathBuf, shared: Arc<Shared>) -> Arc<Catalog> {
        let mut dirs = Vec::new();
        for dir in config.plugin_dirs.iter().chain([&stock]) {
            // Workers run in `/`, and inotify tells of paths as they were given.
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        let catalog = Arc::new(Catalog {
            shared: shared.clone(),
            dirs,
            config: ArcSwap::from_pointee(config.clone()),
            modules: RwLock::default(),
            turn: Semaphore::new(1),
        });
        // Watching begins first, so that nothing changes unseen between the two.
        let watcher = Watcher::new(&catalog.dirs);
        catalog.rescan(|_| false, |_| false).await;
        let watching = catalog.clone();
        tokio::spawn(async move {
            let stop = watching.shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = watching.watch(watcher) => {}
            }
        });
        catalog
    }

    /// Goes by another configuration from now on.
    pub fn configure(&self, config: &Config) {
        // Under the lock, so that no module is made by the old one afterwards.
        let modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
        self.config.store(Arc::new(config.clone()));
        modules.values().for_each(|module| module.limit(config.limits_of(&module.name)));
    }

    async fn watch(&self, watcher: std::io::Result<Watcher>) {
        match watcher {
            Ok(mut watcher) => loop {
                let changing = watcher.settled().await;
                self.rescan(|name| changing.contains(name), |_| false).await;
            },
            Err(error) => {
                tracing::warn!(%error, "no inotify: the plug-in directories are looked at every few seconds");
                loop {
                    tokio::time::sleep(POLL).await;
                    self.rescan(|_| false, |_| false).await;
                }
            }
        }
    }

    /// Looks at the directories, and says to each module that `leave` does not pick what is wanted
    /// of it now. Those that `force` picks are loaded though nothing has changed.
    async fn rescan(&self, leave: impl Fn(&str) -> bool, force: impl Fn(&str) -> bool) {
        // Never closed, so there always is a turn.
        let _turn = self.turn.acquire().await;
        let dirs = self.dirs.clone();
        let found = tokio::task::spawn_blocking(move || scan(&dirs)).await;
        // Scanning does not panic; and if it did, what is known stays.
        let Ok(mut found) = found else { return };
        let mut modules = self.modules.write().unwrap_or_else(PoisonError::into_inner);
        for (name, module) in modules.iter() {
            let source = found.remove(name);
            if !leave(name) {
                want(module, source, force(name));
            }
        }
        for (name, source) in found {
            if leave(&name) {
                continue;
            }
            let limits = self.config.load().limits_of(&name).clone();
            let module = Arc::new(Module::new(&name, limits, self.shared.events.clone()));
            let known = self.shared.kept.plugins(&name, source.fingerprint);
            module.change(|state| state.plugins = known);
            want(&module, Some(source), true);
            tokio::spawn(keep(module.clone(), self.shared.clone()));
            modules.insert(name, module);
        }
    }

    /// Takes in what a package announces, and looks at its module at once: the package's files are
    /// in place, so there is nothing to wait for.
    pub async fn announce(&self, announcement: Announcement) {
        let Announcement { action, package, dir, module } = announcement;
        tracing::info!(
            plugin = module,
            ?action,
            package = package.name,
            version = package.version,
            "announced"
        );
        let known = &self.shared.packages;
        if !self.dirs.iter().any(|known| dir.starts_with(known)) {
            tracing::warn!(plugin = module, dir = %dir.display(), "announced where no plug-in is looked for");
        }
        // Those may be in the middle of being written.
        let others = |name: &str| name != module;
        match action {
            // It is the files that go, and that tell; until then the module serves.
            Action::Erase => known.forget(&module),
            Action::Install => {
                known.hear(&module, package.clone());
                let doubtful = self.all().iter().any(|known| known.name == module && known.doubts(&package));
                self.rescan(others, |_| doubtful).await;
            }
            Action::Upgrade => self.rescan(others, |_| false).await,
        }
    }

    /// The module that a class belongs to.
    pub fn module_of(&self, impl_name: &str) -> Option<Arc<Module>> {
        let end = impl_name.match_indices('.').nth(1).map_or(impl_name.len(), |(at, _)| at);
        self.modules.read().unwrap_or_else(PoisonError::into_inner).get(&impl_name[..end]).cloned()
    }

    fn all(&self) -> Vec<Arc<Module>> {
        self.modules.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What everybody sees.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.all().iter().flat_map(|module| module.state.borrow().plugins.clone()).collect()
    }

    /// Waits until something is known of every module: it has been loaded, now or by an earlier process,
    /// or could not be.
    pub async fn known(&self) {
        for module in self.all() {
            let known = |state: &State| !state.plugins.is_empty() || !matches!(state.phase, Phase::Loading);
            // The sender is the module's own: it is there for as long as `module` is.
            let _ = module.state.subscribe().wait_for(known).await;
        }
    }

    /// Loads one module, or all, whether changed or not, and waits for it.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::PluginUnavailable`].
    pub async fn reload(&self, name: Option<&str>) -> Result<()> {
        let concerned = |module: &str| name.is_none_or(|name| name == module);
        self.rescan(|module| !concerned(module), concerned).await;
        let modules: Vec<_> = self.all().into_iter().filter(|module| concerned(&module.name)).collect();
        let (mut installed, mut failures) = (false, Vec::new());
        for module in modules {
            let revision = module.want.borrow().revision;
            let mut state = module.state.subscribe();
            let done = tokio::select! {
                done = state.wait_for(|state| state.done >= revision) => done,
                () = self.shared.stop.cancelled() => return Err(stopping()),
            };
            // The sender lives in the module, which lives here.
            let Ok(state) = done else { continue };
            installed |= !matches!(state.phase, Phase::Gone);
            failures.extend(state.failure.clone());
        }
        match (name, failures.is_empty()) {
            (Some(name), _) if !installed => {
                let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
                let text = format!("no plug-in module {name} is installed in {}", dirs.join(", "));
                Err(Error::not_found(text))
            }
            (_, false) => Err(Error::new(Kind::PluginUnavailable, failures.join("; "))),
            (_, true) => Ok(()),
        }
    }
}

/// The error of everything that is asked of a runtime that is ending.
pub fn stopping() -> Error {
    Error::new(Kind::TryAgain, "the agent is stopping")
}

fn want(module: &Module, source: Option<Source>, force: bool) {
    module.want.send_if_modified(|want| {
        let changed = want.source != source;
        if changed || (force && source.is_some()) {
            want.source = source;
            want.revision += 1;
            return true;
        }
        false
    });
}
