//! Points at which a test can make the process die or hang, in debug builds only: with `OSC_FAULT=<point>:<n>` it gets SIGKILL when it passes
//! `<point>` for the n-th time (`OSC_FAULT=@<file>` takes that from a file, which it removes: a successor is spared); with
//! `OSC_HANG=<directory>`, whoever passes `<loop>` stays there while `<directory>/<loop>` exists.

/// Every point of this crate, in the order in which a request passes them.
pub const POINTS: &[&str] = &[
    "control-read",
    "control-listed",
    "control-handed-on",
    "control-served",
    "control-begun",
    "control-commanded",
    "control-replied",
    "control-taken",
    "control-answered",
    "record-served",
    "record-looked-up",
    "record-read",
    "record-listed",
    "tell",
];

/// Passes a point.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    static WANTED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let mut wanted = std::env::var("OSC_FAULT").ok()?;
        if let Some(file) = wanted.strip_prefix('@') {
            let told = std::fs::read_to_string(file).ok()?;
            std::fs::remove_file(file).ok()?;
            wanted = told.trim().to_owned();
        }
        let (point, count) = wanted.split_once(':')?;
        Some((point.to_owned(), AtomicI64::new(count.parse().ok()?)))
    });
    if let Some((point, left)) = wanted
        && point == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        loop {
            std::thread::park();
        }
    }
}

/// Passes a point.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_: &str) {}

/// Passes a place at which a loop can be made to hang.
#[cfg(debug_assertions)]
pub fn hang(name: &str) {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    static WHERE: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(directory) = WHERE.get_or_init(|| std::env::var_os("OSC_HANG").map(PathBuf::from)) {
        let file = directory.join(name);
        while file.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Passes a place at which a loop can be made to hang.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hang(_: &str) {}
