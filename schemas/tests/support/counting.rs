//! A global allocator that counts, per thread, so that tests can run in parallel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Install with `#[global_allocator]`.
pub(crate) struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// What one thread allocated during a call of [`count`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Allocations and growths.
    pub(crate) calls: usize,
    /// Bytes asked for, in all.
    pub(crate) bytes: usize,
    /// Bytes asked for at once, at most.
    pub(crate) largest: usize,
}

/// Runs `f` and counts its allocations on this thread.
pub(crate) fn count<R>(f: impl FnOnce() -> R) -> (R, Counts) {
    CALLS.set(0);
    BYTES.set(0);
    LARGEST.set(0);
    let result = f();
    (result, Counts { calls: CALLS.get(), bytes: BYTES.get(), largest: LARGEST.get() })
}

fn note(size: usize) {
    // A thread that is going away has no counters any more, and nobody who asks.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + size));
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

// Unsafe because the trait is; every call is passed on unchanged to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
