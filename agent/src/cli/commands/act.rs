//! Asking for a command of the table: finding its row, resolving the elements that its parameters
//! name, submitting it, and printing what came of it.

use serde_json::{Map, Value};

use super::Session;
use crate::cli::args::Wait;
use crate::cli::client::Contents;
use crate::cli::failure::{Outcome, general_hint};
use crate::cli::objects::{Entry, find};
use crate::cli::wait::finish;
use crate::command::{self, Command, Object, ParamType};

/// The row of a command that `oscctl` itself names.
///
/// # Panics
/// When the table has no such row, which a test rules out.
pub fn row(object: Object, name: &str) -> &'static Command {
    command::command(object, name).expect("a test asks for every name that oscctl uses")
}

/// The D-Bus interface of an object.
pub fn interface(object: Object) -> &'static str {
    match object {
        Object::Manager => "Manager",
        Object::Server => "StorageServer",
        Object::Element => "StorageElement",
        Object::FileSystem => "FileSystem",
        Object::Operation => "Operation",
    }
}

/// Replaces the words that name elements by the elements' ids.
///
/// # Errors
/// When a word names none, or several.
pub fn resolve(row: &Command, args: &mut Map<String, Value>, contents: &Contents) -> Outcome {
    let id =
        |word: &str| find("element", word, &contents.elements).map(|entry| Value::from(entry.id.as_str()));
    for param in row.params {
        let Some(value) = args.get_mut(param.name) else { continue };
        match (param.ty, &mut *value) {
            (ParamType::ElementId, Value::String(word)) => *value = id(word)?,
            (ParamType::ElementIds, Value::Array(words)) => {
                for word in words {
                    *word = id(word.as_str().unwrap_or(""))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Session {
    /// Asks an object for a command, waits for its end as told, and prints the result.
    ///
    /// # Errors
    /// What the agent or the operation said.
    pub async fn perform(
        &self,
        object: &Entry,
        row: &'static Command,
        args: &Map<String, Value>,
        wait: &Wait,
    ) -> Outcome {
        let submitted = self.client.submit(&object.path, interface(row.object), row, args).await;
        let operation = submitted.map_err(|mut failure| {
            failure.hint = failure.hint.or_else(|| general_hint(failure.error.kind()).map(str::to_owned));
            failure
        })?;
        let doing = format!("{} {}", row.name, object.name());
        let result = finish(&self.client, &operation, wait, &doing, self.output.json()).await?;
        self.output.result(&result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_command_that_oscctl_names_is_in_the_table() {
        for name in super::super::thing::ELEMENT_ACTS {
            row(Object::Element, name);
        }
        for name in super::super::thing::FS_ACTS {
            row(Object::FileSystem, name);
        }
        for name in ["refresh", "start", "stop", "create", "unregister"] {
            row(Object::Server, name);
        }
    }

    #[test]
    fn elements_in_parameters_become_their_ids() {
        let elements = ["a1", "b2"].map(|id| Entry {
            id: id.into(),
            record: json!({"name": format!("name of {id}")}),
            ..Entry::default()
        });
        let contents = Contents { elements: elements.to_vec(), ..Contents::default() };
        let multi = row(Object::Server, "multi-snapshot");
        let mut args =
            json!({"elements": ["name of b2", "a"], "names": ["x"]}).as_object().cloned().unwrap_or_default();
        resolve(multi, &mut args, &contents).expect("they are there");
        assert_eq!(Value::Object(args), json!({"elements": ["b2", "a1"], "names": ["x"]}));
        let mut args = json!({"snapshot": "c"}).as_object().cloned().unwrap_or_default();
        assert_eq!(
            resolve(row(Object::Element, "restore"), &mut args, &contents).expect_err("none").status,
            2
        );
    }
}
