//! Values between the bus and JSON: properties on the way in, a command's arguments on the way out.

use std::collections::HashMap;

use serde_json::{Map, Value};
use zbus::{OwnedVariant, Structure, Variant};

use super::failure::{Failure, Outcome};
use crate::command::{Command, ParamType, camel_case};
use crate::record::{self, Dict};

/// The record from an object's other properties: the agent leaves `Record` out where a message
/// would not hold them all. What is unset there is "", −1 or [].
pub fn rebuilt(interface: &str, properties: &HashMap<String, OwnedVariant>) -> Value {
    let fields = match interface {
        "StorageElement" => record::StorageElement::FIELDS,
        "FileSystem" => record::FileSystem::FIELDS,
        "Mount" => record::Mount::FIELDS,
        _ => return Value::Null,
    };
    let unset = |value: &Value| value == "" || value == -1 || value.as_array().is_some_and(Vec::is_empty);
    let field = |field: &record::Field| {
        // `Id` is the object's own.
        let name = if field.name == "id" { "PluginId".to_owned() } else { camel_case(field.name) };
        let value = json(properties.get(&name)?);
        (!unset(&value)).then(|| (field.name.to_owned(), value))
    };
    Value::Object(fields.iter().filter_map(field).collect())
}

/// A command's in-arguments, one for each parameter; unset is "", 0, false or [].
///
/// # Errors
/// When D-Bus cannot hold them.
pub fn body(row: &Command, args: &Map<String, Value>) -> Outcome<Option<Structure<'static>>> {
    let mut builder = Structure::builder();
    for param in row.params {
        let value = args.get(param.name);
        let texts = || -> Vec<String> {
            let items = value.and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        builder = match param.ty {
            ParamType::Text | ParamType::ElementId | ParamType::Path => {
                builder.add_field(value.and_then(Value::as_str).unwrap_or("").to_owned())
            }
            ParamType::Record | ParamType::Records => {
                builder.add_field(value.map(Value::to_string).unwrap_or_default())
            }
            ParamType::Size => builder.add_field(value.and_then(Value::as_u64).unwrap_or(0)),
            ParamType::Bool => builder.add_field(value.and_then(Value::as_bool).unwrap_or(false)),
            ParamType::TextList | ParamType::ElementIds => builder.add_field(texts()),
        };
    }
    if row.params.is_empty() {
        return Ok(None);
    }
    builder.build().map(Some).map_err(|error| Failure::local("the request cannot be put together", error))
}

/// A property as text.
pub fn text(value: &Variant<'_>) -> String {
    match value {
        Variant::Str(text) => text.as_str().to_owned(),
        other => other.to_string(),
    }
}

/// A property as JSON; text that is a line of JSON is read as such.
pub fn line(value: &Variant<'_>) -> Value {
    match json(value) {
        Value::String(text) if text.starts_with(['{', '[']) => {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        other => other,
    }
}

fn json(value: &Variant<'_>) -> Value {
    match value {
        Variant::Bool(truth) => Value::from(*truth),
        Variant::U8(number) => Value::from(*number),
        Variant::I16(number) => Value::from(*number),
        Variant::U16(number) => Value::from(*number),
        Variant::I32(number) => Value::from(*number),
        Variant::U32(number) => Value::from(*number),
        Variant::I64(number) => Value::from(*number),
        Variant::U64(number) => Value::from(*number),
        Variant::F64(number) => Value::from(*number),
        Variant::Str(text) => Value::from(text.as_str()),
        Variant::ObjectPath(path) => Value::from(path.as_str()),
        Variant::Variant(inner) => json(inner),
        Variant::Array(items) => items.iter().map(json).collect(),
        Variant::Dict(items) => items.iter().map(|(key, value)| (text(key), json(value))).collect(),
        other => Value::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::COMMANDS;

    #[test]
    fn a_record_that_was_left_out_is_put_together_from_the_other_properties() {
        let own = |value: Variant<'_>| value.try_to_owned().expect("it holds no descriptor");
        let properties = HashMap::from([
            ("Id".to_owned(), own(Variant::from("u"))),
            ("PluginId".to_owned(), own(Variant::from("lun7"))),
            ("SeType".to_owned(), own(Variant::from("LUN"))),
            ("Size".to_owned(), own(Variant::from(4096_i64))),
            ("Path".to_owned(), own(Variant::from(vec!["/dev/sda"]))),
            ("Vendor".to_owned(), own(Variant::from(""))),
        ]);
        let right = serde_json::json!({"se_type": "LUN", "id": "lun7", "path": ["/dev/sda"], "size": 4096});
        assert_eq!(rebuilt("StorageElement", &properties), right);
    }

    #[test]
    fn every_command_of_the_table_can_be_put_on_the_bus() {
        for row in COMMANDS {
            let signature = |args: &Map<String, Value>| {
                body(row, args).expect("it is put together").map(|body| body.signature().to_string())
            };
            let unset = signature(&Map::new());
            assert_eq!(unset.is_none(), row.params.is_empty(), "{}", row.name);
            let set: Map<String, Value> =
                row.params.iter().map(|param| (param.name.to_owned(), Value::from("x"))).collect();
            assert_eq!(signature(&set), unset, "{}", row.name);
        }
    }
}
