//! The bus's view of an agent: everything it manages, and the signals that it sends.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use futures_util::StreamExt as _;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream, connection};

const AGENT: &str = "org.storageconnect.Agent1";
const ROOT: &str = "/org/storageconnect/Agent1";

/// A client of the agent's.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    changed: Arc<AtomicU64>,
}

impl Client {
    /// Connects, and listens to the signals that tell of changes.
    pub fn connect(address: &str) -> Client {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread can be had");
        let changed = Arc::new(AtomicU64::new(0));
        let counter = changed.clone();
        let connection = runtime.block_on(async move {
            let connection = connection::Builder::address(address).build().await;
            let connection = connection.expect("dbus-daemon answers");
            let rule = MatchRule::builder()
                .msg_type(Type::Signal)
                .interface("org.freedesktop.DBus.Properties")
                .build()
                .expect("an interface's name");
            let stream = MessageStream::for_match_rule(rule, &connection, NonZeroUsize::new(1 << 17)).await;
            let mut stream = stream.expect("dbus-daemon takes the rule");
            tokio::spawn(async move {
                while let Some(Ok(message)) = stream.next().await {
                    let about = message.header().path().is_some_and(|path| path.contains("/se/"));
                    counter.fetch_add(u64::from(about), Ordering::Relaxed);
                }
            });
            connection
        });
        Client { runtime, connection, changed }
    }

    /// How many PropertiesChanged of storage elements have come.
    pub fn changes(&self) -> u64 {
        // What was sent before an answer arrives before it.
        self.managed(ROOT);
        std::thread::sleep(std::time::Duration::from_millis(300));
        self.changed.load(Ordering::Relaxed)
    }

    /// Milliseconds for GetManagedObjects, and the bytes of its answer.
    pub fn managed(&self, path: &str) -> (f64, usize) {
        let start = Instant::now();
        let interface = Some("org.freedesktop.DBus.ObjectManager");
        let call = self.connection.call_method(Some(AGENT), path, interface, "GetManagedObjects", &());
        let answer = self.runtime.block_on(call).expect("the agent answers");
        (start.elapsed().as_secs_f64() * 1e3, answer.body().len())
    }

    /// The path of the storage server with that UUID, dashed.
    pub fn server(&self, uuid: &str) -> String {
        format!("{ROOT}/server/{}", uuid.replace('-', "_"))
    }
}
