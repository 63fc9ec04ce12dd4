//! A worker: the warm process that has imported one plug-in module and forks a process for each
//! call. Nothing a call does reaches the next one, and a hang or a crash ends one call.

mod call;
mod child;
mod output;
mod redact;
mod report;
mod spawn;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::interpreter::Interpreter;
use redact::Redactor;
use report::Status;

pub use call::{Job, Outcome, run};
pub use report::Ready;

/// A status line is a description of classes; beyond this it is something else.
const STATUS_BYTES: u64 = 8 << 20;

/// What a worker is started with.
pub struct Setup<'a> {
    /// `vendor.module`.
    pub module: &'a str,
    /// The plug-in directory it is in.
    pub plugin_dir: &'a Path,
    /// The SDK.
    pub sdk: &'a Path,
    /// Where its socket goes.
    pub sockets: &'a SocketDir,
    /// How long importing it may take.
    pub deadline: Duration,
}

/// Why a module cannot be served under an interpreter.
#[derive(Debug)]
pub struct Failure {
    /// In words, with file and line.
    pub reason: String,
    /// Whether it just did not end: trying another interpreter would take as long.
    pub hung: bool,
}

/// A running worker. Dropping it ends the process once its calls have ended.
pub struct Worker {
    /// `vendor.module`.
    pub module: String,
    /// What it runs under.
    pub interpreter: Interpreter,
    pid: i32,
    pidfd: Arc<OwnedFd>,
    socket: PathBuf,
    /// Its end, in words.
    dead: watch::Receiver<Option<String>>,
    /// Whether it has been waited for, so that its number may be somebody else's.
    reaped: Arc<Mutex<bool>>,
    /// Whether it ever printed to standard output.
    printed: watch::Receiver<bool>,
    redactor: Arc<Redactor>,
    serves: AtomicBool,
}

/// The directory of the workers' sockets, reachable however long its path is: a socket's own
/// address has room for 107 bytes.
pub struct SocketDir {
    dir: std::fs::File,
    next: AtomicU64,
}

impl SocketDir {
    /// The directory at `path`, which is the agent's alone.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<SocketDir> {
        Ok(SocketDir { dir: std::fs::File::open(path)?, next: AtomicU64::new(1) })
    }

    fn next_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("/proc/self/fd/{}/{number}", self.dir.as_raw_fd()).into()
    }
}

impl Worker {
    /// Starts a worker and waits until it has imported its module.
    ///
    /// # Errors
    /// Why it cannot serve; nothing of it is left then.
    pub async fn start(
        setup: &Setup<'_>,
        interpreter: &Interpreter,
    ) -> Result<(Arc<Worker>, Ready), Failure> {
        let failure = |reason: String| Failure { reason, hung: false };
        let (worker, status) = Worker::spawn(setup, interpreter)
            .map_err(|error| failure(format!("its process cannot be started: {error}")))?;
        let line = tokio::time::timeout(setup.deadline, read_status(status)).await;
        let line = match line {
            Err(_) => {
                let reason = format!(
                    "importing {} did not end within {}",
                    setup.module,
                    humantime::format_duration(setup.deadline)
                );
                return Err(Failure { reason, hung: true });
            }
            Ok(Err(error)) => return Err(failure(format!("its status cannot be read: {error}"))),
            Ok(Ok(line)) => line,
        };
        match serde_json::from_slice(&line) {
            Ok(Status::Ready(ready)) => {
                worker.serves.store(true, Ordering::Relaxed);
                Ok((Arc::new(worker), ready))
            }
            Ok(Status::Failed(failed)) => Err(failure(failed.to_string())),
            Err(_) if line.is_empty() => {
                let end = tokio::time::timeout(Duration::from_secs(2), worker.died()).await;
                let end = end.unwrap_or_else(|_| "closed its status pipe".into());
                Err(failure(format!("its process {end} while {} was imported", setup.module)))
            }
            Err(error) => Err(failure(format!("its status is not understood: {error}"))),
        }
    }

