//! Notices changes in the plug-in directories, and waits until a change is over: a module that is
//! being copied is looked at once nothing has been written to it for a moment.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::time::Instant;

use super::scan::counts;

/// Nothing has been written for this long: it is over.
const QUIET: Duration = Duration::from_millis(250);

/// Something that never ends is looked at all the same, this often.
const LONGEST: Duration = Duration::from_secs(5);

/// A tree with more directories than this is not watched any further.
const MOST_WATCHES: usize = 8192;

/// Roots, vendors, modules and some way into them.
const DEPTH: usize = 12;

/// The name under which changes are kept that are about no single module.
const STRUCTURE: &str = "";

/// Watches plug-in directories, also ones that do not exist yet.
pub struct Watcher {
    dirs: Vec<PathBuf>,
    stream: EventStream<Vec<u8>>,
    paths: HashMap<WatchDescriptor, BTreeSet<PathBuf>>,
    /// First and last change of what is still changing, by module.
    changing: HashMap<String, (Instant, Instant)>,
}

impl Watcher {
    /// Starts watching.
    ///
    /// # Errors
    /// When the host has no inotify instance left.
    pub fn new(dirs: &[PathBuf]) -> io::Result<Watcher> {
        let stream = Inotify::init()?.into_event_stream(vec![0; 64 << 10])?;
        let mut watcher =
            Watcher { dirs: dirs.to_vec(), stream, paths: HashMap::new(), changing: HashMap::new() };
        watcher.watch_all();
        Ok(watcher)
    }

    /// Returns when something has changed and is over: the modules that are still changing, and
    /// so are better left alone until next time.
    pub async fn settled(&mut self) -> BTreeSet<String> {
        loop {
            let next = self.changing.values().map(due).min();
            tokio::select! {
                event = self.stream.next() => match event {
                    Some(Ok(event)) => self.take(&event),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "plug-in directories cannot be watched; reload by hand");
                        tokio::time::sleep(LONGEST).await;
                    }
                    // The stream of an inotify instance has no end.
                    None => std::future::pending().await,
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    let now = Instant::now();
                    self.changing.retain(|_, span| due(span) > now);
                    return self.changing.keys().filter(|key| *key != STRUCTURE).cloned().collect();
                }
            }
        }
    }

    fn take(&mut self, event: &EventOwned) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.watch_all();
            return self.changed(STRUCTURE.into());
        }
        let name = event.name.as_ref().map(|name| name.to_string_lossy().into_owned());
        if name.as_deref().is_some_and(|name| !counts(name)) {
            return;
        }
        let paths = self.paths.get(&event.wd).cloned().unwrap_or_default();
        if event.mask.contains(EventMask::IGNORED) {
            self.paths.remove(&event.wd);
        }
        let gone = event.mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF);
        for path in paths {
            let path = name.as_ref().map_or_else(|| path.clone(), |name| path.join(name));
            let Some(key) = self.key(&path) else { continue };
            self.changed(key);
            if gone || self.dirs.iter().any(|dir| dir.starts_with(&path)) {
                self.watch_all();
            } else if event.mask.contains(EventMask::ISDIR)
                && event.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO)
                || path.is_symlink()
            {
                self.watch_tree(&path, DEPTH);
            }
        }
    }

    /// Which module a path belongs to; `None` when it has nothing to do with plug-ins.
    fn key(&self, path: &Path) -> Option<String> {
        for dir in &self.dirs {
            if dir.starts_with(path) {
                return Some(STRUCTURE.into());
            }
            if let Ok(inside) = path.strip_prefix(dir) {
                let mut names = inside.iter().map(|name| name.to_string_lossy());
                return Some(match (names.next(), names.next()) {
                    (Some(vendor), Some(module)) => format!("{vendor}.{module}"),
                    _ => STRUCTURE.into(),
                });
            }
        }
        None
    }

    fn changed(&mut self, key: String) {
        let now = Instant::now();
        self.changing.entry(key).and_modify(|span| span.1 = now).or_insert((now, now));
    }

    fn watch_all(&mut self) {
        for dir in self.dirs.clone() {
            // Tells when the directory comes, goes, or is another one.
            if let Some(above) = dir.ancestors().skip(1).find(|above| above.is_dir()) {
                self.watch(above);
            }
            self.watch_tree(&dir, DEPTH);
        }
    }

    fn watch_tree(&mut self, dir: &Path, depth: usize) {
        if depth == 0 || !dir.is_dir() || !self.watch(dir) {
            return;
        }
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(counts) {
                self.watch_tree(&entry.path(), depth - 1);
            }
        }
    }

    fn watch(&mut self, path: &Path) -> bool {
        if self.paths.len() >= MOST_WATCHES {
            return false;
        }
        let mask = WatchMask::CREATE
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::ATTRIB
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        match self.stream.watches().add(path, mask) {
            Ok(wd) => {
                self.paths.entry(wd).or_default().insert(path.to_owned());
                true
            }
            // It went away again: there was an event for that, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a plug-in directory cannot be watched");
                false
            }
        }
    }
}

/// When a change counts as over.
fn due((first, last): &(Instant, Instant)) -> Instant {
    (*last + QUIET).min(*first + LONGEST)
}
