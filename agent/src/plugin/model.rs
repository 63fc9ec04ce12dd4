//! An installed plug-in as everybody sees it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::api::PluginType;

/// An installed plug-in class.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// `<vendor>.<plugin-module>.<file>.<Class>`.
    pub impl_name: String,
    /// The module it came from, `<vendor>.<plugin-module>`.
    pub module: String,
    /// Storage array or file system; `None` where the class could not be loaded.
    pub plugin_type: Option<PluginType>,
    /// Its class attributes (`plugin-api.md`), as JSON.
    pub info: Map<String, Value>,
    /// Its class-level abilities, by name.
    pub abilities: Abilities,
    /// Whether it can be used, and what is wrong with it.
    pub status: PluginStatus,
}

/// Ability keys and the names of their values.
pub type Abilities = BTreeMap<String, String>;

/// How a plug-in is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginStatus {
    /// Whether calls can be made.
    pub usable: bool,
    /// The interpreter and its version, once one was found.
    pub interpreter: Option<String>,
    /// The plug-in directory that its module is in.
    pub directory: Option<String>,
    /// Why it is not usable, or why a newer version of it is not used.
    pub error: Option<String>,
    /// What breaks the contract without making it unusable, each said once.
    pub problems: Vec<String>,
}

impl Plugin {
    /// `info` as one line of JSON.
    pub fn info_line(&self) -> String {
        Value::Object(self.info.clone()).to_string()
    }

    /// `status` as one line of JSON.
    pub fn status_line(&self) -> String {
        json!({
            "impl_name": self.impl_name, "module": self.module,
            "plugin_type": self.plugin_type.map(PluginType::as_str),
            "usable": self.status.usable, "interpreter": self.status.interpreter,
            "directory": self.status.directory,
            "error": self.status.error, "problems": self.status.problems,
        })
        .to_string()
    }
}
