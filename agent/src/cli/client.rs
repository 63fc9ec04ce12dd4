//! The agent as seen over D-Bus: connecting, listing its objects, calling their methods, and what
//! an error on the way means.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use zbus::fdo::ManagedObjects;
use zbus::{Connection, DynamicType, Variant, fdo};

use super::failure::{Failure, Outcome, UNREACHABLE};
use super::objects::Entry;
use super::value::{body, line, rebuilt, text};
use crate::command::Command;
use crate::error::{Error, Kind};

/// The agent's bus name; its interfaces begin with it too.
pub const NAME: &str = "org.storageconnect.Agent1";
/// The agent's root object.
pub const ROOT: &str = "/org/storageconnect/Agent1";

/// Longest silence before the agent counts as gone; longer than any one `Wait` (see `wait`).
const REPLY: Duration = Duration::from_secs(60);
/// Longest time that the bus itself may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to the agent.
pub struct Client {
    /// The connection, for signals.
    pub connection: Connection,
    /// The bus as the user named it.
    pub bus: String,
}

/// What the root object manages.
#[derive(Debug, Default)]
pub struct Root {
    /// Plug-ins by implementation name.
    pub plugins: Vec<Entry>,
    /// Storage servers by name.
    pub servers: Vec<Entry>,
    /// Operations by age.
    pub operations: Vec<Entry>,
}

/// What a storage server manages.
#[derive(Debug, Default)]
pub struct Contents {
    /// Storage elements by name.
    pub elements: Vec<Entry>,
    /// File systems by name.
    pub file_systems: Vec<Entry>,
    /// Mounts.
    pub mounts: Vec<Entry>,
}

