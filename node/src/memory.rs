//! The system's allocator, which librdkafka and RocksDB use; our own code has mimalloc.
#![allow(unsafe_code, reason = "glibc's tuning is a C call")]

/// Blocks from this size on are taken from the kernel one by one and given back when they are freed, bytes. Left alone, glibc
/// raises its first value, 128 KiB, to the largest block freed so far, up to 32 MiB, and keeps such blocks in its heaps, which
/// break into pieces. At 128 KiB the batches of producer and consumer, of some 100 KiB each, come as new pages every time: 5 %
/// of the CPU of a topology that does little, for 2 MB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: i32 = 1024 * 1024;

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
