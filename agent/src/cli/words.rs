//! What the words of a command line mean: which object, which parameters of a command, which
//! fields of a record. Pure; names are looked up elsewhere.

use serde_json::{Map, Value};

use super::failure::{Failure, Outcome};
use crate::command::{Command, Param, ParamType};
use crate::record::{Dict, Type, Visibility, looks_secret};

/// Splits `SERVER/THING …` or `SERVER THING …` into the server, the thing and the words after it.
///
/// # Errors
/// When the words do not name a `what`.
pub fn target<'a>(words: &'a [String], what: &str) -> Outcome<(&'a str, &'a str, &'a [String])> {
    let missing = || Failure::usage(format!("which {what}? name it as SERVER/NAME or SERVER NAME"));
    let (first, rest) = words.split_first().ok_or_else(missing)?;
    if let Some((server, thing)) = first.split_once('/') {
        return match (server, thing) {
            ("", _) | (_, "") => Err(missing()),
            _ => Ok((server, thing, rest)),
        };
    }
    let (thing, rest) = rest.split_first().ok_or_else(missing)?;
    Ok((first, thing, rest))
}

/// A size as every door of the agent reads it: bytes, or a number with a unit. `KiB` is 1024, `KB`
/// and `K` are 1000, and so on.
///
/// # Errors
/// When it is none.
pub fn size(text: &str) -> Outcome<u64> {
    let none = || Failure::usage(format!("{text:?} is not a size; give bytes, or a unit as in 10GiB"));
    let bytes = parse_size::parse_size(text.trim()).map_err(|_| none())?;
    // The specification's sizes are signed.
    i64::try_from(bytes).map(|_| bytes).map_err(|_| none())
}

fn truth(text: &str) -> Outcome<bool> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(Failure::usage(format!("{text:?} is neither true nor false"))),
    }
}

fn list(text: &str) -> Value {
    text.split(',').filter(|item| !item.is_empty()).map(Value::from).collect()
}

/// JSON, or `@FILE` that holds it.
fn json(name: &str, text: &str) -> Outcome<Value> {
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{name}: {path} cannot be read: {error}")))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{name} is not JSON: {error}")))
}

/// What a word means for a parameter.
fn value(param: &Param, text: &str) -> Outcome<Value> {
    Ok(match param.ty {
        ParamType::Text | ParamType::ElementId | ParamType::Path => text.into(),
        ParamType::Size => size(text)?.into(),
        ParamType::Bool => truth(text)?.into(),
        ParamType::TextList | ParamType::ElementIds => list(text),
        ParamType::Record | ParamType::Records => json(param.name, text)?,
    })
}

fn extend(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Array(old), Value::Array(new)) => old.extend(new),
        (old, new) => *old = new,
    }
}

/// Splits `key=value`, where the key could be one of a record or a command.
fn key_value(word: &str) -> Option<(&str, &str)> {
    let (key, value) = word.split_once('=')?;
    let named = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    named.then_some((key, value))
}

/// Reads a command's parameters: bare words in the table's order, a list taking all that are left,
/// and `key=value` in any order.
///
/// # Errors
/// When a word fits no parameter, or a required one is missing.
pub fn parameters(row: &Command, words: &[String]) -> Outcome<Map<String, Value>> {
    let mut args = Map::new();
    for word in words {
        let (param, text, keyed) = match key_value(word) {
            Some((key, text)) => (row.params.iter().find(|param| param.name == key), text, true),
            None => {
                let next = |param: &&Param| is_list(param) || !args.contains_key(param.name);
                (row.params.iter().find(next), word.as_str(), false)
            }
        };
        let param = param.ok_or_else(|| unexpected(row, word, keyed))?;
        let new = value(param, text)?;
        match args.get_mut(param.name) {
            Some(old) if is_list(param) => extend(old, new),
            Some(_) => return Err(Failure::usage(format!("{} is given twice", param.name))),
            None => drop(args.insert(param.name.into(), new)),
        }
    }
    Ok(args)
}

/// Says which required parameter is missing, if one is.
///
/// # Errors
/// When one is.
pub fn complete(row: &Command, args: &Map<String, Value>) -> Outcome {
    match row.params.iter().find(|param| !param.optional && !args.contains_key(param.name)) {
        Some(param) => Err(Failure::usage(format!(
            "{} needs the {}; it takes: {}",
            row.name,
            param.name.replace('_', " "),
            synopsis(row)
        ))),
        None => Ok(()),
    }
}

fn is_list(param: &Param) -> bool {
    matches!(param.ty, ParamType::TextList | ParamType::ElementIds)
}

fn unexpected(row: &Command, word: &str, keyed: bool) -> Failure {
    let takes = match synopsis(row) {
        none if none.is_empty() => "it takes nothing".to_owned(),
        some => format!("it takes: {some}"),
    };
    let hint = keyed.then(|| row.params.first()).flatten();
    let failure = Failure::usage(format!("{} does not know what to do with {word:?}; {takes}", row.name));
    match hint {
        Some(param) => failure.hint(format!("if that is the {0} itself, write {0}={word}", param.name)),
        None => failure,
    }
}

