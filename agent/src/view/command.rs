//! A write to a control file, from its bytes to the errno it returns with.

use std::time::Duration;

use fsview::{Outcome, Target as Place, Verb};
use serde_json::Value;
use tokio::sync::watch;

use crate::command::{Command, FILE_CONTROL, Object, command};
use crate::error::{Error, Kind, Result};
use crate::inventory::{Caller, Operation, State, Target};
use crate::operation;
use crate::service::{Agent, Request};

/// How long a write waits for the tree to show what it did.
const SHOWN_WAIT: Duration = Duration::from_secs(2);

/// Where control files hand their requests in.
pub struct Door {
    agent: Agent,
    runtime: tokio::runtime::Handle,
    shown: watch::Receiver<u64>,
}

impl Door {
    /// A door to `agent`; `shown` follows with the number of the last change that the tree shows.
    pub fn new(agent: Agent, shown: watch::Receiver<u64>) -> Door {
        Door { agent, runtime: tokio::runtime::Handle::current(), shown }
    }

    /// Takes a write; `begun` is called when it is in the journal, `done` when it may return.
    pub fn command(
        &self,
        write: fsview::Request,
        begun: Box<dyn FnOnce() + Send>,
        done: Box<dyn FnOnce(Outcome) + Send>,
    ) {
        let agent = self.agent.clone();
        let mut shown = self.shown.clone();
        self.runtime.spawn(async move {
            let outcome = carry_out(&agent, write, begun).await;
            // Whoever sees the write return must see its effect in the tree as well.
            let seq = agent.snapshot().seq;
            // A tree that is stuck, or gone, must not keep the writer.
            let _ = tokio::time::timeout(SHOWN_WAIT, shown.wait_for(|shown| *shown >= seq)).await;
            done(outcome);
        });
    }
}

async fn carry_out(agent: &Agent, write: fsview::Request, begun: Box<dyn FnOnce() + Send>) -> Outcome {
    let nonblock = write.nonblock;
    let submitted = match request(write) {
        Ok(request) => agent.submit_and_tell(request, begun).await,
        Err(error) => Err(error),
    };
    let operation = match submitted {
        Ok(operation) => operation,
        Err(error) => return failed(&error, None),
    };
    let op = operation.to_string();
    if nonblock {
        return Outcome::Started { op };
    }
    match agent.wait(operation, agent.write_wait()).await {
        Ok(result) => done(&result, op),
        Err(error) if error.kind() == Kind::InProgress => Outcome::InProgress { op },
        Err(error) => failed(&error, Some(op)),
    }
}

/// What came of an operation that has ended.
pub fn outcome(operation: &Operation) -> Option<Outcome> {
    let op = operation.id.to_string();
    match (operation.state, &operation.error) {
        (State::Queued | State::Running, _) => None,
        (_, Some(error)) => Some(failed(error, Some(op))),
        (_, None) => Some(done(operation.result.as_ref().unwrap_or(&Value::Null), op)),
    }
}

fn done(result: &Value, op: String) -> Outcome {
    let message = if result.is_null() { String::new() } else { result.to_string() };
    Outcome::Done { op: Some(op), message }
}

fn failed(error: &Error, op: Option<String>) -> Outcome {
    Outcome::Failed { errno: error.errno(), message: format!("{}: {error}", error.kind().row().name), op }
}

/// The object whose commands a control file of `place` stands for.
fn object(place: &Place) -> Object {
    match place {
        Place::Agent => Object::Manager,
        Place::Server(_) => Object::Server,
        Place::Element { .. } => Object::Element,
        Place::FileSystem { .. } => Object::FileSystem,
        Place::Operation(_) => Object::Operation,
    }
}

fn target(place: &Place) -> Result<Target> {
    let uuid = |text: &str| text.parse().map_err(|_| Error::not_found(format!("there is no {text}")));
    Ok(match place {
        Place::Agent => Target::Manager,
        Place::Server(ss) => Target::Server(uuid(ss)?),
        Place::Element { ss, se } => Target::Element(uuid(ss)?, se.clone()),
        Place::FileSystem { ss, fs } => Target::FileSystem(uuid(ss)?, fs.clone()),
        Place::Operation(op) => Target::Operation(uuid(op)?),
    })
}

fn request(write: fsview::Request) -> Result<Request> {
    let target = target(&write.target)?;
    let (command, args) = if write.verb.as_str() == FILE_CONTROL {
        operation::file_control(&write.payload)?
    } else {
        let command = row(&write.target, write.verb)?;
        (command, operation::parse_words(command, &write.payload)?)
    };
    let pid = (write.caller.pid != 0).then_some(write.caller.pid);
    Ok(Request { target, command, args, caller: Caller { uid: write.caller.uid, pid, door: "tree" } })
}

fn row(place: &Place, verb: Verb) -> Result<&'static Command> {
    command(object(place), verb.as_str())
        .ok_or_else(|| Error::new(Kind::NoSuchOperation, format!("there is no command {}", verb.as_str())))
}

/// What reading a control file says about its use.
pub fn usage(place: &Place, verb: Verb) -> String {
    if verb.as_str() == FILE_CONTROL {
        return operation::file_usage();
    }
    row(place, verb).map(operation::usage).unwrap_or_default()
}
