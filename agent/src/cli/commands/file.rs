//! `oscctl file …`: files in a file system.

use serde_json::{Map, Value};

use super::thing::{FILE_SYSTEM, perform};
use crate::cli::args::File;
use crate::cli::failure::Outcome;
use crate::cli::output::Output;
use crate::cli::words;

/// Carries out a `file` command.
///
/// # Errors
/// Why it could not be done.
pub async fn run(bus: &str, output: Output, command: File) -> Outcome {
    let named = |pairs: Vec<(&str, Option<Value>)>| -> Map<String, Value> {
        pairs.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    };
    let (name, act, named) = match command {
        File::List { act, pattern } => ("file-list", act, named(vec![("pattern", pattern.map(Value::from))])),
        File::Create { act, size, kind } => {
            let size = size.as_deref().map(words::size).transpose()?.map(Value::from);
            ("file-create", act, named(vec![("size", size), ("type", kind.map(Value::from))]))
        }
        File::Clone(act) => ("file-clone", act, Map::new()),
        File::Snapshot(act) => ("file-snapshot", act, Map::new()),
        File::Remove(act) => ("file-remove", act, Map::new()),
    };
    perform(bus, output, FILE_SYSTEM, name, &act, named).await
}
