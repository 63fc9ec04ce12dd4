//! The watchdog: as long as every loop of the daemon goes round, the service manager hears of it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::pulse::{PERIOD, Watch};

/// How long a loop may stand still where no service manager says.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks after the loops, until it is dropped. It has a thread of its own: whatever is stuck, this is not.
pub struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    stuck: Arc<ArcSwap<String>>,
}

/// Starts looking. Every quarter of the service manager's deadline, `tell` is given the loops that have not moved
/// within half of it; the log names each once.
pub fn start(
    watches: Vec<Watch>,
    deadline: Option<Duration>,
    tell: impl Fn(&[&'static str]) + Send + 'static,
) -> Watchdog {
    let patience = deadline.map_or(PATIENCE, |deadline| deadline / 2).max(2 * PERIOD);
    let period = deadline.map_or(PERIOD, |deadline| deadline / 4).min(PERIOD);
    let stuck = Arc::<ArcSwap<String>>::default();
    let (end, ended) = channel();
    let told = stuck.clone();
    let look = move || {
        let mut before: Vec<&'static str> = Vec::new();
        loop {
            let still = |watch: &&Watch| (watch.still)() > patience;
            let now: Vec<_> = watches.iter().filter(still).map(|watch| watch.name).collect();
            for name in now.iter().filter(|name| !before.contains(name)) {
                tracing::error!(
                    "the loop {name:?} has stood still for {} s: the service manager is no longer told that all is well",
                    patience.as_secs()
                );
            }
            for name in before.iter().filter(|name| !now.contains(name)) {
                tracing::warn!("the loop {name:?} goes round again");
            }
            if now != before {
                told.store(Arc::new(now.join(", ")));
            }
            tell(&now);
            before = now;
            match ended.recv_timeout(period) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    let thread = std::thread::Builder::new().name("watchdog".into()).spawn(look);
    let thread = thread.inspect_err(|error| tracing::error!(%error, "no thread for the watchdog")).ok();
    Watchdog { end: Some(end), thread, stuck }
}

impl Watchdog {
    /// The loops that stand still, as a list in words; the empty string where none does.
    pub fn stuck(&self) -> Arc<ArcSwap<String>> {
        self.stuck.clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            // It does not panic, and if it did, the log has it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    #[test]
    fn one_loop_that_stands_still_ends_the_signs_of_life_and_is_named() {
        let hung = Arc::new(AtomicBool::new(false));
        let seen = hung.clone();
        let long =
            move || if seen.load(Ordering::Relaxed) { Duration::from_secs(3600) } else { Duration::ZERO };
        let watches = vec![
            Watch { name: "well", still: Box::new(|| Duration::ZERO) },
            Watch { name: "ill", still: Box::new(long) },
        ];
        let beats = Arc::new(AtomicU64::new(0));
        let counted = beats.clone();
        let tell = move |stuck: &[&'static str]| {
            if stuck.is_empty() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let watchdog = start(watches, Some(Duration::from_millis(40)), tell);
        let wait = |what: &dyn Fn() -> bool| {
            while !what() {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        wait(&|| beats.load(Ordering::Relaxed) > 3);
        assert_eq!(**watchdog.stuck().load(), "");

        hung.store(true, Ordering::Relaxed);
        wait(&|| **watchdog.stuck().load() == "ill");
        let before = beats.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(beats.load(Ordering::Relaxed), before);

        hung.store(false, Ordering::Relaxed);
        wait(&|| beats.load(Ordering::Relaxed) > before);
        assert_eq!(**watchdog.stuck().load(), "");
    }
}
