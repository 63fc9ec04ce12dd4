//! Getting onto the bus, and back onto it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use zbus::connection::Builder;
use zbus::{Connection, MessageStream};

use super::NAME;
use super::dispatch::Door;
use super::object::Facts;
use super::signals::Follow;
use super::source::Source;
use crate::error::{Error, Kind, Result};
use crate::inventory::operation::rfc3339;
use crate::pulse::{Pulse, Watch};

const DAEMON: &str = "org.freedesktop.DBus";
const DAEMON_PATH: &str = "/org/freedesktop/DBus";

/// Messages that may wait to be looked at.
const QUEUE: usize = 1024;
/// How long a bus may take to accept us.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait before the bus is tried again, at first and at last.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Which bus.
#[derive(Clone, Debug)]
struct Address(String);

impl Address {
    fn builder(&self) -> Builder<'static> {
        match self.0.as_str() {
            "system" => Builder::system(),
            "session" => Builder::session(),
            other => Builder::address(other),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            name @ ("system" | "session") => write!(f, "the {name} bus"),
            other => write!(f, "the bus at {other}"),
        }
    }
}

/// The open door. Dropping it leaves the bus at once; [`Bus::close`] leaves it properly.
#[derive(Debug)]
pub struct Bus {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    pulse: Arc<Pulse>,
}

impl Bus {
    /// The loop that takes calls.
    pub fn watches(&self) -> Vec<Watch> {
        self.task.iter().map(|_| Watch::of("bus", self.pulse.clone())).collect()
    }

    /// Gives the name up and leaves the bus.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It ends by itself; that it panicked is in the log already.
            let _ = task.await;
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Puts the agent on a bus: `system`, `session`, `none` or a D-Bus address. Returns when it owns
/// its name there. A bus that is lost later is tried again until [`Bus::close`].
///
/// # Errors
/// When the bus cannot be reached or does not let the agent have its name; the message says what to
/// do. [`Kind::AlreadyExists`] when another process has the name.
pub async fn serve(source: impl Source, address: &str, mount_point: &std::path::Path) -> Result<Bus> {
    open(Arc::new(source), address, mount_point, None).await
}

/// As [`serve`], but no signal is sent before `shown`, the number of the last change that the tree
/// shows, has come to what it tells: who hears of a change and then reads the tree finds it there.
///
/// # Errors
/// As [`serve`].
pub async fn serve_behind(
    source: impl Source,
    address: &str,
    mount_point: &std::path::Path,
    shown: watch::Receiver<u64>,
) -> Result<Bus> {
    open(Arc::new(source), address, mount_point, Some(shown)).await
}

async fn open(
    source: Arc<dyn Source>,
    address: &str,
    mount_point: &std::path::Path,
    shown: Option<watch::Receiver<u64>>,
) -> Result<Bus> {
    let stop = CancellationToken::new();
    if address == "none" {
        return Ok(Bus { stop, task: None, pulse: Arc::default() });
    }
    let facts = Arc::new(Facts {
        mount_point: mount_point.display().to_string(),
        started_at: rfc3339(SystemTime::now()),
        standing: source.standing(),
    });
    let address = Address(address.to_owned());
    let follow = Follow::new(&*source, shown.clone());
    let (connection, stream) = connect(&address).await?;
    let first = Connected { connection, stream, follow };
    info!(%address, "owns {NAME}");
    let pulse = Arc::<Pulse>::default();
    let task = tokio::spawn(stay(source, facts, address, first, shown, stop.clone(), pulse.clone()));
    Ok(Bus { stop, task: Some(task), pulse })
}

/// A connection that owns the name.
struct Connected {
    connection: Connection,
    stream: MessageStream,
    /// Begun before the name was there to be called.
    follow: Follow,
}

/// Serves one connection after the other.
async fn stay(
    source: Arc<dyn Source>,
    facts: Arc<Facts>,
    address: Address,
    mut connected: Connected,
    shown: Option<watch::Receiver<u64>>,
    stop: CancellationToken,
    pulse: Arc<Pulse>,
) {
    let mut again = false;
    loop {
        let Connected { connection, stream, follow } = connected;
        let door = Door::new(source.clone(), facts.clone(), connection.clone());
        tokio::select! {
            () = stop.cancelled() => {
                leave(connection).await;
                return;
            }
            () = door.run(stream, &pulse) => {}
            () = async {
                match follow.run(&door, again).await {
                    Ok(()) => std::future::pending().await,
                    Err(error) => warn!(%error, "a signal could not be sent"),
                }
            } => {}
        }
        warn!(%address, "the bus was lost");
        // What is left of the old connection must not keep the name from the new one.
        let _ = connection.close().await;
        again = true;
        let mut delay = RETRY.0;
        connected = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
            }
            // Whether there is a bus is not for a watchdog to say.
            pulse.beat();
            let follow = Follow::new(&*source, shown.clone());
            match connect(&address).await {
                Ok((connection, stream)) => break Connected { connection, stream, follow },
                Err(error) if delay == RETRY.0 => warn!(%error, "trying again"),
                Err(_) => {}
            }
            delay = (delay * 2).min(RETRY.1);
        };
        info!(%address, "owns {NAME} again");
    }
}

