//! What each of the workers does in one round.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use serde_json::Value;
use tests::array::PLUGIN;

use crate::campaign::Seen;

/// How many of the newest operations are looked through for one.
const NEWEST: usize = 100;

/// Reads one record, at once or in two pieces.
pub fn read(elements: &[PathBuf], round: usize, seen: &Seen) {
    let file = elements[round % elements.len()].join("record");
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(&file)?;
        let mut text = String::new();
        if round.is_multiple_of(5) {
            let mut head = [0; 100];
            let size = file.read(&mut head)?;
            text.push_str(&String::from_utf8_lossy(&head[..size]));
            std::thread::sleep(std::time::Duration::from_millis(3));
        }
        file.read_to_string(&mut text)?;
        Ok(text)
    };
    match current(read, || seen.count("versions gone")) {
        Ok(text) if is_whole(&text, &format!("steady-{}", round % elements.len())) => {
            seen.count("records read")
        }
        Ok(text) => seen.wrong(format!("a wrong record: {text}")),
        Err(error) => seen.wrong(format!("reading a record: {error}")),
    }
}

/// What is read, anew where the version that was opened died with its process.
fn current(mut read: impl FnMut() -> std::io::Result<String>, gone: impl Fn()) -> std::io::Result<String> {
    loop {
        match read() {
            Err(error) if error.raw_os_error() == Some(Errno::ESTALE as i32) => gone(),
            text => return text,
        }
    }
}

fn is_whole(text: &str, name: &str) -> bool {
    let record: Result<Value, _> = serde_json::from_str(text);
    text.ends_with('\n') && record.is_ok_and(|record| record["name"] == name && record["ss_uuid"].is_string())
}

/// Lists the elements: those that stay must be there.
pub fn list(dir: &Path, steady: &[PathBuf], seen: &Seen) {
    match std::fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => {
            let missing =
                steady.iter().filter(|one| entries.iter().all(|entry| entry.path() != **one)).count();
            if missing > 0 {
                seen.wrong(format!("a listing without {missing} elements"));
            }
            seen.count("listings");
        }
        Err(error) => seen.wrong(format!("listing elements: {error}")),
    }
}

/// Walks through everything.
pub fn find(root: &Path, server: &str, steady: usize, seen: &Seen) {
    let mut command = Command::new("find");
    command.arg(root).args(["-ignore_readdir_race", "-path", "*/se/*/record"]);
    let found = command.output().expect("find runs");
    let said = String::from_utf8_lossy(&found.stderr);
    // What comes and goes may go while it is walked through: other servers, snapshots, and plug-ins where loading them
    // takes long. What stays is counted.
    let went = |line: &str| line.contains("No such file") || line.contains("Stale file handle");
    let said: Vec<_> = said
        .lines()
        .filter(|line| !went(line) || (line.contains(server) && !line.contains("/se/")))
        .collect();
    let said = said.join("; ");
    if found.stdout.split(|byte| *byte == b'\n').count() <= steady {
        seen.wrong(format!("find found too little; {said}"));
    }
    if !said.is_empty() {
        seen.wrong(format!("find: {said}"));
    }
    seen.count("walks");
}

/// Reads what no cache has.
pub fn ask(root: &Path, server: &Path, round: usize, seen: &Seen) {
    let file = match round % 3 {
        0 => server.join("state"),
        1 => root.join("events"),
        _ => root.join("register"),
    };
    match std::fs::read_to_string(&file) {
        Ok(text) if round % 3 == 2 && text.contains("plugin") => seen.count("control files read"),
        Ok(text)
            if round % 3 != 2
                && text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok())
                && text.is_empty() | text.ends_with('\n') =>
        {
            seen.count("control files read");
        }
        Ok(text) => seen.wrong(format!("{} says {text}", file.display())),
        Err(error) => {
            seen.wrong(format!("reading {}: {error}", file.file_name().unwrap_or_default().display()))
        }
    }
}

