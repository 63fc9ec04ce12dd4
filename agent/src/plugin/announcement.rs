//! What the scriptlets of a plug-in's package announce (specification, Appendix B), and what the
//! agent may conclude from it.
//!
//! The version in `install` is that of the package whose files are there. `upgrade` comes from the
//! package that has just been replaced and carries *its* version, and `erase` comes before the
//! files go: neither says anything about what is installed then.

use std::path::{Path, PathBuf};

use super::version;
use crate::error::{Error, Result};

/// An announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What happens.
    pub action: Action,
    /// The package it happens to.
    pub package: Package,
    /// Where the module lies.
    pub dir: PathBuf,
    /// `vendor.module`.
    pub module: String,
}

/// What is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The package's files are in place.
    Install,
    /// The package was replaced by another version of itself, whose files are in place.
    Upgrade,
    /// The package is about to be erased.
    Erase,
}

/// A package as it names itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, `osc-<vendor>-<plugin-module>`.
    pub name: String,
    /// Its version and release.
    pub version: String,
}

impl Announcement {
    /// Reads `install`, `upgrade` or `erase`, then name, version-release, directory, vendor and
    /// module.
    ///
    /// # Errors
    /// When the words are not these six.
    pub fn parse(words: &[String]) -> Result<Announcement> {
        let [action, name, version, dir, vendor, module] = words else {
            return Err(Error::invalid(format!(
                "an announcement is install, upgrade or erase, then NAME VERSION-RELEASE INSTALL_DIR VENDOR MODULE; \
                 these are {} words",
                words.len()
            )));
        };
        let action = match action.as_str() {
            "install" => Action::Install,
            "upgrade" => Action::Upgrade,
            "erase" => Action::Erase,
            other => {
                let text = format!("{other:?} is not announced: it is install, upgrade or erase");
                return Err(Error::invalid(text));
            }
        };
        for (what, word) in [("vendor", vendor), ("module", module)] {
            if !is_identifier(word) {
                let text = format!("{word:?} cannot be the {what} of a plug-in: Python could not import it");
                return Err(Error::invalid(text));
            }
        }
        if version.trim().is_empty() || !Path::new(dir).is_absolute() {
            let text = format!("{version:?} and {dir:?} should be a version and an absolute directory");
            return Err(Error::invalid(text));
        }
        Ok(Announcement {
            action,
            package: Package { name: name.clone(), version: version.trim().to_owned() },
            dir: dir.into(),
            module: format!("{vendor}.{module}"),
        })
    }
}

impl Package {
    /// Why a plug-in of that version cannot have come with this package, if it cannot.
    pub fn refusal(&self, impl_name: &str, plugin_version: &str) -> Option<String> {
        (!version::same(plugin_version, &self.version)).then(|| {
            format!(
                "{impl_name} says plugin_version {plugin_version}, and its package {} is version {}: they have to be \
                 the same; correct plugin_version or the package and install it again",
                self.name, self.version
            )
        })
    }
}

fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Announcement> {
        Announcement::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn an_announcement_names_package_and_module() {
        let line = "install osc-acme-sample 1.0.0-4.el5 /opt/storage-connect/plugins/acme/sample acme sample";
        let announcement = parse(line).unwrap();
        assert_eq!(announcement.action, Action::Install);
        assert_eq!(announcement.module, "acme.sample");
        assert_eq!(announcement.package.version, "1.0.0-4.el5");
    }

    #[test]
    fn what_is_no_announcement_is_refused() {
        for line in [
            "install osc-acme-sample 1.0.0-4 /d acme",
            "remove osc-acme-sample 1.0.0-4 /d acme sample",
            "erase osc-acme-sample 1.0.0-4 /d ac.me sample",
            "erase osc-acme-sample 1.0.0-4 /d acme ../sample",
            "erase osc-acme-sample 1.0.0-4 d acme sample",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_refusal_names_both_versions() {
        let package = Package { name: "osc-acme-sample".into(), version: "1.2.0-1".into() };
        assert_eq!(package.refusal("acme.sample.Shelf.Shelf", "1.2.0"), None);
        let text = package.refusal("acme.sample.Shelf.Shelf", "1.1.0").unwrap();
        assert!(text.contains("1.1.0") && text.contains("1.2.0-1"), "{text}");
    }
}
