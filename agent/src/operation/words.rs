//! What is written into a control file: a bare name, `key=value` words, or a JSON object.

use serde_json::{Map, Value};

use super::split::{pair, split};
use super::usage::{file_ops, shown, takes_record, wrong};
use crate::command::{Command, FILE_CONTROL, Param, ParamType};
use crate::error::{Error, Result};

/// The most bytes of one request.
pub const REQUEST_MAX: usize = 64 * 1024;

/// The parameters that a request to the control file of `command` gives; their values are checked
/// when it is submitted.
///
/// # Errors
/// [`Kind::InvalidValue`](crate::Kind::InvalidValue) with what is wrong and how the file is used.
pub fn parse_words(command: &Command, bytes: &[u8]) -> Result<Map<String, Value>> {
    let text = request(bytes).map_err(|what| wrong(command, what))?;
    if text.starts_with('{') {
        let map = object(text).map_err(|what| wrong(command, what))?;
        // The wanted record stands for itself where that is all there is to say.
        let named = |map: &Map<String, Value>| map.keys().all(|key| param(command, key).is_some());
        if takes_record(command) && !named(&map) {
            return Ok([(command.params[0].name.to_owned(), Value::Object(map))].into_iter().collect());
        }
        return match map.keys().find(|key| param(command, key).is_none()) {
            Some(unknown) => Err(wrong(command, format!("unknown key {:?}", shown(unknown)))),
            None => Ok(map),
        };
    }
    let words = split(text).map_err(|what| wrong(command, what))?;
    // A bare name needs no quotes for the blanks in it.
    if let Some(first) = command.params.first()
        && !matches!(
            first.ty,
            ParamType::TextList | ParamType::ElementIds | ParamType::Record | ParamType::Records
        )
        && words.len() > 1
        && words.iter().all(|word| !word.quoted && pair(word).is_none())
    {
        let others = command.params.iter().skip(1).find(|param| !param.optional);
        return match others {
            Some(missing) => Err(wrong(command, format!("{} is missing", missing.name))),
            None => Ok([(first.name.to_owned(), Value::from(text))].into_iter().collect()),
        };
    }
    let mut map = Map::new();
    let mut bare = Vec::new();
    for word in words {
        match pair(&word) {
            Some((key, value)) if takes_record(command) => put(&mut map, key, value.into()),
            Some((key, value)) => match param(command, key) {
                Some(param) => put(&mut map, key, typed(param, value)),
                None => Err(format!("unknown word {:?}", shown(&word.text))),
            },
            None => {
                bare.push(Value::from(word.text));
                Ok(())
            }
        }
        .map_err(|what| wrong(command, what))?;
    }
    if takes_record(command) {
        return match bare.first() {
            Some(word) => Err(wrong(command, format!("unknown word {word}"))),
            None if map.is_empty() => Err(wrong(command, "the request is empty")),
            None => Ok([(command.params[0].name.to_owned(), Value::Object(map))].into_iter().collect()),
        };
    }
    place(command, map, bare).map_err(|what| wrong(command, what))
}

/// The command and parameters that a request to a file system's control file `file` gives.
///
/// # Errors
/// As [`parse_words`].
pub fn file_control(bytes: &[u8]) -> Result<(&'static Command, Map<String, Value>)> {
    let refuse = |what: String| {
        let ops: Vec<_> = file_ops().map(|(op, _)| op).collect();
        let text = format!(
            "{what}; {FILE_CONTROL} takes: op={} with the parameters of each, or the same as JSON",
            ops.join("|")
        );
        Error::invalid(text)
    };
    let text = request(bytes).map_err(&refuse)?;
    let mut map = if text.starts_with('{') {
        object(text).map_err(&refuse)?
    } else {
        let mut map = Map::new();
        for word in split(text).map_err(&refuse)? {
            match pair(&word) {
                Some((key, value)) => put(&mut map, key, value.into()).map_err(&refuse)?,
                None => return Err(refuse(format!("unknown word {:?}", shown(&word.text)))),
            }
        }
        map
    };
    let op = match map.shift_remove("op") {
        Some(Value::String(op)) => op,
        Some(_) => return Err(refuse("op is text".into())),
        None => return Err(refuse("the request has no op".into())),
    };
    let Some((_, command)) = file_ops().find(|(name, _)| *name == op) else {
        return Err(refuse(format!("unknown op {:?}", shown(&op))));
    };
    match map.keys().find(|key| param(command, key).is_none()) {
        Some(unknown) => Err(wrong(command, format!("unknown key {:?}", shown(unknown)))),
        None => Ok((command, map)),
    }
}

fn param<'a>(command: &'a Command, name: &str) -> Option<&'a Param> {
    command.params.iter().find(|param| param.name == name)
}

fn request(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > REQUEST_MAX {
        return Err(format!("the request is {} bytes long; at most {REQUEST_MAX} are taken", bytes.len()));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("the request is not UTF-8 (byte {})", error.valid_up_to()))?;
    Ok(text.trim())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("the JSON cannot be read ({error})"))
}

fn put(map: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), String> {
    match map.insert(key.to_owned(), value) {
        Some(_) => Err(format!("{key} is given twice")),
        None => Ok(()),
    }
}

/// `a,b` as a list where the parameter is one; its items cannot hold commas in this form.
fn typed(param: &Param, value: &str) -> Value {
    match param.ty {
        ParamType::TextList | ParamType::ElementIds => {
            value.split(',').filter(|item| !item.is_empty()).collect()
        }
        ParamType::Record | ParamType::Records => {
            serde_json::from_str(value).unwrap_or_else(|_| value.into())
        }
        _ => value.into(),
    }
}

