//! Gives memory that large work has left free back to the kernel: the allocator keeps it, page by page, between
//! what is still in use, and the process would stay as large as it ever was.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Until what the work set off (signals, notifications of the kernel, answers on their way) is done with, too.
const SETTLING: Duration = Duration::from_secs(1);

/// How often more work puts it off.
const PATIENCE: u32 = 10;

/// To be called after work that took megabytes, in a task of the runtime.
pub fn give_back_soon() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static WAITING: AtomicBool = AtomicBool::new(false);
    CALLS.fetch_add(1, Ordering::AcqRel);
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if WAITING.swap(true, Ordering::AcqRel) {
        return;
    }
    runtime.spawn(async {
        for _ in 0..PATIENCE {
            let calls = CALLS.load(Ordering::Acquire);
            tokio::time::sleep(SETTLING).await;
            if CALLS.load(Ordering::Acquire) == calls {
                break;
            }
        }
        WAITING.store(false, Ordering::Release);
        // It visits every free page, which takes milliseconds.
        let _ = tokio::task::spawn_blocking(|| {
            // SAFETY: malloc_trim only gives free memory back.
            unsafe { libc::malloc_trim(0) }
        })
        .await;
    });
}
