//! How the allocator treats memory that a step frees and the next one asks for again.

/// Keeps freed memory in the process instead of giving it back to the system: the tensors of a step are as large as those of the
/// step before, and pages that come anew from the system cost more than what is computed on them. For a program's start.
///
/// Elsewhere than on Linux with glibc it does nothing.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[expect(unsafe_code, reason = "glibc's settings are behind a C function")]
        // SAFETY: `mallopt` takes two integers and may be called at any time.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        }
    }
}

/// Bytes of the largest piece that is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGEST_KEPT: i32 = 1 << 30;
