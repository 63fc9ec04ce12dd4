//! Who uses a block device: asked before one is taken away, so that nobody loses it under their hands.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Roots;
use super::mount::Table;
use super::scsi::disk::{attribute, names};

/// Processes that look at every disk and lose nothing with one.
const ONLOOKERS: &[&str] = &["multipathd", "systemd-udevd", "(udev-worker)", "udevd"];

/// What this host uses by way of mounts, swap and open files, read once: asking about hundreds of devices takes no
/// longer than about one.
pub struct Users {
    roots: Roots,
    mounts: Table,
    swaps: Vec<PathBuf>,
    /// The processes that have a device node open, with their names. Those that just look are none.
    open: HashMap<PathBuf, BTreeSet<(u32, String)>>,
}

impl Users {
    /// As it is now.
    pub fn read(roots: &Roots) -> Users {
        let mounts = std::fs::read(roots.proc.join("self/mountinfo")).unwrap_or_default();
        let swaps = std::fs::read_to_string(roots.proc.join("swaps")).unwrap_or_default();
        let swaps = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
        Users {
            roots: roots.clone(),
            mounts: Table::parse(&mounts),
            swaps: swaps.map(PathBuf::from).collect(),
            open: open(roots),
        }
    }

    /// Why a block device cannot be taken away: in words, with who uses it; None where nobody does.
    ///
    /// `name` is the kernel's (`sda`, `dm-3`), and `nodes` are the paths it may have been opened by. `but` are the devices
    /// made of it that go before it.
    pub fn of(&self, name: &str, nodes: &[PathBuf], but: &[String]) -> Option<String> {
        let block = self.roots.sys.join("block").join(name);
        let holders: Vec<_> =
            names(&block.join("holders")).into_iter().filter(|name| !but.contains(name)).collect();
        if !holders.is_empty() {
            return Some(format!("{} is made of it", holders.join(", ")));
        }
        let parts: Vec<String> =
            names(&block).into_iter().filter(|part| block.join(part).join("partition").exists()).collect();
        for device in std::iter::once(block.clone()).chain(parts.iter().map(|part| block.join(part))) {
            if let Some(place) = attribute(&device.join("dev")).and_then(|devno| self.mounted_at(&devno)) {
                return Some(format!("it is mounted at {}", place.display()));
            }
            let part_holders = names(&device.join("holders"));
            if device != block && !part_holders.is_empty() {
                return Some(format!("{} is made of it", part_holders.join(", ")));
            }
        }
        let mut paths: Vec<PathBuf> = nodes.to_vec();
        paths.push(Path::new("/dev").join(name));
        paths.extend(parts.iter().map(|part| Path::new("/dev").join(part)));
        if let Some(path) = self.swaps.iter().find(|swap| paths.contains(swap)) {
            return Some(format!("this host swaps to {}", path.display()));
        }
        let processes: BTreeSet<_> = paths.iter().filter_map(|path| self.open.get(path)).flatten().collect();
        if !processes.is_empty() {
            let pids: Vec<_> = processes.iter().map(|(pid, name)| format!("{pid} ({name})")).collect();
            return Some(format!("it is open in the processes {}", pids.join(", ")));
        }
        if but.is_empty() && held_by_the_kernel(&self.roots.dev.join(name)) {
            return Some("the kernel itself has it in use".into());
        }
        None
    }

    /// Where the device of that number, `major:minor`, is mounted.
    fn mounted_at(&self, devno: &str) -> Option<&Path> {
        let (major, minor) = devno.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        self.mounts.0.iter().find(|mount| mount.device == device).map(|mount| mount.at.as_path())
    }
}

fn open(roots: &Roots) -> HashMap<PathBuf, BTreeSet<(u32, String)>> {
    let mut found = HashMap::<_, BTreeSet<_>>::new();
    for name in names(&roots.proc) {
        let Ok(pid) = name.parse::<u32>() else { continue };
        let dir = roots.proc.join(&name);
        let open = names(&dir.join("fd")).into_iter();
        let open = open.filter_map(|fd| std::fs::read_link(dir.join("fd").join(fd)).ok());
        let nodes: Vec<_> = open.filter(|target| target.starts_with("/dev")).collect();
        if nodes.is_empty() {
            continue;
        }
        let name = attribute(&dir.join("comm")).unwrap_or_default();
        if !ONLOOKERS.contains(&name.as_str()) {
            for node in nodes {
                found.entry(node).or_default().insert((pid, name.clone()));
            }
        }
    }
    found
}

/// Whether something in the kernel holds the device for itself: file systems of several devices, LIO, md.
fn held_by_the_kernel(node: &Path) -> bool {
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_EXCL | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(node);
    matches!(opened, Err(error) if error.kind() == io::ErrorKind::ResourceBusy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::tree::Tree;

    fn who(tree: &Tree, but: &[&str]) -> Option<String> {
        let but: Vec<_> = but.iter().map(|name| (*name).to_owned()).collect();
        Users::read(tree.host.roots()).of("sda", &["/dev/mapper/x".into()], &but)
    }

    fn tree() -> Tree {
        let tree = Tree::new();
        tree.disk("session1/target2:0:0", "2:0:0:0", "sda", "6001405a1b2c3d4e5f60718293a4b5c6", 1 << 26);
        tree.put("proc/self/mountinfo", "36 35 98:0 / /other rw shared:1 - ext4 /dev/sdb rw\n");
        tree.put("proc/swaps", "Filename Type Size Used Priority\n/dev/sdz partition 1 0 -2\n");
        tree
    }

    #[test]
    fn a_disk_that_nobody_uses_may_go() {
        assert_eq!(who(&tree(), &[]), None);
    }

    #[test]
    fn what_is_mounted_swapped_to_or_part_of_something_stays() {
        let mounted = tree();
        mounted.put("proc/self/mountinfo", "36 35 8:0 / /mnt/data rw - ext4 /dev/sda rw\n");
        assert!(who(&mounted, &[]).unwrap().contains("/mnt/data"));
        let swapped = tree();
        swapped.put("proc/swaps", "Filename\n/dev/sda partition 1 0 -2\n");
        assert!(who(&swapped, &[]).unwrap().contains("swaps"));
        let held = tree();
        held.put("sys/block/sda/holders/dm-0", "");
        assert!(who(&held, &[]).unwrap().contains("dm-0"));
        assert_eq!(who(&held, &["dm-0"]), None, "but for what goes before it");
        let part = tree();
        part.put("sys/block/sda/sda1/partition", "1\n");
        part.put("sys/block/sda/sda1/dev", "8:1\n");
        part.put("proc/self/mountinfo", "36 35 8:1 / /boot rw - ext4 /dev/sda1 rw\n");
        assert!(who(&part, &[]).unwrap().contains("/boot"));
    }

    #[test]
    fn who_has_it_open_is_named_and_onlookers_do_not_count() {
        let tree = tree();
        for (pid, comm) in [(7, "multipathd"), (8, "qemu")] {
            tree.put(&format!("proc/{pid}/comm"), format!("{comm}\n"));
            let fd = tree.path(&format!("proc/{pid}/fd/3"));
            std::fs::create_dir_all(fd.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/dev/sda", fd).unwrap();
        }
        let told = who(&tree, &[]).unwrap();
        assert!(told.contains("8 (qemu)") && !told.contains("multipathd"), "{told}");
    }
}
