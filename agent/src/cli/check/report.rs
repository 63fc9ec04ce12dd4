//! What the checks found: a line for each as it ends, and then the whole as JSON or JUnit XML.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::failure::{Failure, Outcome as Done};
use crate::cli::output::Output;
use crate::cli::view;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It holds, and something should be better.
    Warn,
    /// It does not apply, or could not be tried.
    Skip,
}

impl Outcome {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::Fail => "FAIL",
            Outcome::Warn => "WARN",
            Outcome::Skip => "SKIP",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug)]
pub struct Row {
    /// The check's name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, or what was seen.
    pub reason: String,
    /// How long it took.
    pub took: Duration,
}

/// The results so far.
pub struct Report {
    output: Output,
    /// What is checked: a module or an implementation name.
    subject: String,
    rows: Vec<Row>,
}

impl Report {
    /// A report about a plug-in, printed to `output`.
    pub fn new(output: Output, subject: String) -> Report {
        Report { output, subject, rows: Vec::new() }
    }

    /// Takes in a result, and prints it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn add(&mut self, row: Row) -> Done {
        if !self.output.json() {
            let reason = match row.reason.as_str() {
                "" => String::new(),
                reason => format!(" — {}", view::clean(reason)),
            };
            self.output.text(&format!("{}  {}{reason}\n", row.outcome.as_str(), row.name))?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    /// Whether nothing failed.
    pub fn good(&self) -> bool {
        self.count(Outcome::Fail) == 0
    }

    /// Prints the sum, or everything as JSON; writes JUnit XML where it is wanted.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn end(&self, junit: Option<&Path>) -> Done {
        if let Some(file) = junit {
            std::fs::write(file, self.junit())
                .map_err(|error| Failure::local(format_args!("writing {}", file.display()), error))?;
        }
        if self.output.json() {
            return self.output.value(&self.json());
        }
        self.output.text(&format!(
            "{}: {} passed, {} failed, {} warnings, {} skipped\n",
            self.subject,
            self.count(Outcome::Pass),
            self.count(Outcome::Fail),
            self.count(Outcome::Warn),
            self.count(Outcome::Skip)
        ))
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "name": row.name, "outcome": row.outcome.as_str(), "reason": row.reason,
                "seconds": row.took.as_secs_f64(),
            })
        };
        json!({
            "plugin": self.subject, "good": self.good(), "checks": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    fn junit(&self) -> String {
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        let subject = escape(&self.subject);
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // Writing to a String cannot fail.
        let _ = writeln!(
            xml,
            "<testsuite name=\"{subject}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3}\">",
            self.rows.len(),
            self.count(Outcome::Fail),
            self.count(Outcome::Skip),
            total.as_secs_f64()
        );
        for row in &self.rows {
            let reason = escape(&row.reason);
            let inside = match row.outcome {
                Outcome::Pass if reason.is_empty() => String::new(),
                Outcome::Pass => format!("<system-out>{reason}</system-out>"),
                Outcome::Warn => format!("<system-out>WARN: {reason}</system-out>"),
                Outcome::Fail => format!("<failure message=\"{reason}\"/>"),
                Outcome::Skip => format!("<skipped message=\"{reason}\"/>"),
            };
            let _ = writeln!(
                xml,
                "  <testcase classname=\"{subject}\" name=\"{}\" time=\"{:.3}\">{inside}</testcase>",
                row.name,
                row.took.as_secs_f64()
            );
        }
        xml + "</testsuite>\n"
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            // XML 1.0 has no way to write the others.
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Format;

    #[test]
    fn junit_xml_is_well_formed_whatever_a_reason_says() {
        let mut report = Report::new(Output { format: Format::Json }, "a.b".into());
        for (outcome, reason) in
            [(Outcome::Fail, "<&\"\u{7}\nx>"), (Outcome::Skip, ""), (Outcome::Warn, "w"), (Outcome::Pass, "")]
        {
            report.rows.push(Row { name: "create", outcome, reason: reason.into(), took: Duration::ZERO });
        }
        let xml = report.junit();
        assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("<failure message=\"&lt;&amp;&quot;\u{fffd}&#10;x&gt;\"/>"), "{xml}");
        assert!(xml.ends_with(
            "<testcase classname=\"a.b\" name=\"create\" time=\"0.000\"></testcase>\n</testsuite>\n"
        ));
        assert!(!report.good());
    }
}
