//! A process that serves a tree until it is killed, and the parent that holds the tree's descriptors meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fsview::{Change, Handover, Mounted, Operation, Options, Outcome};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::common::{Fake, SS, element, fake};

/// Elements whose record never changes, in any process; those behind them change all the time.
pub const STEADY: usize = 40;
pub const ELEMENTS: usize = 60;
const RECORD: usize = 3000;

const SOCKET: RawFd = 3;

/// A tree whose serving process is killed now and then.
pub struct Served {
    pub dir: tempfile::TempDir,
    pub copies: bool,
    child: Option<(Child, UnixStream)>,
    fds: Vec<OwnedFd>,
}

impl Served {
    pub fn start(copies: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut served = Self { dir, copies, child: None, fds: vec![] };
        served.spawn(None);
        // A first close asks whether closing matters, and a fork may close what another test has open.
        for file in ["README", "register"] {
            read(&served.root().join(file));
        }
        served
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("osc")
    }
    pub fn se(&self, n: usize) -> PathBuf {
        self.root().join("ss").join(SS).join("se").join(format!("se-{n:05}"))
    }
    /// What was commanded, a line each.
    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("journal")).unwrap_or_default()
    }

    /// Starts a process that goes on with the tree (or mounts it), and waits until it serves.
    pub fn spawn(&mut self, fault: Option<&str>) {
        assert!(self.try_spawn(fault), "the successor died");
    }

    /// The same; false where it died first.
    pub fn try_spawn(&mut self, fault: Option<&str>) -> bool {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "child_process", "--nocapture", "--test-threads", "1"]);
        command.env("OSC_CHILD", self.dir.path()).env("OSC_COPIES", if self.copies { "1" } else { "0" });
        command.env_remove("OSC_FAULT").stdin(Stdio::null()).stdout(Stdio::null());
        command
            .stderr(OpenOptions::new().append(true).create(true).open(self.dir.path().join("log")).unwrap());
        if !self.fds.is_empty() {
            command.env("OSC_HANDED", "1");
        }
        if let Some(fault) = fault {
            command.env("OSC_FAULT", fault);
        }
        let mut passed = vec![theirs.as_raw_fd()];
        passed.extend(self.fds.iter().map(AsRawFd::as_raw_fd));
        // SAFETY: only dup and dup2 between fork and exec.
        unsafe {
            command.pre_exec(move || {
                for (n, fd) in passed.iter_mut().enumerate() {
                    *fd = libc::fcntl(*fd, libc::F_DUPFD, 20 + n as i32);
                }
                for (n, fd) in passed.iter().enumerate() {
                    libc::dup2(*fd, SOCKET + n as i32);
                    libc::close(*fd);
                }
                Ok(())
            })
        };
        let child = command.spawn().unwrap();
        drop(theirs);
        if self.fds.is_empty() {
            self.fds = receive(&ours);
        }
        ours.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut ready = [0];
        let told = loop {
            match (&ours).read(&mut ready) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                told => break told,
            }
        };
        self.child = Some((child, ours));
        match told {
            Ok(size) => size == 1,
            Err(error) => panic!("a process neither serves nor dies: {error}"),
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Waits until it has died by itself; kills it, and says false, where it has not after a while.
    pub fn died(&mut self) -> bool {
        let Some((child, _)) = &mut self.child else { return true };
        for _ in 0..400 {
            if child.try_wait().unwrap().is_some() {
                self.child = None;
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
        // The outer one by force first: nobody would answer a walk through it. Closing the descriptors ends the inner one.
        self.fds.clear();
        for flag in [nix::mount::MntFlags::MNT_FORCE, nix::mount::MntFlags::MNT_DETACH] {
            let _ = nix::mount::umount2(&self.root(), flag);
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn receive(socket: &UnixStream) -> Vec<OwnedFd> {
    let mut byte = [0];
    let mut space = nix::cmsg_space!([RawFd; 3]);
    let mut data = [IoSliceMut::new(&mut byte)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut data, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
    let fds = message.cmsgs().unwrap().filter_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => Some(fds),
        _ => None,
    });
    // SAFETY: the kernel has just made them for us.
    fds.flatten().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect()
}

/// The child's whole life.
pub fn live() {
    let Some(dir) = std::env::var_os("OSC_CHILD").map(PathBuf::from) else {
        return;
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    // SAFETY: passed by the parent, and nobody else's.
    let mut socket = unsafe { UnixStream::from_raw_fd(SOCKET) };
    let model = fake(ELEMENTS, RECORD);
    let millis = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as usize;
    for n in STEADY..ELEMENTS {
        let se = format!("se-{n:05}");
        model.put_element(SS, &se, element(&se, millis(), RECORD + millis() % 3000));
    }
    let journal = OpenOptions::new().append(true).create(true).open(dir.join("journal")).unwrap();
    let answering = model.clone();
    std::thread::spawn(move || answer(&answering, &journal));

    let mut options = Options::new(dir.join("osc"));
    let this = std::env::current_exe().unwrap().into_os_string();
    let words = ["--ignored", "--exact", "messenger_process", "--test-threads", "1"].map(Into::into);
    options.messenger = Some([this].into_iter().chain(words).collect());
    options.copy_requests = std::env::var("OSC_COPIES").is_ok_and(|copies| copies == "1");
    let mounted = if std::env::var_os("OSC_HANDED").is_some() {
        // SAFETY: as above.
        let [records, controls, ledger] =
            std::array::from_fn(|n| unsafe { OwnedFd::from_raw_fd(SOCKET + 1 + n as i32) });
        for fd in [&records, &controls, &ledger] {
            let cloexec = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC);
            nix::fcntl::fcntl(fd, cloexec).unwrap();
        }
        let mounted =
            fsview::take_over(Handover { records, controls, ledger }, options, model.clone()).unwrap();
        assert!(mounted.took_over());
        mounted
    } else {
        let mounted = fsview::mount(options, model.clone()).unwrap();
        send(&socket, &mounted);
        mounted
    };
    socket.write_all(b"R").unwrap();
    let tree = mounted.tree();
    for round in 0.. {
        let n = STEADY + round % (ELEMENTS - STEADY);
        let se = format!("se-{n:05}");
        model.put_element(SS, &se, element(&se, millis(), RECORD + round * 37 % 3000));
        tree.changed(Change::Element { ss: SS.into(), se: se.as_str().into() });
        if round % 20 == 0 {
            // So that a listing is never cached for long.
            let op: Arc<str> = format!("op-{}", round % 40).into();
            let mut state = model.state();
            if state.operations.remove(&op).is_none() {
                state.operations.insert(op.clone(), Operation { record: "{}".into(), progress: "0".into() });
            }
            drop(state);
            tree.changed(Change::Operation(op));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn send(socket: &UnixStream, mounted: &Mounted) {
    let handover = mounted.handover().unwrap();
    let fds = handover.named().map(|(_, fd)| fd.as_raw_fd());
    let data = [IoSlice::new(b"F")];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &data, &rights, MsgFlags::empty(), None).unwrap();
}

/// Journals what is commanded, and answers a little later: what begins with `never` not at all.
fn answer(model: &Arc<Fake>, mut journal: &File) {
    for count in 1.. {
        model.await_requests(count);
        let waiting = std::mem::take(&mut model.state().waiting);
        for (request, done) in waiting {
            let payload = String::from_utf8_lossy(&request.payload).trim().to_owned();
            journal.write_all(format!("{payload}\n").as_bytes()).unwrap();
            if !payload.starts_with("never") {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(payload.len() as u64 % 8));
                    done(Outcome::Done { op: Some("op".into()), message: String::new() });
                });
            } else {
                std::mem::forget(done);
            }
        }
    }
}

/// Whether a record is one that some process has made, whole.
pub fn is_whole(record: &str) -> bool {
    let Some((head, pad)) = record.split_once(",\"pad\":\"") else { return false };
    let Some(pad) = pad.strip_suffix("\"}\n") else { return false };
    let version = head.rsplit_once(':').and_then(|(_, version)| version.parse::<usize>().ok());
    version
        .is_some_and(|version| pad.bytes().all(|byte| byte == b'a' + (version % 26) as u8) && !pad.is_empty())
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
