//! What a plug-in may return and raise: the worker's frames held against the method table.

use serde_json::Value;
use serde_json::value::RawValue;

use super::api::{Answer, Method};
use super::wire::Raised;
use crate::error::{Error, Kind, Result};
use crate::record::{self, Dict};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nobody looks at it.
    Ignored,
    /// A dict of this name.
    Dict(&'static str),
    /// A dict of one of these names, or None.
    DictOrNone(&'static str),
    /// A list of dicts of this name.
    Dicts(&'static str),
    /// Whatever is JSON.
    Any,
}

fn form(answer: Answer) -> Form {
    match answer {
        Answer::Nothing | Answer::ElementGone | Answer::FileSystemGone => Form::Ignored,
        Answer::Server => Form::Dict(record::StorageServer::NAME),
        Answer::Element | Answer::NewElement => Form::Dict(record::StorageElement::NAME),
        Answer::FileSystem | Answer::NewFileSystem => Form::Dict(record::FileSystem::NAME),
        Answer::File => Form::Dict(record::File::NAME),
        Answer::Record => Form::Dict("record"),
        Answer::Abilities => Form::Dict("ability dict"),
        Answer::Mount => Form::DictOrNone("fs_record or mount_record"),
        Answer::Elements | Answer::AllElements => Form::Dicts(record::StorageElement::NAME),
        Answer::AllFileSystems => Form::Dicts(record::FileSystem::NAME),
        Answer::Mounts => Form::Dicts(record::Mount::NAME),
        Answer::Files => Form::Dicts(record::File::NAME),
        Answer::AccessGroups => Form::Dicts(record::AccessGroup::NAME),
        Answer::QosValues => Form::Dicts(record::QosValue::NAME),
        Answer::BackingDevices => Form::Dicts(record::BackingDevice::NAME),
        Answer::Plain => Form::Any,
    }
}

impl Form {
    fn in_words(self) -> String {
        match self {
            Form::Ignored | Form::Any => "anything".into(),
            Form::Dict(name) => format!("a dict ({name})"),
            Form::DictOrNone(name) => format!("a dict ({name}) or None"),
            Form::Dicts(name) => format!("a list of dicts ({name})"),
        }
    }
}

/// The answer of one call as it comes in.
pub struct Answering {
    method: &'static Method,
    form: Form,
    items: u64,
    /// The elements, where the list is the answer's value.
    kept: Vec<Value>,
}

impl Answering {
    /// The answer of `method`, of which nothing has come in yet.
    pub fn new(method: &'static Method) -> Answering {
        Answering { method, form: form(method.answer), items: 0, kept: Vec::new() }
    }

    /// Takes one element of a list of dicts.
    ///
    /// # Errors
    /// [`Kind::PluginFault`] where the method is not to return one.
    pub fn item(&mut self, value: &RawValue, give: &mut (dyn FnMut(&RawValue) + Send)) -> Result<()> {
        self.items += 1;
        match self.form {
            Form::Ignored => {}
            Form::Dicts(_) => give(value),
            Form::Any => self.kept.push(self.parse(value)?),
            Form::Dict(_) | Form::DictOrNone(_) => return Err(self.wrong("a list")),
        }
        Ok(())
    }

    /// The answer, when it was a list of `count` dicts.
    ///
    /// # Errors
    /// [`Kind::PluginFault`] when as many did not come.
    pub fn list(self, count: u64) -> Result<Value> {
        if count != self.items {
            let text = format!("{} of {count} elements of the answer arrived", self.items);
            return Err(Error::new(Kind::PluginFault, text));
        }
        Ok(if self.form == Form::Any { Value::Array(self.kept) } else { Value::Null })
    }

    /// The answer, when it was anything else.
    ///
    /// # Errors
    /// [`Kind::PluginFault`] that says what was due and what came.
    pub fn value(self, value: &RawValue) -> Result<Value> {
        if self.form == Form::Ignored {
            return Ok(Value::Null);
        }
        let value = self.parse(value)?;
        let fits = match (self.form, &value) {
            (Form::Any, _) | (Form::Dict(_), Value::Object(_)) => true,
            (Form::DictOrNone(_), Value::Object(_) | Value::Null) => true,
            // One of none; elements come one by one.
            (Form::Dicts(_), Value::Array(items)) if items.is_empty() => return Ok(Value::Null),
            _ => false,
        };
        if fits && !is_wrapped(&value) { Ok(value) } else { Err(self.wrong(&in_words(&value))) }
    }

    fn parse(&self, value: &RawValue) -> Result<Value> {
        // The line was valid JSON: what is left is nesting beyond what the parser takes.
        serde_json::from_str(value.get()).map_err(|error| {
            let text = format!("what {} returned cannot be read: {error}", self.method.name);
            Error::new(Kind::PluginFault, text)
        })
    }

    fn wrong(&self, got: &str) -> Error {
        let (name, due) = (self.method.name, self.form.in_words());
        Error::new(Kind::PluginFault, format!("{name} has to return {due}, and returned {got}"))
    }
}

/// Whether an object is how the wire carries a byte string; no form but `Any` takes one.
fn is_wrapped(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.len() == 1 && (map.contains_key("$bytes") || map.contains_key("$str")))
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(_) => "a bool".into(),
        Value::Number(_) => "a number".into(),
        Value::String(_) => "a string".into(),
        value if is_wrapped(value) => "a byte string".into(),
        Value::Object(_) => "a dict".into(),
        Value::Array(items) => match items.iter().find(|item| !item.is_object()) {
            Some(item) => format!("a list with {} in it", in_words(item)),
            None => "a list".into(),
        },
    }
}

