//! What an interface is made of: methods, properties and signals.

use zbus::Variant;

use super::object::Object;
use crate::command::Command;
use crate::record::Field;

/// One interface.
pub struct Interface {
    /// Its full name.
    pub name: String,
    /// What it is, in one line.
    pub doc: &'static str,
    /// Its methods.
    pub methods: Vec<Method>,
    /// Its properties.
    pub properties: Vec<Property>,
    /// Its signals.
    pub signals: Vec<Signal>,
}

/// One method.
pub struct Method {
    /// Its name.
    pub name: String,
    /// What goes in.
    pub ins: Vec<Arg>,
    /// What comes out.
    pub outs: Vec<Arg>,
    /// What it does.
    pub doc: String,
    /// Who does it.
    pub action: Action,
}

impl Method {
    /// The signature of its arguments.
    pub fn signature(&self) -> String {
        self.ins.iter().map(|arg| arg.signature).collect()
    }
}

/// One argument.
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// Its D-Bus signature.
    pub signature: &'static str,
}

/// What a method does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Becomes an operation.
    Submit(&'static Command),
    /// Waits for an operation.
    Wait,
    /// Loads plug-in modules afresh.
    ReloadPlugins,
    /// Takes in what a package's scriptlet announces.
    Announce,
    /// Lists retained events.
    GetEvents,
    /// `Properties.Get`.
    Get,
    /// `Properties.GetAll`.
    GetAll,
    /// `Properties.Set`.
    Set,
    /// `Introspectable.Introspect`.
    Introspect,
    /// `Peer.Ping`.
    Ping,
    /// `Peer.GetMachineId`.
    GetMachineId,
    /// `ObjectManager.GetManagedObjects`.
    GetManagedObjects,
    /// Everything, and the event up to which it is true.
    GetState,
}

/// One property.
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its D-Bus signature.
    pub signature: &'static str,
    /// What it is.
    pub doc: String,
    /// How a change of it is told.
    pub emits: Emits,
    /// Where its value comes from.
    pub read: Read,
}

/// How `PropertiesChanged` tells of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emits {
    /// With the new value.
    Value,
    /// By name only: the value is large, or repeats others.
    Invalidates,
    /// Never: it does not change.
    Const,
    /// Never, though it changes.
    Never,
}

impl Emits {
    /// The value of the annotation `org.freedesktop.DBus.Property.EmitsChangedSignal`.
    pub fn as_str(self) -> &'static str {
        match self {
            Emits::Value => "true",
            Emits::Invalidates => "invalidates",
            Emits::Const => "const",
            Emits::Never => "false",
        }
    }
}

/// Where a property's value comes from.
pub enum Read {
    /// A field of the object's public record.
    Field(&'static Field),
    /// The object itself.
    Own(fn(&Object) -> Variant<'static>),
}

/// One signal.
pub struct Signal {
    /// Its name.
    pub name: &'static str,
    /// What it carries.
    pub args: Vec<Arg>,
    /// What it tells.
    pub doc: &'static str,
}