/// Gives bare words to the first parameter.
fn place(
    command: &Command,
    mut map: Map<String, Value>,
    mut bare: Vec<Value>,
) -> Result<Map<String, Value>, String> {
    let Some(first) = command.params.first() else {
        return match bare.len() {
            0 | 1 => Ok(map),
            many => Err(format!("{many} words are too many")),
        };
    };
    let many = matches!(first.ty, ParamType::TextList | ParamType::ElementIds);
    if bare.len() > 1 && !many {
        return Err(format!(
            "{} words are too many: put quotes around a {} with blanks in it",
            bare.len(),
            first.name
        ));
    }
    if !bare.is_empty() {
        let value = if many { Value::Array(bare) } else { bare.remove(0) };
        put(&mut map, first.name, value)?;
    }
    match command.params.iter().find(|param| !param.optional && !map.contains_key(param.name)) {
        Some(_) if map.is_empty() => Err("the request is empty".into()),
        Some(missing) => Err(format!("{} is missing", missing.name)),
        None => Ok(map),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::command::{Object, command};
    use crate::operation::file_usage;

    fn parse(object: Object, name: &str, text: &str) -> Result<Value> {
        parse_words(command(object, name).expect("a command"), text.as_bytes()).map(Value::Object)
    }

    #[test]
    fn a_request_is_a_bare_name_words_or_json() {
        let snapshot = |text| parse(Object::Element, "snapshot", text).map_err(|error| error.to_string());
        assert_eq!(snapshot("nightly\n"), Ok(json!({"name": "nightly"})));
        assert_eq!(snapshot("name=nightly"), Ok(json!({"name": "nightly"})));
        assert_eq!(snapshot("'name=a b'"), Ok(json!({"name": "name=a b"})));
        assert_eq!(snapshot("\"a \\\"b\""), Ok(json!({"name": "a \"b"})));
        assert_eq!(snapshot("{\"name\": \"nightly\"}\n"), Ok(json!({"name": "nightly"})));
        assert_eq!(snapshot("\n"), Ok(json!({})));
        let mount = parse(Object::FileSystem, "mount", "/mnt/a options=ro,noatime").expect("words");
        assert_eq!(mount, json!({"mount_point": "/mnt/a", "options": ["ro", "noatime"]}));
        let present = parse(Object::Element, "present", "g1 'g 2'").expect("words");
        assert_eq!(present, json!({"groups": ["g1", "g 2"]}));
        assert_eq!(parse(Object::Element, "online", "1").expect("any word"), json!({}));
    }

    #[test]
    fn a_wanted_record_stands_for_itself() {
        let create = |text| parse(Object::Server, "create", text).map_err(|error| error.to_string());
        let wanted = json!({"record": {"name": "a", "size": "1GiB"}});
        assert_eq!(create("{\"name\": \"a\", \"size\": \"1GiB\"}"), Ok(wanted.clone()));
        assert_eq!(create("{\"record\": {\"name\": \"a\", \"size\": \"1GiB\"}}"), Ok(wanted.clone()));
        assert_eq!(create("name=a size=1GiB"), Ok(wanted));
        assert!(create("").is_err() && create("a").is_err());
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_how_it_is_done() {
        let refusal = |name, text: &[u8]| {
            parse_words(command(Object::Element, name).expect("a command"), text)
                .expect_err("a refusal")
                .to_string()
        };
        for (name, text, what) in [
            ("snapshot", b"colour=red" as &[u8], "unknown word \"colour=red\""),
            ("snapshot", b"{\"colour\": 1}", "unknown key \"colour\""),
            ("snapshot", b"{\"name\": ", "the JSON cannot be read"),
            ("snapshot", b"a 'b'", "2 words are too many"),
            ("snapshot", b"a name=b", "name is given twice"),
            ("snapshot", b"'a", "the quote ' is not closed"),
            ("snapshot", b"a\xff", "not UTF-8 (byte 1)"),
            ("resize", b"\n", "the request is empty"),
            ("online", b"now=1", "unknown word"),
        ] {
            let said = refusal(name, text);
            assert!(said.contains(what) && said.contains(&format!("{name} takes: ")), "{said}");
        }
        assert!(refusal("snapshot", &[b'a'; REQUEST_MAX + 1]).contains("65537 bytes long"));
    }

    #[test]
    fn the_file_control_leads_to_the_file_commands() {
        let (command, args) =
            file_control(b"{\"op\": \"create\", \"path\": \"a\", \"size\": 5}").expect("a request");
        assert_eq!((command.name, Value::Object(args)), ("file-create", json!({"path": "a", "size": 5})));
        let (command, args) = file_control(b"op=snap-remove snapshot=a").expect("a request");
        assert_eq!((command.name, Value::Object(args)), ("file-snap-remove", json!({"snapshot": "a"})));
        for text in [b"a" as &[u8], b"op=fly", b"path=a", b"op=create paths=a", b"{\"op\": 1}"] {
            assert!(file_control(text).is_err());
        }
        assert!(file_usage().contains("op=clone path=… [name=…]"));
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "[a-z= '\"{}\\\\:,]{0,24}") {
            for command in crate::command::COMMANDS {
                let _ = parse_words(command, &bytes);
                let _ = parse_words(command, text.as_bytes());
            }
            let _ = file_control(&bytes);
            let _ = file_control(text.as_bytes());
        }

        #[test]
        fn a_quoted_name_arrives_as_it_is(name in "[^'\u{0}]{1,40}") {
            prop_assume!(!name.trim().is_empty());
            let request = format!("'{name}'\n");
            let args = parse(Object::Element, "snapshot", &request).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(args, json!({"name": name}));
        }
    }
}
