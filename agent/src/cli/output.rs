//! What a command prints on standard output, in the form that was asked for.

use std::io::{self, Write};

use serde_json::Value;

use super::args::Format;
use super::failure::{Failure, Outcome};
use super::objects::Entry;
use super::view::{self, Column};

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// The form.
    pub format: Format,
}

impl Output {
    /// Whether scripts read it.
    pub fn json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints text as it is. A reader that has gone away ends the program quietly.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(self, text: &str) -> Outcome {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(error) => Err(Failure::local("standard output cannot be written", error)),
            Ok(()) => Ok(()),
        }
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn value(self, value: &Value) -> Outcome {
        self.text(&format!("{value}\n"))
    }

    /// Prints objects: a table, or an array of their records.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn list(self, columns: &[Column], entries: &[Entry]) -> Outcome {
        match self.format {
            Format::Table => self.text(&view::table(columns, entries)),
            Format::Json => self.value(&entries.iter().map(|entry| entry.record.clone()).collect()),
        }
    }

    /// Prints what came of an operation.
    ///
    /// # Errors
    /// As [`Output::text`].
    pub fn result(self, result: &Value) -> Outcome {
        match self.format {
            Format::Json => self.value(result),
            Format::Table => self.text(&plain(result)),
        }
    }
}

/// A result for people: records as a table, anything else in the fewest words.
fn plain(result: &Value) -> String {
    let one = std::slice::from_ref(result);
    let items = result.as_array().map_or(one, Vec::as_slice);
    match (result, items.first().and_then(view::columns_for)) {
        (_, Some(columns)) => {
            let entries: Vec<Entry> =
                items.iter().map(|record| Entry { record: record.clone(), ..Entry::default() }).collect();
            view::table(columns, &entries)
        }
        (Value::Null, _) => String::new(),
        (Value::Bool(truth), _) => if *truth { "yes\n" } else { "no\n" }.to_owned(),
        (Value::Object(_), _) => view::pairs(&view::fields(result)),
        (Value::Array(_), _) => {
            items.iter().map(|item| format!("{}\n", view::clean(&view::bare(item)))).collect()
        }
        _ => format!("{}\n", view::clean(&view::bare(result))),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;
    use serde_json::{Value, json};

    #[test]
    fn a_result_is_printed_in_the_fewest_words() {
        let cases = [
            (Value::Null, ""),
            (json!(true), "yes\n"),
            (json!("fine"), "fine\n"),
            (json!(["a", "b"]), "a\nb\n"),
            (json!([]), ""),
            (json!({"max": 5, "current": 2}), "max:      5\ncurrent:  2\n"),
            (
                json!({"se_type": "Snap", "name": "n", "uuid": "u"}),
                "NAME  TYPE  SIZE  STATE  ID\nn     Snap     -  -      u\n",
            ),
        ];
        for (result, text) in cases {
            assert_eq!(plain(&result), text);
        }
    }
}
