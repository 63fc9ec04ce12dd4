//! Signs of life: how a loop shows that it goes round, and how long it has not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a loop that has nothing to do shows that it is there.
pub const PERIOD: Duration = Duration::from_secs(3);

/// What a loop beats.
#[derive(Debug)]
pub struct Pulse {
    begun: Instant,
    /// The last beat, in milliseconds after `begun`.
    last: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { begun: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Pulse {
    /// The loop has come round.
    pub fn beat(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// How long ago the last beat was.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One loop that must not stand still.
pub struct Watch {
    /// What the journal calls it.
    pub name: &'static str,
    /// How long it has stood still.
    pub still: Box<dyn Fn() -> Duration + Send>,
}

impl Watch {
    /// A loop that beats a pulse.
    pub fn of(name: &'static str, pulse: std::sync::Arc<Pulse>) -> Watch {
        Watch { name, still: Box::new(move || pulse.silence()) }
    }
}
