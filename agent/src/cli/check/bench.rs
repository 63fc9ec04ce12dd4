//! What a live check works with: one storage server of the plug-in, asked over D-Bus, and a list of
//! everything made on it, so that it can be removed again whatever happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::files::Stage;
use crate::cli::client::{Client, Contents};
use crate::cli::commands::act::interface;
use crate::cli::failure::{Failure, IN_PROGRESS, UNREACHABLE};
use crate::cli::objects::Entry;
use crate::command::{Object, command};
use crate::error::{Error, Kind};

/// How a check ends that does not pass.
#[derive(Debug)]
pub enum Stop {
    /// The promise is broken.
    Fail(String),
    /// It is kept, and something should be better.
    Warn(String),
    /// It does not apply here.
    Skip(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The agent cannot be reached.
    Gone(Failure),
}

/// What a check says: what was seen, or why not.
pub type Verdict = Result<String, Stop>;

/// What the agent answered.
pub type Answer = Result<Value, Error>;

/// Every name that is made begins with it.
pub const PREFIX: &str = "osc-check-";

/// How long an operation may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(20);

/// What the command line says about the live checks.
pub struct Wishes {
    /// The size of elements, in bytes.
    pub size: u64,
    /// The volume group for elements.
    pub vol_group: Option<String>,
    /// An element to copy where none can be made.
    pub element: Option<String>,
    /// A backing device for a file system.
    pub device: Option<String>,
    /// Longest time for one operation.
    pub timeout: Duration,
}

/// One storage server under test.
pub struct Bench {
    /// The agent.
    pub client: Client,
    /// The storage server.
    pub server: Entry,
    /// Its abilities.
    pub abilities: BTreeMap<String, String>,
    /// What the command line says.
    pub wishes: Wishes,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    run: String,
    made: Mutex<Made>,
    /// The elements that were there at the start.
    before: tokio::sync::OnceCell<BTreeMap<String, Value>>,
    /// The file system that the checks of files share.
    pub stage: tokio::sync::Mutex<Option<Stage>>,
}

/// What this run made.
#[derive(Clone, Default)]
pub struct Made {
    count: usize,
    /// Names of elements, given to the agent or chosen by the plug-in.
    pub names: Vec<String>,
    /// Ids of elements.
    pub ids: Vec<String>,
    /// Names of access groups.
    pub groups: Vec<String>,
}

impl Bench {
    /// A bench for a storage server.
    pub fn new(client: Client, server: Entry, wishes: Wishes, stop: Arc<AtomicBool>) -> Bench {
        let abilities = server.property("Abilities").as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or("").to_ascii_uppercase();
        let abilities = abilities.map(|(key, value)| (key.clone(), text(value))).collect();
        let run = format!("{PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..6]);
        Bench {
            client,
            server,
            abilities,
            wishes,
            stop,
            run,
            made: Mutex::default(),
            before: Default::default(),
            stage: Default::default(),
        }
    }

    /// What was made so far.
    pub fn made(&self) -> MutexGuard<'_, Made> {
        // Pushing is all that is done under the lock.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that nothing else has.
    pub fn name(&self, what: &str) -> String {
        let mut made = self.made();
        made.count += 1;
        format!("{}-{what}{}", self.run, made.count)
    }

    /// The elements that were there when this was first asked, before anything was made.
    pub async fn begun(&self) -> Result<BTreeMap<String, Value>, Stop> {
        self.before.get_or_try_init(|| super::array::elements::census(self)).await.cloned()
    }

    /// Whether Ctrl-C was pressed.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The value of an ability; empty where the plug-in does not tell.
    pub fn ability(&self, key: &str) -> &str {
        self.abilities.get(key).map_or("", String::as_str)
    }

    /// Goes on only where the ability is there.
    pub fn need(&self, key: &str) -> Result<(), Stop> {
        match self.ability(key) {
            value @ ("UNSUPPORTED" | "NO" | "INVALID") => Err(Stop::Skip(format!("{key} is {value}"))),
            _ => Ok(()),
        }
    }

    /// Asks an object for a command and waits for the operation's end; the progress it showed goes
    /// to `progress`.
    pub async fn watch(
        &self,
        on: &Entry,
        object: Object,
        name: &str,
        args: Value,
        progress: &mut Vec<i64>,
    ) -> Result<Answer, Stop> {
        if self.stopped() {
            return Err(Stop::Interrupted);
        }
        self.carry_out(on, object, name, args, progress).await
    }

    /// As [`Bench::watch`], also after Ctrl-C: for what cleans up.
    pub async fn carry_out(
        &self,
        on: &Entry,
        object: Object,
        name: &str,
        args: Value,
        progress: &mut Vec<i64>,
    ) -> Result<Answer, Stop> {
        let Some(row) = command(object, name) else {
            return Err(Stop::Fail(format!("the agent has no command {name}")));
        };
        let args: Map<String, Value> = args.as_object().cloned().unwrap_or_default();
        let operation = match self.client.submit(&on.path, interface(object), row, &args).await {
            Ok(operation) => operation,
            Err(failure) if failure.status == UNREACHABLE => return Err(Stop::Gone(failure)),
            Err(failure) => return Ok(Err(failure.error)),
        };
        let deadline = Instant::now() + self.wishes.timeout;
        let already = self.stopped();
        let mut stopped_at: Option<Instant> = None;
        loop {
            match self.client.call(&operation, "Operation", "Wait", &200_u64).await {
                Ok(reply) => {
                    let text: String = reply
                        .body()
                        .deserialize()
                        .map_err(|error| Stop::Gone(Failure::answer("Wait", error)))?;
                    return Ok(Ok(serde_json::from_str(&text).unwrap_or(Value::Null)));
                }
                Err(failure) if failure.status == IN_PROGRESS => {}
                Err(failure) if failure.status == UNREACHABLE => return Err(Stop::Gone(failure)),
                Err(failure) => return Ok(Err(failure.error)),
            }
            let seen = self.client.property(&operation, "Operation", "Progress").await.map_err(Stop::Gone)?;
            progress.extend(seen.as_i64().filter(|percent| *percent >= 0));
            if self.stopped() && !already {
                stopped_at.get_or_insert_with(Instant::now);
            }
            let late = Instant::now() > deadline;
            if late || stopped_at.is_some_and(|at| at.elapsed() > GRACE) {
                let _ = self.client.call(&operation, "Operation", "Cancel", &()).await;
                let message = format!("it has not ended within {} s", self.wishes.timeout.as_secs());
                return if late {
                    Ok(Err(Error::new(Kind::Timeout, message)))
                } else {
                    Err(Stop::Interrupted)
                };
            }
        }
    }

    /// Asks the storage server.
    pub async fn ask(&self, name: &str, args: Value) -> Result<Answer, Stop> {
        self.watch(&self.server, Object::Server, name, args, &mut Vec::new()).await
    }

    /// Asks an element.
    pub async fn element(&self, on: &Entry, name: &str, args: Value) -> Result<Answer, Stop> {
        self.watch(on, Object::Element, name, args, &mut Vec::new()).await
    }

    /// Asks a file system.
    pub async fn file_system(&self, on: &Entry, name: &str, args: Value) -> Result<Answer, Stop> {
        self.watch(on, Object::FileSystem, name, args, &mut Vec::new()).await
    }

    /// Everything on the storage server.
    pub async fn contents(&self) -> Result<Contents, Stop> {
        self.client.contents(&self.server).await.map_err(Stop::Gone)
    }

    /// Everything on the storage server, listed afresh.
    pub async fn refreshed(&self) -> Result<Contents, Stop> {
        done("refresh", self.ask("refresh", json!({})).await?)?;
        self.contents().await
    }

    /// The storage server's record as it is now.
    pub async fn record(&self) -> Result<Value, Stop> {
        self.client.property(&self.server.path, "StorageServer", "Record").await.map_err(Stop::Gone)
    }

    /// The volume group that elements are made in: its name and free space, where there are any.
    pub async fn vol_group(&self) -> Result<Option<(String, i64)>, Stop> {
        let record = self.record().await?;
        let groups = record["vol_groups"].as_array().cloned().unwrap_or_default();
        let group = |group: &Value| {
            Some((group["vol_name"].as_str()?.to_owned(), group["vol_free_sz"].as_i64().unwrap_or(-1)))
        };
        let groups = groups.iter().filter_map(group);
        Ok(match &self.wishes.vol_group {
            Some(name) => groups.into_iter().find(|group| group.0 == *name).or(Some((name.clone(), -1))),
            None => groups.max_by_key(|group| group.1),
        })
    }
}

/// What an operation answered, which had to succeed.
pub fn done(what: &str, answer: Answer) -> Result<Value, Stop> {
    answer.map_err(|error| Stop::Fail(format!("{what}: {}", said(&error))))
}

/// As [`done`], where the plug-in may not have the method at all.
pub fn optional(what: &str, answer: Answer) -> Result<Value, Stop> {
    match answer {
        Err(error) if error.kind() == Kind::NoSuchOperation => Err(Stop::Skip(said(&error))),
        answer => done(what, answer),
    }
}

/// What cannot be an honest refusal.
const FAULTS: [Kind; 5] =
    [Kind::PluginFault, Kind::WorkerDied, Kind::Timeout, Kind::Internal, Kind::PluginUnavailable];

/// An operation that had to be refused, in one of these ways or in any honest one.
pub fn refused(what: &str, answer: Answer, kinds: &[Kind]) -> Verdict {
    match answer {
        Ok(_) => Err(Stop::Fail(format!("{what} was accepted"))),
        Err(error) if FAULTS.contains(&error.kind()) => {
            Err(Stop::Fail(format!("{what} was not refused with an exception of the API: {}", said(&error))))
        }
        Err(error) if !kinds.is_empty() && !kinds.contains(&error.kind()) => {
            let wanted: Vec<&str> = kinds.iter().map(|kind| kind.row().name).collect();
            Err(Stop::Fail(format!("{what} was not refused with {}: {}", wanted.join(" or "), said(&error))))
        }
        Err(error) => Ok(format!("{what}: {}", error.kind().row().name)),
    }
}

/// An error in one line.
pub fn said(error: &Error) -> String {
    format!("{}: {}", error.kind().row().name, error.message())
}

/// A check's own condition.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Fail(otherwise())) }
}

/// A list in an answer.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
