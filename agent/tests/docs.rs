//! The documentation's tables are printed from the code's. `UPDATE_DOCS=1 cargo test -p agent --test docs`
//! writes them anew; without it, a difference is a failure.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use agent::bus::interface::Emits;
use agent::bus::permission;
use agent::bus::table::INTERFACES;
use agent::command::{COMMANDS, Command, Object};
use agent::error::{Origin, TABLE};
use agent::host::{OPERATIONS, Operation};
use agent::plugin::api::{METHODS, PluginType};
use agent::record::{ALL, Update, Visibility};

/// One file holds several tables, and tests run side by side.
static WRITING: Mutex<()> = Mutex::new(());

/// Puts `body` between the marks of `table` in a file, named as `docs/` sees it, or checks that it stands there.
fn stands_in(file: &str, table: &str, body: &str) {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = if file.ends_with(".pyi") {
        (format!("# table: {table}\n"), "# end")
    } else {
        (format!("<!-- table: {table} -->\n"), "<!-- end -->")
    };
    let start = text.find(&begin).unwrap_or_else(|| panic!("{file} has no {begin:?}")) + begin.len();
    let end = start + text[start..].find(end).unwrap();
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

/// The groups of host operations by name, each with its rows.
fn groups() -> impl Iterator<Item = (&'static str, &'static [Operation])> {
    OPERATIONS.iter().map(|rows| (rows[0].name.split('.').next().unwrap(), *rows))
}

#[test]
fn the_host_operations_are_the_codes() {
    let mut body = String::new();
    for (group, rows) in groups() {
        writeln!(body, "### `IPlugin.host.{group}`\n").unwrap();
        for row in rows {
            let needs: Vec<_> = row.needs.iter().map(|need| format!("`{}`", need.command)).collect();
            let needs =
                if needs.is_empty() { String::new() } else { format!("; needs {}", needs.join(", ")) };
            let args: Vec<_> = row
                .args
                .iter()
                .map(|arg| if arg.required { arg.name.to_owned() } else { format!("[{}]", arg.name) })
                .collect();
            writeln!(
                body,
                "**`{}({})`** — {} s{needs}\n\n{}\n",
                row.name,
                args.join(", "),
                row.deadline.as_secs(),
                row.doc
            )
            .unwrap();
            for arg in row.args {
                writeln!(body, "- `{}` ({}): {}", arg.name, arg.ty.python(), arg.doc).unwrap();
            }
            writeln!(body, "{}Answers: {}.\n", if row.args.is_empty() { "" } else { "\n" }, row.answer)
                .unwrap();
        }
    }
    stands_in("HOST.md", "operations", &body);
}

#[test]
fn the_stub_s_host_operations_are_the_codes() {
    let class = |group: &str| format!("_Host{}{}", group[..1].to_uppercase(), &group[1..]);
    let mut body = String::new();
    for (group, rows) in groups() {
        writeln!(body, "class {}:", class(group)).unwrap();
        for row in rows {
            let name = row.name.split('.').nth(1).unwrap();
            let mut args: Vec<_> = row
                .args
                .iter()
                .map(|arg| match arg.required {
                    true => format!("{}: {}", arg.name, arg.ty.python()),
                    false => format!("{}: Optional[{}] = None", arg.name, arg.ty.python()),
                })
                .collect();
            if !args.is_empty() {
                args.insert(0, "*".to_owned());
            }
            args.insert(0, "self".to_owned());
            writeln!(body, "    def {name}({}) -> Any: ...", args.join(", ")).unwrap();
        }
        body.push('\n');
    }
    body.push_str("class _Host:\n");
    for (group, _) in groups() {
        writeln!(body, "    {group}: {}", class(group)).unwrap();
    }
    stands_in("../agent/python/OSCPlugin/__init__.pyi", "host operations", &body);
}

#[test]
fn the_example_vm_agent_is_the_tested_one() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/vm_agent.py");
    let code = std::fs::read_to_string(file).unwrap();
    stands_in("DBUS.md", "vm-agent", &format!("```python\n{code}```\n"));
}

#[test]
fn the_properties_are_the_codes() {
    let mut body = String::new();
    for interface in INTERFACES.iter().filter(|row| !row.properties.is_empty()) {
        let name = interface.name.rsplit('.').next().unwrap();
        writeln!(body, "### {name}\n\n| property | type | told | |\n| --- | --- | --- | --- |").unwrap();
        for row in &interface.properties {
            let told = match row.emits {
                Emits::Value => "with its value",
                Emits::Invalidates => "by name",
                Emits::Const => "const",
                Emits::Never => "never",
            };
            writeln!(body, "| `{}` | `{}` | {told} | {} |", row.name, row.signature, row.doc).unwrap();
        }
        body.push('\n');
    }
    stands_in("DBUS.md", "properties", &body);
}

#[test]
fn the_permissions_are_the_codes() {
    let mut body = "| action | commands |\n| --- | --- |\n".to_owned();
    let row = |body: &mut String, action: &str, commands: &str| {
        writeln!(body, "| `{}{action}` | {commands} |", permission::PREFIX).unwrap();
    };
    row(&mut body, permission::READ, "what only asks");
    for (action, commands) in permission::ACTIONS {
        let commands: Vec<_> = commands.iter().map(|name| format!("`{name}`")).collect();
        row(&mut body, action, &commands.join(", "));
    }
    row(&mut body, permission::PLUGIN_MANAGE, "`ReloadPlugins`, `Announce`");
    body.push_str("\n`cancel` takes the action of the command that it ends.\n");
    stands_in("ADMIN.md", "permissions", &body);
}
