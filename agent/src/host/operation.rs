//! What a row of the table of host operations says, and what an operation is given when it runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroize as _;

use super::{Host, Scope};
use crate::error::{Error, Kind, Result};
use crate::record::looks_secret;

/// An operation while it runs.
pub type Running = Pin<Box<dyn Future<Output = Result<Value>> + Send>>;

/// A step that takes back what an operation began.
type Undo = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// One row of the table of host operations.
pub struct Operation {
    /// Group and name, as a plug-in says it: `iscsi.login` is `IPlugin.host.iscsi.login(…)`.
    pub name: &'static str,
    /// Its arguments, all by keyword.
    pub args: &'static [Arg],
    /// What it answers, in the words of the documentation.
    pub answer: &'static str,
    /// What it does, and when it is refused.
    pub doc: &'static str,
    /// How long it may take; a call that ends earlier ends it too.
    pub deadline: Duration,
    /// The commands it cannot do without.
    pub needs: &'static [Need],
    /// Whether it changes anything: what only reads is logged at debug level.
    pub changes: bool,
    /// Does it.
    pub run: fn(Task) -> Running,
}

/// One argument of an operation.
#[derive(Debug)]
pub struct Arg {
    /// Its keyword.
    pub name: &'static str,
    /// What it may be.
    pub ty: ArgType,
    /// Whether it has to be given.
    pub required: bool,
    /// What it is for.
    pub doc: &'static str,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgType {
    /// Text.
    Text,
    /// Text that is never shown; the agent wipes it when the operation has ended.
    Secret,
    /// A list of texts.
    Texts,
    /// A whole number, not negative.
    Number,
    /// True or false.
    Flag,
}

impl ArgType {
    /// The type in Python's notation.
    pub fn python(self) -> &'static str {
        match self {
            ArgType::Text | ArgType::Secret => "str",
            ArgType::Texts => "List[str]",
            ArgType::Number => "int",
            ArgType::Flag => "bool",
        }
    }

    fn holds(self, value: &Value) -> bool {
        match self {
            ArgType::Text | ArgType::Secret => value.is_string(),
            ArgType::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            ArgType::Number => value.is_u64(),
            ArgType::Flag => value.is_boolean(),
        }
    }
}

/// A command that an operation runs, and the package that brings it.
#[derive(Debug)]
pub struct Need {
    /// The command.
    pub command: &'static str,
    /// The package, by the name that most distributions give it.
    pub package: &'static str,
}

/// The arguments of a request, each known and of its type. What is secret is wiped when dropped.
#[derive(Default)]
pub struct Args(Map<String, Value>);

impl Args {
    /// Holds what a plug-in gave against the row; None is the same as left out.
    ///
    /// # Errors
    /// [`Kind::InvalidValue`] for an argument that is not the operation's or not of its type,
    /// [`Kind::MissingKey`] for one that is not there.
    pub fn check(operation: &Operation, given: Map<String, Value>) -> Result<Args> {
        let mut args = Args(given);
        args.0.retain(|_, value| !value.is_null());
        for (name, value) in &args.0 {
            let Some(arg) = operation.args.iter().find(|arg| arg.name == name) else {
                let known: Vec<_> = operation.args.iter().map(|arg| arg.name).collect();
                let text =
                    format!("host.{} has no argument {name}; it takes {}", operation.name, known.join(", "));
                return Err(Error::invalid(text));
            };
            if !arg.ty.holds(value) {
                let text = format!("host.{}: {name} must be of type {}", operation.name, arg.ty.python());
                return Err(Error::invalid(text).with_key(arg.name));
            }
        }
        match operation.args.iter().find(|arg| arg.required && !args.0.contains_key(arg.name)) {
            Some(arg) => {
                let text = format!("host.{} needs {}: {}", operation.name, arg.name, arg.doc);
                Err(Error::new(Kind::MissingKey, text).with_key(arg.name))
            }
            None => Ok(args),
        }
    }

    /// The text of an argument; one that is empty counts as left out.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let all = self.0.get(name)?.as_array()?;
        Some(all.iter().filter_map(Value::as_str).collect())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// Whether a flag was given as true.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Everything but the secrets, for the log.
    pub fn shown(&self) -> String {
        let mut value = Value::Object(self.0.clone());
        crate::record::redact(&mut value);
        value.to_string()
    }
}

impl Drop for Args {
    fn drop(&mut self) {
        for (key, value) in &mut self.0 {
            if let (true, Value::String(text)) = (looks_secret(key), value) {
                text.zeroize();
            }
        }
    }
}

/// What an operation is given.
#[derive(Clone)]
pub struct Task {
    /// The host to do it on.
    pub host: Host,
    /// Whose storage server it may be done to.
    pub scope: Arc<Scope>,
    /// What was asked for.
    pub args: Arc<Args>,
    undo: Arc<Mutex<Vec<Undo>>>,
}

impl Task {
    /// A task for `args`, with nothing begun.
    pub fn new(host: Host, scope: Arc<Scope>, args: Args) -> Task {
        Task { host, scope, args: Arc::new(args), undo: Arc::default() }
    }

    /// Notes how to take back what was just begun: done, last first, when the operation fails, its
    /// deadline passes, or its call dies.
    pub fn on_failure<F: Future<Output = ()> + Send + 'static>(
        &self,
        step: impl FnOnce() -> F + Send + 'static,
    ) {
        let step: Undo = Box::new(move || Box::pin(step()));
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Takes back everything that was begun.
    pub(super) async fn take_back(&self) {
        loop {
            let step = self.undo.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match step {
                Some(step) => step().await,
                None => return,
            }
        }
    }
}
