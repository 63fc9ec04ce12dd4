//! The types of the configuration's values: what a file may hold, and how a default is written.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

/// A type of value.
pub trait Kind {
    /// What it is read into.
    type Value: Clone + PartialEq;
    /// What a file must hold, as the manual and a refusal call it.
    const WHAT: &'static str;
    /// Reads it; `None` for anything that is not [`Kind::WHAT`].
    fn read(from: &DeValue<'_>) -> Option<Self::Value>;
    /// The value as a file would hold it.
    fn show(value: &Self::Value) -> String;
}

/// A path.
pub struct Path;
/// Paths.
pub struct Paths;
/// A time, in seconds or with a unit.
pub struct Time;
/// A number that is not zero.
pub struct Count;
/// A size in bytes, or with a unit.
pub struct Size;
/// A number that is not zero, or `none`.
pub struct Most;
/// A size that is not zero, or `none`.
pub struct MostBytes;

fn number(from: &DeValue<'_>) -> Option<u64> {
    let number = from.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn bytes(from: &DeValue<'_>) -> Option<u64> {
    number(from).or_else(|| parse_size::parse_size(from.as_str()?).ok())
}

/// Bytes with the largest binary unit that divides them.
fn show_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("\"{}{name}\"", bytes / unit))
}

impl Kind for Path {
    type Value = PathBuf;
    const WHAT: &'static str = "a path";

    fn read(from: &DeValue<'_>) -> Option<PathBuf> {
        from.as_str().filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn show(value: &PathBuf) -> String {
        format!("{:?}", value.display().to_string())
    }
}

impl Kind for Paths {
    type Value = Vec<PathBuf>;
    const WHAT: &'static str = "a list of paths";

    fn read(from: &DeValue<'_>) -> Option<Vec<PathBuf>> {
        from.as_array()?.iter().map(|item| Path::read(item.get_ref())).collect()
    }

    fn show(value: &Vec<PathBuf>) -> String {
        format!("[{}]", value.iter().map(Path::show).collect::<Vec<_>>().join(", "))
    }
}

impl Kind for Time {
    type Value = Duration;
    const WHAT: &'static str = "a number of seconds, or a time like \"90s\" or \"5m\"";

    fn read(from: &DeValue<'_>) -> Option<Duration> {
        let seconds = number(from).map(Duration::from_secs);
        seconds.or_else(|| humantime::parse_duration(from.as_str()?).ok())
    }

    fn show(value: &Duration) -> String {
        format!("\"{}\"", humantime::format_duration(*value))
    }
}

impl Kind for Count {
    type Value = usize;
    const WHAT: &'static str = "a number above zero";

    fn read(from: &DeValue<'_>) -> Option<usize> {
        number(from).filter(|number| *number > 0)?.try_into().ok()
    }

    fn show(value: &usize) -> String {
        value.to_string()
    }
}

impl Kind for Size {
    type Value = usize;
    const WHAT: &'static str = "a number of bytes, or a size like \"16MiB\"";

    fn read(from: &DeValue<'_>) -> Option<usize> {
        bytes(from)?.try_into().ok()
    }

    fn show(value: &usize) -> String {
        show_bytes(*value as u64)
    }
}

impl Kind for Most {
    type Value = Option<u64>;
    const WHAT: &'static str = "a number above zero, or \"none\"";

    fn read(from: &DeValue<'_>) -> Option<Option<u64>> {
        most(from, number)
    }

    fn show(value: &Option<u64>) -> String {
        value.map_or_else(|| "\"none\"".to_owned(), |number| number.to_string())
    }
}

impl Kind for MostBytes {
    type Value = Option<u64>;
    const WHAT: &'static str = "a number of bytes above zero, a size like \"2GiB\", or \"none\"";

    fn read(from: &DeValue<'_>) -> Option<Option<u64>> {
        most(from, bytes)
    }

    fn show(value: &Option<u64>) -> String {
        value.map_or_else(|| "\"none\"".to_owned(), show_bytes)
    }
}

fn most(from: &DeValue<'_>, read: fn(&DeValue<'_>) -> Option<u64>) -> Option<Option<u64>> {
    if from.as_str() == Some("none") {
        return Some(None);
    }
    read(from).filter(|number| *number > 0).map(Some)
}
