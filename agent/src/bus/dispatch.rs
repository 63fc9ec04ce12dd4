//! Method calls: from a message to its answer, by the interface tables and the snapshot.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use zbus::message::{Flags, Header, Type as MessageType};
use zbus::{Connection, Message, MessageStream, Variant};

use super::call::{Failure, arguments, request_args, strings};
use super::clients::{Client, Clients};
use super::interface::{Action, Method};
use super::object::{Facts, Object, children, exists};
use super::path::Path;
use super::source::Source;
use super::value::{clean, object_path};
use super::{NAME, introspect, managed, permission};
use crate::command::Command;
use crate::inventory::{Snapshot, Target};
use crate::pulse::{PERIOD, Pulse};
use crate::service::Request;

/// Calls that all clients together may have in flight.
const CALLS: usize = 4096;
/// Whole subtrees that are written at the same time: each is some ten megabytes.
const SUBTREES: usize = 2;
/// The longest that a wait lasts.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The agent's door on one connection.
pub struct Door {
    /// The agent.
    pub source: Arc<dyn Source>,
    /// What the manager tells of the process.
    pub facts: Arc<Facts>,
    /// The bus.
    pub connection: Connection,
    clients: Clients,
    calls: Arc<Semaphore>,
    subtrees: Semaphore,
    /// Cancelled when the connection is given up.
    ended: CancellationToken,
}

impl Door {
    /// The door of `source` on a connection.
    pub fn new(source: Arc<dyn Source>, facts: Arc<Facts>, connection: Connection) -> Arc<Door> {
        Arc::new(Door {
            source,
            facts,
            connection,
            clients: Clients::default(),
            calls: Arc::new(Semaphore::new(CALLS)),
            subtrees: Semaphore::new(SUBTREES),
            ended: CancellationToken::new(),
        })
    }

    /// Answers calls until the connection or the name is lost.
    ///
    /// Every call is a task of its own: this loop also brings the bus's answers to our own
    /// questions, so that it must never wait for anything.
    pub async fn run(self: &Arc<Door>, mut stream: MessageStream, pulse: &Pulse) {
        let _end = self.ended.clone().drop_guard();
        let mut idle = tokio::time::interval(PERIOD);
        loop {
            pulse.beat();
            fsview::fault::hang("bus");
            let message = tokio::select! {
                biased;
                message = stream.next() => message,
                _ = idle.tick() => continue,
            };
            let Some(Ok(message)) = message else { return };
            match message.message_type() {
                MessageType::MethodCall => self.start(message),
                MessageType::Signal => {
                    if self.heard(&message) {
                        return;
                    }
                }
                MessageType::MethodReturn | MessageType::Error => {}
            }
        }
    }

    /// Takes in a signal of the bus; whether it says that our name is lost.
    fn heard(&self, signal: &Message) -> bool {
        let header = signal.header();
        if header.sender().map(|name| name.as_str()) != Some("org.freedesktop.DBus") {
            return false;
        }
        match header.member().map(|name| name.as_str()) {
            Some("NameOwnerChanged") => {
                if let Ok((name, _, new)) = signal.body().deserialize::<(&str, &str, &str)>()
                    && new.is_empty()
                {
                    self.clients.forget(name);
                }
                false
            }
            Some("NameLost") => signal.body().deserialize::<&str>().is_ok_and(|name| name == NAME),
            _ => false,
        }
    }

    fn start(self: &Arc<Door>, call: Message) {
        let header = call.header();
        let client = self.clients.get(header.sender().map_or("", |name| name.as_str()));
        let slot = self.calls.clone().try_acquire_owned().ok().zip(client.enter());
        let door = self.clone();
        tokio::spawn(async move {
            let answer = match &slot {
                Some(_) => door.answer(&call, &client).await,
                None => Err(Failure::Standard(
                    "LimitsExceeded",
                    "too many calls are in flight; wait for some to end".into(),
                )),
            };
            door.reply(&call, answer).await;
        });
    }

    async fn reply(&self, call: &Message, answer: Result<Message, Failure>) {
        let header = call.header();
        if header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let message = match answer {
            Ok(message) => Ok(message),
            Err(failure) => match failure.reply() {
                Some((name, text)) => Message::error(&header, name).build(&text),
                None => return,
            },
        };
        let sent = match message {
            Ok(message) => self.connection.send(&message).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            debug!(%error, "an answer could not be sent");
        }
    }

