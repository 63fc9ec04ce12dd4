//! The parameters of a request: every one known, of its type, and within bounds, or refused.

use serde_json::{Map, Value};

use super::usage;
use crate::command::{Command, Param, ParamType};
use crate::error::{Error, Kind, Result};
use crate::inventory::Server;
use crate::record::{Dict as _, StorageServer};
use crate::record::{FileSystem, StorageElement, redact};

/// The most bytes that a name may have: what a file's name may.
pub const NAME_MAX: usize = 255;
/// The most bytes that a path may have.
pub const PATH_MAX: usize = 4096;
/// The most items that a list may have.
const LIST_MAX: usize = 10_000;

/// Checked parameters by name; those left out are absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args(Map<String, Value>);

impl Args {
    /// Checks `given` against the command's parameters. Ids of elements are looked up in `server`.
    ///
    /// # Errors
    /// What is wrong with which parameter, and how the command is used.
    pub fn check(
        command: &'static Command,
        given: &Map<String, Value>,
        server: Option<&Server>,
    ) -> Result<Args> {
        let find = |name: &str| command.params.iter().find(|param| param.name == name);
        if let Some(unknown) = given.keys().find(|name| find(name).is_none()) {
            let text = format!("{} has no parameter {:?}", command.name, usage::shown(unknown));
            return Err(usage::wrong(command, text));
        }
        let mut args = Map::new();
        for param in command.params {
            let value = given.get(param.name).filter(|value| !value.is_null());
            // Clients send "" and [] for unset.
            let unset =
                |value: &Value| value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
            match value {
                Some(value) if !(param.optional && unset(value)) => {
                    let checked = check(param, value, server).map_err(|error| {
                        let text = format!("{} of {}: {}", param.name, command.name, error.message());
                        let key = error.key().unwrap_or(param.name);
                        Error::new(error.kind(), text).with_key(key)
                    })?;
                    args.insert(param.name.to_owned(), checked);
                }
                _ if param.optional => {}
                _ => {
                    return Err(usage::wrong(command, format!("{} needs {}", command.name, param.name))
                        .with_key(param.name));
                }
            }
        }
        Ok(Args(args))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A parameter's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The value that becomes the API argument `arg` of `command`.
    pub fn argument(&self, command: &Command, arg: &str) -> Option<&Value> {
        let param = command.params.iter().find(|param| param.arg == arg)?;
        self.get(param.name)
    }

    /// The ids of elements that the parameters name.
    pub fn element_ids<'a>(&'a self, command: &'a Command) -> impl Iterator<Item = &'a str> {
        command
            .params
            .iter()
            .filter(|param| matches!(param.ty, ParamType::ElementId | ParamType::ElementIds))
            .filter_map(|param| self.get(param.name))
            .flat_map(|value| match value {
                Value::Array(ids) => ids.as_slice(),
                one => std::slice::from_ref(one),
            })
            .filter_map(Value::as_str)
    }

    /// The parameters without secrets, as operations show and keep them.
    pub fn shown(&self) -> Value {
        let mut shown = Value::Object(self.0.clone());
        redact(&mut shown);
        shown
    }
}

fn check(param: &Param, value: &Value, server: Option<&Server>) -> Result<Value> {
    match param.ty {
        ParamType::Text => text(value, text_max(param)).map(Value::from),
        ParamType::Path => text(value, PATH_MAX).map(Value::from),
        ParamType::Size => size(value).map(Value::from),
        ParamType::Bool => match value {
            Value::Bool(truth) => Ok(Value::Bool(*truth)),
            other => match text(other, NAME_MAX)?.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(Value::Bool(true)),
                "false" | "no" | "off" | "0" => Ok(Value::Bool(false)),
                other => Err(Error::invalid(format!("{:?} is neither true nor false", usage::shown(other)))),
            },
        },
        ParamType::TextList => list(value, |item| text(item, NAME_MAX).map(Value::from)),
        ParamType::ElementId => element(value, server),
        ParamType::ElementIds => list(value, |item| element(item, server)),
        ParamType::Record => match value {
            Value::Object(_) => Ok(value.clone()),
            _ => Err(Error::invalid("is a record: a JSON object")),
        },
        ParamType::Records => match value {
            Value::Object(_) => Ok(Value::Array(vec![value.clone()])),
            Value::Array(items) if items.iter().all(Value::is_object) && items.len() <= LIST_MAX => {
                Ok(value.clone())
            }
            _ => Err(Error::invalid("is a list of records: a JSON array of objects")),
        },
    }
}

/// The most bytes of a text: paths are longer than names.
fn text_max(param: &Param) -> usize {
    let path = matches!(param.name, "path" | "mount_point" | "share_path" | "pattern");
    if path { PATH_MAX } else { NAME_MAX }
}

fn list(value: &Value, item: impl Fn(&Value) -> Result<Value>) -> Result<Value> {
    match value {
        Value::Array(items) if items.len() > LIST_MAX => {
            Err(Error::invalid(format!("has {} items; at most {LIST_MAX} are taken", items.len())))
        }
        Value::Array(items) => items.iter().map(item).collect::<Result<Vec<_>>>().map(Value::Array),
        one => item(one).map(|one| Value::Array(vec![one])),
    }
}

fn text(value: &Value, max: usize) -> Result<String> {
    let text = value.as_str().ok_or_else(|| Error::invalid("is text"))?;
    check_text(text, max)?;
    Ok(text.to_owned())
}

