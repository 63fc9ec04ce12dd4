//! What the NFS server of this very host has to do with a mount: it exports it, or it only remembers that it does not.
//!
//! Its answers to "is this directory exported?" are kept in the kernel (nfsd(7), /proc/net/rpc), "no" as well as "yes", and
//! each holds the mount for as long as it is kept, half an hour. Any client that lists the directory with the mount point
//! asks: one whose exports lie beside it, in the pseudo file system of NFS 4, is enough. Then umount(2) finds the mount busy,
//! and no process is to be seen.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fsview::unescaped;

/// The kernel's caches for its RPC services.
const CACHES: &str = "/proc/net/rpc";
/// The cache of exports, of which each line begins with a path.
const EXPORTS: &str = "nfsd.export";
/// The caches that hold mounts. exportfs(8) empties them in this order.
const HOLDING: &[&str] = &["nfsd.fh", EXPORTS];

/// What the server remembers of a mount.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Directories there that it exports.
    pub exports: Vec<PathBuf>,
    /// Whether it has been asked for one that it does not export.
    pub denied: bool,
}

/// What it remembers of what is mounted at `at`; nothing where there is no server.
pub fn remembered(at: &Path) -> Remembered {
    fs::read(Path::new(CACHES).join(EXPORTS).join("content")).map(|text| parse(&text, at)).unwrap_or_default()
}

/// A line is `PATH CLIENT(OPTIONS)`, blanks in the path escaped, and begins with `# ` where the answer is no.
fn parse(text: &[u8], at: &Path) -> Remembered {
    let mut found = Remembered::default();
    for line in text.split(|byte| *byte == b'\n') {
        let (denied, line) = line.strip_prefix(b"# ").map_or((false, line), |rest| (true, rest));
        let path = line.split(|byte| *byte == b'\t' || *byte == b' ').next().map(unescaped);
        let Some(path) = path.map(PathBuf::from).filter(|path| path.starts_with(at)) else { continue };
        match denied {
            true => found.denied = true,
            false if found.exports.contains(&path) => {}
            false => found.exports.push(path),
        }
    }
    found
}

/// Has the server forget all its answers, as `exportfs -f` does: its clients notice nothing, it asks its mountd again.
///
/// # Errors
/// There is no server, or this process may not.
pub fn forget() -> io::Result<()> {
    // Any number does; older kernels want the time.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for cache in HOLDING {
        fs::write(Path::new(CACHES).join(cache).join("flush"), format!("{now}\n"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: &[u8] = b"#path domain(flags)\n\
        # /mnt/a\\040b\t192.0.2.1()\n\
        /mnt/c\t192.0.2.1(rw,no_root_squash,sec=1)\n\
        /mnt/c\t192.0.2.2(ro)\n\
        /mnt/c/below\t192.0.2.1(rw)\n\
        # /mnt/cd\t192.0.2.1()\n";

    #[test]
    fn an_export_is_told_from_the_memory_that_there_is_none() {
        let at = |place: &str| parse(CONTENT, Path::new(place));
        assert_eq!(at("/mnt/a b"), Remembered { exports: vec![], denied: true });
        let exports = vec!["/mnt/c".into(), "/mnt/c/below".into()];
        assert_eq!(at("/mnt/c"), Remembered { exports, denied: false });
        assert_eq!(at("/mnt/d"), Remembered::default());
        assert_eq!(parse(b"", Path::new("/mnt")), Remembered::default());
    }
}
