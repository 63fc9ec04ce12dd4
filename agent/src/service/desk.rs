//! One storage server's desk: when it is refreshed, by whom the refresh is shared, and what
//! operations touched meanwhile.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::core::{Core, Errand, lock};
use super::refresh::{self, Seen};
use crate::error::Result;
use crate::operation::call::plugin_of;

/// How long changes gather before the refresh that follows them.
const SETTLE: Duration = Duration::from_millis(300);
/// The longest pause between refreshes that fail.
const BACK_OFF_MAX: Duration = Duration::from_secs(600);

type Coming = Shared<BoxFuture<'static, Result<()>>>;

/// What belongs to one registered storage server, besides what the inventory shows.
pub struct Desk {
    pub uuid: Uuid,
    /// Mutations that may run at the same time.
    permits: ArcSwap<Semaphore>,
    /// The storage server was unregistered, or the agent stops.
    pub gone: CancellationToken,
    wake: Notify,
    /// The next refresh, while it waits for the one before it: whoever asks now shares it.
    coming: Mutex<Option<Coming>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether somebody asked for the storage server's own refresh too.
    thorough: AtomicBool,
    touched: Mutex<Touched>,
    pub seen: Mutex<Seen>,
}

/// Which objects operations changed, in the order in which they did.
#[derive(Default)]
struct Touched {
    last: u64,
    ids: HashMap<Arc<str>, u64>,
}

impl Desk {
    pub fn new(core: &Core, uuid: Uuid) -> Desk {
        Desk {
            uuid,
            permits: ArcSwap::from_pointee(Semaphore::new(core.config().mutations_per_server)),
            gone: core.stopping.child_token(),
            wake: Notify::new(),
            coming: Mutex::default(),
            turn: Arc::default(),
            thorough: AtomicBool::new(false),
            touched: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Permits for mutations.
    pub fn permits(&self) -> Arc<Semaphore> {
        self.permits.load_full()
    }

    /// Lets so many mutations begin at the same time; those under way count as they began.
    pub fn allow(&self, mutations: usize) {
        self.permits.store(Arc::new(Semaphore::new(mutations)));
    }

    /// Refreshes the storage server soon, in the background.
    pub fn soon(&self) {
        self.wake.notify_one();
    }

    /// Refreshes the storage server; whoever asks before it begins shares it.
    ///
    /// One that has begun is not shared: it may not see what was done just before it was asked for.
    pub fn refresh(self: &Arc<Desk>, core: &Arc<Core>, thorough: bool) -> Coming {
        if thorough {
            self.thorough.store(true, Ordering::Relaxed);
        }
        let mut coming = lock(&self.coming);
        if let Some(coming) = &*coming {
            return coming.clone();
        }
        let (desk, work) = (self.clone(), core.clone());
        let refresh = async move {
            let turn = desk.turn.clone();
            let _turn = turn.lock().await;
            lock(&desk.coming).take();
            let thorough = desk.thorough.swap(false, Ordering::Relaxed);
            let errand = Errand { id: Uuid::now_v7(), cancel: desk.gone.child_token() };
            refresh::run(&work, &desk, thorough, &errand).await
        };
        let shared = refresh.boxed().shared();
        *coming = Some(shared.clone());
        // It ends also where nobody waits for it any more.
        drop(core.tasks.spawn(shared.clone()));
        shared
    }

    /// Notes that an operation changed an object; called while its change is published.
    pub fn touch(&self, id: &Arc<str>) {
        let mut touched = lock(&self.touched);
        touched.last += 1;
        let last = touched.last;
        touched.ids.insert(id.clone(), last);
    }

    /// The moment, as [`Desk::touched_since`] measures it.
    pub fn moment(&self) -> u64 {
        lock(&self.touched).last
    }

    /// The objects that operations changed after `moment`. Forgets those before: refreshes come one
    /// after the other.
    pub fn touched_since(&self, moment: u64) -> HashMap<Arc<str>, u64> {
        let mut touched = lock(&self.touched);
        touched.ids.retain(|_, at| *at > moment);
        touched.ids.clone()
    }

    /// Refreshes by interval, and when woken, until the storage server is gone.
    pub async fn keep(self: Arc<Desk>, core: Arc<Core>) {
        loop {
            let pause = self.pause(&core);
            tokio::select! {
                () = self.gone.cancelled() => return,
                () = self.wake.notified() => tokio::select! {
                    () = self.gone.cancelled() => return,
                    () = tokio::time::sleep(SETTLE) => {}
                },
                () = sleep(pause) => {}
            }
            let snapshot = core.inventory.snapshot();
            let Some(server) = snapshot.servers.get(&self.uuid) else { return };
            if plugin_of(&snapshot, &server.plugin).is_ok() {
                // A call that waited for its plug-in to be loaded would do so at the cost of its deadline.
                tokio::select! {
                    () = self.gone.cancelled() => return,
                    () = core.plugins.loaded(&server.plugin) => {}
                }
                // The state of the storage server says what came of it.
                let _ = self.refresh(&core, false).await;
            }
        }
    }

    /// How long until the next refresh; `None` for never.
    fn pause(&self, core: &Core) -> Option<Duration> {
        let snapshot = core.inventory.snapshot();
        let state = &snapshot.servers.get(&self.uuid)?.state;
        let interval = state.refresh_interval;
        if interval.is_zero() {
            return None;
        }
        let longer = interval.saturating_mul(1 << state.failures.min(16));
        // A tenth either way, so that servers registered together do not stay together.
        let random = Uuid::new_v4().as_u128() % 201;
        let pause = if state.failures == 0 { interval } else { longer.min(BACK_OFF_MAX.max(interval)) };
        Some(pause.mul_f64(0.9 + random as f64 / 1000.0))
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