/// Checks a name that somebody wants: not empty, at most `max` bytes, nothing unprintable.
///
/// # Errors
/// [`Kind::InvalidValue`], saying which.
pub fn check_text(text: &str, max: usize) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::invalid("must not be empty"));
    }
    if text.len() > max {
        return Err(Error::invalid(format!("is {} bytes long; at most {max} are taken", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{:?} holds control characters", usage::shown(text))));
    }
    Ok(())
}

/// Reads a size: bytes, or a number with a unit (`10GiB` binary, `10GB` decimal).
///
/// # Errors
/// [`Kind::InvalidValue`], also where it does not fit below 2^63.
pub fn size(value: &Value) -> Result<i64> {
    let too_big = |shown: &dyn std::fmt::Display| {
        Error::invalid(format!("{shown} is more than 2^63 - 1 bytes, the most there can be"))
    };
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(size), _) if size >= 0 => Ok(size),
            (None, Some(_)) => Err(too_big(number)),
            _ => {
                Err(Error::invalid(format!("{number} is not a size: a whole number of bytes, or like 10GiB")))
            }
        },
        Value::String(text) => {
            let shown = usage::shown(text.trim());
            match parse_size::parse_size(text.trim()) {
                Ok(size) => i64::try_from(size).map_err(|_| too_big(&shown)),
                Err(parse_size::Error::PosOverflow) => Err(too_big(&shown)),
                Err(_) => Err(Error::invalid(format!(
                    "{shown:?} is not a size: a whole number of bytes, or like 10GiB"
                ))),
            }
        }
        _ => Err(Error::invalid("is a size: a whole number of bytes, or like 10GiB")),
    }
}

/// The id of an element: as it is, else that of the one element whose record has this name, page 83
/// id or array's own id.
fn element(value: &Value, server: Option<&Server>) -> Result<Value> {
    let wanted = text(value, PATH_MAX)?;
    let Some(server) = server else { return Ok(wanted.into()) };
    let elements = &server.elements;
    if elements.by_id.contains_key(wanted.as_str()) {
        return Ok(wanted.into());
    }
    let wanted = Some(wanted);
    let mut meant = elements.by_id.values().filter(|element| {
        let record = element.record();
        [&record.name, &record.page83_id, &record.id].contains(&&wanted)
    });
    let wanted = wanted.as_deref().unwrap_or_default();
    match (meant.next(), meant.next()) {
        (Some(element), None) => Ok(Value::from(&*element.id)),
        (Some(_), Some(_)) => {
            let text = format!("{wanted:?} means several elements: give the name of one's directory in se/");
            Err(Error::invalid(text))
        }
        (None, _) => {
            let (name, uuid) = (server.name(), server.uuid);
            Err(Error::not_found(format!("storage server {name} ({uuid}) has no element {wanted:?}")))
        }
    }
}

/// Reads the storage server's record of a registration.
///
/// # Errors
/// [`Kind::ValueFormat`] naming the key.
pub fn server_record(value: &Value) -> Result<StorageServer> {
    let (record, problems) = StorageServer::parse(value);
    first_problem(problems, record)
}

/// Reads the element that a `create` wants.
///
/// # Errors
/// [`Kind::ValueFormat`] or [`Kind::MissingKey`] naming the key.
pub fn wanted_element(value: &Value) -> Result<StorageElement> {
    let (wanted, problems) = StorageElement::parse(&sized(value)?);
    let mut wanted = first_problem(problems, wanted)?;
    wanted_name(wanted.name.as_deref())?;
    if wanted.size.is_none() {
        return Err(missing("size"));
    }
    wanted.se_type.get_or_insert_with(|| "LUN".into());
    Ok(wanted)
}

/// Reads the file system that a `create` wants.
///
/// # Errors
/// [`Kind::ValueFormat`] or [`Kind::MissingKey`] naming the key.
pub fn wanted_file_system(value: &Value) -> Result<FileSystem> {
    let (wanted, problems) = FileSystem::parse(&sized(value)?);
    let wanted = first_problem(problems, wanted)?;
    wanted_name(wanted.name.as_deref())?;
    Ok(wanted)
}

fn wanted_name(name: Option<&str>) -> Result<()> {
    let name = name.ok_or_else(|| missing("name"))?;
    check_text(name, NAME_MAX)
        .map_err(|error| Error::new(error.kind(), format!("the name {}", error.message())).with_key("name"))
}

fn missing(key: &str) -> Error {
    Error::new(Kind::MissingKey, format!("the wanted record has no {key}")).with_key(key)
}

/// The record with a `size` like `10GiB` as its number of bytes.
fn sized(value: &Value) -> Result<Value> {
    let mut value = value.clone();
    if let Some(given) = value.get_mut("size")
        && given.as_str().is_none_or(|text| !text.is_empty())
        && !given.is_null()
    {
        *given = size(given)
            .map_err(|error| {
                Error::new(Kind::ValueFormat, format!("the wanted size {}", error.message())).with_key("size")
            })?
            .into();
    }
    Ok(value)
}

fn first_problem<T>(problems: Vec<crate::record::Problem>, record: T) -> Result<T> {
    match problems.into_iter().next() {
        None => Ok(record),
        Some(problem) => {
            let text = format!("{problem} in the record");
            Err(Error::new(Kind::ValueFormat, text).with_key(problem.field))
        }
    }
}
