//! One installed module: which worker serves it, and what everybody sees of it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, mpsc, watch};

use super::announcement::Package;
use super::scan::Source;
use super::worker::Worker;
use super::{Event, Plugin};
use crate::config::Limits;

/// Problems of one plug-in that are kept.
const MOST_PROBLEMS: usize = 64;

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
    pub limits: ArcSwap<Limits>,
    /// Places for calls that run at the same time.
    pub places: ArcSwap<Semaphore>,
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
            places: ArcSwap::from_pointee(Semaphore::new(limits.calls)),
            limits: ArcSwap::from_pointee(limits),
            state: watch::Sender::new(state),
            want: watch::Sender::new(Want::default()),
            events,
            telling: Mutex::new(()),
        }
    }

    /// Sets what its calls may use up from now on; those under way count as they began.
    pub fn limit(&self, limits: &Limits) {
        let before = self.limits.swap(Arc::new(limits.clone()));
        if before.calls != limits.calls {
            self.places.store(Arc::new(Semaphore::new(limits.calls)));
        }
    }

    /// Changes the state and tells what everybody sees of that.
    pub fn change(&self, how: impl FnOnce(&mut State)) {
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

    /// Whether it has to be loaded again, though nothing has changed, once it is known to be of
    /// this package: what serves may be what the package rules out, or the other way round.
    pub fn doubts(&self, package: &Package) -> bool {
        let state = self.state.borrow();
        let version = |plugin: &Plugin| {
            plugin.info.get("plugin_version").and_then(|value| value.as_str()).unwrap_or("").to_owned()
        };
        state.failure.is_some()
            || state.plugins.iter().any(|plugin| {
                !plugin.status.usable || package.refusal(&plugin.impl_name, &version(plugin)).is_some()
            })
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
