//! Keeps the memory that requests are read into ready for the kernel, so that a process that is killed while it reads one loses none.
//!
//! The kernel takes a request off its queue and then writes it into the reader's memory. Where a page first has to be made writable (one
//! that was never used, or any of a process that has just forked), a reader that is being killed is refused it, and the caller is
//! told EIO before a successor can do anything. So the page that requests begin in is used before the first one, and made writable again
//! right after each fork.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

const PAGE: usize = 4096;
/// A session's buffer is the one thing that is larger: it has room for the largest write that fuser knows, 16 MiB.
const LARGE: usize = 16 << 20;

/// Pages to be kept ready; more than there are threads. What is left of a buffer that is gone does no harm.
static PAGES: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

/// An allocator that hands out buffers for requests ready to be read into. To be the global one of a program whose tree shall survive it.
#[derive(Debug)]
pub struct ReadyBuffers<A>(pub A);

// SAFETY: every call goes to the allocator inside, and what it returns is handed on.
unsafe impl<A: GlobalAlloc> GlobalAlloc for ReadyBuffers<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that it wants.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { self.0.alloc_zeroed(layout) };
        if layout.size() > LARGE && !memory.is_null() {
            // SAFETY: just allocated, and 0 already.
            unsafe { memory.write_volatile(0) };
            keep(memory as usize & !(PAGE - 1));
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.realloc(memory, layout, size) }
    }
}

fn keep(page: usize) {
    static AT_FORK: Once = Once::new();
    AT_FORK.call_once(|| {
        // SAFETY: the function makes system calls only, which is all that may be done there.
        let _ = unsafe { libc::pthread_atfork(None, Some(make_ready), None) };
    });
    for slot in &PAGES {
        match slot.compare_exchange(0, page, Ordering::Relaxed, Ordering::Relaxed) {
            Err(other) if other != page => {}
            _ => return,
        }
    }
}

/// Linux 5.14; earlier ones refuse it.
extern "C" fn make_ready() {
    for page in PAGES.iter().map(|slot| slot.load(Ordering::Relaxed)).take_while(|page| *page != 0) {
        // SAFETY: reads and writes nothing; what is not mapped any more is an error.
        unsafe { libc::madvise(page as *mut libc::c_void, PAGE, libc::MADV_POPULATE_WRITE) };
    }
}
