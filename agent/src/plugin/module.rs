//! One installed module: which worker serves it, what everybody sees of it, and who keeps both in
//! step with its files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::PluginType;
use super::interpreter::Interpreters;
use super::scan::Source;
use super::worker::{Failure, Ready, Setup, SocketDir, Worker};
use super::{Event, Plugin, PluginStatus};
use crate::config::Limits;

/// A module that cannot be loaded is tried again after this long: what it lacks may have come.
const RETRY: Duration = Duration::from_secs(60);

/// A worker that lived this long did not die of being started.
const STABLE: Duration = Duration::from_secs(60);

/// The longest pause between two starts of a worker that keeps dying.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Problems of one plug-in that are kept.
const MOST_PROBLEMS: usize = 64;

/// What all modules share.
pub struct Shared {
    /// The SDK.
    pub sdk: PathBuf,
    /// The workers' sockets.
    pub sockets: SocketDir,
    /// The interpreters of this host.
    pub interpreters: Interpreters,
    /// How long an import may take.
    pub import_deadline: Duration,
    /// Interpreters by module, from the configuration.
    pub configured: BTreeMap<String, PathBuf>,
    /// Where everything is told.
    pub events: mpsc::UnboundedSender<Event>,
    /// The runtime's end.
    pub stop: CancellationToken,
    /// Every worker that may still run.
    pub workers: Mutex<Vec<std::sync::Weak<Worker>>>,
}

/// What is wanted of a module.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Where it is; `None` when it is not installed (any more).
    pub source: Option<Source>,
    /// Goes up whenever it has to be loaded anew.
    pub revision: u64,
}

/// Whether calls can be made.
#[derive(Clone)]
pub enum Phase {
    /// Soon: calls wait.
    Loading,
    /// Yes.
    Serving(Arc<Worker>),
    /// No, and why.
    Down(String),
    /// No: it is not installed.
    Gone,
}

/// A module at one moment.
#[derive(Clone)]
pub struct State {
    /// Whether calls can be made.
    pub phase: Phase,
    /// What everybody sees.
    pub plugins: Vec<Arc<Plugin>>,
    /// The last revision that was dealt with.
    pub done: u64,
    /// Why the newest version is not the one that serves.
    pub failure: Option<String>,
}

/// A module.
pub struct Module {
    /// `vendor.module`.
    pub name: String,
    /// What its calls may use up.
    pub limits: Limits,
    /// Places for calls that run at the same time.
    pub places: Arc<Semaphore>,
    /// Its present state.
    pub state: watch::Sender<State>,
    /// What is wanted of it.
    pub want: watch::Sender<Want>,
    events: mpsc::UnboundedSender<Event>,
    /// One change is told at a time, in the order of the changes.
    telling: Mutex<()>,
}

impl Module {
    /// A module that is about to be loaded.
    pub fn new(name: &str, limits: Limits, events: mpsc::UnboundedSender<Event>) -> Module {
        let state = State { phase: Phase::Loading, plugins: Vec::new(), done: 0, failure: None };
        Module {
            name: name.to_owned(),
            places: Arc::new(Semaphore::new(limits.calls.max(1))),
            limits,
            state: watch::Sender::new(state),
            want: watch::Sender::new(Want::default()),
            events,
            telling: Mutex::new(()),
        }
    }

    /// Changes the state and tells what everybody sees of that.
    fn change(&self, how: impl FnOnce(&mut State)) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state.borrow().plugins.clone();
        self.state.send_modify(how);
        let after = self.state.borrow().plugins.clone();
        // Nobody listens any more when the agent ends.
        let tell = |event| drop(self.events.send(event));
        for plugin in &before {
            if !after.iter().any(|other| other.impl_name == plugin.impl_name) {
                tell(Event::Gone(plugin.impl_name.clone()));
            }
        }
        for plugin in &after {
            let known = before.iter().find(|other| other.impl_name == plugin.impl_name);
            if known.is_none_or(|known| known != plugin) {
                tell(Event::Present(plugin.clone()));
            }
            for problem in &plugin.status.problems {
                if known.is_none_or(|known| !known.status.problems.contains(problem)) {
                    tell(Event::Problem(plugin.impl_name.clone(), problem.clone()));
                }
            }
        }
    }

    /// Notes that a plug-in broke the contract, once; for `None`, all of the module's.
    pub fn report(&self, impl_name: Option<&str>, text: &str) {
        let concerns = |plugin: &Plugin| {
            let problems = &plugin.status.problems;
            impl_name.is_none_or(|name| plugin.impl_name == name)
                && problems.len() < MOST_PROBLEMS
                && !problems.iter().any(|problem| problem == text)
        };
        if !self.state.borrow().plugins.iter().any(|plugin| concerns(plugin)) {
            return;
        }
        self.change(|state| {
            for plugin in state.plugins.iter_mut().filter(|plugin| concerns(plugin)) {
                Arc::make_mut(plugin).status.problems.push(text.to_owned());
            }
        });
    }
}

