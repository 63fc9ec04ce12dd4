//! What a worker says about its module on the status pipe.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::plugin::announcement::Package;
use crate::plugin::version;

/// The status line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The module serves.
    Ready(Ready),
    /// It does not.
    Failed(Failed),
}

/// A module that serves.
#[derive(Debug, Deserialize)]
pub struct Ready {
    /// The classes that can be had.
    pub classes: Vec<Class>,
    /// The classes that cannot.
    pub broken: Vec<Broken>,
    /// Whether a class was refused because of its version.
    #[serde(skip)]
    pub refused: bool,
}

/// A class as the worker describes it.
#[derive(Debug, Deserialize)]
pub struct Class {
    /// Its implementation name.
    pub impl_name: String,
    /// `isa` or `ifs`.
    pub plugin_type: String,
    /// Its class attributes.
    pub attrs: Map<String, Value>,
    /// Its abilities, by name.
    pub abilities: BTreeMap<String, String>,
    /// Where it breaks the contract.
    pub problems: Vec<Problem>,
}

/// Something wrong with a class.
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// What.
    pub text: String,
    /// Whether the class is of no use because of it.
    #[serde(default)]
    pub fatal: bool,
}

/// A class that the module names but that cannot be had.
#[derive(Debug, Deserialize)]
pub struct Broken {
    /// Its implementation name.
    pub impl_name: String,
    /// `isa` or `ifs`.
    #[serde(default)]
    pub plugin_type: Option<String>,
    /// The class of the exception.
    pub class: String,
    /// Its text.
    pub message: String,
    /// Where it was raised.
    #[serde(default)]
    pub traceback: String,
}

/// A module that cannot be had.
#[derive(Debug, Deserialize)]
pub struct Failed {
    stage: String,
    class: String,
    message: String,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    traceback: String,
}

impl Ready {
    /// How many classes are of no use.
    pub fn unusable(&self) -> usize {
        self.broken.len() + self.classes.iter().filter(|class| class.fatal().is_some()).count()
    }

    /// Refuses the classes that need a newer API, or whose version is not that of the package they
    /// came with, where one was announced.
    pub fn hold_to_versions(&mut self, module: &str, package: Option<&Package>) {
        let none = Value::Null;
        let mut refused = false;
        for class in &mut self.classes {
            let api = version::beyond(class.attrs.get("required_api_vers").unwrap_or(&none));
            let api = api.map(|text| format!("{}: {text}", class.impl_name));
            let own = package.and_then(|package| package.refusal(&class.impl_name, class.version()));
            let texts: Vec<String> = api.into_iter().chain(own).collect();
            refused |= !texts.is_empty();
            class.problems.extend(texts.into_iter().map(|text| Problem { text, fatal: true }));
        }
        self.refused = refused;
        let versions = self.classes.iter().map(|class| (class.impl_name.as_str(), class.version()));
        if package.is_none()
            && let Some(text) = version::disagreement(module, versions)
        {
            for class in &mut self.classes {
                class.problems.push(Problem { text: text.clone(), fatal: false });
            }
        }
    }
}

impl Class {
    /// What it says its version is.
    fn version(&self) -> &str {
        self.attrs.get("plugin_version").and_then(Value::as_str).unwrap_or("")
    }

    /// Why the class is of no use.
    pub fn fatal(&self) -> Option<&str> {
        self.problems.iter().find(|problem| problem.fatal).map(|problem| problem.text.as_str())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.traceback.is_empty() && self.stage != "compile" {
            tracing::debug!(traceback = self.traceback, "a plug-in module cannot be imported");
        }
        write!(f, "{}", self.class)?;
        if let Some(file) = &self.file {
            write!(f, " in {file}")?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
        }
        write!(f, ": {}", self.message)
    }
}
