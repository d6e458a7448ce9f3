//! Instruction sets, chosen at run time.

#![cfg_attr(
    all(target_arch = "x86_64", target_os = "linux"),
    expect(unsafe_code, reason = "the operating system is asked for the tile registers by a system call")
)]

use std::sync::OnceLock;

/// Instruction set that a kernel runs on, from the slowest to the fastest.
///
/// The choice changes the time of a result, never the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What every machine has.
    Portable,
    /// 128-bit vectors of 64-bit ARM.
    Neon,
    /// 256-bit vectors of x86.
    Avx2,
    /// 512-bit vectors of x86 with 8-bit dot products.
    Avx512Vnni,
    /// Matrix tiles of x86 beside [`Isa::Avx512Vnni`].
    Amx,
}

impl Isa {
    /// What this machine has, from the slowest to the fastest; detected once.
    #[must_use]
    pub fn available() -> Vec<Self> {
        static AVAILABLE: OnceLock<Vec<Isa>> = OnceLock::new();
        AVAILABLE.get_or_init(detect).clone()
    }

    /// The fastest that this machine has.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().into_iter().max().unwrap_or(Self::Portable))
    }

    /// This one if the machine has it, [`Isa::Portable`] otherwise.
    pub(super) fn or_portable(self) -> Self {
        if Self::available().contains(&self) { self } else { Self::Portable }
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Vec<Isa> {
    let mut found = vec![Isa::Portable];
    if is_x86_feature_detected!("avx2") {
        found.push(Isa::Avx2);
    }
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    if wide {
        found.push(Isa::Avx512Vnni);
        if tiles_granted() {
            found.push(Isa::Amx);
        }
    }
    found
}

#[cfg(target_arch = "aarch64")]
fn detect() -> Vec<Isa> {
    vec![Isa::Portable, Isa::Neon]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Vec<Isa> {
    vec![Isa::Portable]
}

/// True where the processor has 8-bit tiles and Linux grants them: it keeps 8 KiB more a thread for them, on request only.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_granted() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    if std::arch::x86_64::__cpuid_count(7, 0).edx & (TILE | INT8) != TILE | INT8 {
        return false;
    }
    let answer: i64;
    // SAFETY: the call takes two numbers, no pointer, and only widens what the process may use; the kernel clobbers rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") SYS_ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Elsewhere nobody grants them.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn tiles_granted() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_among_the_available_and_the_portable_always_is() {
        assert!(Isa::available().contains(&Isa::best()));
        assert_eq!(Isa::Portable.or_portable(), Isa::Portable);
        let foreign = if cfg!(target_arch = "x86_64") { Isa::Neon } else { Isa::Amx };
        assert_eq!(foreign.or_portable(), Isa::Portable);
    }
}
