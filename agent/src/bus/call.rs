//! A method call's arguments and answer, and the errors that it can end with.

use serde_json::{Map, Value};
use zbus::{Message, Signature, Structure, Variant};

use super::interface::Method;
use crate::command::{Command, Param, ParamType};
use crate::error::Error;

/// What a method call ends with instead of an answer.
#[derive(Debug)]
pub enum Failure {
    /// An error of the agent's table.
    Agent(Error),
    /// An error of the D-Bus specification: the last component of its name, and the message.
    Standard(&'static str, String),
    /// Nobody is there any more who waits for the answer.
    Abandoned,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Agent(error)
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Failure {
        Failure::Agent(Error::internal("the answer could not be written as a D-Bus message", error))
    }
}

impl Failure {
    /// The name and the message of the D-Bus error; `None` where nobody waits for it.
    pub fn reply(&self) -> Option<(String, String)> {
        match self {
            Failure::Agent(error) => Some((error.dbus_name(), full_text(error))),
            Failure::Standard(name, message) => {
                Some((format!("org.freedesktop.DBus.Error.{name}"), message.clone()))
            }
            Failure::Abandoned => None,
        }
    }
}

/// An error's message with the plug-in, the method and the operation that it came from.
pub fn full_text(error: &Error) -> String {
    let text = match error.operation() {
        Some(operation) => format!("{error} [operation {operation}]"),
        None => error.to_string(),
    };
    super::value::clean(text)
}

/// The arguments of a call, checked against the method's signature.
///
/// # Errors
/// `InvalidArgs`, with the signature that the method has.
pub fn arguments(method: &Method, call: &Message) -> Result<Vec<Variant<'static>>, Failure> {
    let body = call.body();
    let (expected, found) = (method.signature(), body.signature().to_string_no_parens());
    let explain = |detail: String| {
        let names: Vec<String> =
            method.ins.iter().map(|arg| format!("{} {}", arg.signature, arg.name)).collect();
        let text = format!("{} takes ({}): {detail}", method.name, names.join(", "));
        Failure::Standard("InvalidArgs", text)
    };
    if expected != found {
        return Err(explain(format!("expected the signature {expected:?}, got {found:?}")));
    }
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    let broken = |error: zbus::Error| explain(format!("the arguments cannot be read: {error}"));
    let signature =
        Signature::try_from(format!("({expected})").as_str()).map_err(|error| broken(error.into()))?;
    let (structure, _): (Structure<'_>, usize) =
        body.data().deserialize_for_dynamic_signature(signature).map_err(broken)?;
    let fields = structure.into_fields().into_iter();
    fields.map(|field| field.try_into_owned().map(Variant::from)).collect::<Result<_, _>>().map_err(broken)
}

/// A command's arguments as the façade takes them: by name, and without those that are left out.
///
/// # Errors
/// A record that is not JSON.
pub fn request_args(
    command: &'static Command,
    arguments: Vec<Variant<'static>>,
) -> Result<Map<String, Value>, Error> {
    let mut map = Map::new();
    for (param, argument) in command.params.iter().zip(arguments) {
        let value = request_arg(command, param, argument)?;
        let unset = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Number(number) => number.as_u64() == Some(0),
            _ => false,
        };
        if !(param.optional && unset) {
            map.insert(param.name.to_owned(), value);
        }
    }
    Ok(map)
}

fn request_arg(command: &Command, param: &Param, argument: Variant<'static>) -> Result<Value, Error> {
    Ok(match (param.ty, argument) {
        (ParamType::Record | ParamType::Records, Variant::Str(json)) => {
            // The parser's error names a place, never the text: a record may hold a password.
            serde_json::from_str(&json).map_err(|error| {
                Error::invalid(format!(
                    "{}: the parameter {} is not JSON (line {}, column {})",
                    command.name,
                    param.name,
                    error.line(),
                    error.column()
                ))
            })?
        }
        (_, Variant::Str(text)) => Value::from(text.as_str()),
        (_, Variant::U64(number)) => Value::from(number),
        (_, Variant::Bool(truth)) => Value::from(truth),
        (_, list) => Value::from(strings(list)),
    })
}

/// The strings of an `as`.
pub fn strings(list: Variant<'static>) -> Vec<String> {
    // The signature was checked: it is a list of strings.
    Vec::<String>::try_from(list).unwrap_or_default()
}