async fn leave(connection: Connection) {
    // A bus that is gone releases the name by itself.
    let _ = daemon(&connection, "ReleaseName", &NAME).await;
    let _ = connection.close().await;
}

async fn daemon<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<zbus::Message>
where
    B: serde::Serialize + zbus::DynamicType,
{
    connection.call_method(Some(DAEMON), DAEMON_PATH, Some(DAEMON), method, body).await
}

/// Connects and takes the name.
async fn connect(address: &Address) -> Result<(Connection, MessageStream)> {
    let unreachable = |why: &dyn fmt::Display| {
        Error::new(
            Kind::Internal,
            format!("cannot reach {address}: {why}; start the message bus, or run with --bus none"),
        )
    };
    let builder = address.builder().max_queued(QUEUE.try_into().unwrap_or(std::num::NonZeroUsize::MIN));
    let connection = match tokio::time::timeout(CONNECT_DEADLINE, builder.build()).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(unreachable(&error)),
        Err(_) => return Err(unreachable(&"it does not answer")),
    };
    // The calls that come with the name must find somebody listening.
    let stream = MessageStream::from(&connection);
    let rule = format!(
        "type='signal',sender='{DAEMON}',path='{DAEMON_PATH}',interface='{DAEMON}',\
         member='NameOwnerChanged',arg2=''"
    );
    daemon(&connection, "AddMatch", &rule).await.map_err(|error| unreachable(&error))?;
    take_name(&connection, address).await?;
    Ok((connection, stream))
}

async fn take_name(connection: &Connection, address: &Address) -> Result<()> {
    const DO_NOT_QUEUE: u32 = 4;
    const PRIMARY_OWNER: u32 = 1;
    let refused = |error: zbus::Error| {
        Error::new(
            Kind::AccessDenied,
            format!(
                "{address} does not let this user own {NAME}: {error}; run as root, install the bus policy \
                 that comes with the agent, or run with --bus none"
            ),
        )
    };
    let reply = daemon(connection, "RequestName", &(NAME, DO_NOT_QUEUE)).await.map_err(refused)?;
    if reply.body().deserialize::<u32>().map_err(refused)? == PRIMARY_OWNER {
        return Ok(());
    }
    let owner = match daemon(connection, "GetConnectionUnixProcessID", &NAME).await {
        Ok(reply) => reply.body().deserialize::<u32>().map(|pid| format!("the process {pid}")).ok(),
        Err(_) => None,
    };
    Err(Error::new(
        Kind::AlreadyExists,
        format!(
            "{} owns {NAME} on {address} already; stop it, or run with --bus none",
            owner.as_deref().unwrap_or("another process")
        ),
    ))
}
