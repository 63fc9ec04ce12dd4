//! What can be said of a module without calling it: layout, and what `osc_check.py` of the SDK
//! finds under every interpreter of this host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::report::Outcome;
use crate::cli::failure::{Failure, Outcome as Done};
use crate::plugin::assets;
use crate::plugin::interpreter::{Interpreter, Interpreters, SAFE_PATH};
use crate::plugin::version;

/// How long one interpreter may take for a module.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plug-in module in a directory.
#[derive(Clone, Debug)]
pub struct Module {
    /// `<vendor>.<plugin-module>`.
    pub name: String,
    /// The plug-in directory, above the vendor's.
    pub dir: PathBuf,
}

impl Module {
    /// The module that a path names: its directory, or a file in it.
    ///
    /// # Errors
    /// Bad usage when it is not there.
    pub fn at(path: &Path) -> Done<Module> {
        let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
        let real = path.canonicalize().map_err(|error| wrong(&error))?;
        let folder = if real.is_dir() { real.as_path() } else { real.parent().unwrap_or(&real) };
        let part = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let (module, vendor) = (part(folder), folder.parent().and_then(part));
        let dir = folder.parent().and_then(Path::parent);
        match (vendor, module, dir) {
            (Some(vendor), Some(module), Some(dir)) => {
                Ok(Module { name: format!("{vendor}.{module}"), dir: dir.to_owned() })
            }
            _ => Err(wrong(&"is no directory VENDOR/MODULE of a plug-in")),
        }
    }

    /// Its own directory.
    pub fn folder(&self) -> PathBuf {
        self.name.split('.').fold(self.dir.clone(), |dir, part| dir.join(part))
    }
}

/// What one interpreter told.
struct Told {
    python: String,
    findings: Vec<(String, Outcome, String)>,
    ran: BTreeSet<String>,
    classes: Vec<Value>,
    /// Stage and reason.
    failed: Option<(String, String)>,
}

/// What all interpreters told of a module.
pub struct Statics {
    module: Module,
    told: Vec<Told>,
}

impl Statics {
    /// Asks every interpreter of this host, and those in `more`.
    ///
    /// # Errors
    /// When there is none, or one of `more` does not count.
    pub async fn gather(module: Module, more: &[PathBuf]) -> Done<Statics> {
        let interpreters = Interpreters::new(&[]);
        let mut found = interpreters.all().await;
        for path in more {
            let interpreter = interpreters.ask(path).await.map_err(Failure::usage)?;
            if !found.contains(&interpreter) {
                found.push(interpreter);
            }
        }
        if found.is_empty() {
            return Err(Failure::local("no check can be made", "no Python runs on this host")
                .hint("install python3, or name one with --python"));
        }
        let sdk = Scratch::new()?;
        assets::unpack_sdk(&sdk.0).map_err(|error| Failure::local("unpacking the SDK", error))?;
        let mut told = Vec::new();
        for interpreter in &found {
            told.push(ask(&module, interpreter, &sdk.0).await);
        }
        Ok(Statics { module, told })
    }

    /// The outcome of the check of that name, with the reason.
    pub fn judge(&self, check: &str) -> (Outcome, String) {
        match check {
            "layout" => self.layout(),
            "compiles" => self.best("compile"),
            "imports" => self.best("import"),
            "version" => self.versions(),
            "api-version" => self.api_versions(),
            _ => self.findings(check),
        }
    }

