//! The one table of what a host should have.

use super::probe::{self, Found};
use super::{Finding, Host, Verdict};

/// What to look at.
enum Probe {
    /// A device or a socket that has to be there.
    File(&'static str),
    /// A program on the path of system administrators.
    Program(&'static str),
    /// An interpreter that has to answer, since one on the path may refuse to run.
    Interpreter(&'static str),
    /// A file system or module of the kernel, by name.
    Kernel(&'static str),
    /// Anything else; None where the question does not arise.
    Other(fn(&Host) -> Option<Found>),
}

/// One row of the table.
struct Check {
    name: &'static str,
    probe: Probe,
    /// Whether the agent is of no use without it.
    essential: bool,
    /// What does not work without it.
    without: &'static str,
    /// What to do about it.
    remedy: Remedy,
}

enum Remedy {
    /// The package that has it: Debian's name and the RPM's.
    Package(&'static str, &'static str),
    /// Anything else.
    Do(&'static str),
}

use Probe::{File, Interpreter, Kernel, Other, Program};
use Remedy::{Do, Package};

const fn essential(name: &'static str, probe: Probe, without: &'static str, remedy: Remedy) -> Check {
    Check { name, probe, essential: true, without, remedy }
}

const fn optional(name: &'static str, probe: Probe, without: &'static str, remedy: Remedy) -> Check {
    Check { name, probe, essential: false, without, remedy }
}

/// A module that could be loaded counts as present, so one that is missing is not on the disk.
const MODULE: &str = "boot a kernel that has it, or install its extra modules (RPM: kernel-modules-extra)";

const CHECKS: &[Check] = &[
    essential(
        "/dev/fuse",
        File("/dev/fuse"),
        "the tree cannot be mounted",
        Do("load the module: modprobe fuse"),
    ),
    essential("kernel: fuse", Kernel("fuse"), "the tree cannot be mounted", Do(MODULE)),
    essential("python3", Interpreter("python3"), "plug-ins cannot run", Package("python3", "python3")),
    optional(
        "python2.7",
        Interpreter("python2.7"),
        "plug-ins written for Python 2 cannot run",
        Package("python2.7 (not in Debian 12)", "python2"),
    ),
    essential(
        "D-Bus",
        Other(probe::bus),
        "oscctl and other programs cannot reach the agent",
        Package("dbus", "dbus-daemon"),
    ),
    optional(
        "systemd",
        File("/run/systemd/system"),
        "the agent is not restarted, and its tree does not survive a crash",
        Do("start oscd by other means"),
    ),
    essential(
        "state directory",
        Other(probe::state_dir),
        "the agent does not start, or others can read what it keeps",
        Do("it belongs to root with mode 0700: chown root:root DIR; chmod 0700 DIR"),
    ),
    optional(
        "tree",
        Other(probe::mounted),
        "there is no tree to read or write",
        Do("start the agent: systemctl start oscd"),
    ),
    essential(
        "tree answers",
        Other(probe::answers),
        "whoever looks into the tree hangs or gets errors",
        Do("restart the agent: systemctl restart oscd"),
    ),
    optional(
        "losetup",
        Program("losetup"),
        "file-backed storage cannot be attached",
        Package("mount", "util-linux"),
    ),
    optional("kernel: loop", Kernel("loop"), "file-backed storage cannot be attached", Do(MODULE)),
    optional(
        "mkfs.xfs",
        Program("mkfs.xfs"),
        "XFS file systems cannot be made",
        Package("xfsprogs", "xfsprogs"),
    ),
    optional("kernel: xfs", Kernel("xfs"), "XFS file systems cannot be mounted", Do(MODULE)),
    optional(
        "mkfs.btrfs",
        Program("mkfs.btrfs"),
        "btrfs file systems cannot be made",
        Package("btrfs-progs", "btrfs-progs"),
    ),
    optional("kernel: btrfs", Kernel("btrfs"), "btrfs file systems cannot be mounted", Do(MODULE)),
    optional(
        "mkfs.ext4",
        Program("mkfs.ext4"),
        "ext4 file systems cannot be made",
        Package("e2fsprogs", "e2fsprogs"),
    ),
    optional(
        "iscsiadm",
        Program("iscsiadm"),
        "iSCSI storage cannot be logged in to",
        Package("open-iscsi", "iscsi-initiator-utils"),
    ),
    optional("kernel: iscsi_tcp", Kernel("iscsi_tcp"), "iSCSI storage cannot be logged in to", Do(MODULE)),
    optional(
        "multipath",
        Program("multipath"),
        "a LUN with several paths is several devices",
        Package("multipath-tools", "device-mapper-multipath"),
    ),
    optional(
        "mount.nfs",
        Program("mount.nfs"),
        "NFS file systems cannot be mounted",
        Package("nfs-common", "nfs-utils"),
    ),
    optional("kernel: nfs", Kernel("nfs"), "NFS file systems cannot be mounted", Do(MODULE)),
];

/// Goes through the table.
pub fn run(host: &Host) -> Vec<Finding> {
    CHECKS.iter().filter_map(|check| check.run(host)).collect()
}

impl Check {
    fn run(&self, host: &Host) -> Option<Finding> {
        let found = match &self.probe {
            File(path) => probe::file(path),
            Program(name) => probe::program(name),
            Interpreter(name) => probe::interpreter(name),
            Kernel(name) => probe::kernel(name),
            Other(look) => look(host)?,
        };
        let (verdict, detail) = match found {
            Found::Yes(detail) => (Verdict::Ok, detail),
            Found::Unknown(detail) => (Verdict::Warning, detail),
            Found::No(detail) if self.essential => (Verdict::Missing, detail),
            Found::No(detail) => (Verdict::Warning, detail),
        };
        let remedy = match self.remedy {
            Package(deb, rpm) if deb == rpm => format!("install the package {deb}"),
            Package(deb, rpm) => format!("install the package {deb} (RPM: {rpm})"),
            Do(what) => what.to_owned(),
        };
        Some(Finding { check: self.name.into(), verdict, detail, consequence: self.without.into(), remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_one_name_a_consequence_and_a_remedy() {
        let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CHECKS.len());
        assert!(CHECKS.iter().all(|check| !check.without.is_empty()));
    }

    #[test]
    fn only_what_is_essential_can_be_missing() {
        let check = |essential| Check {
            name: "x",
            probe: Program("a program that nobody has"),
            essential,
            without: "nothing works",
            remedy: Package("x", "x-utils"),
        };
        let host = Host { mountpoint: "/".into(), state_dir: "/".into(), bus: "system".into() };
        let run = |essential| check(essential).run(&host).expect("programs are always looked for");
        let (needed, nice) = (run(true), run(false));
        assert_eq!((needed.verdict, nice.verdict), (Verdict::Missing, Verdict::Warning));
        assert_eq!(needed.remedy, "install the package x (RPM: x-utils)");
    }
}
