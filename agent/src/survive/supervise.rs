//! `oscd --supervise`: a parent that holds the tree's descriptors and starts the agent again when it dies, for where no service manager does.
//!
//! To the agent it is one: it passes what it keeps as systemd does, and takes the same messages. While descriptors are kept, whoever ends
//! gets a successor; an agent that has unmounted its tree has had them let go of, and is the last one. What else the agent says
//! goes on to the service manager of this process, if it has one. One thread, no runtime: it must not be what crashes.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use fsview::Handover;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use tracing::{error, info, warn};

use super::{NAME, REMOVE, SOCKET, STORE, send};

/// How many agents in a row may die before they are ready.
const FAILURES: u32 = 5;
/// How long after the first of these the next is started; twice that after the next.
const PAUSE: Duration = Duration::from_millis(100);
/// The first descriptor passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// The longest message, in bytes.
const MESSAGE: usize = 4096;

const PASSED_ON: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2];

/// Runs this program with `arguments` as the agent, until one of them ends with its tree unmounted. To be called where no other thread of ours is.
pub fn supervise(arguments: Vec<OsString>) -> ExitCode {
    match Supervisor::new(arguments).and_then(Supervisor::run) {
        Ok(code) => code,
        Err(failure) => {
            error!("cannot supervise: {failure}");
            ExitCode::FAILURE
        }
    }
}

struct Supervisor {
    /// The agent's program, where it was found at the start: after an upgrade, the new one is there.
    program: PathBuf,
    arguments: Vec<OsString>,
    home: PathBuf,
    messages: UnixDatagram,
    signals: SignalFd,
    /// Who started this process.
    above: Option<OsString>,
    kept: Vec<(String, OwnedFd)>,
    child: Option<Pid>,
    ready: bool,
    stopping: bool,
    failures: u32,
}

