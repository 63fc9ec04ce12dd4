//! What is mounted, as the kernel tells it in /proc/self/mountinfo (proc_pid_mountinfo(5)): no file
//! system is asked, so that no server that is gone can hold the reader up.

use std::io;
use std::path::{Path, PathBuf};

use fsview::unescaped;

/// One mount of this mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The kernel's number for the mount; `mnt_id` of a file that is open on it.
    pub id: u64,
    /// The mount that it is on.
    pub parent: u64,
    /// Major and minor device number of the file system.
    pub device: (u32, u32),
    /// What of the file system is mounted.
    pub root: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Options of the mount, then of the file system.
    pub options: Vec<String>,
    /// Whether either of them says `ro`.
    pub read_only: bool,
    /// The file system's type: `nfs4`, `xfs`.
    pub kind: String,
    /// What was mounted: a device, or `server:/export`.
    pub source: String,
}

/// Types whose files are on another machine.
const NETWORK: &[&str] =
    &["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "afs", "fuse.glusterfs", "fuse.sshfs", "lustre", "beegfs"];

impl Mounted {
    /// Whether its files are on another machine, which may be gone.
    pub fn is_network(&self) -> bool {
        NETWORK.contains(&self.kind.as_str())
    }

    fn parse(line: &[u8]) -> Option<Mounted> {
        let mut words = line.split(|byte| *byte == b' ');
        let mut next = || words.next();
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
        let (id, parent) = (number(next()?)?, number(next()?)?);
        let device = std::str::from_utf8(next()?).ok()?.split_once(':')?;
        let device = (device.0.parse().ok()?, device.1.parse().ok()?);
        let (root, at) = (unescaped(next()?), unescaped(next()?));
        let mut options = listed(next()?);
        words.find(|word| *word == b"-")?;
        let mut text = || words.next().map(|word| unescaped(word).to_string_lossy().into_owned());
        let (kind, source) = (text()?, text()?);
        let mut read_only = options.iter().any(|option| option == "ro");
        for option in words.next().map(listed).unwrap_or_default() {
            match option.as_str() {
                // Of the file system; what counts for this mount, its own options say.
                "rw" => {}
                "ro" => read_only = true,
                _ if options.contains(&option) => {}
                _ => options.push(option),
            }
        }
        if read_only {
            options.retain(|option| option != "rw" && option != "ro");
            options.insert(0, "ro".into());
        }
        let (root, at) = (root.into(), at.into());
        Some(Mounted { id, parent, device, root, at, options, read_only, kind, source })
    }
}

fn listed(word: &[u8]) -> Vec<String> {
    let text = unescaped(word).to_string_lossy().into_owned();
    text.split(',').map(str::to_owned).collect()
}

/// Everything that is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub Vec<Mounted>);

impl Table {
    /// What is mounted now.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn read() -> io::Result<Table> {
        Ok(Table::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// The table as the kernel prints it.
    pub fn parse(text: &[u8]) -> Table {
        Table(text.split(|byte| *byte == b'\n').filter_map(Mounted::parse).collect())
    }

    /// What one sees at `at`: of several mounts there, the one that covers the others.
    pub fn at(&self, at: &Path) -> Option<&Mounted> {
        let here: Vec<_> = self.0.iter().filter(|mount| mount.at == at).collect();
        let covers =
            |mount: &&&Mounted| !here.iter().any(|other| other.parent == mount.id && other.id != mount.id);
        here.iter().rev().find(covers).or(here.last()).copied()
    }

    /// Whether anything at all is mounted at `at`.
    pub fn has(&self, at: &Path) -> bool {
        self.0.iter().any(|mount| mount.at == at)
    }

    /// Whether the very mount is there. Its number alone tells nothing: the kernel gives it out again.
    pub fn holds(&self, mount: &Mounted) -> bool {
        self.0
            .iter()
            .any(|other| other.id == mount.id && other.at == mount.at && other.device == mount.device)
    }

    /// What is mounted on a mount, at whatever depth below its mount point.
    pub fn below<'a>(&'a self, mount: &'a Mounted) -> impl Iterator<Item = &'a Mounted> + 'a {
        self.0.iter().filter(|other| other.parent == mount.id && other.id != mount.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        36 22 0:45 / /mnt/with\\040blank rw,noatime shared:1 master:2 - nfs4 nas:/a\\040b rw,vers=4.2,addr=192.0.2.1\n\
        37 36 0:45 / /mnt/with\\040blank ro - nfs4 nas:/other rw,vers=4.2\n\
        38 22 0:46 /sub /mnt/\\377 rw - xfs /dev/sdb ro\n\
        39 22 0:47 / /run/x rw - fuse.x  rw\n\
        not a mount\n";

    #[test]
    fn mountinfo_is_read_with_its_escapes_and_optional_fields() {
        let table = Table::parse(TEXT);
        assert_eq!(table.0.len(), 5);
        let nfs = &table.0[1];
        assert_eq!((nfs.id, nfs.parent, nfs.device), (36, 22, (0, 45)));
        assert_eq!((nfs.at.to_str(), nfs.source.as_str()), (Some("/mnt/with blank"), "nas:/a b"));
        assert_eq!(nfs.options, ["rw", "noatime", "vers=4.2", "addr=192.0.2.1"]);
        assert!(nfs.is_network() && !nfs.read_only && !table.0[0].is_network());
        assert_eq!(table.0[3].at.as_os_str().as_encoded_bytes(), b"/mnt/\xff");
        assert_eq!((table.0[4].kind.as_str(), table.0[4].source.as_str()), ("fuse.x", ""));
    }

    #[test]
    fn read_only_is_what_the_mount_or_its_file_system_says() {
        let table = Table::parse(TEXT);
        assert!(table.0[2].read_only && table.0[3].read_only);
        assert_eq!(table.0[3].options[0], "ro");
    }

    #[test]
    fn of_mounts_upon_each_other_the_uppermost_is_seen() {
        let mut table = Table::parse(TEXT);
        assert_eq!(table.at(Path::new("/mnt/with blank")).map(|mount| mount.id), Some(37));
        table.0.swap(1, 2);
        assert_eq!(table.at(Path::new("/mnt/with blank")).map(|mount| mount.id), Some(37));
        assert_eq!(table.at(Path::new("/mnt")), None);
    }

    #[test]
    fn the_kernels_own_table_is_read() {
        assert!(Table::read().unwrap().at(Path::new("/")).is_some());
    }
}
