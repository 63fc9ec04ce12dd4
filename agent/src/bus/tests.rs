//! The door against a real `dbus-daemon`, with clients that are processes of their own.

mod calls;
mod connection;
mod fake;
mod foreign;
mod operations;
mod permissions;
mod scale;
mod signals;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use zbus::{Connection, Message};

use super::path::{Path, ROOT};
use super::table::PREFIX;
use super::{Bus, NAME, Source, serve};
use fake::Fake;

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

/// A message bus of its own.
struct Daemon {
    process: Child,
    address: String,
    dir: TempDir,
}

impl Daemon {
    fn start() -> Daemon {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Daemon::start_in(dir)
    }

    /// In a directory that may have held another before: at the same address.
    fn start_in(dir: TempDir) -> Daemon {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("chmod");
        let address = format!("unix:path={}/bus", dir.path().display());
        let config = dir.path().join("bus.conf");
        // As the session bus is set up, the limit included.
        let text = format!(
            "<busconfig><type>session</type><listen>{address}</listen><policy context=\"default\">\
             <allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/></policy><limit name=\"max_replies_per_connection\">50000</limit>\
             </busconfig>"
        );
        std::fs::write(&config, text).expect("the configuration");
        let _ = std::fs::remove_file(dir.path().join("bus"));
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nosyslog", "--print-address"])
            .stdout(Stdio::piped())
            // It complains of limits that a container does not let it raise.
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon (Debian: dbus-daemon)");
        // It prints its address when it listens.
        let mut line = String::new();
        let out = process.stdout.take().expect("piped above");
        BufReader::new(out).read_line(&mut line).expect("the address");
        assert!(line.starts_with("unix:"), "dbus-daemon did not start");
        Daemon { process, address, dir }
    }

    /// Kills it, and keeps the place.
    fn kill(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.dir, tempfile::tempdir().expect("a temporary directory"))
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// A bus, an agent on it, and a client.
struct Setup {
    daemon: Daemon,
    fake: Fake,
    client: Client,
    bus: Bus,
}

async fn setup(fake: Fake) -> Setup {
    let daemon = Daemon::start();
    let bus = serve(fake.clone(), &daemon.address, "/osc".as_ref()).await.expect("on the bus");
    let client = Client::connect(&daemon.address).await;
    Setup { daemon, fake, client, bus }
}

/// A client of the agent.
#[derive(Clone)]
struct Client(Connection);

impl Client {
    async fn connect(address: &str) -> Client {
        let builder = zbus::connection::Builder::address(address);
        Client(builder.build().await.expect("a client's connection"))
    }

    async fn call<B>(&self, path: &Path, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.call_at(&path.to_string(), interface, method, body).await
    }

    async fn call_at<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let full = match interface.contains('.') {
            true => interface.to_owned(),
            false => format!("{PREFIX}{interface}"),
        };
        self.0.call_method(Some(NAME), path, Some(full.as_str()), method, body).await
    }

    /// A property, printed.
    async fn get(&self, path: &Path, interface: &str, property: &str) -> String {
        let full = format!("{PREFIX}{interface}");
        let reply = self.call(path, PROPERTIES, "Get", &(full.as_str(), property)).await.expect(property);
        let value: zbus::OwnedVariant = reply.body().deserialize().expect("a variant");
        match &*value {
            zbus::Variant::Str(text) => text.to_string(),
            other => other.to_string(),
        }
    }
}

/// The name and the text of the error that a call ended with.
fn error(result: zbus::Result<Message>) -> (String, String) {
    match result {
        Err(zbus::Error::MethodError(name, text, _)) => (name.to_string(), text.unwrap_or_default()),
        Err(other) => {
            // zbus turns the standard errors into its own: the name is what its error implements.
            let zbus::Error::FDO(standard) = other else { panic!("{other:?}") };
            use zbus::DBusError;
            (standard.name().to_string(), standard.description().unwrap_or("").to_owned())
        }
        Ok(reply) => panic!("expected an error, got {reply:?}"),
    }
}
