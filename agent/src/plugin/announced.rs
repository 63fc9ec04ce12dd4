//! The packages that modules came with, as they were announced, and across a restart of the agent.
//!
//! A package says its version once, when it is installed. What is kept of it holds for the very
//! files that were there then: packages may come and go while the agent is down, unheard.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::announcement::Package;
use super::kept::replace;

/// The file below the state directory.
const FILE: &str = "announced.json";

/// What is known of the packages.
#[derive(Debug)]
pub struct Announced {
    file: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Heard by this process, by module.
    heard: BTreeMap<String, Package>,
    /// Kept, by module, with the content that it holds for.
    kept: BTreeMap<String, (Package, u64)>,
}

impl Announced {
    /// What an earlier process kept in `state_dir`; a file that cannot be read says nothing.
    pub fn open(state_dir: &Path) -> Announced {
        let file = state_dir.join(FILE);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let kept = serde_json::from_str::<Value>(&text).ok().and_then(|value| {
            let one = |(module, row): (&String, &Value)| {
                let package =
                    Package { name: row["name"].as_str()?.into(), version: row["version"].as_str()?.into() };
                Some((module.clone(), (package, row["content"].as_u64()?)))
            };
            value.as_object().map(|map| map.iter().filter_map(one).collect())
        });
        Announced { file, known: Mutex::new(Known { kept: kept.unwrap_or_default(), ..Known::default() }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A package was announced.
    pub fn hear(&self, module: &str, package: Package) {
        self.known().heard.insert(module.to_owned(), package);
    }

    /// The package that a module of this content came with; it is kept with that content.
    pub fn package(&self, module: &str, content: u64) -> Option<Package> {
        let mut known = self.known();
        let Some(package) = known.heard.get(module).cloned() else {
            let kept = known.kept.get(module).filter(|(_, of)| *of == content);
            return kept.map(|(package, _)| package.clone());
        };
        let row = (package.clone(), content);
        if known.kept.get(module) != Some(&row) {
            known.kept.insert(module.to_owned(), row);
            self.write(&known);
        }
        Some(package)
    }

    /// The module, or its package, is gone.
    pub fn forget(&self, module: &str) {
        let mut known = self.known();
        known.heard.remove(module);
        if known.kept.remove(module).is_some() {
            self.write(&known);
        }
    }

    fn write(&self, known: &Known) {
        let rows: serde_json::Map<_, _> = known
            .kept
            .iter()
            .map(|(module, (package, content))| {
                let row = json!({"name": package.name, "version": package.version, "content": content});
                (module.clone(), row)
            })
            .collect();
        if let Err(error) = replace(&self.file, &Value::from(rows)) {
            tracing::warn!(%error, file = %self.file.display(), "the versions of announced packages cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_after_a_restart_for_the_same_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let package = Package { name: "osc-acme-disks".into(), version: "2.0-1".into() };
        let first = Announced::open(dir.path());
        first.hear("acme.disks", package.clone());
        assert_eq!(first.package("acme.disks", u64::MAX), Some(package.clone()));
        let next = Announced::open(dir.path());
        assert_eq!(next.package("acme.disks", u64::MAX), Some(package));
        assert_eq!(next.package("acme.disks", 7), None);
        next.forget("acme.disks");
        assert_eq!(Announced::open(dir.path()).package("acme.disks", u64::MAX), None);
    }
}
