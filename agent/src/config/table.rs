//! Every key of the configuration, once.

use toml::de::DeValue;

use super::value::{Count, Kind, Most, MostBytes, Path, Paths, Size, Time};
use super::{Config, Limits};
use crate::plugin::api::METHODS;

/// From when on a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// From the reload on.
    Reload,
    /// From when the module is loaded the next time.
    Loading,
    /// From the next start on.
    Restart,
}

impl Applies {
    /// How the manual says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Applies::Reload => "at a reload",
            Applies::Loading => "when a module is loaded next",
            Applies::Restart => "at the next start",
        }
    }
}

/// One key of a table of settings `T`.
pub struct Row<T: 'static> {
    /// Its name; the field's, too.
    pub name: &'static str,
    /// What it takes.
    pub what: &'static str,
    /// From when on a change counts.
    pub applies: Applies,
    /// What it is for.
    pub doc: &'static str,
    default: fn(&T) -> String,
    set: fn(&mut T, &DeValue<'_>) -> Option<()>,
    same: fn(&T, &T) -> bool,
    copy: fn(&mut T, &T),
}

impl<T> Row<T> {
    /// The value in `settings`, as a file would hold it.
    pub fn shown(&self, settings: &T) -> String {
        (self.default)(settings)
    }

    /// Sets it.
    ///
    /// # Errors
    /// What it takes, where this is something else.
    pub fn set(&self, settings: &mut T, value: &DeValue<'_>) -> Result<(), String> {
        (self.set)(settings, value).ok_or_else(|| format!("{} takes {}", self.name, self.what))
    }
}