impl Client {
    /// Connects to the bus; `activate` lets the bus start the agent where it knows how to.
    ///
    /// # Errors
    /// When there is no bus, or no agent on it.
    pub async fn connect(bus: &str, activate: bool) -> Outcome<Client> {
        let builder = match bus {
            "system" => zbus::connection::Builder::system(),
            "session" => zbus::connection::Builder::session(),
            address if address.contains(':') => zbus::connection::Builder::address(address),
            other => {
                return Err(Failure::usage(format!(
                    "{other:?} is no bus; it is system, session, or an address such as unix:path=/run/x"
                )));
            }
        };
        let connecting = builder.method_timeout(REPLY).build();
        let no_bus = |error: &dyn std::fmt::Display| {
            Failure::unreachable(format!("the {} cannot be reached: {error}", bus_name(bus)))
                .hint("is dbus-daemon running? `oscctl doctor` says what is missing")
        };
        let connection = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(no_bus(&error)),
            Err(_) => return Err(no_bus(&"it does not answer")),
        };
        let client = Client { connection, bus: bus.to_owned() };
        if !activate && !client.owned().await? {
            return Err(client.gone());
        }
        Ok(client)
    }

    /// Whether somebody owns the agent's name.
    async fn owned(&self) -> Outcome<bool> {
        let (bus, path) = ("org.freedesktop.DBus", "/org/freedesktop/DBus");
        let reply = self
            .connection
            .call_method(Some(bus), path, Some(bus), "NameHasOwner", &NAME)
            .await
            .map_err(|error| self.failure(error))?;
        reply.body().deserialize().map_err(|error| Failure::answer("NameHasOwner", error))
    }

    fn gone(&self) -> Failure {
        let start = match self.bus.as_str() {
            "system" => "start it with: systemctl start oscd".to_owned(),
            other => format!("start it with: oscd --bus {other}"),
        };
        Failure::unreachable(format!(
            "the agent is not running: nobody owns {NAME} on the {}",
            bus_name(&self.bus)
        ))
        .hint(start)
    }

    /// Calls a method; the interface is named without its prefix.
    ///
    /// # Errors
    /// What the agent answered, or that it cannot be reached.
    pub async fn call<B: Serialize + DynamicType>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Outcome<zbus::Message> {
        let interface = match interface.contains('.') {
            true => interface.to_owned(),
            false => format!("{NAME}.{interface}"),
        };
        self.connection
            .call_method(Some(NAME), path, Some(interface.as_str()), method, body)
            .await
            .map_err(|error| self.failure(error))
    }

    /// Reads a property as JSON.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn property(&self, path: &str, interface: &str, name: &str) -> Outcome<Value> {
        let body = (format!("{NAME}.{interface}"), name);
        let reply = self.call(path, "org.freedesktop.DBus.Properties", "Get", &body).await?;
        let body = reply.body();
        let value: Variant<'_> = body.deserialize().map_err(|error| Failure::answer(name, error))?;
        Ok(line(&value))
    }

    async fn managed(&self, path: &str) -> Outcome<Vec<(String, Entry)>> {
        let reply = self.call(path, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &()).await?;
        let objects: ManagedObjects =
            reply.body().deserialize().map_err(|error| Failure::answer("GetManagedObjects", error))?;
        let prefix = format!("{NAME}.");
        let mut entries = Vec::with_capacity(objects.len());
        for (path, interfaces) in objects {
            for (interface, properties) in interfaces {
                let Some(interface) = interface.as_str().strip_prefix(&prefix) else { continue };
                let mut entry = Entry { path: path.as_str().to_owned(), ..Entry::default() };
                if !properties.contains_key("Record") {
                    entry.record = rebuilt(interface, &properties);
                }
                for (name, value) in &properties {
                    match name.as_str() {
                        "Record" => entry.record = line(value),
                        "Id" | "ImplName" => entry.id = text(value),
                        "Info" | "Status" | "Abilities" | "State" | "Plugin" => {
                            entry.more.insert(name.clone(), line(value));
                        }
                        // The other properties are the record's fields once more.
                        _ => {}
                    }
                }
                entries.push((interface.to_owned(), entry));
            }
        }
        entries.sort_by(|(_, a), (_, b)| (a.name(), &a.id).cmp(&(b.name(), &b.id)));
        Ok(entries)
    }

    /// Everything that the root object manages.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn root(&self) -> Outcome<Root> {
        let mut root = Root::default();
        for (interface, entry) in self.managed(ROOT).await? {
            match interface.as_str() {
                "Plugin" => root.plugins.push(entry),
                "StorageServer" => root.servers.push(entry),
                "Operation" => root.operations.push(entry),
                _ => {}
            }
        }
        root.operations.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(root)
    }

    /// Everything on a storage server.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn contents(&self, server: &Entry) -> Outcome<Contents> {
        let mut contents = Contents::default();
        for (interface, mut entry) in self.managed(&server.path).await? {
            entry.more.insert("server".into(), server.name().into());
            match interface.as_str() {
                "StorageElement" => contents.elements.push(entry),
                "FileSystem" => contents.file_systems.push(entry),
                "Mount" => contents.mounts.push(entry),
                _ => {}
            }
        }
        Ok(contents)
    }

    /// Asks for a command of the table; returns the operation's path.
    ///
    /// # Errors
    /// As [`Client::call`]; a request that the agent does not accept is bad usage.
    pub async fn submit(
        &self,
        path: &str,
        interface: &str,
        row: &Command,
        args: &Map<String, Value>,
    ) -> Outcome<String> {
        let method = row.dbus_name();
        let reply = match body(row, args)? {
            None => self.call(path, interface, &method, &()).await?,
            Some(body) => self.call(path, interface, &method, &body).await?,
        };
        operation_path(&reply)
    }

    /// What an error on the bus means.
    pub fn failure(&self, error: zbus::Error) -> Failure {
        match error {
            zbus::Error::MethodError(name, message, _) => {
                let message = message.unwrap_or_else(|| name.to_string());
                match Kind::from_dbus_name(&name) {
                    Some(kind) => Failure::of_request(Error::new(kind, message)),
                    None => Failure::of_request(Error::internal(name, message)),
                }
            }
            zbus::Error::FDO(error) => self.bus_failure(*error),
            zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Failure::unreachable(format!("the agent does not answer within {} s", REPLY.as_secs()))
                    .hint("`systemctl status oscd` and `journalctl -u oscd` say what it is doing")
            }
            other => {
                Failure::unreachable(format!("the connection to the {} broke: {other}", bus_name(&self.bus)))
            }
        }
    }

    fn bus_failure(&self, error: fdo::Error) -> Failure {
        match error {
            fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::Disconnected(_)
            | fdo::Error::NoServer(_) => self.gone(),
            fdo::Error::NoReply(_) | fdo::Error::Timeout(_) | fdo::Error::TimedOut(_) => {
                Failure::unreachable("the agent went away, or does not answer")
                    .hint("`systemctl status oscd` and `journalctl -u oscd` say why")
            }
            fdo::Error::AccessDenied(message) | fdo::Error::AuthFailed(message) => Failure {
                status: UNREACHABLE,
                error: Error::new(Kind::AccessDenied, format!("the bus does not let you: {message}")),
                hint: Some("run it as root, or as a member of the group osc".into()),
            },
            fdo::Error::UnknownObject(message) => Failure::unknown(message),
            fdo::Error::InvalidArgs(message) => Failure::usage(message),
            other => Failure::of_operation(Error::internal("the agent refused", other)),
        }
    }
}

/// The bus in words.
pub fn bus_name(bus: &str) -> String {
    match bus {
        "system" | "session" => format!("{bus} bus"),
        address => format!("bus at {address}"),
    }
}

/// The operation's path in a reply.
///
/// # Errors
/// When there is none.
pub fn operation_path(reply: &zbus::Message) -> Outcome<String> {
    let body = reply.body();
    let path: zbus::ObjectPath<'_> =
        body.deserialize().map_err(|error| Failure::answer("the request", error))?;
    Ok(path.as_str().to_owned())
}
