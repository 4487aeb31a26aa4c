//! The system's allocator, which librdkafka and RocksDB use; our own code has mimalloc.
#![allow(unsafe_code, reason = "glibc's tuning is a C call")]

/// Blocks from this size on are taken from the kernel one by one and given back when they are freed, bytes. It is glibc's
/// first value; left alone, glibc raises it to the largest block freed so far, up to 32 MiB, and keeps such blocks in its
/// heaps, which break into pieces: every fetch leaves decompressed batches of 100 KiB to 1 MiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: i32 = 128 * 1024;

/// Makes glibc give large blocks back to the kernel as soon as they are freed: a fifth of the peak memory of a worker with a
/// backlog. To be called first in `main`; does nothing with another C library.
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt may be called at any time; it takes no pointers.
    unsafe {
        // It fails for unknown parameters only, and then all is as before.
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    }
}