    async fn answer(&self, call: &Message, client: &Client) -> Result<Message, Failure> {
        let header = call.header();
        let snapshot = self.source.snapshot();
        let path = header.path().map_or("", |path| path.as_str());
        let found = Path::parse(path).filter(|path| exists(&snapshot, path));
        let interface = header.interface().map(|name| name.as_str());
        let path = match found {
            Some(path) => path,
            // The process answers for itself at every path.
            None if interface == Some("org.freedesktop.DBus.Peer") => Path::Above(0),
            None => return Err(Failure::Standard("UnknownObject", format!("there is no object {path}"))),
        };
        let method = find_method(&path, interface, header.member().map_or("", |name| name.as_str()))?;
        let arguments = arguments(method, call)?;
        self.act(&header, client, &snapshot, path, method, arguments).await
    }

    async fn act(
        &self,
        header: &Header<'_>,
        client: &Client,
        snapshot: &Arc<Snapshot>,
        path: Path,
        method: &'static Method,
        arguments: Vec<Variant<'static>>,
    ) -> Result<Message, Failure> {
        let answer = || Message::method_return(header);
        Ok(match method.action {
            Action::Submit(command) => {
                let operation = self.submit(header, client, snapshot, command, &path, arguments).await?;
                answer().build(&object_path(&operation))?
            }
            Action::Wait => {
                let result = self.wait(client, &path, number(&arguments)).await?;
                answer().build(&result)?
            }
            Action::ReloadPlugins => {
                let module = word(&arguments, 0).to_owned();
                self.manage_plugins(header, client, &format!("reload {module:?}")).await?;
                self.source.reload_plugins(module).await?;
                answer().build(&())?
            }
            Action::Announce => {
                self.manage_plugins(header, client, "announce").await?;
                let words = arguments.into_iter().next().map(strings).unwrap_or_default();
                self.source.announce(words).await?;
                answer().build(&())?
            }
            Action::GetEvents => {
                let events = self.source.events_since(number(&arguments));
                let lines: Vec<String> = events.iter().map(|(_, line)| clean(line.to_string())).collect();
                answer().build(&lines)?
            }
            Action::Get | Action::GetAll | Action::Set => {
                let property = match method.action {
                    Action::GetAll => None,
                    _ => Some(word(&arguments, 1)),
                };
                let object = self.property_object(snapshot, &path, word(&arguments, 0), property)?;
                let all = object.map(|object| object.properties(&[])).unwrap_or_default();
                match (method.action, property) {
                    (Action::Get, Some(property)) => {
                        let found = all.0.into_iter().find(|(name, _)| *name == property);
                        let value =
                            found.map(|(_, value)| value).ok_or_else(|| unknown_property(property))?;
                        answer().build(&value)?
                    }
                    (Action::GetAll, _) => answer().build(&all)?,
                    (_, property) => {
                        let text = format!("{} is read-only; commands are methods", property.unwrap_or(""));
                        return Err(Failure::Standard("PropertyReadOnly", text));
                    }
                }
            }
            Action::Introspect => {
                let children = children(snapshot, &path);
                answer().build(&introspect::xml(&path, &children))?
            }
            Action::Ping => answer().build(&())?,
            Action::GetMachineId => answer().build(&machine_id()?)?,
            Action::GetManagedObjects => {
                // Never closed while the door is there.
                let _turn = self.subtrees.acquire().await;
                managed::reply(header, snapshot, &path, managed::LIMIT)?
            }
            Action::GetState => {
                let _turn = self.subtrees.acquire().await;
                managed::state(header, snapshot, managed::LIMIT)?
            }
        })
    }

    /// Lets a call pass that is about plug-ins, and notes who made it.
    async fn manage_plugins(&self, header: &Header<'_>, client: &Client, what: &str) -> Result<(), Failure> {
        let action = permission::PLUGIN_MANAGE;
        let caller = permission::check(&self.connection, client, header, action).await?;
        info!(uid = caller.uid, pid = caller.pid, door = caller.door, "plug-ins: {what}");
        Ok(())
    }

