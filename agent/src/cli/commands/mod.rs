//! What each command does.

pub(super) mod act;
pub mod announce;
mod call;
mod events;
mod file;
mod op;
mod plugin;
mod server;
mod status;
mod thing;

use serde_json::Value;

use super::args::{Command, Plugin};
use super::check;
use super::client::Client;
use super::doctor;
use super::failure::Outcome;
use super::objects::{Entry, find};
use super::output::Output;

/// A connected agent and where answers go.
pub struct Session {
    /// The agent.
    pub client: Client,
    /// Where answers go.
    pub output: Output,
}

impl Session {
    async fn open(bus: &str, output: Output) -> Outcome<Session> {
        Ok(Session { client: Client::connect(bus, true).await?, output })
    }

    /// The storage server that a word names.
    async fn server(&self, word: &str) -> Outcome<Entry> {
        let root = self.client.root().await?;
        find("storage server", word, &root.servers).cloned()
    }

    /// The storage servers to list: the named one, or all.
    async fn servers(&self, word: Option<&str>) -> Outcome<Vec<Entry>> {
        match word {
            Some(word) => Ok(vec![self.server(word).await?]),
            None => Ok(self.client.root().await?.servers),
        }
    }
}

/// Carries out a command; returns the exit status.
///
/// # Errors
/// Why it could not be done.
pub async fn run(bus: String, output: Output, command: Command) -> Outcome<u8> {
    match command {
        Command::Doctor(args) => return doctor::run(&bus, output, &args).await,
        Command::Announce { words } => announce::run(&bus, words).await,
        Command::Status => status::run(&bus, output).await?,
        Command::Events { follow, since } => events::run(&bus, output, follow, since).await?,
        Command::Plugin(Plugin::Check(args)) => return check::run(&bus, output, &args).await,
        Command::Plugin(command) => plugin::run(&Session::open(&bus, output).await?, command).await?,
        Command::Server(command) => server::run(&bus, output, command).await?,
        Command::Element(command) => thing::element(&bus, output, command).await?,
        Command::Fs(command) => thing::file_system(&bus, output, command).await?,
        Command::File(command) => file::run(&bus, output, command).await?,
        Command::Op(command) => op::run(&Session::open(&bus, output).await?, command).await?,
        Command::Call { object, command, args, wait } => {
            call::run(&Session::open(&bus, output).await?, &object, command.as_deref(), &args, &wait).await?;
        }
        Command::Completions { .. } => {}
    }
    Ok(0)
}

/// A record with more keys behind its own, for `-o json`.
fn with(record: &Value, more: &[(&str, Value)]) -> Value {
    let mut record = record.clone();
    if let Some(map) = record.as_object_mut() {
        for (key, value) in more {
            map.entry(*key).or_insert_with(|| value.clone());
        }
    }
    record
}
