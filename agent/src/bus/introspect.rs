//! Introspection data, written from the interface tables. It documents itself: every item carries
//! its one line as `org.gtk.GDBus.DocString`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::interface::{Arg, Interface, Method, Property, Signal};
use super::path::Path;
use super::table::{INTERFACES, STANDARD, interface};

const HEADER: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n\
    \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";
const DOC: &str = "org.gtk.GDBus.DocString";
const EMITS: &str = "org.freedesktop.DBus.Property.EmitsChangedSignal";

/// The interfaces of an object at that path.
pub fn interfaces(path: &Path) -> impl Iterator<Item = &'static Interface> {
    let own = match path {
        Path::Root => Some("Manager"),
        Path::Plugin(_) => Some("Plugin"),
        Path::Server(_) => Some("StorageServer"),
        Path::Element(..) => Some("StorageElement"),
        Path::FileSystem(..) => Some("FileSystem"),
        Path::Mount(..) => Some("Mount"),
        Path::Operation(_) => Some("Operation"),
        _ => None,
    };
    let manages = matches!(path, Path::Root | Path::Server(_));
    let standard = STANDARD.iter().filter(move |row| match row.name.as_str() {
        "org.freedesktop.DBus.Properties" => own.is_some(),
        "org.freedesktop.DBus.ObjectManager" => manages,
        _ => true,
    });
    own.map(interface).into_iter().chain(standard)
}

/// The introspection data of an object with those children.
pub fn xml(path: &Path, children: &[String]) -> String {
    let mut out = String::with_capacity(4096 + children.len() * 64);
    out.push_str(HEADER);
    out.push_str("<node>\n");
    for interface in interfaces(path) {
        out.push_str(interface_xml(interface));
    }
    for child in children {
        // A path element is letters, digits and `_`.
        let _ = writeln!(out, " <node name=\"{child}\"/>");
    }
    out.push_str("</node>\n");
    out
}

/// An interface's part, written once: an agent has many objects and few interfaces.
fn interface_xml(interface: &'static Interface) -> &'static str {
    static WRITTEN: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
        let all = INTERFACES.iter().chain(STANDARD.iter());
        all.map(|interface| (interface.name.as_str(), write_interface(interface))).collect()
    });
    let found = WRITTEN.iter().find(|(name, _)| *name == interface.name);
    found.map(|(_, xml)| xml.as_str()).unwrap_or_default()
}

fn write_interface(interface: &Interface) -> String {
    let mut out = format!(" <interface name=\"{}\">\n{}", interface.name, annotation(2, DOC, interface.doc));
    interface.methods.iter().for_each(|row| method(&mut out, row));
    interface.signals.iter().for_each(|row| signal(&mut out, row));
    interface.properties.iter().for_each(|row| property(&mut out, row));
    out.push_str(" </interface>\n");
    out
}

fn method(out: &mut String, row: &Method) {
    // Writing to a String cannot fail; here and below.
    let _ = write!(out, "  <method name=\"{}\">\n{}", row.name, annotation(3, DOC, &row.doc));
    row.ins.iter().for_each(|row| arg(out, row, " direction=\"in\""));
    row.outs.iter().for_each(|row| arg(out, row, " direction=\"out\""));
    out.push_str("  </method>\n");
}

fn signal(out: &mut String, row: &Signal) {
    let _ = write!(out, "  <signal name=\"{}\">\n{}", row.name, annotation(3, DOC, row.doc));
    row.args.iter().for_each(|row| arg(out, row, ""));
    out.push_str("  </signal>\n");
}

fn arg(out: &mut String, row: &Arg, direction: &str) {
    let _ = writeln!(out, "   <arg name=\"{}\" type=\"{}\"{direction}/>", row.name, row.signature);
}

fn property(out: &mut String, row: &Property) {
    let _ = write!(
        out,
        "  <property name=\"{}\" type=\"{}\" access=\"read\">\n{}{}  </property>\n",
        row.name,
        row.signature,
        annotation(3, EMITS, row.emits.as_str()),
        annotation(3, DOC, &row.doc)
    );
}

fn annotation(indent: usize, name: &str, value: &str) -> String {
    let value = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    format!("{:indent$}<annotation name=\"{name}\" value=\"{value}\"/>\n", "")
}
