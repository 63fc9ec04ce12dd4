//! A plug-in on strings: it writes down how it is called, and does what a test's script says.

use std::path::PathBuf;

use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::install;
use tests::need::Python;

/// The password of every puppet's registration.
pub const SECRET: &str = "hunter2-hunter2";

/// An agent that is not running yet, with the puppets under `python`.
pub fn prepare(python: Python) -> Agent {
    let mut agent = Agent::prepare();
    install(&agent, "puppet/stage");
    let path = python.path().expect("the test needs it").display().to_string();
    agent.configure(&format!("import_deadline = 30\n[interpreters]\n\"puppet.stage\" = {path:?}\n"));
    agent
}

/// A running agent with the puppets under `python`.
pub fn agent(python: Python) -> Agent {
    let mut agent = prepare(python);
    agent.launch();
    agent
}

/// One registered puppet.
pub struct Puppet {
    /// Its name.
    pub name: String,
    /// Its directory in the tree.
    pub server: PathBuf,
    home: PathBuf,
}

impl Puppet {
    /// A puppet that is not registered yet: `name`'s strings, to be laid out beforehand.
    pub fn strings(agent: &Agent, name: &str) -> Puppet {
        let home = agent.home().join("strings").join(name);
        std::fs::create_dir_all(&home).expect("the test's directory can be written");
        Puppet { name: name.to_owned(), server: agent.root().join("by-name").join(name), home }
    }

    /// Registers a puppet of the class `Array.Array`, `Files.Files`, ….
    #[track_caller]
    pub fn register(agent: &Agent, class: &str, name: &str) -> Puppet {
        let puppet = Puppet::strings(agent, name);
        agent.register(&plugin(class), &puppet.record(class));
        puppet
    }

    /// The record to register it with.
    pub fn record(&self, class: &str) -> Value {
        let ty = if class.starts_with("Files") { "NetworkFS" } else { "SAN" };
        json!({
            "name": self.name, "storage_type": ty, "admin_host": "h", "admin_user": "u", "admin_passwd": SECRET,
            "refresh_interval": 0, "extra_info": self.home,
        })
    }

    /// Lays out the script of a method: Python, with the arguments and `answer` as names.
    pub fn script(&self, method: &str, python: &str) {
        let file = self.home.join(format!("{method}.py"));
        let fresh = self.home.join(format!(".{method}"));
        std::fs::write(&fresh, python).expect("the test's directory can be written");
        std::fs::rename(fresh, file).expect("the test's directory can be written");
    }

    /// Takes a script away.
    pub fn unscript(&self, method: &str) {
        let _ = std::fs::remove_file(self.home.join(format!("{method}.py")));
    }

    /// The directory that its scripts are in, their `home`.
    pub fn strings_dir(&self) -> &std::path::Path {
        &self.home
    }

    /// What it noted so far.
    pub fn notes(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home.join("calls")).unwrap_or_default();
        let line = |line: &str| serde_json::from_str(line).expect("the puppet writes JSON");
        text.lines().map(line).collect()
    }

    /// How `method` was called, from the note of that number on.
    pub fn calls(&self, method: &str, from: usize) -> Vec<Value> {
        let notes = self.notes();
        notes[from..]
            .iter()
            .filter(|note| note["method"] == method)
            .map(|note| note["args"].clone())
            .collect()
    }
}

/// The implementation name of a puppet's class.
pub fn plugin(class: &str) -> String {
    format!("puppet.stage.{class}")
}
