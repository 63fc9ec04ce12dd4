//! Values as D-Bus types: record fields by their type in the table, and anything else that is JSON.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use zbus::{Array, Dict, ObjectPath, Signature, Type, Variant};

use super::path::Path;
use crate::record;

/// Properties with their values, `a{sv}`, in the table's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Props(pub Vec<(&'static str, Variant<'static>)>);

impl Serialize for Props {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Type for Props {
    const SIGNATURE: &'static Signature = <BTreeMap<&str, Variant<'_>> as Type>::SIGNATURE;
}

/// One interface's properties as object managers show them, `a{sa{sv}}`.
#[derive(Clone, Debug)]
pub struct Interfaces<'a>(pub &'static str, pub &'a Props);

impl Serialize for Interfaces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

impl Type for Interfaces<'_> {
    const SIGNATURE: &'static Signature = <BTreeMap<&str, Props> as Type>::SIGNATURE;
}

/// A D-Bus string. It may hold any text but a NUL, which becomes U+FFFD.
pub fn text(text: impl Into<String>) -> Variant<'static> {
    Variant::from(clean(text.into()))
}

/// Text that D-Bus can carry.
pub fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A list of D-Bus strings.
pub fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Variant<'static> {
    Variant::from(items.into_iter().map(|item| clean(item.as_ref().to_owned())).collect::<Vec<_>>())
}

/// A dictionary of D-Bus strings.
pub fn text_map(map: &BTreeMap<String, String>) -> Variant<'static> {
    let clean: BTreeMap<String, String> =
        map.iter().map(|(key, value)| (clean(key.clone()), clean(value.clone()))).collect();
    Variant::from(Dict::from(clean))
}

/// An object's path.
pub fn object_path(path: &Path) -> ObjectPath<'static> {
    // `Path` prints nothing but valid paths, which its tests hold it to.
    ObjectPath::from_string_unchecked(path.to_string())
}

/// The D-Bus signature of a record field.
pub fn signature(ty: record::Type) -> &'static str {
    use record::Type::*;
    match ty {
        String | Uuid | SeState | FsState | Secret | Opaque => "s",
        Integer => "x",
        Bool => "b",
        StringList | Devices => "as",
        DictList => "aa{sv}",
    }
}

/// What a field of that signature has for a value while it is unset.
pub fn unset(signature: &str) -> &'static str {
    match signature {
        "x" => "-1",
        "b" => "false",
        "as" | "aa{sv}" => "an empty list",
        _ => "the empty string",
    }
}

/// A record field's value, in public form, as its D-Bus type; always there, see [`unset`].
pub fn field(ty: record::Type, value: Option<&Value>) -> Variant<'static> {
    let value = value.unwrap_or(&Value::Null);
    match signature(ty) {
        "x" => Variant::I64(value.as_i64().unwrap_or(-1)),
        "b" => Variant::Bool(value.as_bool().unwrap_or(false)),
        "as" => match value {
            Value::Array(items) => texts(items.iter().map(record::bare)),
            Value::String(one) => texts([one]),
            _ => texts(<[&str; 0]>::default()),
        },
        "aa{sv}" => dicts(value),
        _ => match value {
            Value::Null => text(""),
            value => text(record::bare(value)),
        },
    }
}

fn dicts(value: &Value) -> Variant<'static> {
    let dict = <BTreeMap<&str, Variant<'_>> as Type>::SIGNATURE;
    let mut array = Array::new(dict);
    for item in value.as_array().into_iter().flatten() {
        let entries: BTreeMap<String, Variant<'static>> = item
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (clean(key.clone()), plain(value)))
            .collect();
        // The element has the signature that the array was made with.
        let _ = array.append(Variant::from(Dict::from(entries)));
    }
    Variant::from(array)
}

/// A value inside a dict: numbers, truth values, text and lists of text as themselves, anything
/// deeper as JSON.
fn plain(value: &Value) -> Variant<'static> {
    match value {
        Value::Bool(truth) => Variant::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Variant::I64(whole),
            (None, Some(float)) => Variant::F64(float),
            (None, None) => text(number.to_string()),
        },
        Value::String(one) => text(one.as_str()),
        Value::Array(items) if items.iter().all(Value::is_string) => texts(items.iter().map(record::bare)),
        other => text(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_type_has_a_value_of_its_signature_set_or_not() {
        use record::Type::*;
        let values = [
            (String, json!("x")),
            (Uuid, json!("0190a1b2-1234-7000-8000-0123456789ab")),
            (Integer, json!(7)),
            (Bool, json!(true)),
            (StringList, json!(["a"])),
            (DictList, json!([{"grp_name": "g", "n": 1, "l": ["x"], "deep": {"a": [1]}, "none": null}])),
            (SeState, json!("ONLINE")),
            (FsState, json!("MOUNTED")),
            (Devices, json!("/dev/sda")),
        ];
        for (ty, value) in values {
            for value in [Some(&value), None, Some(&json!({"not": "expected"}))] {
                let variant = field(ty, value);
                assert_eq!(variant.value_signature().to_string(), signature(ty), "{ty:?} {value:?}");
            }
        }
    }

    #[test]
    fn a_nul_does_not_break_a_message() {
        assert_eq!(text("a\0b"), Variant::from("a\u{fffd}b"));
    }
}
