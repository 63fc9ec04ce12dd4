//! The Python code that the agent brings along: the SDK with the worker, and the stock plug-ins.
//!
//! Interpreters need files, so it is unpacked below the state directory at start.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rust_embed::{Embed, EmbeddedFile};

#[derive(Embed)]
#[folder = "python"]
#[exclude = "tests/*"]
#[exclude = "*/tests/*"]
#[exclude = "*.pyc"]
struct Sdk;

#[derive(Embed)]
#[folder = "plugins"]
#[exclude = "tests/*"]
#[exclude = "*/tests/*"]
#[exclude = "*.pyc"]
#[allow_missing = true]
struct Stock;

/// Where the agent keeps what lives only as long as it does.
#[derive(Clone, Debug)]
pub struct RunDir {
    /// Sockets of the workers.
    pub sockets: PathBuf,
    /// Temporary files of calls, a directory each.
    pub tmp: PathBuf,
    /// The SDK: holds `osc_worker.py` and `OSCPlugin`.
    pub sdk: PathBuf,
    /// The stock plug-ins: a plug-in directory like any other.
    pub stock: PathBuf,
}

impl RunDir {
    /// Makes `<state_dir>/run` anew: whatever an earlier agent left there goes, except the
    /// unpacked code when it is still this agent's.
    ///
    /// # Errors
    /// When a file cannot be made or removed.
    pub fn create(state_dir: &Path) -> io::Result<RunDir> {
        let run = state_dir.join("run");
        make(&run)?;
        let run = run.canonicalize()?;
        let assets = run.join(format!("assets-{:016x}", fingerprint()));
        for entry in fs::read_dir(&run)? {
            let path = entry?.path();
            if path != assets || !is_whole(&assets) {
                remove(&path)?;
            }
        }
        if !assets.exists() {
            unpack(&run.join("assets-new"), &assets)?;
        }
        let dir = RunDir {
            sockets: run.join("sockets"),
            tmp: run.join("tmp"),
            sdk: assets.join("sdk"),
            stock: assets.join("plugins"),
        };
        make(&dir.sockets)?;
        make(&dir.tmp)?;
        Ok(dir)
    }
}

/// Makes a directory that is the agent's alone, and those above it.
///
/// # Errors
/// When that fails.
pub fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn files() -> impl Iterator<Item = (PathBuf, EmbeddedFile)> {
    let sdk = Sdk::iter().filter_map(|name| Some((Path::new("sdk").join(&*name), Sdk::get(&name)?)));
    let stock =
        Stock::iter().filter_map(|name| Some((Path::new("plugins").join(&*name), Stock::get(&name)?)));
    sdk.chain(stock)
}

fn fingerprint() -> u64 {
    let mut hasher = DefaultHasher::new();
    for (path, file) in files() {
        path.hash(&mut hasher);
        file.metadata.sha256_hash().hash(&mut hasher);
    }
    hasher.finish()
}

/// A crash of the host may have left files of the right name and no content.
fn is_whole(assets: &Path) -> bool {
    files().all(|(path, file)| fs::read(assets.join(path)).is_ok_and(|found| found == *file.data))
}

/// Writes the SDK into a directory.
///
/// # Errors
/// When a file cannot be made.
pub fn unpack_sdk(into: &Path) -> io::Result<()> {
    for name in Sdk::iter() {
        let Some(file) = Sdk::get(&name) else { continue };
        let path = into.join(&*name);
        // Every path is below `into`, so there is a parent.
        path.parent().map_or(Ok(()), make)?;
        fs::write(&path, &file.data)?;
    }
    Ok(())
}

fn unpack(new: &Path, assets: &Path) -> io::Result<()> {
    make(&new.join("sdk"))?;
    make(&new.join("plugins"))?;
    for (path, file) in files() {
        let path = new.join(path);
        // Every path is below `new`, so there is a parent.
        path.parent().map_or(Ok(()), make)?;
        fs::write(&path, &file.data)?;
    }
    fs::rename(new, assets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_code_is_unpacked_once_and_nothing_else_stays() {
        let state = tempfile::tempdir().unwrap();
        let first = RunDir::create(state.path()).unwrap();
        let run = first.tmp.parent().unwrap();
        assert!(
            first.sdk.join("osc_worker.py").is_file() && first.sdk.join("OSCPlugin/__init__.py").is_file()
        );
        assert!(!first.sdk.join("tests").exists());
        assert_eq!(fs::metadata(run).unwrap().permissions().mode() & 0o777, 0o700);

        let marker = first.sdk.join("marker");
        fs::write(&marker, "").unwrap();
        make(&first.tmp.join("left/over")).unwrap();
        make(&run.join("assets-of-another-version")).unwrap();
        let second = RunDir::create(state.path()).unwrap();
        assert_eq!(second.sdk, first.sdk);
        assert!(marker.exists(), "unpacked again without need");
        assert_eq!(fs::read_dir(&second.tmp).unwrap().count(), 0);
        assert_eq!(fs::read_dir(run).unwrap().count(), 3);

        fs::write(second.sdk.join("osc_worker.py"), "").unwrap();
        RunDir::create(state.path()).unwrap();
        assert!(fs::metadata(second.sdk.join("osc_worker.py")).unwrap().len() > 0, "an emptied file stayed");
    }
}
