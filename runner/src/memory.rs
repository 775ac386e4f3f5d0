//! What the allocator does with memory that is free again.
//!
//! Loading a model takes several times the memory that serving it takes; that goes back to the system, once. Serving takes
//! and frees the same buffers for every window. Left to itself, glibc gives them back to the system each time and faults
//! them in anew at the next window: 25 page faults a window were seen with a model of half a millisecond, and a fifth of
//! its throughput lost.

#![expect(unsafe_code, reason = "the allocator is tuned by calls of the C library")]

/// Buffers below this come from the heap and stay there; larger ones are mapped one by one. The most that glibc takes.
#[cfg(target_env = "gnu")]
const LARGEST_KEPT_BYTES: i32 = 32 << 20;

/// Gives back what loading has left, and from now on keeps what is freed. Call between loading and the first window.
pub(crate) fn keep_what_serving_frees() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it takes a number, locks the allocator itself, and gives back only pages that hold nothing.
        unsafe { libc::malloc_trim(0) };
        for (setting, value) in [(libc::M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES), (libc::M_TRIM_THRESHOLD, i32::MAX)] {
            // SAFETY: it takes two numbers and locks the allocator itself. A setting that is refused stays as it was.
            unsafe { libc::mallopt(setting, value) };
        }
    }
}
