//! The interfaces: methods, properties and signals, made once from the record table, the command
//! table and the few rows of this file. Dispatch and introspection both read them.

use std::sync::LazyLock;

use super::interface::{Action, Arg, Emits, Interface, Method, Property, Read, Signal};
use super::{own, value};
use crate::command::{self, COMMANDS, Command, ParamType, camel_case};
use crate::record::{self, Dict, Field, Visibility};

/// What the names of our interfaces begin with; the bus name with a dot.
pub const PREFIX: &str = "org.storageconnect.Agent1.";

/// Our interface of that short name.
pub fn interface(name: &str) -> &'static Interface {
    let found = INTERFACES.iter().find(|row| row.name.strip_prefix(PREFIX) == Some(name));
    // Callers name rows of the table below, which the tests go through.
    found.unwrap_or(&INTERFACES[0])
}

/// Our interfaces.
pub static INTERFACES: LazyLock<Vec<Interface>> = LazyLock::new(|| {
    use command::Object;
    let row = |name: &str, doc, object: Option<Object>, fields: &'static [Field]| Interface {
        name: format!("{PREFIX}{name}"),
        doc,
        methods: object.map(commands).unwrap_or_default(),
        properties: own::rows(name).chain(fields.iter().filter_map(field)).collect(),
        signals: Vec::new(),
    };
    let mut all = vec![
        row("Manager", "The agent on this host.", Some(Object::Manager), &[]),
        row("Plugin", "An installed storage plug-in.", None, &[]),
        row(
            "StorageServer",
            "A registered storage server. It is the object manager of what it holds.",
            Some(Object::Server),
            record::StorageServer::FIELDS,
        ),
        row(
            "StorageElement",
            "A LUN, snapshot or clone.",
            Some(Object::Element),
            record::StorageElement::FIELDS,
        ),
        row("FileSystem", "A file system.", Some(Object::FileSystem), record::FileSystem::FIELDS),
        row("Mount", "A mount of a file system on this host.", None, record::Mount::FIELDS),
        row("Operation", "What a command became.", Some(Object::Operation), &[]),
    ];
    for interface in &mut all {
        interface.methods.extend(extra_methods(&interface.name));
        interface.signals.extend(signals(&interface.name));
    }
    all
});

fn field(field: &'static Field) -> Option<Property> {
    if field.visibility != Visibility::Shown {
        return None;
    }
    let signature = value::signature(field.ty);
    Some(Property {
        // An element's `Id` is the agent's, which every object has; the record's own is the plug-in's.
        name: if field.name == "id" { "PluginId".to_owned() } else { camel_case(field.name) },
        signature,
        doc: format!(
            "{} The record's field {}; {} while unset.",
            field.doc,
            field.name,
            value::unset(signature)
        ),
        emits: Emits::Value,
        read: Read::Field(field),
    })
}

fn commands(object: command::Object) -> Vec<Method> {
    COMMANDS.iter().filter(|row| row.object == object).map(command_method).collect()
}

fn command_method(command: &'static Command) -> Method {
    let mut doc = command.doc.to_owned();
    for param in command.params {
        let unset = match param_signature(param.ty) {
            "t" => "0",
            "as" => "an empty list",
            _ => "the empty string",
        };
        match (param.ty, param.optional) {
            (ParamType::Record | ParamType::Records, _) => doc.push_str(&format!(" {}: JSON.", param.name)),
            (_, true) => doc.push_str(&format!(" {}: {unset} leaves it out.", param.name)),
            (_, false) => {}
        }
    }
    Method {
        name: command.dbus_name(),
        ins: command
            .params
            .iter()
            .map(|param| Arg { name: param.name, signature: param_signature(param.ty) })
            .collect(),
        outs: vec![Arg { name: "operation", signature: "o" }],
        doc: doc + " Returns the operation at once.",
        action: Action::Submit(command),
    }
}

/// The D-Bus signature of a command's parameter.
pub fn param_signature(ty: ParamType) -> &'static str {
    match ty {
        ParamType::Size => "t",
        ParamType::Bool => "b",
        ParamType::TextList | ParamType::ElementIds => "as",
        ParamType::Text | ParamType::ElementId | ParamType::Path | ParamType::Record | ParamType::Records => {
            "s"
        }
    }
}

type Args = &'static [(&'static str, &'static str)];

fn args(rows: Args) -> Vec<Arg> {
    rows.iter().map(|(name, signature)| Arg { name, signature }).collect()
}

