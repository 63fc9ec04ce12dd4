//! Who calls: user, process and groups by the bus's word, remembered while the client is connected.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use zbus::Connection;
use zbus::fdo::ConnectionCredentials;

use crate::error::{Error, Kind, Result};
use crate::inventory::Caller;

/// The group whose members may change things; root's where it does not exist.
const GROUP: &str = "osc";

/// Calls that one client may have in flight.
pub const CALLS_PER_CLIENT: usize = 512;

/// One connected client.
pub struct Client {
    name: String,
    credentials: OnceCell<Credentials>,
    calls: AtomicUsize,
    /// Cancelled when the client leaves the bus.
    pub gone: CancellationToken,
}

#[derive(Clone, Debug)]
struct Credentials {
    uid: u32,
    pid: Option<u32>,
    may_change: bool,
}

/// The clients that have called and are still there.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<String, Arc<Client>>>);

impl Clients {
    /// The client of that unique name.
    pub fn get(&self, name: &str) -> Arc<Client> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(name) {
            return client.clone();
        }
        let client = Arc::new(Client {
            name: name.to_owned(),
            credentials: OnceCell::new(),
            calls: AtomicUsize::new(0),
            gone: CancellationToken::new(),
        });
        clients.insert(name.to_owned(), client.clone());
        client
    }

    /// Forgets a client that has left, and ends its waits.
    pub fn forget(&self, name: &str) {
        let client = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(client) = client {
            client.gone.cancel();
        }
    }
}

impl Client {
    /// Counts a call while the guard lives; `None` when there are too many.
    pub fn enter(self: &Arc<Client>) -> Option<InFlight> {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let guard = InFlight(self.clone());
        (before < CALLS_PER_CLIENT).then_some(guard)
    }

    /// Its unique name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who it is, as operations are told, and whether it is of those who may change things where there is no
    /// polkit.
    ///
    /// # Errors
    /// When the bus does not say.
    pub async fn caller(&self, connection: &Connection) -> Result<(Caller, bool)> {
        let credentials = self.credentials.get_or_try_init(|| self.ask(connection)).await?;
        let caller = Caller { uid: credentials.uid, pid: credentials.pid, door: "dbus" };
        Ok((caller, credentials.may_change))
    }

    async fn ask(&self, connection: &Connection) -> Result<Credentials> {
        const BUS: &str = "org.freedesktop.DBus";
        let unknown = |error: zbus::Error| {
            Error::new(Kind::AccessDenied, format!("the bus does not say who {} is: {error}", self.name))
        };
        let reply = connection
            .call_method(
                Some(BUS),
                "/org/freedesktop/DBus",
                Some(BUS),
                "GetConnectionCredentials",
                &self.name.as_str(),
            )
            .await
            .map_err(unknown)?;
        let told: ConnectionCredentials = reply.body().deserialize().map_err(unknown)?;
        let Some(uid) = told.unix_user_id() else {
            return Err(Error::new(
                Kind::AccessDenied,
                format!("the bus does not know the user of {}", self.name),
            ));
        };
        let groups = told.unix_group_ids().cloned();
        // Name services can be slow.
        let may_change = tokio::task::spawn_blocking(move || may_change(uid, groups)).await;
        Ok(Credentials { uid, pid: told.process_id(), may_change: may_change.unwrap_or(false) })
    }
}

/// Whether a user may change things, by the groups that its process has, else by those that the
/// user has.
fn may_change(uid: u32, process_groups: Option<Vec<u32>>) -> bool {
    if uid == 0 {
        return true;
    }
    let Ok(Some(group)) = Group::from_name(GROUP) else { return false };
    match process_groups {
        Some(groups) => groups.contains(&group.gid.as_raw()),
        None => user_groups(uid).contains(&group.gid),
    }
}

fn user_groups(uid: u32) -> Vec<Gid> {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return Vec::new() };
    let Ok(name) = std::ffi::CString::new(user.name) else { return Vec::new() };
    nix::unistd::getgrouplist(&name, user.gid).unwrap_or_default()
}

/// A call in flight.
pub struct InFlight(Arc<Client>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
