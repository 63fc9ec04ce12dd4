//! What the end-to-end tests share: a real `dbus-daemon`, a real `oscd` on a mount point of its own,
//! a real array in a directory, and the real interpreters. Everything is torn down on drop.

pub mod array;
pub mod bus;
pub mod daemon;
pub mod need;
pub mod packages;
pub mod shell;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The project's folder.
pub fn project() -> &'static Path {
    // The crate lies directly below it.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// A program that this build made: `oscd`, `oscctl`.
///
/// # Panics
/// When it is not there: `cargo build --workspace` makes it.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    let found = own.ancestors().skip(1).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build --workspace` first"))
}

/// Waits until `what` is there, looking often.
///
/// # Panics
/// When it is not after a generous deadline; `label` says what was waited for.
pub fn eventually<T>(label: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = what() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited a minute for: {label}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Installs one of the tests' own plug-in modules, `vendor/module` below `tests/plugins`.
///
/// # Panics
/// When it cannot be copied.
pub fn install(agent: &daemon::Agent, module: &str) {
    let (vendor, _) = module.split_once('/').expect("vendor/module");
    let source = project().join("tests/plugins").join(module);
    let target = agent.plugins().join(vendor);
    std::fs::create_dir_all(&target).expect("the test's directory can be written");
    shell::run(std::process::Command::new("cp").arg("-r").arg(source).arg(target)).ok();
}