/// The error for what a method raised.
pub fn raised(raised: Raised, method: &Method) -> Error {
    let Raised { class, known, raised: own, message, key, traceback } = raised;
    let own = own.filter(|own| *own != class);
    let kind = Kind::from_exception(&class, method.name).filter(|_| known && own.is_none());
    let error = match kind {
        Some(kind) => Error::new(kind, message),
        None => {
            let why = match &own {
                Some(own) => format!("{own}, a class of its own derived from {class}"),
                None if known && class == "IPluginException" => {
                    format!("{class}, which is only the base of the others")
                }
                None if known => format!("{class}, which only validate may raise"),
                None => class,
            };
            Error::new(Kind::PluginFault, format!("{} raised {why}: {message}", method.name))
        }
    };
    let error = if traceback.is_empty() { error } else { error.with_traceback(traceback) };
    match key {
        Some(key) => error.with_key(key),
        None => error,
    }
}

/// What a fault says about the plug-in in general, without the words of this one call: worth
/// telling once.
pub fn as_problem(error: &Error, method: &str) -> Option<String> {
    if error.kind() != Kind::PluginFault {
        return None;
    }
    let text = error.message();
    // `raised …: message`; the message differs from call to call.
    let general = text.strip_prefix(&format!("{method} raised ")).and_then(|rest| rest.split(": ").next());
    Some(general.map_or_else(|| text.to_owned(), |class| format!("{method} raised {class}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::api::{PluginType, method};

    fn answer(name: &str, frames: &[&str]) -> Result<(Value, usize)> {
        let mut given = 0;
        let mut answering = Answering::new(method(PluginType::StorageArray, name).unwrap());
        let (last, items) = frames.split_last().unwrap();
        for text in items {
            answering.item(serde_json::from_str(text).unwrap(), &mut |_| given += 1)?;
        }
        let value = match last.strip_prefix('#') {
            Some(count) => answering.list(count.parse().unwrap())?,
            None => answering.value(serde_json::from_str(last).unwrap())?,
        };
        Ok((value, given))
    }

    #[test]
    fn an_answer_of_the_wrong_form_says_what_was_due_and_what_came() {
        let cases: &[(&str, &[&str], &str)] = &[
            ("createSnap", &["null"], "createSnap has to return a dict (se_record), and returned None"),
            ("createSnap", &[r#"{"$bytes":"eA=="}"#], "returned a byte string"),
            ("createSnap", &["{}", "#1"], "returned a list"),
            ("list", &["null"], "list has to return a list of dicts (se_record), and returned None"),
            ("list", &["[{},3]"], "returned a list with a number in it"),
            ("list", &["{}", "#2"], "1 of 2 elements of the answer arrived"),
            ("getCapabilities", &["\"x\""], "returned a string"),
        ];
        for (name, frames, text) in cases {
            let error = answer(name, frames).unwrap_err();
            assert_eq!(error.kind(), Kind::PluginFault);
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn lists_of_records_are_given_on_and_plain_ones_are_the_value() {
        assert_eq!(answer("list", &["{}", "{}", "#2"]).unwrap(), (Value::Null, 2));
        assert_eq!(answer("list", &["[]"]).unwrap(), (Value::Null, 0));
        assert_eq!(answer("getStorageNames", &["[\"a\"]"]).unwrap(), (serde_json::json!(["a"]), 0));
        assert_eq!(
            answer("getSnapLimits", &["{\"max\":1}", "#1"]).unwrap().0,
            serde_json::json!([{"max": 1}])
        );
        assert_eq!(answer("remove", &["{\"whatever\":1}"]).unwrap().0, Value::Null);
    }

    fn raise(class: &str, known: bool, own: Option<&str>, name: &str) -> Error {
        let raised = Raised {
            class: class.into(),
            known,
            raised: own.map(Into::into),
            message: "the words".into(),
            key: Some("size".into()),
            traceback: "Traceback".into(),
        };
        super::raised(raised, method(PluginType::StorageArray, name).unwrap())
    }

    #[test]
    fn the_classes_of_the_specification_arrive_as_their_kinds() {
        for row in crate::error::TABLE {
            let class = format!("{}Ex", row.name);
            let error = raise(&class, true, Some(&class), "validate");
            if row.origin == crate::error::Origin::Agent {
                assert_eq!(error.kind(), Kind::PluginFault, "{class}");
            } else {
                assert_eq!((error.kind(), error.message()), (row.kind, "the words"));
                assert_eq!((error.key(), error.traceback()), (Some("size"), Some("Traceback")));
            }
        }
    }

    #[test]
    fn everything_else_is_a_fault_that_names_class_and_words() {
        let cases = [
            raise("IPluginException", true, None, "list"),
            raise("InvalidFSTypeEx", true, None, "list"),
            raise("OperationFailedEx", true, Some("MyError"), "list"),
            raise("ValueError", false, None, "list"),
        ];
        let texts = [
            "list raised IPluginException, which is only the base of the others: the words",
            "list raised InvalidFSTypeEx, which only validate may raise: the words",
            "list raised MyError, a class of its own derived from OperationFailedEx: the words",
            "list raised ValueError: the words",
        ];
        for (error, text) in cases.iter().zip(texts) {
            assert_eq!((error.kind(), error.message()), (Kind::PluginFault, text));
        }
        assert_eq!(as_problem(&cases[3], "list").as_deref(), Some("list raised ValueError"));
    }
}
