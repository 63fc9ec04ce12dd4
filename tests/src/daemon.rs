//! A running `oscd` with a mount point, a state directory and a bus of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bus::Bus;
use crate::need::Python;
use crate::shell::{Ran, run};
use crate::{eventually, program};

/// Where an agent of a test lives, and how it is started.
pub struct Agent {
    home: tempfile::TempDir,
    /// Its bus; `None` for `--bus none`.
    pub bus: Option<Bus>,
    daemon: Option<Child>,
    told: Arc<Mutex<Vec<String>>>,
    plugin_dirs: Vec<PathBuf>,
    config: String,
    environment: Vec<(String, String)>,
    log: &'static str,
    supervised: bool,
}

impl Agent {
    /// An agent that is not running yet.
    pub fn prepare() -> Agent {
        let home = tempfile::Builder::new().prefix("osc-test.").tempdir_in("/tmp").expect("/tmp is writable");
        let bus = Some(Bus::start(home.path()));
        // Its one default, /opt/storage-connect/plugins, is the machine's and not the test's.
        let plugins = home.path().join("plugins");
        std::fs::create_dir(&plugins).expect("the test's directory can be written");
        Agent {
            home,
            bus,
            daemon: None,
            told: Arc::default(),
            plugin_dirs: vec![plugins],
            config: String::new(),
            environment: Vec::new(),
            log: "debug",
            supervised: false,
        }
    }

    /// A running agent with the stock plug-ins, ready.
    pub fn start() -> Agent {
        let mut agent = Agent::prepare();
        agent.launch();
        agent
    }

    /// A running agent whose stock plug-ins run under `python`.
    pub fn under(python: Python) -> Agent {
        let mut agent = Agent::prepare();
        let path = python.path().expect("the test needs it").display().to_string();
        let stock = ["filearray", "generic", "lio", "localfs", "ocfs2"];
        let rows: String = stock.iter().map(|module| format!("\"osc.{module}\" = {path:?}\n")).collect();
        agent.configure(&format!("[interpreters]\n{rows}"));
        agent.launch();
        agent
    }

    /// Adds lines to the configuration file.
    pub fn configure(&mut self, lines: &str) {
        self.config.push_str(lines);
    }

    /// Has it log no more than it does in service: telling of every request takes longer than answering it.
    pub fn log_as_in_service(&mut self) {
        self.log = "info";
    }

    /// Has it run below a parent that starts another one when it dies.
    pub fn supervise(&mut self) {
        self.supervised = true;
    }

    /// The process that serves, below a parent that does not; `None` while there is none.
    pub fn serving(&self) -> Option<u32> {
        let above = self.pid();
        std::fs::read_to_string(format!("/proc/{above}/task/{above}/children")).ok()?.trim().parse().ok()
    }

    /// Sets a variable of the daemon's environment.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The test's directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The mount point.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("osc")
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The directory that plug-ins can be installed in.
    pub fn plugins(&self) -> &Path {
        &self.plugin_dirs[0]
    }

    /// Has it look for plug-ins in another directory as well.
    pub fn add_plugin_dir(&mut self, dir: &Path) {
        self.plugin_dirs.push(dir.to_owned());
    }

    /// The log of every run.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// The command line that starts it.
    pub fn command(&self) -> Command {
        let config = self.home.path().join("agent.toml");
        std::fs::write(&config, &self.config).expect("the test's directory can be written");
        let mut command = Command::new(program("oscd"));
        command.arg("--mountpoint").arg(self.root()).arg("--state-dir").arg(self.state());
        command.arg("--bus").arg(self.bus.as_ref().map_or("none", |bus| bus.address.as_str()));
        command.arg("--config").arg(config).args(["--log", self.log]);
        for dir in &self.plugin_dirs {
            command.arg("--plugin-dir").arg(dir);
        }
        if self.supervised {
            command.arg("--supervise");
        }
        command.stdin(Stdio::null()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it is ready, as a service manager would.
    pub fn launch(&mut self) {
        let command = self.command();
        assert!(self.try_launch(command), "oscd did not become ready:\n{}", self.log());
    }

    /// The command line that starts it by way of another program.
    pub fn command_by(&self, words: &[&str]) -> Command {
        let own = self.command();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(own.get_program()).args(own.get_args()).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it with a command line of its own; whether it became ready, or ended before.
    pub fn try_launch(&mut self, mut command: Command) -> bool {
        let notify = self.home.path().join("notify");
        let _ = std::fs::remove_file(&notify);
        let socket = std::os::unix::net::UnixDatagram::bind(&notify).expect("a socket can be made");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket has a timeout");
        let deadline = Instant::now() + Duration::from_secs(60);
        let log = self.home.path().join("log");
        let log = std::fs::OpenOptions::new().append(true).create(true).open(log).expect("a log can be made");
        command.env("NOTIFY_SOCKET", &notify).stdout(Stdio::null()).stderr(log);
        let mut daemon = command.spawn().expect("oscd starts");
        let mut told = [0; 4096];
        loop {
            let length = socket.recv(&mut told).unwrap_or(0);
            if daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            if Instant::now() > deadline {
                let _ = daemon.kill();
                let _ = daemon.wait();
                return false;
            }
            if String::from_utf8_lossy(&told[..length]).contains("READY=1") {
                break;
            }
        }
        self.daemon = Some(daemon);
        // A service manager reads for as long as the daemon lives.
        let heard = self.told.clone();
        let _ = socket.set_read_timeout(Some(Duration::from_millis(200)));
        let end = Arc::downgrade(&heard);
        drop(heard);
        std::thread::spawn(move || {
            while let Some(heard) = end.upgrade() {
                if let Ok(length) = socket.recv(&mut told) {
                    let text = String::from_utf8_lossy(&told[..length]).into_owned();
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                }
            }
        });
        true
    }

    /// What it has told the service manager since it was ready, a message each.
    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it runs");
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.home.path().join("agent.toml")
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("it runs").id()
    }

    /// Sends it a signal and waits for its end.
    pub fn end(&mut self, signal: Signal) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = kill(Pid::from_raw(daemon.id() as i32), signal);
            let _ = daemon.wait();
        }
    }

