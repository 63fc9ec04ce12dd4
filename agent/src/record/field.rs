//! The field types of the specification's dicts: lenient on the way in, one form inside.
//!
//! Real clients and plug-ins send sizes as strings, uuids without dashes and empty strings for
//! "unset"; each [`FieldType`] accepts all of it once, here, and nobody else has to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use uuid::Uuid;

/// The type of a field, as D-Bus, the documentation and the contract check need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// A UUID, dashed lower case.
    Uuid,
    /// A whole number; sizes are bytes, −1 is "not applicable".
    Integer,
    /// A truth value.
    Bool,
    /// A list of strings.
    StringList,
    /// A list of dicts of another table.
    DictList,
    /// `SE_STATES`.
    SeState,
    /// `FS_STATES`.
    FsState,
    /// One device, or a list of them.
    Devices,
    /// Text that is never shown.
    Secret,
    /// A value that only the plug-in understands, given back as it came.
    Opaque,
}

/// Who a record is printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// People and clients: enumerations by name; no secrets, no transient fields.
    Public,
    /// A plug-in: enumerations by number; everything that is set.
    Wire,
}

/// A type that a field can have: parsed leniently, printed in one form.
pub trait FieldType: Sized {
    /// The type as the tables name it.
    const TYPE: Type;

    /// Reads a value; `Ok(None)` is "unset".
    ///
    /// # Errors
    /// What is wrong with the value, without repeating it where it could be a secret.
    fn parse(value: &Value) -> Result<Option<Self>, String>;

    /// Prints the value for `view`.
    fn print(&self, view: View) -> Value;
}

/// The text of a JSON value that the wire may have wrapped as bytes.
pub(super) fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Object(map) => {
            let coded = map.get("$bytes").or_else(|| map.get("$str"))?.as_str()?;
            let bytes = BASE64.decode(coded).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned().into())
        }
        _ => None,
    }
}

/// What a JSON value is, for a refusal.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a dict",
    }
}

impl FieldType for String {
    const TYPE: Type = Type::String;

    fn parse(value: &Value) -> Result<Option<String>, String> {
        match value {
            Value::Null => Ok(None),
            Value::Number(number) => Ok(Some(number.to_string())),
            other => match text(other) {
                Some(text) => Ok(Some(text.into_owned())),
                None => Err(format!("expected text, got {}", kind_of(other))),
            },
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(self.as_str())
    }
}

impl FieldType for Uuid {
    const TYPE: Type = Type::Uuid;

    fn parse(value: &Value) -> Result<Option<Uuid>, String> {
        match text(value) {
            None if value.is_null() => Ok(None),
            None => Err(format!("expected a UUID, got {}", kind_of(value))),
            Some(text) if text.trim().is_empty() => Ok(None),
            Some(text) => match Uuid::try_parse(text.trim()) {
                Ok(uuid) => Ok(Some(uuid)),
                Err(_) => Err(format!("{text:?} is not a UUID")),
            },
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(self.hyphenated().to_string())
    }
}

impl FieldType for i64 {
    const TYPE: Type = Type::Integer;

    fn parse(value: &Value) -> Result<Option<i64>, String> {
        match value {
            Value::Null => Ok(None),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Ok(Some(whole)),
                // 2^53: up to there a float still says exactly which whole number it is.
                (None, Some(float)) if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 => {
                    Ok(Some(float as i64))
                }
                _ => Err(format!("{number} is not a whole number below 2^63")),
            },
            other => match text(other) {
                None => Err(format!("expected a whole number, got {}", kind_of(other))),
                Some(text) => match text.trim() {
                    "" => Ok(None),
                    trimmed => {
                        // Python 2 prints a long with a trailing L.
                        let digits = trimmed.strip_suffix('L').unwrap_or(trimmed);
                        digits
                            .parse()
                            .map(Some)
                            .map_err(|_| format!("{trimmed:?} is not a whole number below 2^63"))
                    }
                },
            },
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(*self)
    }
}

impl FieldType for bool {
    const TYPE: Type = Type::Bool;

    fn parse(value: &Value) -> Result<Option<bool>, String> {
        match value {
            Value::Null => Ok(None),
            Value::Bool(truth) => Ok(Some(*truth)),
            Value::Number(number) if number.as_i64() == Some(0) => Ok(Some(false)),
            Value::Number(number) if number.as_i64() == Some(1) => Ok(Some(true)),
            other => {
                let text =
                    text(other).ok_or_else(|| format!("expected true or false, got {}", kind_of(other)))?;
                match text.trim().to_ascii_lowercase().as_str() {
                    "" => Ok(None),
                    "true" | "yes" | "1" => Ok(Some(true)),
                    "false" | "no" | "0" => Ok(Some(false)),
                    _ => Err(format!("{text:?} is neither true nor false")),
                }
            }
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(*self)
    }
}

impl FieldType for Vec<String> {
    const TYPE: Type = Type::StringList;

    fn parse(value: &Value) -> Result<Option<Vec<String>>, String> {
        match value {
            Value::Null => Ok(None),
            Value::Array(items) => items
                .iter()
                .map(|item| String::parse(item)?.ok_or_else(|| "the list holds None".to_owned()))
                .collect::<Result<_, _>>()
                .map(Some),
            other => match text(other) {
                Some(text) if text.is_empty() => Ok(Some(Vec::new())),
                Some(text) => Ok(Some(vec![text.into_owned()])),
                None => Err(format!("expected a list of strings, got {}", kind_of(other))),
            },
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(self.as_slice())
    }
}

impl<T: super::Dict> FieldType for Vec<T> {
    const TYPE: Type = Type::DictList;

    fn parse(value: &Value) -> Result<Option<Vec<T>>, String> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(Some(Vec::new())),
            Value::Array(items) => {
                let mut records = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let (record, problems) = T::parse(item);
                    if let Some(problem) = problems.first() {
                        return Err(format!("{} {index}: {problem}", T::NAME));
                    }
                    records.push(record);
                }
                Ok(Some(records))
            }
            other => Err(format!("expected a list of {} dicts, got {}", T::NAME, kind_of(other))),
        }
    }

    fn print(&self, view: View) -> Value {
        self.iter().map(|record| record.to_value(view)).collect()
    }
}

/// A value that only the plug-in understands.
#[derive(Clone, Debug, PartialEq)]
pub struct Opaque(pub Value);

impl FieldType for Opaque {
    const TYPE: Type = Type::Opaque;

    fn parse(value: &Value) -> Result<Option<Opaque>, String> {
        Ok((!value.is_null()).then(|| Opaque(value.clone())))
    }

    fn print(&self, _: View) -> Value {
        self.0.clone()
    }
}

/// One device or a list of them (`backing_device`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// A single device, or the `value` of a `backing_device` dict.
    One(String),
    /// Several devices.
    Many(Vec<String>),
}

impl FieldType for Devices {
    const TYPE: Type = Type::Devices;

    fn parse(value: &Value) -> Result<Option<Devices>, String> {
        match value {
            Value::Array(_) => Ok(Vec::<String>::parse(value)?.map(Devices::Many)),
            other => Ok(String::parse(other)?.filter(|text| !text.is_empty()).map(Devices::One)),
        }
    }

    fn print(&self, view: View) -> Value {
        match self {
            Devices::One(device) => device.print(view),
            Devices::Many(devices) => devices.print(view),
        }
    }
}
