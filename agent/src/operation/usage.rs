//! How a control file is used: what a read of it and a refusal say.

use crate::command::{Command, Object, Param, ParamType, command};
use crate::error::Error;

/// How a control file is used: a line each for the forms it takes, then what it does.
pub fn usage(command: &Command) -> String {
    let mut text = format!("{}\n", command.doc);
    for form in forms(command) {
        text.push_str("  ");
        text.push_str(&form);
        text.push('\n');
    }
    text
}

fn forms(command: &Command) -> Vec<String> {
    let Some(first) = command.params.first() else { return vec!["any word".into()] };
    let mut forms = Vec::new();
    let bare = matches!(first.ty, ParamType::Record | ParamType::Records);
    let others_optional = command.params.iter().skip(1).all(|param| param.optional);
    if !bare && others_optional {
        let many = matches!(first.ty, ParamType::TextList | ParamType::ElementIds);
        let word = format!("<{}>{}", first.name, if many { " …" } else { "" });
        forms.push(if first.optional { format!("{word}, or any blank line for none") } else { word });
    }
    if takes_record(command) {
        forms.push("{…}, the wanted record as JSON, or its fields as key=value words".into());
        return forms;
    }
    if !command.params.iter().any(|param| matches!(param.ty, ParamType::Record | ParamType::Records)) {
        forms.push(key_values(command));
    }
    let json: Vec<_> =
        command.params.iter().map(|param| format!("\"{}\": {}", param.name, json_example(param))).collect();
    forms.push(format!("{{{}}}", json.join(", ")));
    forms
}

/// Its parameters as `key=value` words, those in brackets that may be left out.
fn key_values(command: &Command) -> String {
    let words = command.params.iter().map(|param| {
        let word = format!("{}={}", param.name, example(param));
        if param.optional { format!("[{word}]") } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn example(param: &Param) -> &'static str {
    match param.ty {
        ParamType::Size => "10GiB",
        ParamType::Bool => "true|false",
        ParamType::TextList | ParamType::ElementIds => "…,…",
        _ => "…",
    }
}

fn json_example(param: &Param) -> &'static str {
    match param.ty {
        ParamType::Size => "\"10GiB\"",
        ParamType::Bool => "true",
        ParamType::TextList | ParamType::ElementIds => "[\"…\"]",
        ParamType::Record => "{…}",
        ParamType::Records => "[{…}]",
        _ => "\"…\"",
    }
}

/// A refusal that says how the command is used.
pub fn wrong(command: &Command, text: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{text}; {} takes: {}", command.name, forms(command).join(" | ")))
}

/// Text from outside, short enough for a message.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How the control file `file` is used.
pub fn file_usage() -> String {
    let mut text =
        String::from("Work on a file: op=<op> with the parameters of each, as words or as a JSON object.\n");
    for (op, command) in file_ops() {
        text.push_str(&format!("  op={op} {}\n", key_values(command)));
    }
    text
}

/// The operations of the control file `file`, each with the command that it stands for.
pub(super) fn file_ops() -> impl Iterator<Item = (&'static str, &'static Command)> {
    crate::command::COMMANDS
        .iter()
        .filter(|row| row.object == Object::FileSystem)
        .filter_map(|row| Some((row.name.strip_prefix("file-")?, command(Object::FileSystem, row.name)?)))
}

/// Whether all that a command takes is the wanted record.
pub(super) fn takes_record(command: &Command) -> bool {
    matches!(command.params, [Param { ty: ParamType::Record, .. }])
}
