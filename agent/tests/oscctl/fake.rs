//! A bus of its own and on it an agent that is nothing but its D-Bus interface: two storage
//! servers, a few elements, and operations that end as their names say.

use std::collections::HashMap;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, ObjectPath, Variant};

const NAME: &str = "org.storageconnect.Agent1";
const ROOT: &str = "/org/storageconnect/Agent1";
pub const FILER: &str = "0195aaaa-0000-7000-8000-000000000001";
pub const NAS: &str = "0195aaaa-0000-7000-8000-000000000002";
pub const VOL0: &str = "11111111-0000-4000-8000-000000000000";
pub const SNAP: &str = "22222222-0000-4000-8000-000000000000";
/// An operation that is still running.
pub const RUNNING: &str = "0195bbbb-0000-7000-8000-000000000001";
/// An operation that failed long ago.
pub const FAILED: &str = "0195cccc-0000-7000-8000-000000000002";

type Properties = HashMap<&'static str, Variant<'static>>;
type Managed = HashMap<ObjectPath<'static>, HashMap<String, Properties>>;

/// What the agent was asked: object path, method, arguments.
pub type Calls = Arc<Mutex<Vec<(String, String, String)>>>;

/// A private bus, with or without the agent on it.
pub struct Bus {
    daemon: Child,
    pub address: String,
    pub calls: Calls,
    agent: Option<Connection>,
    runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Bus {
    /// A bus without an agent.
    pub fn empty() -> Bus {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--address", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        Bus { daemon, address, calls: Calls::default(), agent: None, runtime, _dir: dir }
    }

    /// A bus with the agent.
    pub fn with_agent() -> Bus {
        let mut bus = Bus::empty();
        let calls = Arc::clone(&bus.calls);
        let address = bus.address.clone();
        let connection = bus.runtime.block_on(async move {
            let connection =
                zbus::connection::Builder::address(address.as_str()).build().await.expect("it connects");
            let stream = MessageStream::from(&connection);
            tokio::spawn(serve(connection.clone(), stream, calls));
            connection.request_name(NAME).await.expect("the name is free");
            connection
        });
        bus.agent = Some(connection);
        bus
    }

    /// `oscctl` on this bus, without standard input.
    pub fn oscctl(&self, words: &[&str]) -> Answer {
        self.command(words).stdin(Stdio::null()).output().map(Answer).expect("oscctl runs")
    }

    /// `oscctl` on this bus, to be started by the caller.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oscctl"));
        command.args(["--bus", &self.address]).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Emits an event, as the agent does on every change.
    pub fn emit(&self, seq: u64) {
        let agent = self.agent.as_ref().expect("there is an agent");
        let path = ObjectPath::try_from(ROOT).expect("a path");
        let body = (seq, "server-changed", path, event(seq));
        let interface = format!("{NAME}.Manager");
        self.runtime
            .block_on(agent.emit_signal(None::<&str>, ROOT, interface.as_str(), "Event", &body))
            .expect("it is sent");
    }

    /// What the agent was asked to do: method and arguments.
    pub fn asked(&self, method: &str) -> Vec<(String, String)> {
        let calls = self.calls.lock().expect("nobody panicked");
        let of_method = calls.iter().filter(|call| call.1 == method);
        of_method.map(|call| (call.0.clone(), call.2.clone())).collect()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// What a run of `oscctl` came to.
pub struct Answer(Output);

impl Answer {
    pub fn status(&self) -> i32 {
        self.0.status.code().expect("it was not killed")
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// Standard output as JSON, of a run that succeeded.
    pub fn json(&self) -> Value {
        assert_eq!(self.status(), 0, "{}", self.err());
        serde_json::from_str(&self.out()).unwrap_or_else(|error| panic!("{error}: {}", self.out()))
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        Answer(output)
    }
}

fn path(rest: &str) -> String {
    format!("{ROOT}/{}", rest.replace('-', "_"))
}

fn event(seq: u64) -> String {
    json!({"seq": seq, "time": "2026-01-02T03:04:05.000Z", "kind": "server-changed", "path": format!("/ss/{FILER}")})
        .to_string()
}

fn object(objects: &mut Managed, at: &str, interface: &str, properties: Properties) {
    let path = ObjectPath::try_from(path(at)).expect("a path").into_owned();
    objects.insert(path, HashMap::from([(format!("{NAME}.{interface}"), properties)]));
}

fn text(value: impl ToString) -> Variant<'static> {
    Variant::from(value.to_string())
}

fn operation(id: &str, command: &str, state: &str, error: Value) -> Value {
    json!({"id": id, "command": command, "target": format!("/ss/{FILER}/se/{VOL0}"), "state": state,
        "progress": if state == "running" { json!(40) } else { Value::Null },
        "created": "2026-01-02T03:04:05.000Z", "error": error,
        "ended": if state == "running" { Value::Null } else { json!("2026-01-02T03:04:07.500Z") }})
}

fn root() -> Managed {
    let mut objects = Managed::new();
    let plugins = [
        ("osc.filearray.FileArray.FileArray", true, Value::Null),
        ("osc.broken.B.B", false, json!("SyntaxError in B.py")),
    ];
    for (name, usable, error) in plugins {
        let status = json!({"impl_name": name, "plugin_type": "isa", "usable": usable, "error": error, "problems": []});
        let properties = Properties::from([
            ("ImplName", text(name)),
            ("Info", text(json!({"plugin_name": name, "plugin_version": "1.0"}))),
            ("Status", text(status)),
            ("Abilities", Variant::from(HashMap::from([("clone", "ONLINE")]))),
        ]);
        object(&mut objects, &format!("plugin/{}", name.replace('.', "_")), "Plugin", properties);
    }
    for (id, name) in [(FILER, "filer"), (NAS, "nas")] {
        let record = json!({"name": name, "uuid": id, "storage_type": "SAN", "admin_host": "h", "total_sz": 1_u64 << 40,
            "free_sz": 1_u64 << 39, "status": "fine"});
        let plugin = ObjectPath::try_from(path("plugin/osc_filearray_FileArray_FileArray"))
            .expect("a path")
            .into_owned();
        let properties = Properties::from([
            ("Id", text(id)),
            ("Record", text(record)),
            ("State", text(json!({"stale": false, "plugin_available": true, "error": null}))),
            ("Abilities", Variant::from(HashMap::from([("clone", "ONLINE")]))),
            ("Plugin", Variant::from(plugin)),
        ]);
        object(&mut objects, &format!("server/{id}"), "StorageServer", properties);
    }
    let failed = json!({"error": "CloneFailed", "errno": "EREMOTEIO", "message": "the pool is full"});
    for (id, state, error) in [(RUNNING, "running", Value::Null), (FAILED, "failed", failed)] {
        let properties = Properties::from([
            ("Id", text(id)),
            ("Record", text(operation(id, "clone", state, error))),
            ("State", text(state)),
            ("Progress", Variant::from(if state == "running" { 40_i32 } else { -1 })),
        ]);
        object(&mut objects, &format!("op/{id}"), "Operation", properties);
    }
    objects
}

fn element(id: &str, name: &str, kind: &str, parent: Option<&str>) -> Value {
    let mut record = json!({"se_type": kind, "ss_uuid": FILER, "name": name, "uuid": id, "page83_id": format!("3{id}"),
        "size": 10_u64 << 30, "status": "", "state": "ONLINE"});
    if let Some(parent) = parent {
        record["parent_id"] = parent.into();
    }
    record
}

fn contents(server: &str) -> Managed {
    let mut objects = Managed::new();
    if server == path(&format!("server/{FILER}")) {
        for (id, name, kind, parent) in [(VOL0, "vol0", "LUN", None), (SNAP, "nightly", "Snap", Some(VOL0))] {
            let properties = Properties::from([
                ("Id", text(id)),
                ("Record", text(element(id, name, kind, parent))),
                ("State", text("ONLINE")),
            ]);
            object(&mut objects, &format!("server/{FILER}/se/{id}"), "StorageElement", properties);
        }
    } else {
        let id = "33333333-0000-4000-8000-000000000000";
        let record = json!({"access_path": "nas:/home", "ss_uuid": NAS, "name": "nfs:/home", "mount_options": [],
            "uuid": id, "size": 1_u64 << 40, "free_sz": 1_u64 << 30, "state": "MOUNTED"});
        object(
            &mut objects,
            &format!("server/{NAS}/fs/{id}"),
            "FileSystem",
            Properties::from([("Id", text(id)), ("Record", text(record))]),
        );
        let mount = json!({"uuid": NAS, "fs_uuid": id, "mount_point": "/mnt/home", "options": ["ro"], "status": "ok"});
        object(
            &mut objects,
            &format!("server/{NAS}/fs/{id}/mount/{NAS}"),
            "Mount",
            Properties::from([("Id", text(NAS)), ("Record", text(mount))]),
        );
    }
    objects
}

/// How a command's operation ends, by the command's method; the operation's path tells it to `Wait`.
fn result_of(operation: &str) -> Result<Value, (&'static str, &'static str)> {
    match operation.rsplit('/').next().unwrap_or("") {
        "Snapshot" => Ok(element(SNAP, "nightly", "Snap", Some(VOL0))),
        "Clone" => Err(("CloneFailed", "the pool is full (osc.filearray.FileArray.FileArray, clone)")),
        "Register" => Ok(json!({"name": "filer", "uuid": FILER, "storage_type": "SAN"})),
        "SnapLimits" => Ok(json!({"max": 5, "current": 1})),
        "IsSnapable" => Ok(json!(true)),
        "Resize" => Err(("InProgress", "it goes on")),
        failed if failed.starts_with("0195cccc") => Err(("CloneFailed", "the pool is full")),
        busy if busy.starts_with("0195bbbb") => Err(("InProgress", "it goes on")),
        _ => Ok(Value::Null),
    }
}

async fn serve(connection: Connection, mut stream: MessageStream, calls: Calls) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() == Type::MethodCall {
            tokio::spawn(answer(connection.clone(), message, Arc::clone(&calls)));
        }
    }
}

async fn answer(connection: Connection, message: Message, calls: Calls) {
    let header = message.header();
    let (Some(path), Some(method)) = (header.path(), header.member()) else { return };
    let (path, method) = (path.as_str(), method.as_str());
    let body = message.body();
    let arguments =
        body.deserialize::<zbus::Structure<'_>>().map(|body| body.to_string()).unwrap_or_default();
    calls.lock().expect("nobody panicked").push((path.to_owned(), method.to_owned(), arguments));
    let error = |name: &str, text: &str| {
        let name = format!("{NAME}.Error.{name}");
        let (connection, header, text) = (&connection, &header, text.to_owned());
        async move { connection.reply_error(header, name.as_str(), &text).await }
    };
    let done = match method {
        "GetManagedObjects" if path == ROOT => connection.reply(&header, &root()).await,
        "GetManagedObjects" => connection.reply(&header, &contents(path)).await,
        "Get" => {
            let (_, name): (String, String) = body.deserialize().expect("two strings");
            let value = match name.as_str() {
                "Version" => text("0.1.0"),
                "MountPoint" => text("/nonexistent/osc"),
                "Progress" => Variant::from(40_i32),
                _ => Variant::from(7_u64),
            };
            connection.reply(&header, &value).await
        }
        "GetEvents" => {
            let since: u64 = body.deserialize().expect("a number");
            connection.reply(&header, &(since + 1..=7).map(event).collect::<Vec<_>>()).await
        }
        "Wait" => match result_of(path) {
            Ok(value) => connection.reply(&header, &value.to_string()).await,
            Err((name, text)) => {
                if name == "InProgress" {
                    let millis: u64 = body.deserialize().expect("a number");
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                error(name, text).await
            }
        },
        "Cancel" | "ReloadPlugins" | "Announce" => connection.reply(&header, &()).await,
        "Split" => error("NoSuchOperation", "it cannot split clones").await,
        "Offline" => error("InvalidValue", "that is not understood").await,
        _ => {
            let operation = ObjectPath::try_from(format!("{ROOT}/op/{method}")).expect("a path");
            connection.reply(&header, &operation).await
        }
    };
    done.expect("the bus is there");
}