impl Supervisor {
    fn new(arguments: Vec<OsString>) -> io::Result<Self> {
        let mut caught = SigSet::empty();
        PASSED_ON.iter().chain([&Signal::SIGCHLD]).for_each(|signal| caught.add(*signal));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&caught), None)?;
        let signals = SignalFd::with_flags(&caught, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // Mode 0700: nobody else can send to a socket in there.
        let home = nix::unistd::mkdtemp(&std::env::temp_dir().join("oscd-supervise.XXXXXX"))?;
        let messages = UnixDatagram::bind(home.join("notify"))?;
        messages.set_nonblocking(true)?;
        Ok(Self {
            program: std::env::current_exe()?,
            arguments,
            home,
            messages,
            signals,
            above: std::env::var_os(SOCKET),
            kept: Vec::new(),
            child: None,
            ready: false,
            stopping: false,
            failures: 0,
        })
    }

    fn run(mut self) -> io::Result<ExitCode> {
        let mut start_at = Some(Instant::now());
        loop {
            if start_at.is_some_and(|at| Instant::now() >= at) {
                start_at = None;
                self.start()?;
            }
            self.wait(start_at)?;
            while let Ok(Some(info)) = self.signals.read_signal() {
                self.caught(info.ssi_signo);
            }
            self.listen();
            let Some(ended) = self.ended() else {
                if self.stopping && self.child.is_none() {
                    return Ok(ExitCode::SUCCESS);
                }
                continue;
            };
            // What it said last may have come after the look above.
            self.listen();
            let code = match ended {
                WaitStatus::Exited(_, code) => u8::try_from(code).unwrap_or(1),
                _ => 1,
            };
            if self.kept.is_empty() || self.stopping {
                return Ok(ExitCode::from(code));
            }
            self.failures = if self.ready { 0 } else { self.failures + 1 };
            if self.failures > FAILURES {
                error!("{FAILURES} agents in a row ended before they were ready; the tree is taken down");
                return Ok(ExitCode::FAILURE);
            }
            warn!("the agent ended ({ended:?}); another one goes on with its tree");
            let pause = if self.failures == 0 { Duration::ZERO } else { PAUSE * (1 << self.failures) };
            start_at = Some(Instant::now() + pause);
        }
    }

    fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        let mut fds = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.messages.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = match until {
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                // Rounded up, so that nothing spins until then.
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn caught(&mut self, signal: u32) {
        let Some(signal) = PASSED_ON.into_iter().find(|known| *known as u32 == signal) else {
            return;
        };
        self.stopping |= matches!(signal, Signal::SIGTERM | Signal::SIGINT);
        if let Some(child) = self.child {
            let _ = kill(child, signal);
        }
    }

    fn ended(&mut self) -> Option<WaitStatus> {
        let status = waitpid(self.child?, Some(WaitPidFlag::WNOHANG)).ok()?;
        if !matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            return None;
        }
        self.child = None;
        Some(status)
    }

    /// Takes in what the agent says.
    fn listen(&mut self) {
        loop {
            let mut buffer = [0; MESSAGE];
            let mut space = nix::cmsg_space!([RawFd; 16]);
            let mut data = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let Ok(message) = recvmsg::<()>(self.messages.as_raw_fd(), &mut data, Some(&mut space), flags)
            else {
                return;
            };
            let rights = message.cmsgs().into_iter().flatten().filter_map(|message| match message {
                ControlMessageOwned::ScmRights(fds) => Some(fds),
                _ => None,
            });
            // SAFETY: the kernel has just made them for us.
            let fds: Vec<_> = rights.flatten().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
            let length = message.bytes;
            self.told(&String::from_utf8_lossy(&buffer[..length]), fds);
        }
    }

    fn told(&mut self, text: &str, fds: Vec<OwnedFd>) {
        let has = |line| text.lines().any(|said| said == line);
        let name = text.lines().find_map(|line| line.strip_prefix(NAME)).unwrap_or_default();
        if has(STORE) {
            self.kept.extend(fds.into_iter().map(|fd| (name.to_owned(), fd)));
        } else if has(REMOVE) {
            self.kept.retain(|(kept, _)| kept != name);
        } else {
            self.ready |= has("READY=1");
            // An agent that makes room for its successor is not the end of the service.
            let only_leaves = has("STOPPING=1") && !self.stopping;
            if let Some(above) = self.above.as_ref().filter(|_| !only_leaves) {
                let _ = send(above, text, &[]);
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        self.ready = false;
        let parent = getpid();
        // SAFETY: this process has no other thread of ours, and the allocator looks after its own, so that its child may do what any program may.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                info!(pid = child.as_raw(), "the agent is started");
                self.child = Some(child);
                Ok(())
            }
            ForkResult::Child => {
                let failure = self.become_the_agent(parent);
                error!("cannot start {}: {failure}", self.program.display());
                // SAFETY: ends the child without running what the parent would run at its own end.
                unsafe { libc::_exit(1) }
            }
        }
    }

    /// The child's part. Returns only where it fails.
    fn become_the_agent(&self, parent: Pid) -> io::Error {
        let prepared = || -> io::Result<()> {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            // Without the one who keeps its descriptors, it has to unmount.
            nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?;
            if getppid() != parent {
                return Err(io::Error::other("the supervisor has ended"));
            }
            // Out of the way first: a source may be a target.
            let above = FIRST + self.kept.len() as RawFd;
            let mut high = Vec::new();
            for (_, fd) in &self.kept {
                // SAFETY: copies a descriptor that is open.
                match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, above) } {
                    -1 => return Err(io::Error::last_os_error()),
                    copy => high.push(copy),
                }
            }
            for (target, copy) in (FIRST..).zip(high) {
                // SAFETY: what is at the target is this process's own copy, and is closed by exec in any case.
                if unsafe { libc::dup2(copy, target) } < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        };
        if let Err(failure) = prepared() {
            return failure;
        }
        let names: Vec<_> = self.kept.iter().map(|(name, _)| name.as_str()).collect();
        let program = if self.program.exists() { self.program.clone() } else { "/proc/self/exe".into() };
        let mut command = Command::new(program);
        command.args(&self.arguments).env(SOCKET, self.home.join("notify"));
        command.env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
        if !names.is_empty() {
            command.env("LISTEN_PID", std::process::id().to_string());
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        command.exec()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Whoever is left in the tree would wait for ever.
        if let Some(handover) = Handover::from_named(self.kept.drain(..)) {
            fsview::abandon(handover);
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
