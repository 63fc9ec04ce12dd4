//! A file-backed array in a directory: real storage for `osc.filearray.FileArray.FileArray`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::need::Python;
use crate::shell::run;

/// An array in a directory of the test's own.
pub struct Array {
    /// The directory.
    pub dir: PathBuf,
}

/// The implementation name of the array's plug-in.
pub const PLUGIN: &str = "osc.filearray.FileArray.FileArray";

impl Array {
    /// Makes an array with one volume group `vg0` of `size` (`1GiB`).
    pub fn create(dir: &Path, size: &str) -> Array {
        let tool = crate::project().join("agent/plugins/osc/filearray/mkarray.py");
        let python = Python::Three.path().expect("python3");
        run(Command::new(python).arg(tool).arg(dir).arg("--vol-group").arg(format!("vg0={size}"))).ok();
        Array { dir: dir.to_owned() }
    }

    /// A record to register it with, under `name`.
    pub fn record(&self, name: &str) -> serde_json::Value {
        serde_json::json!({
            "name": name, "storage_type": "SAN", "admin_host": "localhost",
            "admin_user": "", "admin_passwd": "", "extra_info": format!("path={}", self.dir.display()),
        })
    }
}