fn method((name, ins, outs, doc, action): &(&str, Args, Args, &str, Action)) -> Method {
    Method {
        name: (*name).to_owned(),
        ins: args(ins),
        outs: args(outs),
        doc: (*doc).to_owned(),
        action: *action,
    }
}

fn extra_methods(interface: &str) -> Vec<Method> {
    let rows: &[_] = match interface.strip_prefix(PREFIX) {
        Some("Manager") => &[
            (
                "ReloadPlugins",
                &[("module", "s")] as Args,
                &[] as Args,
                "Load a plug-in module (vendor.module) afresh; the empty string is all of them.",
                Action::ReloadPlugins,
            ),
            (
                "Announce",
                &[("words", "as")],
                &[],
                "What a plug-in package's scriptlet announces: install, upgrade or erase, NAME, \
                 VERSION-RELEASE, INSTALL_DIR, VENDOR, MODULE.",
                Action::Announce,
            ),
            (
                "GetEvents",
                &[("since", "t")],
                &[("events", "as")],
                "The retained events with a sequence number above since, each a line of JSON.",
                Action::GetEvents,
            ),
            (
                "GetState",
                &[],
                &[("seq", "t"), ("objects", "a{oa{sa{sv}}}")],
                "What all object managers show, in one call, and the number of the last event that it includes: \
                 of later events only is there news. Where that would be more than a bus carries, Record is left out.",
                Action::GetState,
            ),
        ],
        Some("Operation") => &[(
            "Wait",
            &[("timeout_ms", "t")],
            &[("result", "s")],
            "Wait until the operation has ended: its result as JSON, or its error. Error.InProgress when the \
             time passes first. Mind the client library's own timeout, usually 25 s.",
            Action::Wait,
        )],
        _ => &[],
    };
    rows.iter().map(method).collect()
}

fn signals(interface: &str) -> Vec<Signal> {
    if interface.strip_prefix(PREFIX) != Some("Manager") {
        return Vec::new();
    }
    vec![Signal {
        name: "Event",
        args: args(&[("seq", "t"), ("kind", "s"), ("path", "o"), ("json", "s")]),
        doc: "Everything that happens, in order: seq grows by one with each event. The kind resync says \
              that some were not told: read what you need again.",
    }]
}

/// The interfaces of the D-Bus specification.
pub static STANDARD: LazyLock<Vec<Interface>> = LazyLock::new(|| {
    let row = |name: &str, doc, methods: &[_], signals| Interface {
        name: format!("org.freedesktop.DBus.{name}"),
        doc,
        methods: methods.iter().map(method).collect(),
        properties: Vec::new(),
        signals,
    };
    let signal = |name, rows, doc| Signal { name, args: args(rows), doc };
    let none = &[] as Args;
    vec![
        row(
            "Properties",
            "Properties; all of them are read-only.",
            &[
                (
                    "Get",
                    &[("interface", "s"), ("property", "s")],
                    &[("value", "v")],
                    "One property.",
                    Action::Get,
                ),
                ("GetAll", &[("interface", "s")], &[("properties", "a{sv}")], "All of them.", Action::GetAll),
                (
                    "Set",
                    &[("interface", "s"), ("property", "s"), ("value", "v")],
                    none,
                    "Refused.",
                    Action::Set,
                ),
            ],
            vec![signal(
                "PropertiesChanged",
                &[("interface", "s"), ("changed", "a{sv}"), ("invalidated", "as")],
                "Properties changed.",
            )],
        ),
        row(
            "ObjectManager",
            "The objects below; those of a storage server are its own, not the root's.",
            &[(
                "GetManagedObjects",
                none,
                &[("objects", "a{oa{sa{sv}}}")],
                "Everything at once. Where that would be more than a bus carries, Record is left out.",
                Action::GetManagedObjects,
            )],
            vec![
                signal(
                    "InterfacesAdded",
                    &[("object", "o"), ("interfaces", "a{sa{sv}}")],
                    "An object appeared.",
                ),
                signal(
                    "InterfacesRemoved",
                    &[("object", "o"), ("interfaces", "as")],
                    "An object disappeared; with a storage server, everything in it.",
                ),
            ],
        ),
        row(
            "Introspectable",
            "This text.",
            &[("Introspect", none, &[("xml", "s")], "What is here.", Action::Introspect)],
            Vec::new(),
        ),
        row(
            "Peer",
            "The process.",
            &[
                ("Ping", none, none, "Answers.", Action::Ping),
                ("GetMachineId", none, &[("id", "s")], "The machine's id.", Action::GetMachineId),
            ],
            Vec::new(),
        ),
    ]
});
