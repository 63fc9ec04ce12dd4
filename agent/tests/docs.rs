//! The documentation's tables are printed from the code's. `UPDATE_DOCS=1 cargo test -p agent --test docs`
//! writes them anew; without it, a difference is a failure.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use agent::command::{COMMANDS, Command, Object};
use agent::error::{Origin, TABLE};
use agent::plugin::api::{METHODS, PluginType};
use agent::record::{ALL, Update, Visibility};

/// One file holds several tables, and tests run side by side.
static WRITING: Mutex<()> = Mutex::new(());

/// Puts `body` between the marks of `table` in a file of `docs/`, or checks that it stands there.
fn stands_in(file: &str, table: &str, body: &str) {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- table: {table} -->\n");
    let start = text.find(&begin).unwrap_or_else(|| panic!("{file} has no {begin:?}")) + begin.len();
    let end = start + text[start..].find("<!-- end -->").unwrap();
    if &text[start..end] == body {
        return;
    }
    assert!(
        std::env::var_os("UPDATE_DOCS").is_some(),
        "docs/{file}, table {table}, differs from the code: UPDATE_DOCS=1 cargo test -p agent --test docs"
    );
    std::fs::write(&path, format!("{}{body}{}", &text[..start], &text[end..])).unwrap();
}

#[test]
fn the_error_table_is_the_codes() {
    let mut body = "| exception | errno | D-Bus name | raised by |\n| --- | --- | --- | --- |\n".to_owned();
    for row in TABLE {
        let (class, by) = match row.origin {
            Origin::Plugin => (format!("{}Ex", row.name), "any method"),
            Origin::Validate => (format!("{}Ex", row.name), "`validate` only"),
            Origin::Agent => ("—".to_owned(), "the agent"),
        };
        writeln!(body, "| {class} | {} | {} | {by} |", row.errno_name, row.name).unwrap();
    }
    stands_in("SEMANTICS.md", "errors", &body);
}

#[test]
fn the_methods_are_the_codes() {
    let mut body = String::new();
    for (ty, title) in [(PluginType::StorageArray, "Storage array"), (PluginType::FileSystem, "File system")]
    {
        writeln!(body, "### {title} (`{}`)\n", ty.as_str()).unwrap();
        body.push_str("| method | answer | ability | asynchronous | changes | deadline |\n| --- | --- | --- | --- | --- | --- |\n");
        for row in METHODS.iter().filter(|row| row.plugin_type == ty) {
            let args: Vec<_> = row.args.iter().map(|arg| arg.name).collect();
            writeln!(
                body,
                "| `{}({})` | {:?} | {} | {} | {} | {} s |",
                row.name,
                args.join(", "),
                row.answer,
                row.ability.unwrap_or(""),
                row.is_sync.map(|key| format!("where `{key}` is NO")).unwrap_or_default(),
                if row.changes { "yes" } else { "" },
                row.deadline.duration().as_secs(),
            )
            .unwrap();
        }
        body.push('\n');
    }
    stands_in("API.md", "methods", &body);
}

fn doors(command: &Command, object: &str) -> String {
    let params: Vec<_> = command
        .params
        .iter()
        .map(|param| if param.optional { format!("[{}]", param.name) } else { param.name.to_owned() })
        .collect();
    format!(
        "| `{}` | {} | `{}({})` | {} | {} | {} |",
        command.name,
        if command.file { format!("`{object}/{}`", command.name) } else { String::new() },
        command.dbus_name(),
        params.join(", "),
        command.isa.map(|name| format!("`{name}`")).unwrap_or_default(),
        command.ifs.map(|name| format!("`{name}`")).unwrap_or_default(),
        command.doc,
    )
}

#[test]
fn the_commands_are_the_codes() {
    let objects = [
        (Object::Manager, "Manager", ""),
        (Object::Server, "StorageServer", "ss/<uuid>"),
        (Object::Element, "StorageElement", "ss/<uuid>/se/<id>"),
        (Object::FileSystem, "FileSystem", "ss/<uuid>/fs/<id>"),
        (Object::Operation, "Operation", "op/<id>"),
    ];
    let mut body = String::new();
    for (object, interface, folder) in objects {
        writeln!(body, "### `org.storageconnect.Agent1.{interface}`\n").unwrap();
        body.push_str("| command | control file | D-Bus method | storage array | file system | |\n| --- | --- | --- | --- | --- | --- |\n");
        for command in COMMANDS.iter().filter(|row| row.object == object) {
            writeln!(body, "{}", doors(command, folder)).unwrap();
        }
        body.push('\n');
    }
    stands_in("API.md", "commands", &body);
}

#[test]
fn the_records_are_the_codes() {
    let mut body = String::new();
    for (name, fields) in ALL {
        writeln!(body, "### `{name}`\n\n| field | type | Allow Update | optional | shown | |\n| --- | --- | --- | --- | --- | --- |").unwrap();
        for field in *fields {
            let update = match field.update {
                Update::No => "no",
                Update::OnlyIfEmpty => "only if empty",
                Update::Yes => "yes",
            };
            let shown = match field.visibility {
                Visibility::Shown => "yes",
                Visibility::Secret => "never",
                Visibility::Transient => "to the plug-in",
            };
            let optional = if field.optional { "yes" } else { "" };
            writeln!(
                body,
                "| `{}` | {:?} | {update} | {optional} | {shown} | {} |",
                field.name, field.ty, field.doc
            )
            .unwrap();
        }
        body.push('\n');
    }
    stands_in("API.md", "records", &body);
}
