//! The Python interpreters of this host. One counts only once it has answered: a `python2.7` on
//! PATH may be a version manager's shim that refuses to run.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::Semaphore;

/// What a worker's environment holds besides `LANG` and `HOME`.
pub const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Names in the order of preference; `python2` may be a 2.7 as well.
const NAMES: &[&[&str]] = &[&["python3"], &["python2.7", "python2"]];

/// How long a candidate may think.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a refusal is believed: a shim's mind can change without its file changing.
const REFUSAL: Duration = Duration::from_secs(60);

const QUESTION: &str = "import sys; print('%d.%d.%d %s' % (sys.version_info[:3] + (sys.executable,)))";

/// An interpreter that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// The executable itself, not a shim for it.
    pub path: PathBuf,
    /// `3.11.7`.
    pub version: String,
}

impl std::fmt::Display for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Python {} ({})", self.version, self.path.display())
    }
}

/// Finds interpreters and remembers what they answered.
pub struct Interpreters {
    dirs: Vec<PathBuf>,
    answers: Mutex<HashMap<PathBuf, Answer>>,
    /// One is asked at a time, so that modules that load together do not all ask the same.
    turn: Semaphore,
}

#[derive(Clone)]
struct Answer {
    /// Device, inode and time of change: another file is asked again.
    file: (u64, u64, i64, i64),
    at: Instant,
    said: Result<Interpreter, String>,
}

impl Interpreters {
    /// Looks in `first`, then on PATH, then where interpreters are usually installed.
    pub fn new(first: &[PathBuf]) -> Interpreters {
        let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from(SAFE_PATH));
        let mut dirs = first.to_vec();
        dirs.extend(std::env::split_paths(&path));
        dirs.extend(["/usr/local/bin", "/usr/bin", "/opt/bin"].map(PathBuf::from));
        let below_opt = std::fs::read_dir("/opt").into_iter().flatten().flatten();
        let mut below_opt: Vec<_> = below_opt.map(|entry| entry.path().join("bin")).collect();
        below_opt.sort();
        dirs.extend(below_opt);
        dirs.retain(|dir| dir.is_absolute());
        Interpreters { dirs, answers: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// What runs here, best first: a Python 3, then a Python 2.7.
    pub async fn all(&self) -> Vec<Interpreter> {
        let mut found = Vec::new();
        for names in NAMES {
            if let Some(interpreter) = self.first_of(names).await {
                found.push(interpreter);
            }
        }
        found
    }

    async fn first_of(&self, names: &[&str]) -> Option<Interpreter> {
        for name in names {
            for dir in &self.dirs {
                if let Ok(interpreter) = self.ask(&dir.join(name)).await {
                    return Some(interpreter);
                }
            }
        }
        None
    }

    /// Asks one executable what it is.
    ///
    /// # Errors
    /// Why it is not an interpreter that plug-ins can run under.
    pub async fn ask(&self, path: &Path) -> Result<Interpreter, String> {
        // Never closed, so there always is a turn.
        let _turn = self.turn.acquire().await;
        let file = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = (file.dev(), file.ino(), file.ctime(), file.ctime_nsec());
        let known = self.lock().get(path).cloned();
        if let Some(answer) = known
            && answer.file == file
            && (answer.said.is_ok() || answer.at.elapsed() < REFUSAL)
        {
            return answer.said;
        }
        let said = question(path).await;
        if let Err(why) = &said {
            tracing::debug!(interpreter = %path.display(), why, "an interpreter does not count");
        }
        self.lock().insert(path.to_owned(), Answer { file, at: Instant::now(), said: said.clone() });
        said
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Answer>> {
        // Inserting is all that is done under the lock.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn question(path: &Path) -> Result<Interpreter, String> {
    let refuse = |why: String| format!("{} {why}", path.display());
    let output = Command::new(path)
        .args(["-E", "-s", "-c", QUESTION])
        .env_clear()
        .env("PATH", SAFE_PATH)
        .env("LANG", "C.UTF-8")
        .env("HOME", "/")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, output).await {
        Err(_) => return Err(refuse(format!("did not answer within {} s", PATIENCE.as_secs()))),
        Ok(Err(error)) => return Err(refuse(format!("does not run: {error}"))),
        Ok(Ok(output)) => output,
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some((version, executable)) = text.trim().split_once(' ').filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(refuse(format!("does not run: {}", said.lines().next().unwrap_or("it says nothing"))));
    };
    let mut numbers = version.split('.').map_while(|word| word.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(2), Some(7)) => {}
        (Some(3), Some(minor)) if minor >= 6 => {}
        _ => return Err(refuse(format!("is Python {version}; plug-ins run under 2.7, and 3.6 or later"))),
    }
    Ok(Interpreter { path: executable.into(), version: version.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        // By a process of its own: a fork of another test could hold the file open for writing
        // just when it is to be executed.
        let command = "cat > \"$0\" && chmod 755 \"$0\"";
        let mut shell = std::process::Command::new("sh");
        let mut shell = shell.args(["-c", command]).arg(&path).stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    #[tokio::test]
    async fn a_shim_that_refuses_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        script(dir.path(), "python3", "#!/bin/sh\necho 'python3: command not found' >&2\nexit 127\n");
        let second = tempfile::tempdir().unwrap();
        script(second.path(), "python3", "#!/bin/sh\necho 3.12.1 /the/real/python3\n");
        let found = Interpreters::new(&[dir.path().into(), second.path().into()]).all().await;
        assert_eq!(found[0], Interpreter { path: "/the/real/python3".into(), version: "3.12.1".into() });
    }

    #[tokio::test]
    async fn an_answer_is_remembered_until_the_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let asked = dir.path().join("asked");
        let text = format!("#!/bin/sh\necho x >> {}\necho 3.12.1 /p\n", asked.display());
        let path = script(dir.path(), "python3", &text);
        let interpreters = Interpreters::new(&[]);
        interpreters.ask(&path).await.unwrap();
        interpreters.ask(&path).await.unwrap();
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "x\n");
        std::fs::remove_file(&path).unwrap();
        script(dir.path(), "python3", "#!/bin/sh\necho 2.6.6 /p\n");
        let why = interpreters.ask(&path).await.unwrap_err();
        assert!(why.contains("is Python 2.6.6"), "{why}");
    }
}