    fn layout(&self) -> (Outcome, String) {
        let folder = self.module.folder();
        let named = |part: &str| {
            part.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if let Some(part) = self.module.name.split('.').find(|part| !named(part)) {
            return (
                Outcome::Fail,
                format!("{part:?} cannot be the name of a Python module: letters, digits and _ only"),
            );
        }
        if !folder.join("__init__.py").is_file() {
            return (
                Outcome::Fail,
                format!("{} has no __init__.py, which names the plug-ins", folder.display()),
            );
        }
        (Outcome::Pass, format!("{} in {}", self.module.name, self.module.dir.display()))
    }

    /// One interpreter that can is enough; the others are told of.
    fn best(&self, stage: &str) -> (Outcome, String) {
        let reached = |told: &&Told| !(stage == "import" && told.stage() == "compile");
        let fails = |told: &Told| told.stage() == stage;
        let mut able: Vec<&Told> = Vec::new();
        let mut not = Vec::new();
        for told in self.told.iter().filter(reached) {
            match &told.failed {
                Some((_, reason)) if fails(told) => not.push(format!("not under {}: {reason}", told.python)),
                _ => able.push(told),
            }
        }
        let versions: Vec<&str> = able.iter().map(|told| told.python.as_str()).collect();
        match (able.is_empty(), not.is_empty()) {
            (true, true) => (Outcome::Skip, "it compiles under no Python".into()),
            (true, false) => (Outcome::Fail, not.join("; ")),
            (false, _) => {
                not.insert(0, format!("under Python {}", versions.join(" and ")));
                (Outcome::Pass, not.join("; "))
            }
        }
    }

    fn findings(&self, check: &str) -> (Outcome, String) {
        let ran: Vec<&Told> = self.told.iter().filter(|told| told.ran.contains(check)).collect();
        if ran.is_empty() {
            return (Outcome::Skip, "the module could not be loaded".into());
        }
        let mut said: Vec<(Outcome, &str, Vec<&str>)> = Vec::new();
        for told in &ran {
            for (name, outcome, reason) in &told.findings {
                if name != check {
                    continue;
                }
                match said.iter_mut().find(|known| known.1 == reason) {
                    Some(known) => known.2.push(&told.python),
                    None => said.push((*outcome, reason, vec![&told.python])),
                }
            }
        }
        let outcome = match said.iter().map(|one| one.0).collect::<Vec<_>>() {
            all if all.contains(&Outcome::Fail) => Outcome::Fail,
            all if all.is_empty() => Outcome::Pass,
            _ => Outcome::Warn,
        };
        let reason = said
            .iter()
            .map(|(_, reason, under)| match under.len() == ran.len() {
                true => (*reason).to_owned(),
                false => format!("{reason} (under Python {})", under.join(" and ")),
            })
            .collect::<Vec<_>>();
        (outcome, reason.join("; "))
    }

    /// The classes as the first interpreter that loaded them describes them.
    fn classes(&self) -> Option<&[Value]> {
        self.told.iter().find(|told| !told.classes.is_empty()).map(|told| told.classes.as_slice())
    }

    fn versions(&self) -> (Outcome, String) {
        let Some(classes) = self.classes() else { return no_class() };
        let versions: Vec<(&str, &str)> = classes
            .iter()
            .map(|class| {
                (
                    class["impl_name"].as_str().unwrap_or(""),
                    class["attrs"]["plugin_version"].as_str().unwrap_or(""),
                )
            })
            .collect();
        match version::disagreement(&self.module.name, versions.iter().copied()) {
            Some(reason) => (Outcome::Fail, reason),
            None => (Outcome::Pass, versions[0].1.to_owned()),
        }
    }

    fn api_versions(&self) -> (Outcome, String) {
        let Some(classes) = self.classes() else { return no_class() };
        let beyond = |class: &Value| {
            version::beyond(&class["attrs"]["required_api_vers"])
                .map(|why| format!("{}: {why}", class["impl_name"].as_str().unwrap_or("")))
        };
        match classes.iter().filter_map(beyond).collect::<Vec<_>>() {
            none if none.is_empty() => (Outcome::Pass, String::new()),
            some => (Outcome::Fail, some.join("; ")),
        }
    }
}

fn no_class() -> (Outcome, String) {
    (Outcome::Skip, "no class could be loaded".into())
}

impl Told {
    fn stage(&self) -> &str {
        self.failed.as_ref().map_or("", |failed| &failed.0)
    }
}

async fn ask(module: &Module, interpreter: &Interpreter, sdk: &Path) -> Told {
    let mut told = Told {
        python: interpreter.version.clone(),
        findings: Vec::new(),
        ran: BTreeSet::new(),
        classes: Vec::new(),
        failed: None,
    };
    let output = Command::new(&interpreter.path)
        .args(["-E", "-s", "-B", "-u"])
        .arg(sdk.join("osc_check.py"))
        .args(["--module", &module.name, "--dir"])
        .arg(&module.dir)
        .arg("--sdk")
        .arg(sdk)
        .env_clear()
        .env("PATH", SAFE_PATH)
        .env("LANG", "C.UTF-8")
        .env("HOME", "/")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let broken = |why: String| Some(("import".to_owned(), why));
    let output = match tokio::time::timeout(PATIENCE, output).await {
        Err(_) => {
            told.failed = broken(format!("it has not ended its import within {} s", PATIENCE.as_secs()));
            return told;
        }
        Ok(Err(error)) => {
            told.failed = broken(error.to_string());
            return told;
        }
        Ok(Ok(output)) => output,
    };
    let mut whole = false;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if let Some(check) = line["check"].as_str() {
            let outcome = if line["outcome"] == "WARN" { Outcome::Warn } else { Outcome::Fail };
            told.findings.push((check.into(), outcome, line["reason"].as_str().unwrap_or("").into()));
        }
        if let Some(ran) = line["ran"].as_array() {
            whole = true;
            told.ran = ran.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            told.classes = line["classes"].as_array().cloned().unwrap_or_default();
            told.failed = failed(&line["failed"]);
        }
    }
    if !whole {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("");
        told.failed = broken(format!("the interpreter ended with it ({}) {last}", output.status));
    }
    told
}

fn failed(failed: &Value) -> Option<(String, String)> {
    let text = |key: &str| failed[key].as_str().unwrap_or("");
    let place = match (failed["file"].as_str(), failed["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    failed
        .is_object()
        .then(|| (text("stage").to_owned(), format!("{}: {}{place}", text("class"), text("message"))))
}

/// A directory of our own that goes with us.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Done<Scratch> {
        let dir = std::env::temp_dir().join(format!("osc-check-{}", uuid::Uuid::new_v4()));
        assets::make(&dir)
            .map_err(|error| Failure::local(format_args!("making {}", dir.display()), error))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
