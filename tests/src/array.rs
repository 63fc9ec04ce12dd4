//! A file-backed array in a directory: real storage for `osc.filearray.FileArray.FileArray`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::need::{Need, Python};
use crate::shell::run;

/// An array in a directory of the test's own, on an XFS file system where the machine can have one:
/// only there are snapshots of an online element possible.
pub struct Array {
    /// The directory.
    pub dir: PathBuf,
    mounted: bool,
}

/// What a test needs whose array takes snapshots of online elements.
pub const NEEDS: [Need; 3] = [Need::Loop, Need::FileSystem("xfs"), Need::Tool("mkfs.xfs")];

/// The implementation name of the array's plug-in.
pub const PLUGIN: &str = "osc.filearray.FileArray.FileArray";

impl Array {
    /// Makes an array with one volume group `vg0` of `size` (`1GiB`).
    pub fn create(dir: &Path, size: &str) -> Array {
        std::fs::create_dir_all(dir).expect("the test's directory can be written");
        let mounted = NEEDS.iter().all(|need| need.unmet().is_none());
        if mounted {
            let image = dir.with_extension("xfs");
            let file = std::fs::File::create(&image).expect("the test's directory can be written");
            file.set_len(2 << 30).expect("a sparse file can be made");
            run(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image)).ok();
            run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(dir)).ok();
        }
        let tool = crate::project().join("agent/plugins/osc/filearray/mkarray.py");
        let python = Python::Three.path().expect("python3");
        run(Command::new(python).arg(tool).arg(dir).arg("--vol-group").arg(format!("vg0={size}"))).ok();
        Array { dir: dir.to_owned(), mounted }
    }

    /// A record to register it with, under `name`.
    pub fn record(&self, name: &str) -> serde_json::Value {
        serde_json::json!({
            "name": name, "storage_type": "SAN", "admin_host": "localhost",
            "admin_user": "", "admin_passwd": "", "extra_info": format!("path={}", self.dir.display()),
        })
    }

    /// Takes it out of the agent's reach, as a broken cable would, or puts it back.
    pub fn unplug(&self, unplugged: bool) {
        let (from, to) = (self.dir.join("array.db"), self.dir.join("array.db.unplugged"));
        let (from, to) = if unplugged { (from, to) } else { (to, from) };
        std::fs::rename(from, to).expect("an array has its database");
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.mounted {
            let _ = nix::mount::umount2(&self.dir, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}