    fn spawn(setup: &Setup<'_>, interpreter: &Interpreter) -> io::Result<(Worker, pipe::Receiver)> {
        let socket = setup.sockets.next_path();
        let listener = UnixListener::bind(&socket)?.into_std()?;
        // The worker decides for itself whether accepting blocks.
        listener.set_nonblocking(false)?;
        let script = setup.sdk.join("osc_worker.py");
        let words = ["-E", "-s", "-B", "-u"].map(OsStr::new);
        let options = [
            script.as_os_str(),
            OsStr::new("--module"),
            OsStr::new(setup.module),
            OsStr::new("--dir"),
            setup.plugin_dir.as_os_str(),
            OsStr::new("--sdk"),
            setup.sdk.as_os_str(),
        ];
        let arguments: Vec<&OsStr> = words.into_iter().chain(options).collect();
        let process = spawn::spawn(&interpreter.path, &arguments, listener.as_fd());
        let process = process.inspect_err(|_| drop(std::fs::remove_file(&socket)))?;

        let pidfd = Arc::new(process.pidfd);
        let reaped = Arc::new(Mutex::new(false));
        let (dead_sender, dead) = watch::channel(None);
        let (printed_sender, printed) = watch::channel(false);
        let redactor = Arc::new(Redactor::default());
        let worker = Worker {
            module: setup.module.to_owned(),
            interpreter: interpreter.clone(),
            pid: process.pid,
            pidfd: pidfd.clone(),
            socket: socket.clone(),
            dead,
            reaped: reaped.clone(),
            printed,
            redactor: redactor.clone(),
            serves: AtomicBool::new(false),
        };
        let exit = spawn::watch_exit(pidfd)?;
        let pid = process.pid;
        tokio::spawn(async move {
            let status = wait(&exit, pid, &reaped).await;
            // It may be gone with the whole run directory.
            let _ = std::fs::remove_file(&socket);
            dead_sender.send_replace(Some(spawn::in_words(status)));
        });
        let stdout = pipe::Receiver::from_owned_fd(process.stdout.into())?;
        let stderr = pipe::Receiver::from_owned_fd(process.stderr.into())?;
        let module = &worker.module;
        output::drain(stdout, "standard output", module, redactor.clone(), Some(printed_sender));
        output::drain(stderr, "standard error", module, redactor, None);
        Ok((worker, pipe::Receiver::from_owned_fd(process.status.into())?))
    }

    /// Waits for the end of the process, and says in words how it ended.
    pub async fn died(&self) -> String {
        let mut dead = self.dead.clone();
        match dead.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or_default(),
            Err(_) => "ended".into(),
        }
    }

    /// Waits until something has been printed to standard output.
    pub async fn printed(&self) {
        if self.printed.clone().wait_for(|printed| *printed).await.is_err() {
            // It ended without having printed anything.
            std::future::pending().await
        }
    }

    /// Tells the process to end once the calls that it serves have ended.
    pub fn retire(&self) {
        spawn::pidfd_signal(self.pidfd.as_fd(), Signal::SIGTERM);
    }

    /// Ends the process and everything that its calls have started at once.
    pub fn kill(&self) {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*reaped {
            // It would have done so itself; who has left its session, nobody else would find.
            spawn::pidfd_signal(self.pidfd.as_fd(), Signal::SIGSTOP);
            spawn::kill_descendants(self.pid);
            // SAFETY: two numbers; the group is the child's own, which has not been waited for.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
        }
        spawn::pidfd_signal(self.pidfd.as_fd(), Signal::SIGKILL);
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.socket).await
    }

    /// Whether a process is one that this worker forked.
    fn is_parent_of(&self, pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything; state and parent follow it.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        parent.and_then(|word| word.parse().ok()) == Some(self.pid)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.serves.load(Ordering::Relaxed) { self.retire() } else { self.kill() }
    }
}

async fn wait(exit: &AsyncFd<Arc<OwnedFd>>, pid: i32, reaped: &Mutex<bool>) -> i32 {
    loop {
        let readable = exit.readable().await;
        let mut reaped = reaped.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status = 0;
        // SAFETY: `pid` is a child that nobody else waits for, and `status` outlives the call.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } != 0 {
            *reaped = true;
            return status;
        }
        if let Ok(mut guard) = readable {
            guard.clear_ready();
        }
    }
}

async fn read_status(pipe: pipe::Receiver) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // The worker closes the pipe after its line; whoever else holds it open is not waited for.
    let mut pipe = pipe.take(STATUS_BYTES);
    while !line.ends_with(b"\n") && pipe.read_buf(&mut line).await? > 0 {}
    Ok(line)
}
