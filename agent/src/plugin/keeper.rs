//! Keeps a module's worker in step with its files: loads, replaces, restarts and retires it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::load::{Shared, describe, start, unknown};
use super::module::{Module, Phase, State, Want};
use super::scan::Source;
use super::worker::{Ready, Worker};

/// A module that cannot be loaded is tried again after this long: what it lacks may have come.
const RETRY: Duration = Duration::from_secs(60);

/// A worker that lived this long did not die of being started.
const STABLE: Duration = Duration::from_secs(60);

/// The longest pause between two starts of a worker that keeps dying.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
        match loaded.and_then(|(worker, ready)| self.accept(worker, ready, source)) {
            Ok((worker, ready)) => self.serve(worker, ready, source, revision),
            Err(reason) => self.refuse(&reason, revision),
        }
        Some(())
    }

    /// A version that cannot do what the one that serves can is not taken.
    fn accept(
        &self,
        worker: Arc<Worker>,
        mut ready: Ready,
        source: &Source,
    ) -> Result<(Arc<Worker>, Ready), String> {
        let package = self.shared.packages.package(&self.module.name, source.fingerprint);
        ready.hold_to_versions(&self.module.name, package.as_ref());
        // The announcement may come when what it rules out serves already.
        let itself = ready.refused && self.fingerprint == Some(source.fingerprint);
        if self.worker.is_some() && !itself {
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
        let mut plugins = describe(&self.module.name, &worker, source, ready);
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
        self.shared.kept.keep(&self.module.name, source.fingerprint, &plugins);
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
        self.shared.packages.forget(&self.module.name);
        self.shared.kept.forget(&self.module.name);
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
