//! The configuration files: TOML, every key optional, an unknown one refused with its file and line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::table::{A_MODULE, KEYS, LIMITS, NAMED, Row, is_module};
use super::{Config, Limits};
use crate::error::{Error, Kind, Result};

/// The file that is read where the command line names none.
pub const DEFAULT: &str = "/etc/osc/agent.toml";

/// Which files are read: one, and the `.toml` files of the folder `.d` beside it, in the order of their
/// names. Where two set one key, the later one wins.
#[derive(Clone, Debug)]
pub struct Source {
    file: PathBuf,
    required: bool,
}

/// What was read, from which files.
#[derive(Clone, Debug)]
pub struct Read {
    /// The settings.
    pub config: Config,
    /// The files.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// The file that the command line names, which then must be there; else [`DEFAULT`], if it is.
    pub fn new(named: Option<PathBuf>) -> Source {
        Source { required: named.is_some(), file: named.unwrap_or_else(|| DEFAULT.into()) }
    }

    /// Reads the files over the defaults. Blocks.
    ///
    /// # Errors
    /// [`Kind::InvalidValue`] naming the file, and the line where it is the contents: a key that is not
    /// known, or a value that is not the key's.
    pub fn read(&self) -> Result<Read> {
        let mut files = Vec::new();
        match std::fs::read_to_string(&self.file) {
            Ok(text) => files.push((self.file.clone(), text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.required => {}
            Err(error) => return Err(unreadable(&self.file, &error)),
        }
        let folder = self.file.with_extension("d");
        let mut further = match std::fs::read_dir(&folder) {
            Ok(entries) => {
                let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
                names.filter(|path| is_ours(path)).collect::<Vec<_>>()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        further.sort();
        for path in further {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            files.push((path, text));
        }
        let config = merge(&files)?;
        Ok(Read { config, files: files.into_iter().map(|(path, _)| path).collect() })
    }
}

/// Whether a file of the folder counts: what an editor or a package manager leaves there does not.
fn is_ours(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    path.extension() == Some(OsStr::new("toml")) && !hidden
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::InvalidValue, format!("the configuration {} cannot be read: {error}", path.display()))
}

/// The files over the defaults, one after the other.
fn merge(files: &[(PathBuf, String)]) -> Result<Config> {
    let mut draft = Draft::default();
    for (path, text) in files {
        draft.read(text).map_err(|Wrong { at, what }| {
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            Error::new(Kind::InvalidValue, format!("{}:{line}: {what}", path.display()))
        })?;
    }
    Ok(draft.finish())
}

/// What is wrong, and where in the text.
struct Wrong {
    at: usize,
    what: String,
}

fn wrong(span: Range<usize>, what: impl Into<String>) -> Wrong {
    Wrong { at: span.start, what: what.into() }
}

/// The settings as far as they are read; the texts outlive it.
#[derive(Default)]
struct Draft<'t> {
    config: Config,
    /// What each module sets: it goes over the limits of all modules, whichever comes first.
    modules: BTreeMap<String, Vec<(&'static Row<Limits>, DeValue<'t>)>>,
}

type Outcome<T = ()> = std::result::Result<T, Wrong>;

impl<'t> Draft<'t> {
    fn read(&mut self, text: &'t str) -> Outcome {
        let parsed = DeTable::parse(text)
            .map_err(|error| wrong(error.span().unwrap_or_default(), error.message().trim()))?;
        for (key, value) in parsed.get_ref() {
            let name = key.get_ref().as_ref();
            if let Some(row) = KEYS.iter().find(|row| row.name == name) {
                set(row, &mut self.config, value)?;
            } else if let Some(table) = NAMED.iter().find(|table| table.name == name) {
                for (key, value) in entries(name, value)? {
                    let done = table.set(&mut self.config, key.get_ref(), value.get_ref());
                    done.map_err(|what| wrong(key.span(), what))?;
                }
            } else if name == "limits" {
                for (row, value) in limits(name, value)? {
                    set(row, &mut self.config.limits, value)?;
                }
            } else if name == "module_limits" {
                for (module, value) in entries(name, value)? {
                    self.module(module.get_ref(), module.span(), value)?;
                }
            } else {
                let names = KEYS.iter().map(|row| row.name).chain(NAMED.iter().map(|table| table.name));
                return Err(unknown(key, "", names.chain(["limits", "module_limits"])));
            }
        }
        Ok(())
    }

    fn module(&mut self, name: &str, at: Range<usize>, value: &Spanned<DeValue<'t>>) -> Outcome {
        if !is_module(name) {
            return Err(wrong(at, format!("{name:?} is not {A_MODULE}")));
        }
        for (row, value) in limits(&format!("module_limits.{name:?}"), value)? {
            // Tried now, while its line is known.
            set(row, &mut Limits::default(), value)?;
            self.modules.entry(name.to_owned()).or_default().push((row, value.get_ref().clone()));
        }
        Ok(())
    }

    fn finish(mut self) -> Config {
        for (module, rows) in self.modules {
            let mut limits = self.config.limits.clone();
            for (row, value) in rows {
                // Each was tried when its line was read.
                let _ = row.set(&mut limits, &value);
            }
            self.config.module_limits.insert(module, limits);
        }
        self.config
    }
}

fn set<T>(row: &Row<T>, settings: &mut T, value: &Spanned<DeValue<'_>>) -> Outcome {
    row.set(settings, value.get_ref()).map_err(|what| wrong(value.span(), what))
}

/// The entries of a table.
fn entries<'a, 't>(name: &str, value: &'a Spanned<DeValue<'t>>) -> Outcome<&'a DeTable<'t>> {
    let table = value.get_ref().as_table();
    table.ok_or_else(|| wrong(value.span(), format!("{name} is a table: write it as [{name}]")))
}

type Limit<'a, 't> = (&'static Row<Limits>, &'a Spanned<DeValue<'t>>);

/// The entries of a table of limits with their rows.
fn limits<'a, 't>(name: &str, value: &'a Spanned<DeValue<'t>>) -> Outcome<Vec<Limit<'a, 't>>> {
    let row = |key: &Spanned<DeString<'t>>| {
        let found = LIMITS.iter().find(|row| row.name == key.get_ref());
        found.ok_or_else(|| unknown(key, name, LIMITS.iter().map(|row| row.name)))
    };
    entries(name, value)?.iter().map(|(key, value)| Ok((row(key)?, value))).collect()
}

fn unknown(key: &Spanned<DeString<'_>>, table: &str, known: impl Iterator<Item = &'static str>) -> Wrong {
    let place = if table.is_empty() { String::new() } else { format!(" in [{table}]") };
    let known: Vec<_> = known.collect();
    wrong(key.span(), format!("unknown key {:?}{place}; there are {}", key.get_ref(), known.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn parse(text: &str) -> Result<Config> {
        merge(&[("f.toml".into(), text.into())])
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse("").expect("a configuration"), Config::default());
    }

    #[test]
    fn every_key_is_read() {
        let config = parse(
            r#"
            state_dir = "/s"
            plugin_dirs = ["/p", "/q"]
            refresh_interval = "5m"
            write_wait = 10
            mutations_per_server = 2
            import_deadline = "3s"
            interpreter_path = ["/python"]
            [deadlines]
            clone = "2h"
            [interpreters]
            "osc.filearray" = "/usr/bin/python2.7"
            [module_limits."osc.localfs"]
            open_files = 64
            [limits]
            memory = "none"
            cpu = 30
            value = "1MiB"
            output = 0x2000
            calls = 3
            "#,
        )
        .expect("a configuration");
        let limits = Limits {
            memory: None,
            cpu: Some(30),
            value: 1 << 20,
            output: 0x2000,
            calls: 3,
            ..Limits::default()
        };
        let expected = Config {
            state_dir: "/s".into(),
            plugin_dirs: vec!["/p".into(), "/q".into()],
            refresh_interval: Duration::from_secs(300),
            write_wait: Duration::from_secs(10),
            mutations_per_server: 2,
            import_deadline: Duration::from_secs(3),
            deadlines: [("clone".to_owned(), Duration::from_secs(7200))].into(),
            interpreters: [("osc.filearray".to_owned(), "/usr/bin/python2.7".into())].into(),
            interpreter_path: vec!["/python".into()],
            module_limits: [("osc.localfs".to_owned(), Limits { open_files: Some(64), ..limits.clone() })]
                .into(),
            limits,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        for (text, line, what) in [
            ("\nwrite_wiat = 1\n", 2, "unknown key \"write_wiat\""),
            ("write_wait = \"soon\"", 1, "write_wait takes a number of seconds"),
            ("write_wait = -1", 1, "a number of seconds"),
            ("mutations_per_server = 0", 1, "above zero"),
            ("state_dir = \"\"", 1, "a path"),
            ("[deadlines]\nsnap = 1", 2, "a method of the plug-in API"),
            ("[interpreters]\n\"osc\" = \"/p\"", 2, "vendor.module"),
            ("deadlines = 3", 1, "[deadlines]"),
            ("[limits]\nmemory = [1]", 2, "\"none\""),
            ("[limits]\n\nfiles = 1", 3, "there are memory, cpu, open_files"),
            ("[module_limits.\"a.b\"]\nfiles = 1", 2, "in [module_limits.\"a.b\"]"),
            ("write_wait = 1\nwrite_wait = 2", 2, "duplicate key"),
            ("x", 1, ""),
        ] {
            let said = parse(text).expect_err("a refusal").to_string();
            assert!(said.starts_with(&format!("f.toml:{line}: ")) && said.contains(what), "{text}: {said}");
        }
    }

    #[test]
    fn later_files_win_and_keep_what_they_do_not_name() {
        let home = tempfile::tempdir().expect("a directory");
        let main = home.path().join("agent.toml");
        let folder = home.path().join("agent.d");
        std::fs::create_dir(&folder).expect("a directory");
        let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
        write(&main, "write_wait = 1\nrefresh_interval = 1\n[limits]\ncpu = 1\n");
        write(&folder.join("20-b.toml"), "write_wait = 3\n[limits]\nopen_files = 3\n");
        write(&folder.join("10-a.toml"), "write_wait = 2\n[module_limits.\"a.b\"]\nmemory = 5\n");
        for ignored in [".hidden.toml", "30-c.toml~", "40-d.conf", "50-e.toml.dpkg-new"] {
            write(&folder.join(ignored), "nonsense");
        }
        let read = Source::new(Some(main.clone())).read().expect("a configuration");
        let limits = Limits { cpu: Some(1), open_files: Some(3), ..Limits::default() };
        let expected = Config {
            write_wait: Duration::from_secs(3),
            refresh_interval: Duration::from_secs(1),
            module_limits: [("a.b".to_owned(), Limits { memory: Some(5), ..limits.clone() })].into(),
            limits,
            ..Config::default()
        };
        assert_eq!(read.config, expected);
        assert_eq!(read.files, [main.clone(), folder.join("10-a.toml"), folder.join("20-b.toml")]);

        write(&folder.join("20-b.toml"), "\nwrong = 3\n");
        let said = Source::new(Some(main)).read().expect_err("a refusal").to_string();
        assert!(said.starts_with(&format!("{}:2: ", folder.join("20-b.toml").display())), "{said}");
    }

    #[test]
    fn the_file_that_was_named_must_be_there() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("agent.toml");
        let said = Source::new(Some(file.clone())).read().expect_err("a refusal").to_string();
        assert!(said.contains(&file.display().to_string()), "{said}");
        let unnamed = Source { required: false, ..Source::new(Some(file)) };
        assert_eq!(unnamed.read().expect("the defaults").config, Config::default());
    }
}