    async fn submit(
        &self,
        header: &Header<'_>,
        client: &Client,
        snapshot: &Snapshot,
        command: &'static Command,
        path: &Path,
        arguments: Vec<Variant<'static>>,
    ) -> Result<Path, Failure> {
        // Who may do something may end it, too.
        let cancelled = match path {
            Path::Operation(id) => snapshot.operations.get(id).map(|operation| operation.command),
            _ => None,
        };
        let action = permission::action(cancelled.unwrap_or(command));
        let caller = permission::check(&self.connection, client, header, action).await?;
        let target = match path {
            Path::Server(ss) => Target::Server(*ss),
            Path::Element(ss, id) => Target::Element(*ss, id.as_str().into()),
            Path::FileSystem(ss, id) => Target::FileSystem(*ss, id.as_str().into()),
            Path::Operation(id) => Target::Operation(*id),
            _ => Target::Manager,
        };
        let args = request_args(command, arguments)?;
        let operation = self.source.submit(Request { target, command, args, caller }).await?;
        Ok(Path::Operation(operation))
    }

    async fn wait(&self, client: &Client, path: &Path, milliseconds: u64) -> Result<String, Failure> {
        let Path::Operation(id) = path else { return Err(Failure::Abandoned) };
        let timeout = Duration::from_millis(milliseconds).min(WAIT_MAX);
        tokio::select! {
            result = self.source.wait(*id, timeout) => Ok(result?.to_string()),
            () = client.gone.cancelled() => Err(Failure::Abandoned),
            () = self.ended.cancelled() => Err(Failure::Abandoned),
        }
    }

    /// The object whose properties are asked for; `None` for an interface that has none.
    fn property_object(
        &self,
        snapshot: &Snapshot,
        path: &Path,
        interface: &str,
        property: Option<&str>,
    ) -> Result<Option<Object>, Failure> {
        let object = Object::find(snapshot, &self.facts, path)
            .ok_or_else(|| Failure::Standard("UnknownObject", format!("there is no object {path}")))?;
        let own = object.interface();
        if interface.is_empty() || interface == own.name {
            return match property {
                Some(name) if !own.properties.iter().any(|row| row.name == name) => {
                    Err(unknown_property(name))
                }
                _ => Ok(Some(object)),
            };
        }
        if !introspect::interfaces(path).any(|row| row.name == interface) {
            return Err(unknown_interface(path, interface));
        }
        match property {
            Some(name) => Err(unknown_property(name)),
            None => Ok(None),
        }
    }
}

fn find_method(path: &Path, interface: Option<&str>, member: &str) -> Result<&'static Method, Failure> {
    let mut rows = introspect::interfaces(path).filter(|row| interface.is_none_or(|name| row.name == name));
    let mut any = false;
    let found = rows.find_map(|row| {
        any = true;
        row.methods.iter().find(|method| method.name == member)
    });
    match (found, interface) {
        (Some(method), _) => Ok(method),
        (None, Some(interface)) if !any => Err(unknown_interface(path, interface)),
        (None, _) => Err(Failure::Standard(
            "UnknownMethod",
            format!("{path} has no method {member} in {}", interface.unwrap_or("any of its interfaces")),
        )),
    }
}

fn unknown_interface(path: &Path, interface: &str) -> Failure {
    Failure::Standard("UnknownInterface", format!("{path} has no interface {interface}"))
}

fn unknown_property(name: &str) -> Failure {
    Failure::Standard("UnknownProperty", format!("there is no property {name:?}"))
}

fn word<'a>(arguments: &'a [Variant<'static>], index: usize) -> &'a str {
    match arguments.get(index) {
        Some(Variant::Str(text)) => text.as_str(),
        _ => "",
    }
}

fn number(arguments: &[Variant<'static>]) -> u64 {
    match arguments.first() {
        Some(Variant::U64(number)) => *number,
        _ => 0,
    }
}

fn machine_id() -> Result<String, Failure> {
    let files = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    let id = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    let id = id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    id.ok_or_else(|| {
        let text = format!("neither {} nor {} holds the machine's id", files[0], files[1]);
        Failure::Standard("Failed", text)
    })
}