/// A request to a control file. False where the writer was told that it is still in progress, and then found it under `op/`.
fn write(
    root: &Path,
    control: &Path,
    request: &str,
    is_it: impl Fn(&Value) -> bool,
    seen: &Seen,
) -> Option<bool> {
    match std::fs::write(control, request) {
        Ok(()) => Some(true),
        Err(error) if error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {
            seen.count("told in progress");
            if operation(root, &is_it).is_none() {
                let later = operation(root, &is_it).is_some();
                seen.wrong(format!("in progress, and no operation: {request} (found later: {later})"));
            }
            Some(false)
        }
        Err(error) => {
            let told = std::fs::read_to_string(control).unwrap_or_default();
            let last = told.lines().last().unwrap_or_default();
            let verb = control.file_name().unwrap_or_default().display().to_string();
            seen.wrong(format!("{verb}: {error}: {last}"));
            None
        }
    }
}

/// Takes a snapshot, and removes an older one.
pub fn snapshot(root: &Path, server: &Path, element: &Path, name: &str, mine: &mut Vec<String>, seen: &Seen) {
    let named = |name: &str| server.join("se-by-name").join(name);
    let is_it = |op: &Value| op["args"]["name"] == name;
    match write(root, &element.join("snapshot"), name, is_it, seen) {
        Some(true) => {
            seen.count("snapshots");
            seen.settled(name, Some(true));
            mine.push(name.to_owned());
            match std::fs::read_to_string(named(name).join("record")) {
                Ok(text) if is_whole(&text, name) => {}
                other => seen.wrong(format!("a snapshot that was made reads {other:?}")),
            }
        }
        _ => seen.settled(name, None),
    }
    if mine.len() > 2 {
        let oldest = mine.remove(0);
        let Ok(element) = std::fs::canonicalize(named(&oldest)) else {
            return seen.wrong("a snapshot that was made has no name any more");
        };
        let id = element.file_name().unwrap_or_default().display().to_string();
        let is_it = |op: &Value| {
            op["command"] == "remove" && op["target"].as_str().is_some_and(|at| at.ends_with(&id))
        };
        match write(root, &element.join("remove"), "now", is_it, seen) {
            Some(true) => {
                seen.count("removals");
                seen.settled(&oldest, Some(false));
                if named(&oldest).exists() {
                    seen.wrong("a snapshot that was removed still has its name");
                }
            }
            _ => seen.settled(&oldest, None),
        }
    }
}

/// Registers a storage server where it is not, unregisters it where it is.
pub fn register(root: &Path, record: &Value, seen: &Seen) {
    let name = record["name"].as_str().unwrap_or_default();
    let server = root.join("by-name").join(name);
    if let Ok(server) = std::fs::canonicalize(&server) {
        let id = server.file_name().unwrap_or_default().display().to_string();
        let is_it = |op: &Value| {
            op["command"] == "unregister" && op["target"].as_str().is_some_and(|at| at.ends_with(&id))
        };
        if write(root, &server.join("unregister"), "now", is_it, seen) == Some(true) {
            seen.count("unregistrations");
            if root.join("by-name").join(name).exists() {
                seen.wrong("a server that was unregistered still has its name");
            }
        }
        return;
    }
    let request = serde_json::json!({"plugin": PLUGIN, "record": record}).to_string();
    let is_it = |op: &Value| op["args"]["record"]["name"] == name;
    if write(root, &root.join("register"), &request, is_it, seen) == Some(true) {
        seen.count("registrations");
        if !server.join("record").exists() {
            seen.wrong("a lost registration");
        }
    }
}

/// Every operation, the newest first. What is forgotten meanwhile is left out.
pub fn operations(root: &Path) -> impl Iterator<Item = Value> {
    let dir = root.join("op");
    let listed = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let mut ids: Vec<_> = listed.map(|entry| entry.file_name()).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.into_iter().filter_map(move |id| {
        let record = dir.join(id).join("record");
        let text = current(|| std::fs::read_to_string(&record), || {}).ok()?;
        serde_json::from_str(&text).ok()
    })
}

/// The newest operation of which that is true.
pub fn operation(root: &Path, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
    operations(root).take(NEWEST).find(is_it)
}
