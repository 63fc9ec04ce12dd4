//! An operation as the inventory shows it: identity, state, progress and result at one moment.

use std::time::SystemTime;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::command::Command;
use crate::error::Error;

/// What an operation works on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The agent itself (registering).
    Manager,
    /// A storage server.
    Server(Uuid),
    /// A storage element: its server and its id.
    Element(Uuid, std::sync::Arc<str>),
    /// A file system: its server and its id.
    FileSystem(Uuid, std::sync::Arc<str>),
    /// Another operation (cancelling).
    Operation(Uuid),
}

/// Who asked, and through which door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User id.
    pub uid: u32,
    /// Process id, where the door knows it.
    pub pid: Option<u32>,
    /// `tree`, `dbus` or `agent`.
    pub door: &'static str,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Journaled, waiting for its turn.
    Queued,
    /// Its plug-in works on it.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
    /// The agent ended first; the next refresh tells what came of it.
    Interrupted,
}

impl State {
    /// The state's name in records and on D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<State> {
        use State::*;
        [Queued, Running, Succeeded, Failed, Cancelled, Interrupted]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// Whether nothing more will happen.
    pub fn ended(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

/// One operation at one moment.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id, a UUIDv7: sorted by id is sorted by age.
    pub id: Uuid,
    /// What it works on.
    pub target: Target,
    /// What it does.
    pub command: &'static Command,
    /// What it was asked with, without secrets.
    pub args: Value,
    /// Who asked.
    pub caller: Caller,
    /// The implementation name of the plug-in that does it.
    pub plugin: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How far it is, in percent, where that is known.
    pub progress: Option<u8>,
    /// When it was accepted.
    pub created: SystemTime,
    /// When it ended.
    pub ended: Option<SystemTime>,
    /// What came of it, in public form: records, or whatever the method answers.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<Error>,
}

impl Operation {
    /// The object it works on, as paths in the tree name it: `/ss/<uuid>/se/<id>`.
    pub fn target_path(&self) -> String {
        match &self.target {
            Target::Manager => "/".into(),
            Target::Server(ss) => format!("/ss/{ss}"),
            Target::Element(ss, id) => format!("/ss/{ss}/se/{id}"),
            Target::FileSystem(ss, id) => format!("/ss/{ss}/fs/{id}"),
            Target::Operation(op) => format!("/op/{op}"),
        }
    }

    /// The operation as one JSON object (`op/<id>/record`, `oscctl op show`, D-Bus `Record`).
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "command": self.command.name,
            "target": self.target_path(),
            "args": self.args,
            "state": self.state.as_str(),
            "progress": self.progress,
            "plugin": self.plugin,
            "uid": self.caller.uid,
            "pid": self.caller.pid,
            "door": self.caller.door,
            "created": rfc3339(self.created),
            "ended": self.ended.map(rfc3339),
            "result": self.result,
            "error": self.error.as_ref().map(Error::to_json),
        })
    }
}

/// A moment as RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
