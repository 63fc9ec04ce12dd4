//! The properties that come from the objects themselves, not from a record.

use zbus::Variant;

use super::call::full_text;
use super::interface::{Emits, Property, Read};
use super::object::{Facts, Object};
use super::path::Path;
use super::value::{object_path, text, text_map, texts};
use crate::inventory::operation::rfc3339;
use crate::plugin::api::PluginType;
use crate::record::Dict;

/// Interfaces, name, signature, how changes are told, the value, what it is.
type Row = (
    &'static [&'static str],
    &'static str,
    &'static str,
    Emits,
    fn(&Object) -> Variant<'static>,
    &'static str,
);

/// The own properties of our interface of that short name.
pub fn rows(interface: &str) -> impl Iterator<Item = Property> {
    let mine = ROWS.iter().filter(move |row| row.0.contains(&interface));
    let rows: Vec<Property> = mine
        .map(|(_, name, signature, emits, read, doc)| Property {
            name: (*name).to_owned(),
            signature,
            doc: (*doc).to_owned(),
            emits: *emits,
            read: Read::Own(*read),
        })
        .collect();
    rows.into_iter()
}

/// What an object of another interface would answer; no row is asked for one.
fn nothing() -> Variant<'static> {
    text("")
}

macro_rules! read {
    ($pattern:pat => $value:expr) => {
        |object: &Object| match object {
            $pattern => $value,
            #[allow(unreachable_patterns)]
            _ => nothing(),
        }
    };
}

const ALL: &[&str] = &["Plugin", "StorageServer", "StorageElement", "FileSystem", "Mount", "Operation"];
const RECORDED: &[&str] = &["StorageServer", "StorageElement", "FileSystem", "Mount", "Operation"];
const PLUGIN: &[&str] = &["Plugin"];
const SERVER: &[&str] = &["StorageServer"];
const OPERATION: &[&str] = &["Operation"];
const MANAGER: &[&str] = &["Manager"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (ALL, "Id", "s", Emits::Const, id, "The object's id in the agent, which its path is made of."),
    (RECORDED, "Record", "s", Emits::Invalidates, record, "The whole public record as one line of JSON."),
    (&["StorageElement", "FileSystem", "Mount"], "Server", "o", Emits::Const, server, "The storage server it belongs to."),
    (&["Mount"], "FileSystem", "o", Emits::Const,
        read!(Object::Mount(ss, fs, _, _) => path(Path::FileSystem(*ss, fs.to_string()))), "The file system that is mounted."),

    (MANAGER, "Version", "s", Emits::Const, |_| text(env!("CARGO_PKG_VERSION")), "The agent's version."),
    (MANAGER, "Seq", "t", Emits::Never, read!(Object::Manager(_, seq) => Variant::U64(*seq)), "The sequence number of the last event."),
    (MANAGER, "MountPoint", "s", Emits::Const, read!(Object::Manager(facts, _) => text(facts.mount_point.as_str())), "Where the tree is mounted."),
    (MANAGER, "StartedAt", "s", Emits::Const, read!(Object::Manager(facts, _) => text(facts.started_at.as_str())), "When the agent started, RFC 3339."),
    (MANAGER, "ConfigFiles", "as", Emits::Never, read!(Object::Manager(facts, _) => texts(config_files(facts))), "The configuration files in force, in the order in which they were read."),
    (MANAGER, "ConfigError", "s", Emits::Never, read!(Object::Manager(facts, _) => text(facts.standing.load().error.as_str())), "Why the last reload of the configuration changed nothing; the empty string where it worked."),
    (MANAGER, "ConfigWaiting", "as", Emits::Never,
        read!(Object::Manager(facts, _) => texts(facts.standing.load().waiting.iter())), "Keys of the configuration whose new values wait for the next start."),

    (PLUGIN, "ImplName", "s", Emits::Const, id, "Its implementation name."),
    (PLUGIN, "Module", "s", Emits::Value, read!(Object::Plugin(plugin) => text(plugin.module.as_str())), "The module it came from, vendor.module."),
    (PLUGIN, "PluginType", "s", Emits::Value,
        read!(Object::Plugin(plugin) => text(plugin.plugin_type.map_or("", PluginType::as_str))), "isa (storage array) or ifs (file system); the empty string where it could not be loaded."),
    (PLUGIN, "Info", "s", Emits::Value, read!(Object::Plugin(plugin) => text(plugin.info_line())), "Its class attributes as JSON."),
    (PLUGIN, "Abilities", "a{ss}", Emits::Value, read!(Object::Plugin(plugin) => text_map(&plugin.abilities)), "What the class can do."),
    (PLUGIN, "Usable", "b", Emits::Value, read!(Object::Plugin(plugin) => plugin.status.usable.into()), "Whether calls can be made."),
    (PLUGIN, "Interpreter", "s", Emits::Value,
        read!(Object::Plugin(plugin) => text(plugin.status.interpreter.as_deref().unwrap_or(""))), "The interpreter and its version."),
    (PLUGIN, "Error", "s", Emits::Value,
        read!(Object::Plugin(plugin) => text(plugin.status.error.as_deref().unwrap_or(""))), "Why it is not usable, or why a newer version of it is not used."),
    (PLUGIN, "Problems", "as", Emits::Value, read!(Object::Plugin(plugin) => texts(&plugin.status.problems)), "What breaks the contract without making it unusable."),
    (PLUGIN, "Status", "s", Emits::Invalidates, read!(Object::Plugin(plugin) => text(plugin.status_line())), "All of that as JSON."),

    (SERVER, "Plugin", "o", Emits::Const, read!(Object::Server(server) => path(Path::Plugin(server.plugin.clone()))), "Its plug-in."),
    (SERVER, "PluginType", "s", Emits::Const, read!(Object::Server(server) => text(server.plugin_type.as_str())), "isa (storage array) or ifs (file system)."),
    (SERVER, "Abilities", "a{ss}", Emits::Value, read!(Object::Server(server) => text_map(&server.abilities)), "What it can do."),
    (SERVER, "State", "s", Emits::Never, read!(Object::Server(server) => text(server.state_line())),
        "How fresh this is, and why the last refresh failed, as JSON. It differs after every refresh, which is not told: Stale, PluginAvailable and RefreshError tell what matters."),
    (SERVER, "RefreshError", "s", Emits::Value,
        read!(Object::Server(server) => text(server.state.error.as_ref().map(full_text).unwrap_or_default())), "Why the last refresh failed; the empty string where it worked."),
    (SERVER, "Stale", "b", Emits::Value, read!(Object::Server(server) => server.state.stale.into()), "Whether no refresh has confirmed yet what the state directory held."),
    (SERVER, "PluginAvailable", "b", Emits::Value, read!(Object::Server(server) => server.state.plugin_available.into()), "Whether its plug-in is there and usable."),

    (OPERATION, "Command", "s", Emits::Const, read!(Object::Operation(op) => text(op.command.name)), "What it does."),
    (OPERATION, "Target", "o", Emits::Const, read!(Object::Operation(op) => path(Path::of_target(&op.target))), "What it works on."),
    (OPERATION, "Args", "s", Emits::Const, read!(Object::Operation(op) => text(op.args.to_string())), "What it was asked with, as JSON, without secrets."),
    (OPERATION, "Plugin", "s", Emits::Value, read!(Object::Operation(op) => text(op.plugin.as_deref().unwrap_or(""))), "The implementation name of the plug-in that does it."),
    (OPERATION, "State", "s", Emits::Value, read!(Object::Operation(op) => text(op.state.as_str())), "queued, running, succeeded, failed, cancelled or interrupted."),
    (OPERATION, "Progress", "n", Emits::Value, read!(Object::Operation(op) => Variant::I16(op.progress.map_or(-1, i16::from))), "How far it is, in percent; -1 is unknown."),
    (OPERATION, "Result", "s", Emits::Invalidates,
        read!(Object::Operation(op) => text(op.result.as_ref().map(|value| value.to_string()).unwrap_or_default())), "What came of it, as JSON."),
    (OPERATION, "ErrorName", "s", Emits::Value,
        read!(Object::Operation(op) => text(op.error.as_ref().map(|error| error.dbus_name()).unwrap_or_default())), "The D-Bus name of the error that ended it."),
    (OPERATION, "ErrorMessage", "s", Emits::Value,
        read!(Object::Operation(op) => text(op.error.as_ref().map(full_text).unwrap_or_default())), "Why it failed."),
    (OPERATION, "Created", "s", Emits::Const, read!(Object::Operation(op) => text(rfc3339(op.created))), "When it was accepted, RFC 3339."),
    (OPERATION, "Ended", "s", Emits::Value,
        read!(Object::Operation(op) => text(op.ended.map(rfc3339).unwrap_or_default())), "When it ended, RFC 3339; the empty string while it goes on."),
];

