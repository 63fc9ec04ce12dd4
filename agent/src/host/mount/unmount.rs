//! Unmounting: in the ordinary way as long as the file system answers, and by force and lazily where
//! its server is gone, so that nothing goes on waiting for it.
//!
//! What has not been written is written first, by a process that is not the one that unmounts: a
//! server that is gone is found out while the mount is still in its place, where forcing it
//! (`MNT_FORCE`, umount(2)) reaches those that wait. Afterwards nothing would.

use std::path::Path;
use std::time::Duration;

use super::alive;
use super::child::{self, Running};
use super::exported;
use super::table::{Mounted, Table};
use super::users::{self, User};
use super::{Clock, missing, place, read};
use crate::error::{Error, Kind, Result};

/// What force and detaching may take, of which neither waits for the server.
const FORCED: Duration = Duration::from_secs(5);
/// What a server that answers may take to write what is left.
pub(super) const WRITING: Duration = Duration::from_secs(180);
/// How often it is forced at most, and the pause in which those let go end.
const ROUNDS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(300);

/// What came of an unmount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// Nothing was mounted there.
    NotMounted,
    /// It was unmounted.
    Done,
    /// Its server did not answer: it was detached, and what had not been written is lost. Why, in words.
    Detached(String),
}

/// Unmounts what is mounted at `at`.
///
/// # Errors
/// [`Kind::FileSystemBusy`] naming who uses it; [`Kind::Timeout`] where a local file system does not let
/// go, or a server that answers has not taken everything yet; [`Kind::OperationFailed`] with the words of
/// umount(8).
pub async fn unmount(at: &str, deadline: Duration) -> Result<Unmounted> {
    let clock = Clock::new(deadline);
    let table = read()?;
    let at = place::resolve(at, &table, clock.left()).await?;
    let Some(mount) = table.at(&at).cloned() else { return Ok(Unmounted::NotMounted) };
    place::check(&at, &table)?;
    // Those that wait for the server; ended, with all that waits, by force.
    let mut stuck = Vec::new();
    let mut left = clock.left();
    if mount.is_network() {
        // Half for finding out, and the rest for the ordinary way.
        match attempt("sync", &["--file-system", "--"], &at, left / 2).await? {
            Attempt::Ended(_) => left = clock.left(),
            Attempt::Stuck(running) if alive::is_alive(&mount).await => write_back(&mount, running).await?,
            Attempt::Stuck(running) => {
                stuck.push(running);
                return detach(&mount, stuck, deadline).await;
            }
        }
    }
    match ordinarily(&mount, left).await? {
        Attempt::Ended(ended) => match still(&mount)? {
            None => Ok(Unmounted::Done),
            Some(table) => Err(refused(&mount, &table, &ended.said).await),
        },
        Attempt::Stuck(running) if mount.is_network() => {
            stuck.push(running);
            detach(&mount, stuck, deadline).await
        }
        Attempt::Stuck(mut running) => {
            running.kill().await;
            let text = format!("{} was not unmounted within {} s", at.display(), deadline.as_secs());
            Err(Error::new(Kind::Timeout, text))
        }
    }
}

/// Waits for a server that is there, and only slow.
async fn write_back(mount: &Mounted, mut running: Running) -> Result<()> {
    if let Ok(Some(_)) = running.within(WRITING).await {
        return Ok(());
    }
    running.kill().await;
    let text = format!(
        "what was written to {} is not on its server yet, which answers: {} stays mounted; try again later",
        mount.source,
        mount.at.display()
    );
    Err(Error::new(Kind::Timeout, text))
}