/// Looks after a module until the runtime ends.
pub async fn keep(module: Arc<Module>, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let keeper = Keeper {
        want: module.want.subscribe(),
        module,
        shared,
        worker: None,
        retry: None,
        deaths: 0,
        fingerprint: None,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.run() => {}
    }
}

struct Keeper {
    module: Arc<Module>,
    shared: Arc<Shared>,
    want: watch::Receiver<Want>,
    worker: Option<(Arc<Worker>, Instant)>,
    /// When to try again without having been asked.
    retry: Option<Instant>,
    /// How often in a row a worker died soon after its start.
    deaths: u32,
    /// The content that was loaded last.
    fingerprint: Option<u64>,
}

impl Keeper {
    async fn run(mut self) {
        let mut done = 0;
        loop {
            let want = self.want.borrow_and_update().clone();
            let due = self.retry.is_some_and(|at| at <= Instant::now());
            match want.source {
                Some(source) if want.revision != done || due => {
                    let anew = want.revision != done;
                    if self.load(&source, want.revision, anew).await.is_none() {
                        continue; // something newer is wanted
                    }
                }
                None if want.revision != done => self.leave(want.revision),
                _ => {}
            }
            done = want.revision;
            self.wait().await;
        }
    }

    /// Returns when there may be something to do.
    async fn wait(&mut self) {
        let worker = self.worker.clone();
        let death = async {
            match &worker {
                Some((worker, _)) => worker.died().await,
                None => std::future::pending().await,
            }
        };
        let printed = async {
            match &worker {
                Some((worker, _)) => worker.printed().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(death, printed);
        let mut has_printed = false;
        loop {
            tokio::select! {
                changed = self.want.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                    return;
                }
                end = &mut death => return self.died(&end),
                () = &mut printed, if !has_printed => {
                    has_printed = true;
                    self.module.report(None, "prints to standard output");
                }
                () = tokio::time::sleep_until(self.retry.unwrap_or_else(Instant::now)), if self.retry.is_some() => return,
            }
        }
    }

    /// Loads what is installed; `None` when something newer is wanted meanwhile.
    async fn load(&mut self, source: &Source, revision: u64, anew: bool) -> Option<()> {
        self.retry = None;
        if self.worker.is_none() && anew {
            self.module.change(|state| state.phase = Phase::Loading);
        }
        let loaded = tokio::select! {
            loaded = start(&self.module.name, &self.shared, source) => loaded,
            _ = self.want.changed() => return None,
        };
        match loaded.and_then(|(worker, ready)| self.accept(worker, ready)) {
            Ok((worker, ready)) => self.serve(worker, ready, source, revision),
            Err(reason) => self.refuse(&reason, revision),
        }
        Some(())
    }

    /// A version that cannot do what the one that serves can is not taken.
    fn accept(&self, worker: Arc<Worker>, ready: Ready) -> Result<(Arc<Worker>, Ready), String> {
        if self.worker.is_some() {
            let serving = self.module.state.borrow();
            let usable = |name: &str| {
                serving.plugins.iter().any(|plugin| plugin.impl_name == name && plugin.status.usable)
            };
            let broken = ready.broken.iter().find(|broken| usable(&broken.impl_name));
            let broken =
                broken.map(|broken| format!("{}: {}: {}", broken.impl_name, broken.class, broken.message));
            let fatal =
                ready.classes.iter().filter(|class| usable(&class.impl_name)).find_map(|class| class.fatal());
            if let Some(reason) = broken.or(fatal.map(str::to_owned)) {
                return Err(format!("{}: {reason}", worker.interpreter));
            }
        }
        Ok((worker, ready))
    }

    fn serve(&mut self, worker: Arc<Worker>, ready: Ready, source: &Source, revision: u64) {
        let mut plugins = describe(&self.module.name, &worker, ready);
        for dir in &source.shadowed {
            let text = format!(
                "{} is also installed in {}, which is not used: {} comes first",
                self.module.name,
                dir.display(),
                source.dir.display()
            );
            plugins.iter_mut().for_each(|plugin| plugin.status.problems.push(text.clone()));
        }
        tracing::info!(
            plugin = self.module.name,
            interpreter = %worker.interpreter,
            classes = plugins.len(),
            "a plug-in module serves"
        );
        let same = self.fingerprint.replace(source.fingerprint) == Some(source.fingerprint);
        self.module.change(|state| {
            // What was found out about this version is as true of its next worker.
            for old in state.plugins.iter().filter(|_| same) {
                if let Some(new) = plugins.iter_mut().find(|new| new.impl_name == old.impl_name) {
                    let fresh = std::mem::replace(&mut new.status.problems, old.status.problems.clone());
                    let fresh = fresh.into_iter().filter(|text| !old.status.problems.contains(text));
                    new.status.problems.extend(fresh.collect::<Vec<_>>());
                }
            }
            state.phase = Phase::Serving(worker.clone());
            state.plugins = plugins.into_iter().map(Arc::new).collect();
            state.done = revision;
            state.failure = None;
        });
        if let Some((old, _)) = self.worker.replace((worker, Instant::now())) {
            old.retire();
        }
    }

    /// The version that is installed cannot be used: what served until now goes on.
    fn refuse(&mut self, reason: &str, revision: u64) {
        self.retry = Some(Instant::now() + RETRY);
        let name = &self.module.name;
        tracing::warn!(plugin = name, reason, "a plug-in module cannot be loaded");
        let serves = self.worker.is_some();
        let error = if serves {
            format!("the installed version of {name} is not used, the one before it still serves: {reason}")
        } else {
            format!("{name} cannot be loaded: {reason}")
        };
        self.module.change(|state| {
            state.done = revision;
            state.failure = Some(error.clone());
            if state.plugins.is_empty() {
                state.plugins.push(Arc::new(unknown(name)));
            }
            for plugin in &mut state.plugins {
                let status = &mut Arc::make_mut(plugin).status;
                status.usable &= serves;
                status.error = Some(error.clone());
            }
            if !serves {
                state.phase = Phase::Down(error);
            }
        });
    }

    /// The module is not installed any more.
    fn leave(&mut self, revision: u64) {
        self.retry = None;
        if let Some((worker, _)) = self.worker.take() {
            worker.retire();
        }
        self.module.change(|state| {
            *state = State { phase: Phase::Gone, plugins: Vec::new(), done: revision, failure: None };
        });
    }

    fn died(&mut self, end: &str) {
        let lived = self.worker.take().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        self.deaths = if lived > STABLE { 0 } else { self.deaths + 1 };
        let pause = match self.deaths.saturating_sub(1) {
            0 => Duration::ZERO,
            again => (Duration::from_millis(100) * 2u32.pow(again.min(16))).min(LONGEST_PAUSE),
        };
        tracing::warn!(
            plugin = self.module.name,
            end,
            ?pause,
            "a plug-in's worker died and is started again"
        );
        self.retry = Some(Instant::now() + pause);
        if pause.is_zero() {
            self.module.state.send_modify(|state| state.phase = Phase::Loading);
            return;
        }
        let error = format!("the worker of {} {end}; it is started again soon", self.module.name);
        self.module.change(|state| {
            for plugin in &mut state.plugins {
                let status = &mut Arc::make_mut(plugin).status;
                (status.usable, status.error) = (false, Some(error.clone()));
            }
            state.phase = Phase::Down(error);
        });
    }
}

/// Starts a worker for a module under the first interpreter that can serve all of it, else under
/// the one that can serve most.
async fn start(name: &str, shared: &Shared, source: &Source) -> Result<(Arc<Worker>, Ready), String> {
    let candidates = match shared.configured.get(name) {
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
        deadline: shared.import_deadline,
    };
    let mut best: Option<(Arc<Worker>, Ready)> = None;
    let mut reasons = Vec::new();
    for interpreter in &candidates {
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

fn describe(module: &str, worker: &Worker, ready: Ready) -> Vec<Plugin> {
    let interpreter = Some(worker.interpreter.to_string());
    let classes = ready.classes.into_iter().map(|class| {
        let fatal = class.fatal().map(str::to_owned);
        Plugin {
            module: module.to_owned(),
            plugin_type: PluginType::from_name(&class.plugin_type),
            status: PluginStatus {
                usable: fatal.is_none(),
                interpreter: interpreter.clone(),
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
        plugin.status.error = Some(format!("{}: {}: {}", broken.impl_name, broken.class, broken.message));
        plugin.impl_name = broken.impl_name;
        plugin
    });
    classes.chain(broken).collect()
}

/// A plug-in of which no more is known than what it is called.
fn unknown(name: &str) -> Plugin {
    Plugin {
        impl_name: name.to_owned(),
        module: name.to_owned(),
        plugin_type: None,
        info: serde_json::Map::new(),
        abilities: BTreeMap::new(),
        status: PluginStatus::default(),
    }
}
