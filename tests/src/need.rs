//! What a test needs of the machine. A test whose need is not met is skipped, by name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use libtest_mimic::{Failed, Trial};

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `/dev/fuse`, and the right to mount.
    Fuse,
    /// `dbus-daemon`.
    Dbus,
    /// Loop devices.
    Loop,
    /// A program on PATH.
    Tool(&'static str),
    /// A file system that the kernel can mount.
    FileSystem(&'static str),
    /// An interpreter.
    Python(Python),
    /// `strace`, and the right to trace.
    Tracing,
    /// A module that the distribution packages for its own Python.
    Module(&'static str),
}

/// The distribution's own Python, which its packages of modules are for.
pub const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// The interpreters that plug-ins are tested under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// Python 2.7.
    Two,
    /// Python 3.
    Three,
}

impl Python {
    /// Both.
    pub const ALL: [Python; 2] = [Python::Two, Python::Three];

    /// As a part of a test's name.
    pub fn name(self) -> &'static str {
        match self {
            Python::Two => "python2_7",
            Python::Three => "python3",
        }
    }

    /// An interpreter of that version that answers.
    pub fn path(self) -> Option<&'static Path> {
        static FOUND: [OnceLock<Option<PathBuf>>; 2] = [OnceLock::new(), OnceLock::new()];
        FOUND[self as usize].get_or_init(|| self.find()).as_deref()
    }

    fn find(self) -> Option<PathBuf> {
        let (name, version) = match self {
            Python::Two => ("python2.7", "2, 7"),
            Python::Three => ("python3", "3,"),
        };
        let path = std::env::var_os("PATH")?;
        let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).map(|dir| dir.join(name)).collect();
        // A version manager's shim on PATH may refuse to run; the real one lies in its own folder.
        let managed = Command::new("pyenv").args(["prefix", "2.7.18"]).stderr(Stdio::null()).output();
        if let (Python::Two, Ok(output)) = (self, managed) {
            candidates.push(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin").join(name));
        }
        let code = format!("import sys; assert str(sys.version_info[:2])[1:].startswith('{version}')");
        candidates.into_iter().filter(|candidate| candidate.is_file()).find(|candidate| {
            let mut probe = Command::new(candidate);
            probe.args(["-E", "-S", "-c", &code]).stdin(Stdio::null()).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        })
    }
}

impl Need {
    /// What is missing, if anything is.
    pub fn unmet(self) -> Option<String> {
        let (met, what) = match self {
            Need::Fuse => {
                (Path::new("/dev/fuse").exists() && nix::unistd::geteuid().is_root(), "/dev/fuse and root")
            }
            Need::Loop => (
                Path::new("/dev/loop-control").exists() && nix::unistd::geteuid().is_root(),
                "loop devices and root",
            ),
            Need::Dbus => (on_path("dbus-daemon"), "dbus-daemon"),
            Need::Tool(name) => (on_path(name), name),
            Need::FileSystem(name) => {
                let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
                (known.lines().any(|line| line.trim() == name), name)
            }
            Need::Python(python) => (python.path().is_some(), python.name()),
            Need::Tracing => {
                let traced = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
                (traced.is_ok_and(|status| status.success()), "strace that may trace")
            }
            Need::Module(name) => (importable(name), name),
        };
        (!met).then(|| format!("no {what} on this machine"))
    }
}

fn importable(name: &str) -> bool {
    let mut probe = Command::new(SYSTEM_PYTHON);
    probe.args(["-B", "-c", &format!("import {name}")]).stdin(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin".into(), "/sbin".into()];
    std::env::split_paths(&path).chain(sbin).any(|dir: PathBuf| dir.join(name).is_file())
}

/// A test that is skipped, and says why, where one of `needs` is not met.
pub fn test(name: impl Into<String>, needs: &[Need], body: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.into();
    let unmet = needs.iter().find_map(|need| need.unmet());
    if let Some(reason) = &unmet {
        eprintln!("SKIP {name}: {reason}");
    }
    // A panic is a failure with its message: libtest-mimic catches it.
    Trial::test(name, move || -> Result<(), Failed> {
        body();
        Ok(())
    })
    .with_ignored_flag(unmet.is_some())
}