macro_rules! rows {
    ($(#[$meta:meta])* $table:ident: $settings:ty { $($name:ident $kind:ident $applies:ident $doc:literal;)* }) => {
        $(#[$meta])*
        pub const $table: &[Row<$settings>] = &[$(Row {
            name: stringify!($name),
            what: <$kind as Kind>::WHAT,
            applies: Applies::$applies,
            doc: $doc,
            default: |settings| $kind::show(&settings.$name),
            set: |settings, value| {
                settings.$name = $kind::read(value)?;
                Some(())
            },
            same: |one, other| one.$name == other.$name,
            copy: |to, from| to.$name.clone_from(&from.$name),
        },)*];
    };
}

rows! {
    /// The keys that stand for themselves.
    KEYS: Config {
        state_dir Path Restart "Where the state lives: registrations, operations, the key that passwords are sealed with. Mode 0700.";
        plugin_dirs Paths Restart "Directories with installed plug-ins, besides the stock ones. The first one that has a module wins.";
        refresh_interval Time Reload "How often a storage server is refreshed whose registration has no refresh_interval of its own; 0 is never.";
        write_wait Time Reload "How long a write to a control file waits for its operation before it returns EINPROGRESS.";
        mutations_per_server Count Reload "Changing operations that one storage server works on at the same time.";
        import_deadline Time Loading "How long a plug-in module may take to be imported.";
        interpreter_path Paths Restart "Directories in which python3 and python2.7 are looked for before those on PATH.";
    }
}

rows! {
    /// The keys of `[limits]` and of `[module_limits."vendor.module"]`.
    LIMITS: Limits {
        memory MostBytes Reload "Address space of a call, in bytes.";
        cpu Most Reload "Processor time of a call, in seconds.";
        open_files Most Reload "Files that a call may have open.";
        value Size Reload "The largest value that a call may answer, or the largest element of a list.";
        output Size Reload "The most that a call may answer, ask and log altogether.";
        calls Count Reload "Calls of one module that run at the same time; the others wait.";
    }
}

/// A table whose keys are names of something.
pub struct Names {
    /// The table's name.
    pub name: &'static str,
    /// What a key of it names.
    pub of: &'static str,
    /// What each takes.
    pub what: &'static str,
    /// From when on a change counts.
    pub applies: Applies,
    /// What it is for.
    pub doc: &'static str,
    known: fn(&str) -> bool,
    set: fn(&mut Config, &str, &DeValue<'_>) -> Option<()>,
    same: fn(&Config, &Config) -> bool,
    copy: fn(&mut Config, &Config),
}

impl Names {
    /// Sets the value of one name.
    ///
    /// # Errors
    /// What the key or the value should be.
    pub fn set(&self, config: &mut Config, name: &str, value: &DeValue<'_>) -> Result<(), String> {
        if !(self.known)(name) {
            return Err(format!("{name:?} is not {}", self.of));
        }
        (self.set)(config, name, value).ok_or_else(|| format!("{}.{name:?} takes {}", self.name, self.what))
    }
}

/// What a module is called.
pub const A_MODULE: &str = "a plug-in module, \"vendor.module\"";

/// Whether a module can be called that.
pub fn is_module(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(vendor, module)| !vendor.is_empty() && !module.is_empty() && !module.contains('.'))
}

/// The tables of names.
pub const NAMED: &[Names] = &[
    Names {
        name: "deadlines",
        of: "a method of the plug-in API",
        what: Time::WHAT,
        applies: Applies::Reload,
        doc: "How long a call of a method may take, instead of the deadline in the method table.",
        known: |name| METHODS.iter().any(|method| method.name == name),
        set: |config, name, value| {
            config.deadlines.insert(name.to_owned(), Time::read(value)?);
            Some(())
        },
        same: |one, other| one.deadlines == other.deadlines,
        copy: |to, from| to.deadlines.clone_from(&from.deadlines),
    },
    Names {
        name: "interpreters",
        of: A_MODULE,
        what: Path::WHAT,
        applies: Applies::Loading,
        doc: "The Python that a module runs under, instead of the first of python3 and python2.7 that can serve it.",
        known: is_module,
        set: |config, name, value| {
            config.interpreters.insert(name.to_owned(), Path::read(value)?);
            Some(())
        },
        same: |one, other| one.interpreters == other.interpreters,
        copy: |to, from| to.interpreters.clone_from(&from.interpreters),
    },
];

/// What needs a restart keeps its old value: `wanted` with those of `running`, and the keys' names.
pub fn until_restart(running: &Config, wanted: &Config) -> (Config, Vec<&'static str>) {
    let mut config = wanted.clone();
    let mut waiting = Vec::new();
    let rows = KEYS.iter().map(|row| (row.name, row.applies, row.same, row.copy));
    let named = NAMED.iter().map(|row| (row.name, row.applies, row.same, row.copy));
    for (name, applies, same, copy) in rows.chain(named) {
        if applies == Applies::Restart && !same(running, wanted) {
            copy(&mut config, running);
            waiting.push(name);
        }
    }
    (config, waiting)
}

type Same = fn(&Config, &Config) -> bool;

/// The names of the keys that differ.
pub fn changed(one: &Config, other: &Config) -> Vec<&'static str> {
    let rows = KEYS.iter().map(|row| (row.name, row.same));
    let named = NAMED.iter().map(|row| (row.name, row.same));
    let limits: [(&str, Same); 2] = [
        ("limits", |one, other| one.limits == other.limits),
        ("module_limits", |one, other| one.module_limits == other.module_limits),
    ];
    rows.chain(named).chain(limits).filter(|(_, same)| !same(one, other)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_needs_a_restart_keeps_its_value_until_then() {
        let running = Config::default();
        let wanted = Config {
            state_dir: "/elsewhere".into(),
            write_wait: Duration::from_secs(1),
            interpreters: [("a.b".to_owned(), "/python".into())].into(),
            ..Config::default()
        };
        let (config, waiting) = until_restart(&running, &wanted);
        assert_eq!(waiting, ["state_dir"]);
        assert_eq!(config, Config { state_dir: running.state_dir.clone(), ..wanted.clone() });
        assert_eq!(changed(&running, &config), ["write_wait", "interpreters"]);
    }
}
