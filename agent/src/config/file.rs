//! The configuration file: TOML, every key optional, an unknown one refused with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Unexpected, Visitor};

use super::{Config, Limits};
use crate::error::{Error, Kind, Result};
use crate::plugin::api::METHODS;

/// The file as it is written; what each key means stands with [`Config`] and [`Limits`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    state_dir: Option<PathBuf>,
    plugin_dirs: Option<Vec<PathBuf>>,
    refresh_interval: Option<Time>,
    write_wait: Option<Time>,
    mutations_per_server: Option<usize>,
    import_deadline: Option<Time>,
    deadlines: BTreeMap<MethodName, Time>,
    interpreters: BTreeMap<String, PathBuf>,
    interpreter_path: Vec<PathBuf>,
    limits: FileLimits,
    module_limits: BTreeMap<String, FileLimits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileLimits {
    memory: Option<Bound>,
    cpu: Option<Bound>,
    open_files: Option<Bound>,
    value: Option<Size>,
    output: Option<Size>,
    calls: Option<usize>,
}

impl FileLimits {
    fn over(&self, base: &Limits) -> Limits {
        Limits {
            memory: self.memory.as_ref().map_or(base.memory, |bound| bound.0),
            cpu: self.cpu.as_ref().map_or(base.cpu, |bound| bound.0),
            open_files: self.open_files.as_ref().map_or(base.open_files, |bound| bound.0),
            value: self.value.as_ref().map_or(base.value, |size| size.0),
            output: self.output.as_ref().map_or(base.output, |size| size.0),
            calls: self.calls.unwrap_or(base.calls),
        }
    }
}

/// Reads the file at `path` over the defaults.
pub(super) fn load(path: &Path) -> Result<Config> {
    let wrong = |what: &dyn std::fmt::Display| {
        Error::new(Kind::InvalidValue, format!("the configuration file {}: {what}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    parse(&text).map_err(|error| wrong(&error))
}

/// Reads the text of a file over the defaults.
pub(super) fn parse(text: &str) -> Result<Config, toml::de::Error> {
    let File {
        state_dir,
        plugin_dirs,
        refresh_interval,
        write_wait,
        mutations_per_server,
        import_deadline,
        deadlines,
        interpreters,
        interpreter_path,
        limits,
        module_limits,
    } = toml::from_str(text)?;
    let base = Config::default();
    let time = |given: Option<Time>, default| given.map_or(default, |time| time.0);
    let limits = limits.over(&base.limits);
    Ok(Config {
        state_dir: state_dir.unwrap_or(base.state_dir),
        plugin_dirs: plugin_dirs.unwrap_or(base.plugin_dirs),
        refresh_interval: time(refresh_interval, base.refresh_interval),
        write_wait: time(write_wait, base.write_wait),
        mutations_per_server: mutations_per_server.unwrap_or(base.mutations_per_server),
        import_deadline: time(import_deadline, base.import_deadline),
        deadlines: deadlines.into_iter().map(|(name, time)| (name.0, time.0)).collect(),
        interpreters,
        interpreter_path,
        module_limits: module_limits.into_iter().map(|(name, own)| (name, own.over(&limits))).collect(),
        limits,
    })
}

/// Seconds, or text like `90s` or `5m`.
#[derive(Debug)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let either = from.deserialize_any(Either("a number of seconds, or a time like \"90s\" or \"5m\""))?;
        match either {
            NumberOrText::Number(seconds) => Ok(Time(Duration::from_secs(seconds))),
            NumberOrText::Text(text) => humantime::parse_duration(&text).map(Time).map_err(D::Error::custom),
        }
    }
}

/// Bytes, or text like `2GiB`.
#[derive(Debug)]
struct Size(usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
        let bytes = match from.deserialize_any(Either("a number of bytes, or a size like \"16MiB\""))? {
            NumberOrText::Number(bytes) => bytes,
            NumberOrText::Text(text) => parse_size::parse_size(&text).map_err(D::Error::custom)?,
        };
        usize::try_from(bytes).map(Size).map_err(D::Error::custom)
    }
}

/// A number, a size, or `none` for no limit.
#[derive(Debug)]
struct Bound(Option<u64>);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bound, D::Error> {
        match from.deserialize_any(Either("a number, a size like \"2GiB\", or \"none\""))? {
            NumberOrText::Number(number) => Ok(Bound(Some(number))),
            NumberOrText::Text(text) if text == "none" => Ok(Bound(None)),
            NumberOrText::Text(text) => {
                parse_size::parse_size(&text).map(|size| Bound(Some(size))).map_err(D::Error::custom)
            }
        }
    }
}

/// The name of a method of the plug-in API.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MethodName(String);

impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<MethodName, D::Error> {
        let name = String::deserialize(from)?;
        match METHODS.iter().any(|method| method.name == name) {
            true => Ok(MethodName(name)),
            false => Err(D::Error::invalid_value(Unexpected::Str(&name), &"a method of the plug-in API")),
        }
    }
}

enum NumberOrText {
    Number(u64),
    Text(String),
}

struct Either(&'static str);

impl Visitor<'_> for Either {
    type Value = NumberOrText;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<NumberOrText, E> {
        let positive = u64::try_from(number);
        positive.map(NumberOrText::Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<NumberOrText, E> {
        Ok(NumberOrText::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NumberOrText, E> {
        Ok(NumberOrText::Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse(""), Ok(Config::default()));
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
            [limits]
            memory = "none"
            cpu = 30
            value = "1MiB"
            [module_limits."osc.localfs"]
            open_files = 64
            "#,
        )
        .expect("a configuration");
        let limits = Limits { memory: None, cpu: Some(30), value: 1 << 20, ..Limits::default() };
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
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, what) in [
            ("\nwrite_wiat = 1\n", "line 2", "unknown field `write_wiat`"),
            ("write_wait = \"soon\"", "line 1", "write_wait"),
            ("write_wait = -1", "line 1", "a number of seconds"),
            ("[deadlines]\nsnap = 1", "line 2", "a method of the plug-in API"),
            ("[limits]\nmemory = [1]", "line 2", "\"none\""),
            ("x", "line 1", "x"),
        ] {
            let said = parse(text).expect_err("a refusal").to_string();
            assert!(said.contains(line) && said.contains(what), "{said}");
        }
    }
}