fn path(path: Path) -> Variant<'static> {
    Variant::ObjectPath(object_path(&path))
}

fn config_files(facts: &Facts) -> Vec<String> {
    facts.standing.load().files.iter().map(|file| file.display().to_string()).collect()
}

fn id(object: &Object) -> Variant<'static> {
    match object {
        Object::Manager(..) => nothing(),
        Object::Plugin(plugin) => text(plugin.impl_name.as_str()),
        Object::Server(server) => text(server.uuid.to_string()),
        Object::Element(_, element) => text(&*element.id),
        Object::FileSystem(_, fs) => text(&*fs.id),
        Object::Mount(_, _, id, _) => text(id.to_string()),
        Object::Operation(operation) => text(operation.id.to_string()),
    }
}

fn record(object: &Object) -> Variant<'static> {
    match object {
        Object::Manager(..) | Object::Plugin(_) => nothing(),
        Object::Server(server) => text(server.record.to_line()),
        Object::Element(_, element) => text(&*element.line),
        Object::FileSystem(_, fs) => text(&*fs.line),
        Object::Mount(_, _, _, line) => text(&**line),
        Object::Operation(operation) => text(operation.to_json().to_string()),
    }
}

fn server(object: &Object) -> Variant<'static> {
    match object {
        Object::Element(ss, _) | Object::FileSystem(ss, _) | Object::Mount(ss, ..) => path(Path::Server(*ss)),
        _ => nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::table;
    use std::collections::BTreeSet;

    #[test]
    fn no_interface_has_a_name_twice() {
        for interface in table::INTERFACES.iter().chain(table::STANDARD.iter()) {
            let names: BTreeSet<_> = interface.properties.iter().map(|row| &row.name).collect();
            assert_eq!(names.len(), interface.properties.len(), "{} properties", interface.name);
            let names: BTreeSet<_> = interface.methods.iter().map(|row| &row.name).collect();
            assert_eq!(names.len(), interface.methods.len(), "{} methods", interface.name);
        }
    }

    #[test]
    fn every_row_belongs_to_an_interface() {
        for row in ROWS.iter().flat_map(|row| row.0) {
            assert_eq!(table::interface(row).name, format!("{}{row}", table::PREFIX));
        }
    }
}