    /// Sends it a signal upon which it ends without further ado, and returns how it did. That it ends at all is what is asked: the time
    /// that it gets is many times what a service manager would give it on a quiet machine.
    #[track_caller]
    pub fn ends_by_itself(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut daemon = self.daemon.take().expect("it runs");
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            if let Some(status) = daemon.try_wait().expect("it is ours") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.daemon = Some(daemon);
        let _ = self.daemon.as_mut().map(Child::kill);
        panic!("{signal} does not end it");
    }

    /// Runs `oscctl` against it.
    pub fn oscctl<const N: usize>(&self, args: [&str; N]) -> Ran {
        let bus = self.bus.as_ref().map_or("none", |bus| bus.address.as_str());
        run(Command::new(program("oscctl")).args(["--bus", bus]).args(args))
    }

    /// Registers a storage server through the tree, and returns its directory.
    #[track_caller]
    pub fn register(&self, plugin: &str, record: &Value) -> PathBuf {
        let name = record["name"].as_str().expect("a record to register has a name");
        let request = serde_json::json!({"plugin": plugin, "record": record}).to_string();
        if let Err(error) = std::fs::write(self.root().join("register"), request) {
            let told = std::fs::read_to_string(self.root().join("register")).unwrap_or_default();
            panic!("registering {name}: {error}\n{told}\n{}", self.log());
        }
        std::fs::canonicalize(self.root().join("by-name").join(name)).expect("a registered server has a name")
    }

    /// Creates an element through the tree, and returns its directory.
    #[track_caller]
    pub fn create(&self, server: &Path, name: &str, size: u64) -> PathBuf {
        let record =
            serde_json::json!({"name": name, "size": size, "vol_group_name": "vg0", "se_type": "LUN"});
        self.write(&server.join("create"), &record.to_string());
        self.element(server, name)
    }

    /// The directory of the element of that name.
    #[track_caller]
    pub fn element(&self, server: &Path, name: &str) -> PathBuf {
        let link = server.join("se-by-name").join(name);
        std::fs::canonicalize(&link).unwrap_or_else(|error| panic!("{}: {error}", link.display()))
    }

    /// Writes a request that must succeed.
    #[track_caller]
    pub fn write(&self, control: &Path, request: &str) {
        if let Err(error) = std::fs::write(control, request) {
            let told = std::fs::read_to_string(control).unwrap_or_default();
            panic!("{request:?} > {}: {error}\n{told}\n{}", control.display(), self.log());
        }
    }

    /// Writes a request that must be refused, and returns the errno and what the file then says.
    #[track_caller]
    pub fn refused(&self, control: &Path, request: impl AsRef<[u8]>) -> (i32, String) {
        let request = request.as_ref();
        let error = match std::fs::write(control, request) {
            Ok(()) => panic!("{} accepted {:?}", control.display(), String::from_utf8_lossy(request)),
            Err(error) => error,
        };
        let told = std::fs::read_to_string(control).unwrap_or_default();
        (error.raw_os_error().unwrap_or(0), told)
    }

    /// A record file as JSON.
    #[track_caller]
    pub fn record(&self, object: &Path) -> Value {
        let file = object.join("record");
        let line = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", file.display()))
    }

    /// Waits for a line in the log.
    #[track_caller]
    pub fn logged(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end(Signal::SIGTERM);
        // What a killed daemon left mounted, or a test put under it, would keep the directory.
        for mount in [self.root().join(".ctl"), self.root(), self.state()] {
            let _ = nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH);
        }
        if std::thread::panicking() {
            eprintln!("---- oscd's log\n{}", self.log());
        }
    }
}