/// As umount(8) does it. Busy with nobody there is nobody for long: a service that starts copies the mount table, and
/// what this host's NFS server remembers it forgets.
async fn ordinarily(mount: &Mounted, left: Duration) -> Result<Attempt> {
    let clock = Clock::new(left);
    loop {
        let attempt = attempt("umount", &["--"], &mount.at, clock.left()).await?;
        let Attempt::Ended(ended) = &attempt else { return Ok(attempt) };
        let Some(table) = still(mount)? else { return Ok(attempt) };
        if !ended.said.contains("busy") || !users::of(mount, &table).await.is_empty() {
            return Ok(attempt);
        }
        let until = if let_go(mount) { left / 5 } else { left - left / 5 };
        if clock.left() < until {
            return Ok(attempt);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Has this host's NFS server forget that it does not export the mount, where it has been asked; whether it has forgotten.
fn let_go(mount: &Mounted) -> bool {
    if !exported::remembered(&mount.at).denied {
        return false;
    }
    let at = mount.at.display();
    match exported::forget() {
        Ok(()) => {
            tracing::info!(mount_point = %at, "had this host's NFS server forget that it does not export it");
            true
        }
        Err(error) => {
            tracing::warn!(mount_point = %at, %error, "this host's NFS server holds it");
            false
        }
    }
}

enum Attempt {
    Ended(child::Ended),
    Stuck(Running),
}

async fn attempt(program: &str, words: &[&str], at: &Path, left: Duration) -> Result<Attempt> {
    let words = words.iter().map(Path::new).chain([at]);
    let mut running = Running::start(program, words).map_err(|error| missing(program, &error))?;
    let ended = running.within(left).await.map_err(|error| missing(program, &error))?;
    Ok(ended.map_or(Attempt::Stuck(running), Attempt::Ended))
}

/// The mount table, where the mount is still in it.
fn still(mount: &Mounted) -> Result<Option<Table>> {
    let table = read()?;
    Ok(table.holds(mount).then_some(table))
}

/// Why umount(8) did not.
async fn refused(mount: &Mounted, table: &Table, said: &str) -> Error {
    let at = mount.at.display();
    let users = users::of(mount, table).await;
    if users.is_empty() && !said.contains("busy") {
        return Error::new(Kind::OperationFailed, format!("{at} cannot be unmounted: {said}"));
    }
    let who = match users.as_slice() {
        [] if exported::remembered(&mount.at).denied => {
            "this host's NFS server, which was asked for it by a client (exportfs -f lets it go)".to_owned()
        }
        [] => "somebody in another mount namespace, or the kernel".to_owned(),
        users => users.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    Error::new(Kind::FileSystemBusy, format!("{at} cannot be unmounted, it is in use by {who}"))
}

/// Ends what waits for the server, and takes the mount out of sight.
///
/// Force fails the requests that are under way, and only those: whoever was let go may write the rest of
/// what it holds, and waits again. So it is repeated for as long as the mount is in its place to force.
async fn detach(mount: &Mounted, mut stuck: Vec<Running>, deadline: Duration) -> Result<Unmounted> {
    // A helper of the file system would ask the server.
    let forced = ["--internal-only", "--no-canonicalize", "--force"];
    let umount = async |more: &[&str]| {
        let words = forced.iter().chain(more).map(Path::new).chain([mount.at.as_path()]);
        child::run("umount", words, FORCED).await.map_err(|error| missing("umount", &error))
    };
    for round in 0..ROUNDS {
        // Afterwards, when the mount has no path any more, it could not be told by it.
        let_go(mount);
        umount(&["--"]).await?;
        tokio::time::sleep(BETWEEN).await;
        let Some(table) = still(mount)? else { break };
        let mut waiting = false;
        for running in &mut stuck {
            waiting |= !matches!(running.within(Duration::ZERO).await, Ok(Some(_)));
        }
        if round > 0 && !waiting && !users::of(mount, &table).await.iter().any(User::waits) {
            break;
        }
    }
    if still(mount)?.is_some() {
        umount(&["--lazy", "--"]).await?;
    }
    for running in &mut stuck {
        running.kill().await;
    }
    let at = mount.at.display();
    if still(mount)?.is_some() {
        let text = format!("{at} can neither be unmounted nor detached, and its server does not answer");
        return Err(Error::new(Kind::Timeout, text));
    }
    let why = format!(
        "{} did not answer within {} s, so {at} was detached by force: what had not been written to it is lost",
        mount.source,
        deadline.as_secs(),
    );
    tracing::warn!(source = mount.source, mount_point = %at, "{why}");
    Ok(Unmounted::Detached(why))
}