/// The parameters as usage lines show them: `SNAPSHOT [NAME]`.
pub fn synopsis(row: &Command) -> String {
    let one = |param: &Param| {
        let name = param.name.to_uppercase();
        let name = if is_list(param) { format!("{name}...") } else { name };
        if param.optional { format!("[{name}]") } else { name }
    };
    row.params.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Reads the fields of a wanted record: one bare word is its name, the others are `key=value`.
/// The second part of the result names the keys that the record's table does not know.
///
/// # Errors
/// When a value is malformed, or would put a secret on the command line.
pub fn record<T: Dict>(words: &[String]) -> Outcome<(Map<String, Value>, Vec<String>)> {
    let mut map = Map::new();
    let mut unknown = Vec::new();
    for word in words {
        let (key, text) = key_value(word).unwrap_or(("name", word));
        let field = T::FIELDS.iter().find(|field| field.name == key);
        if field.is_some_and(|field| field.visibility == Visibility::Secret) || looks_secret(key) {
            return Err(Failure::usage(format!(
                "{key} is not taken from the command line, where every user of this host can read it"
            ))
            .hint("use --admin-password-file, --password-file or --ask-password"));
        }
        let value = match field.map(|field| field.ty) {
            Some(Type::Integer) => integer(key, text)?,
            Some(Type::Bool) => {
                truth(text).map_err(|f| Failure::usage(format!("{key}: {}", f.error)))?.into()
            }
            Some(Type::StringList) => list(text),
            Some(Type::DictList | Type::Opaque) => json(key, text)?,
            Some(_) => text.into(),
            None => {
                unknown.push(key.to_owned());
                text.into()
            }
        };
        if map.insert(key.into(), value).is_some() {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
    }
    Ok((map, unknown))
}

fn integer(key: &str, text: &str) -> Outcome<Value> {
    match text.parse::<i64>() {
        Ok(number) => Ok(number.into()),
        Err(_) => size(text).map(Value::from).map_err(|f| Failure::usage(format!("{key}: {}", f.error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Object, command};
    use crate::record::{StorageElement, StorageServer};
    use serde_json::json;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn row(object: Object, name: &str) -> &'static Command {
        command(object, name).expect("the command exists")
    }

    #[test]
    fn an_element_is_named_in_one_word_or_in_two() {
        for line in ["filer/vol0 nightly", "filer vol0 nightly"] {
            let words = words(line);
            let (server, element, rest) = target(&words, "element").expect("it names one");
            assert_eq!((server, element, rest), ("filer", "vol0", &["nightly".to_owned()][..]));
        }
        assert_eq!(target(&words("nas nfs:/vol/a"), "fs").expect("it names one").1, "nfs:/vol/a");
        for line in ["", "filer", "filer/", "/vol0"] {
            assert_eq!(target(&words(line), "element").expect_err(line).status, 2);
        }
    }

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        let cases = [
            ("4096", 4096),
            ("10GiB", 10 << 30),
            ("1.5TiB", 3 << 39),
            ("10GB", 10_000_000_000),
            ("10G", 10_000_000_000),
            ("1 MiB", 1 << 20),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text).expect(text), bytes, "{text}");
        }
        for text in ["", "big", "-1", "10Q", "9EiB"] {
            assert_eq!(size(text).expect_err(text).status, 2);
        }
    }

    #[test]
    fn bare_words_fill_the_parameters_in_order() {
        let mount = row(Object::FileSystem, "mount");
        let args = parameters(mount, &words("/mnt options=ro,noatime options=nosuid")).expect("they fit");
        assert_eq!(
            Value::Object(args),
            json!({"mount_point": "/mnt", "options": ["ro", "noatime", "nosuid"]})
        );
        let present = row(Object::Element, "present");
        let args = parameters(present, &words("a b,c")).expect("they fit");
        assert_eq!(Value::Object(args), json!({"groups": ["a", "b", "c"]}));
        let resize = row(Object::Element, "resize");
        assert_eq!(parameters(resize, &words("1GiB")).expect("it fits")["size"], 1 << 30);
        let create = row(Object::Server, "create");
        let args = parameters(create, &words(r#"record={"name":"x"}"#)).expect("it fits");
        assert_eq!(args["record"]["name"], "x");
    }

    #[test]
    fn a_word_too_many_too_few_or_misspelt_is_bad_usage() {
        let snapshot = row(Object::Element, "snapshot");
        for line in ["a b", "nmae=x", "a name=b", "name=a name=b"] {
            assert_eq!(parameters(snapshot, &words(line)).expect_err(line).status, 2);
        }
        let restore = row(Object::Element, "restore");
        let none = parameters(restore, &[]).expect("nothing is wrong yet");
        assert!(complete(restore, &none).expect_err("it needs one").to_string().contains("SNAPSHOT"));
    }

    #[test]
    fn a_record_is_read_by_its_table() {
        let line = "filer admin_host=h chap=yes storage_id=a,b access_port=3260 frob=1";
        let (map, unknown) = record::<StorageServer>(&words(line)).expect("it is right");
        let right = json!({"name": "filer", "admin_host": "h", "chap": true, "storage_id": ["a", "b"],
            "access_port": 3260, "frob": "1"});
        assert_eq!((Value::Object(map), unknown), (right, vec!["frob".to_owned()]));
        let (map, _) = record::<StorageElement>(&words("vol1 size=10GiB")).expect("it is right");
        assert_eq!(map["size"], 10_u64 << 30);
        for line in ["a b", "a chap=perhaps", "a size=big"] {
            assert!(record::<StorageServer>(&words(line)).is_err() || line.contains("size"), "{line}");
        }
    }

    #[test]
    fn passwords_are_refused_without_being_repeated() {
        for key in ["admin_passwd", "passwd", "password", "chap_secret"] {
            let failure = record::<StorageServer>(&[format!("{key}=hunter2")]).expect_err(key);
            let text = failure.to_string();
            assert!(
                failure.status == 2 && !text.contains("hunter2") && text.contains("--ask-password"),
                "{text}"
            );
        }
    }
}
