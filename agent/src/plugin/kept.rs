//! What was loaded the last time, so that a start need not wait for Python to show it.
//!
//! It holds for the very files that it was loaded from. Calls wait until the module has been loaded again.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::api::PluginType;
use super::{Plugin, PluginStatus};

/// The file below the state directory.
const FILE: &str = "plugins.json";

/// The plug-ins of each module, with the content that they were loaded from.
#[derive(Debug)]
pub struct Kept {
    file: PathBuf,
    modules: Mutex<BTreeMap<String, Value>>,
}

impl Kept {
    /// What an earlier process kept in `state_dir`; a file that cannot be read says nothing.
    pub fn open(state_dir: &Path) -> Kept {
        let file = state_dir.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Kept { file, modules: Mutex::new(serde_json::from_str(&text).unwrap_or_default()) }
    }

    /// What a module of this content was when it was last loaded.
    pub fn plugins(&self, module: &str, content: u64) -> Vec<Arc<Plugin>> {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let row = modules.get(module).filter(|row| row["content"].as_u64() == Some(content));
        let plugins = row.and_then(|row| row["plugins"].as_array());
        plugins.and_then(|plugins| plugins.iter().map(read).collect()).unwrap_or_default()
    }

    /// A module of this content has been loaded.
    pub fn keep(&self, module: &str, content: u64, plugins: &[Plugin]) {
        let plugins: Vec<_> = plugins.iter().map(write).collect();
        let row = json!({"content": content, "plugins": plugins});
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if modules.get(module) != Some(&row) {
            modules.insert(module.to_owned(), row);
            self.write(&modules);
        }
    }

    /// A module is gone.
    pub fn forget(&self, module: &str) {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if modules.remove(module).is_some() {
            self.write(&modules);
        }
    }

    fn write(&self, modules: &BTreeMap<String, Value>) {
        if let Err(error) = replace(&self.file, &json!(modules)) {
            tracing::warn!(%error, file = %self.file.display(), "what plug-ins there are cannot be kept for the next start");
        }
    }
}

/// Puts a file into the place of another, whole or not at all.
pub(super) fn replace(file: &Path, content: &Value) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    written.write_all(content.to_string().as_bytes())?;
    std::fs::rename(&fresh, file)
}

fn write(plugin: &Plugin) -> Value {
    let Plugin { impl_name, module, plugin_type, info, abilities, status } = plugin;
    let PluginStatus { usable, interpreter, directory, error, problems } = status;
    json!({
        "impl_name": impl_name, "module": module, "plugin_type": plugin_type.map(PluginType::as_str), "info": info,
        "abilities": abilities, "usable": usable, "interpreter": interpreter, "directory": directory,
        "error": error, "problems": problems,
    })
}

fn read(row: &Value) -> Option<Arc<Plugin>> {
    let text = |key: &str| row[key].as_str().map(str::to_owned);
    Some(Arc::new(Plugin {
        impl_name: text("impl_name")?,
        module: text("module")?,
        plugin_type: row["plugin_type"].as_str().and_then(PluginType::from_name),
        info: row["info"].as_object()?.clone(),
        abilities: serde_json::from_value(row["abilities"].clone()).ok()?,
        status: PluginStatus {
            usable: row["usable"].as_bool()?,
            interpreter: text("interpreter"),
            directory: text("directory"),
            error: text("error"),
            problems: serde_json::from_value(row["problems"].clone()).ok()?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_known_after_a_restart_as_they_were_for_the_same_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let plugin = Plugin {
            impl_name: "acme.disks.Array.Array".into(),
            module: "acme.disks".into(),
            plugin_type: Some(PluginType::StorageArray),
            info: json!({"plugin_name": "Disks", "required_api_vers": ["1", "2"]})
                .as_object()
                .unwrap()
                .clone(),
            abilities: [("snapshot".to_owned(), "ONLINE".to_owned())].into(),
            status: PluginStatus {
                usable: true,
                interpreter: Some("Python 3".into()),
                problems: vec!["prints to standard output".into()],
                ..PluginStatus::default()
            },
        };
        Kept::open(dir.path()).keep("acme.disks", u64::MAX, std::slice::from_ref(&plugin));
        let next = Kept::open(dir.path());
        assert_eq!(next.plugins("acme.disks", u64::MAX), [Arc::new(plugin)]);
        assert!(next.plugins("acme.disks", 7).is_empty());
        next.forget("acme.disks");
        assert!(Kept::open(dir.path()).plugins("acme.disks", u64::MAX).is_empty());
    }
}
