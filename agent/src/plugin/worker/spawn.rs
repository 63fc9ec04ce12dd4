//! Starting a worker's process in a state that owes nothing to the agent's own: descriptors,
//! environment, signals, limits.
//!
//! The wire gives the process its socket as descriptor 3 and its status pipe as 4. The standard
//! library cannot promise these numbers (its own pipe may be either of them), hence `fork` here.

use std::ffi::{CString, OsStr};
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::plugin::interpreter::SAFE_PATH;

/// What a started process is reached by.
pub struct Process {
    /// The process id, which is its process group's as well.
    pub pid: i32,
    /// The process itself, however ids are reused.
    pub pidfd: OwnedFd,
    /// On which it says what it found.
    pub status: PipeReader,
    /// Its standard output.
    pub stdout: PipeReader,
    /// Its standard error.
    pub stderr: PipeReader,
}

/// What the child says on the status pipe when the interpreter cannot be executed.
const NO_EXEC: &[u8] =
    b"{\"failed\":{\"stage\":\"exec\",\"class\":\"OSError\",\"message\":\"the interpreter cannot be executed\"}}\n";

/// Where memory runs out, a call goes before a guest, and long before the agent (proc(5), oom_score_adj).
const OOM_SCORE: &[u8] = b"500";

/// Everything the child needs, made before the fork: after it, only system calls are safe.
struct Plan<'a> {
    path: &'a CString,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Standard input, output, error, the socket, the status pipe: to be 0 to 4.
    fds: [RawFd; 5],
    agent: i32,
}

/// Starts `interpreter` with `arguments`; `listener` becomes its descriptor 3.
///
/// # Errors
/// When the host lacks processes, memory or descriptors.
pub fn spawn(interpreter: &Path, arguments: &[&OsStr], listener: BorrowedFd<'_>) -> io::Result<Process> {
    let c_string = |text: &OsStr| {
        CString::new(text.as_bytes())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a NUL in a path"))
    };
    let path = c_string(interpreter.as_os_str())?;
    let mut argv = vec![path.clone()];
    for argument in arguments {
        argv.push(c_string(argument)?);
    }
    let envp =
        ["LANG=C.UTF-8", "HOME=/", &format!("PATH={SAFE_PATH}")].map(|text| c_string(OsStr::new(text)));
    let envp = envp.into_iter().collect::<io::Result<Vec<_>>>()?;
    let pointers = |strings: &[CString]| {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };

    let null = std::fs::File::open("/dev/null")?;
    let (stdout, stdout_end) = io::pipe()?;
    let (stderr, stderr_end) = io::pipe()?;
    let (status, status_end) = io::pipe()?;
    let sources = [null.as_fd(), stdout_end.as_fd(), stderr_end.as_fd(), listener, status_end.as_fd()];
    // Above 4, so that putting one in its place never overwrites another.
    let mut high = Vec::with_capacity(sources.len());
    for source in sources {
        // SAFETY: F_DUPFD_CLOEXEC takes a number and returns a descriptor that nobody else owns.
        let fd = unsafe { libc::fcntl(source.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above; it is owned here and only here.
        high.push(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let plan = Plan {
        path: &path,
        argv: pointers(&argv),
        envp: pointers(&envp),
        fds: std::array::from_fn(|index| high[index].as_raw_fd()),
        agent: std::process::id() as i32,
    };
    // SAFETY: the child makes only async-signal-safe calls on memory prepared above, then execs or exits.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        // SAFETY: this is that child.
        0 => unsafe { become_worker(&plan) },
        pid => pid,
    };
    match pidfd_open(pid) {
        Ok(pidfd) => Ok(Process { pid, pidfd, status, stdout, stderr }),
        Err(error) => {
            // SAFETY: `pid` is a child that has not been waited for, so the number is still its own.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
            Err(error)
        }
    }
}

/// The child's side of the fork.
///
/// # Safety
/// To be called in a process just forked; makes async-signal-safe calls only.
unsafe fn become_worker(plan: &Plan<'_>) -> ! {
    // SAFETY: plain system calls on numbers, and on pointers into the parent's memory as it was
    // at the fork, which this process has a copy of.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != plan.agent {
            libc::_exit(126);
        }
        // What the agent ignores or blocks is none of the plug-in's business.
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        libc::umask(0o077);
        let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &no_core);
        // A refusal leaves the agent's own score, which is no reason not to serve. The descriptor is closed below.
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        libc::write(score, OOM_SCORE.as_ptr().cast(), OOM_SCORE.len());
        libc::chdir(c"/".as_ptr());
        for (number, fd) in plan.fds.iter().enumerate() {
            if libc::dup2(*fd, number as RawFd) < 0 {
                libc::_exit(126);
            }
        }
        libc::syscall(libc::SYS_close_range, 5u32, u32::MAX, 0u32);
        libc::execve(plan.path.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr());
        libc::write(4, NO_EXEC.as_ptr().cast(), NO_EXEC.len());
        libc::_exit(127)
    }
}

/// Kills every descendant of a process that is stopped and has not been waited for.
pub fn kill_descendants(pid: i32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in listed.split_whitespace().filter_map(|word| word.parse::<i32>().ok()) {
            let child_pid = nix::unistd::Pid::from_raw(child);
            // Stopped, or it could go on forking while its children are looked up.
            let _ = nix::sys::signal::kill(child_pid, Signal::SIGSTOP);
            kill_descendants(child);
            let _ = nix::sys::signal::kill(child_pid, Signal::SIGKILL);
        }
    }
}

/// A descriptor for a process, which becomes readable when it ends.
///
/// # Errors
/// When there is no such process, or no descriptor is left.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers and returns a new descriptor that nobody else owns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A process's descriptor whose readability, which is the process's end, can be awaited.
///
/// # Errors
/// When it cannot be registered.
pub fn watch_exit(pidfd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the `Arc` keeps the descriptor open, and nobody can exchange it.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// Sends a signal to the process, if it is still there.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: Signal) {
    // SAFETY: numbers and a null pointer, which means no more than the signal's number.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0u32,
        );
    }
}

/// How a process of somebody else ended: its wait status, where the kernel (6.15 and later) still
/// knows it.
pub fn exit_status_of(pidfd: BorrowedFd<'_>) -> Option<i32> {
    /// `struct pidfd_info`, version 0 (linux/pidfd.h).
    #[repr(C)]
    #[derive(Default)]
    struct Info {
        mask: u64,
        cgroupid: u64,
        ids: [u32; 11],
        exit_code: i32,
    }
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, Info);
    let mut info = Info { mask: PIDFD_INFO_EXIT, ..Info::default() };
    // SAFETY: the kernel fills in as much of `info` as the request's number says it is long.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &mut info) }.ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// A wait status in words: "was killed by SIGSEGV".
pub fn in_words(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        let number = libc::WTERMSIG(status);
        let name = Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.to_string());
        format!("was killed by {name}")
    } else {
        format!("exited with status {}", libc::WEXITSTATUS(status))
    }
}
