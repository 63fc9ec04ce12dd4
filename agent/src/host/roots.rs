//! Where this host's files are.

use std::path::{Path, PathBuf};

/// The directories that the host's state is read from and written to.
#[derive(Clone, Debug)]
pub struct Roots {
    /// sysfs.
    pub sys: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// What daemons keep while they run.
    pub run: PathBuf,
    /// The database of open-iscsi: `nodes`, `send_targets`, `ifaces`. The first that exists counts.
    pub iscsi: Vec<PathBuf>,
    /// The sockets of multipathd; `@` begins an abstract one. The first that answers counts.
    pub multipathd: Vec<PathBuf>,
    /// Where commands are looked for.
    pub commands: Vec<PathBuf>,
}

impl Default for Roots {
    fn default() -> Roots {
        let all = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Roots {
            sys: "/sys".into(),
            proc: "/proc".into(),
            dev: "/dev".into(),
            run: "/run".into(),
            iscsi: all(&["/var/lib/iscsi", "/etc/iscsi"]),
            multipathd: all(&["@/org/kernel/linux/storage/multipathd", "/run/multipathd.socket"]),
            commands: all(&["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        }
    }
}

impl Roots {
    /// Everything below one directory, for tests: `sys`, `proc`, `dev`, `run`, `iscsi` and `bin`.
    pub fn below(dir: &Path) -> Roots {
        Roots {
            sys: dir.join("sys"),
            proc: dir.join("proc"),
            dev: dir.join("dev"),
            run: dir.join("run"),
            iscsi: vec![dir.join("iscsi")],
            multipathd: vec![dir.join("run/multipathd.socket")],
            commands: vec![dir.join("bin")],
        }
    }

    /// Where a command is, if it is on this host.
    pub fn find_command(&self, name: &str) -> Option<PathBuf> {
        self.commands.iter().map(|dir| dir.join(name)).find(|path| path.is_file())
    }
}
