//! Mounting and unmounting on this host: idempotent, under a deadline, and without ever waiting for a
//! file server on a thread of the agent's own.
//!
//! The truth is the kernel's mount table ([`Table`]). Whatever could wait for a server (resolving a
//! path, mounting, writing back, unmounting) is a command in a process of its own ([`child`]).

mod alive;
mod child;
mod exported;
mod ops;
mod place;
mod table;
mod unmount;
mod users;
mod watch;
pub mod whose;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

pub use ops::OPERATIONS;
pub use table::{Mounted, Table};
pub use unmount::{Unmounted, unmount};
pub use users::User;
pub use watch::Watch;

/// What is to be mounted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A device, or `server:/export`.
    pub source: String,
    /// Where; made if it is not there.
    pub at: String,
    /// The file system's type, as mount(8) knows it.
    pub kind: String,
    /// Options, a word each.
    pub options: Vec<String>,
}

/// What came of a mount.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The mount as the kernel shows it.
    pub mounted: Mounted,
    /// Whether it was there already, so that nothing was done.
    pub already: bool,
}

/// How much time is left of what was given.
#[derive(Clone, Copy, Debug)]
struct Clock {
    end: Instant,
}

impl Clock {
    fn new(deadline: Duration) -> Clock {
        Clock { end: Instant::now() + deadline }
    }
    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

/// Mounts what is wanted, where it is not mounted already.
///
/// # Errors
/// [`Kind::InvalidValue`] for what cannot be mounted, or not there; [`Kind::FileSystemAlreadyMounted`]
/// where something else is; [`Kind::PermissionDenied`] where the server denies it; [`Kind::Timeout`];
/// [`Kind::OperationPreReqNotMet`] where mount(8) is missing; [`Kind::OperationFailed`] with its words.
pub async fn mount(wanted: &Wanted, deadline: Duration) -> Result<Outcome> {
    let clock = Clock::new(deadline);
    check(wanted)?;
    let table = read()?;
    let at = place::resolve(&wanted.at, &table, clock.left()).await?;
    place::check(&at, &table)?;
    if let Some(there) = table.at(&at) {
        return already(wanted, there);
    }
    let made = place::make(&at, clock.left()).await?;
    let result = run(wanted, &at, clock.left()).await;
    if result.is_err() && made {
        // What is empty again is as it was found.
        let _ = child::run("rmdir", [Path::new("--"), &at], Duration::from_secs(2)).await;
    }
    result
}

async fn run(wanted: &Wanted, at: &Path, left: Duration) -> Result<Outcome> {
    let options = wanted.options.join(",");
    let mut words = vec!["-t", &wanted.kind];
    if !options.is_empty() {
        words.extend(["-o", &options]);
    }
    let words = words.iter().map(Path::new);
    let words = words.chain([Path::new("--"), Path::new(&wanted.source), at]);
    let ended = child::run("mount", words, left).await.map_err(|error| missing("mount", &error))?;
    // Killed or not, what counts is what is there.
    if let Some(mounted) = read()?.at(at).filter(|mounted| same_source(mounted, &wanted.source)) {
        return Ok(Outcome { mounted: mounted.clone(), already: false });
    }
    let what = format!("{} could not be mounted on {}", wanted.source, at.display());
    Err(match ended {
        None => {
            let text = format!("{what}: no answer within {} s; is the server there?", left.as_secs());
            Error::new(Kind::Timeout, text)
        }
        Some(ended) if ended.said.contains("access denied by server") => {
            Error::new(Kind::PermissionDenied, format!("{what}: {}", ended.said))
        }
        Some(ended) => {
            let status = ended.status.map_or("it was killed".into(), |status| format!("status {status}"));
            let said = if ended.said.is_empty() { status } else { ended.said };
            Error::new(Kind::OperationFailed, format!("{what}: {said}"))
        }
    })
}

fn already(wanted: &Wanted, there: &Mounted) -> Result<Outcome> {
    let at = there.at.display();
    if !same_source(there, &wanted.source) {
        let text = format!("{at} is taken: {} ({}) is mounted there", there.source, there.kind);
        return Err(Error::new(Kind::FileSystemAlreadyMounted, text));
    }
    if wanted.options.iter().any(|option| option == "ro") != there.read_only {
        let how = if there.read_only { "read-only" } else { "for writing" };
        let text = format!("{} is mounted on {at} {how}: unmount it first", there.source);
        return Err(Error::new(Kind::FileSystemAlreadyMounted, text));
    }
    Ok(Outcome { mounted: there.clone(), already: true })
}

/// Whether a mount is one of that source, whose device may have several names.
pub fn same_source(mounted: &Mounted, source: &str) -> bool {
    let plain = |text: &'_ str| match text.trim_end_matches('/') {
        "" => "/".to_owned(),
        text if text.ends_with(':') => format!("{text}/"),
        text => text.to_owned(),
    };
    if plain(&mounted.source) == plain(source) {
        return true;
    }
    // Nodes below /dev are this host's own: looking at them waits for nobody.
    let number = |path: &str| {
        let number = path.starts_with("/dev/").then(|| std::fs::metadata(path).ok()).flatten()?.rdev();
        Some((nix::sys::stat::major(number) as u32, nix::sys::stat::minor(number) as u32))
    };
    let wanted = number(source);
    wanted.is_some() && (wanted == Some(mounted.device) || wanted == number(&mounted.source))
}

fn check(wanted: &Wanted) -> Result<()> {
    let word = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.chars().any(char::is_control);
    let kind =
        |text: &str| word(text) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !kind(&wanted.kind) {
        return Err(Error::invalid(format!("{:?} is no type of file system", wanted.kind)));
    }
    if !word(&wanted.source) {
        return Err(Error::invalid(format!("{:?} cannot be mounted", wanted.source)));
    }
    match wanted.options.iter().find(|option| !word(option) || option.contains(',')) {
        Some(bad) => Err(Error::invalid(format!("{bad:?} is no mount option: each is one word"))),
        None => Ok(()),
    }
}

fn read() -> Result<Table> {
    Table::read().map_err(|error| Error::internal("/proc/self/mountinfo cannot be read", error))
}

fn missing(command: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::OperationPreReqNotMet, format!("{command} cannot be run on this host: {error}"))
}

#[cfg(test)]
mod tests;
