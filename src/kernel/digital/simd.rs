//! One source, several instruction sets.
//!
//! The build is for the baseline of its architecture. A kernel's body is a generic function, always inlined, and the crate
//! `pulp` instantiates it for AVX-512, AVX2, NEON and the baseline; which one runs is decided at run time, once.

use pulp::{Simd, WithSimd};

/// `a·b + c`, with one rounding where the instruction set does that in one instruction.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(_: S, a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

/// Runs `kernel` with the best instruction set of this processor. Its `with_simd` must be `#[inline(always)]`, or it is
/// compiled for the baseline only.
pub(super) fn run<K: WithSimd>(kernel: K) -> K::Output {
    #[cfg(test)]
    match each::FORCED.get() {
        Some(each::Set::Baseline) => return Simd::vectorize(pulp::Scalar::new(), kernel),
        #[cfg(target_arch = "x86_64")]
        Some(each::Set::Avx2) => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, kernel);
            }
        }
        _ => {}
    }
    pulp::Arch::new().dispatch(kernel)
}

/// `dispatch!(body => fn name(arguments))` makes `name`, which runs the generic `body(simd, arguments)` with the best
/// instruction set.
macro_rules! dispatch {
    ($body:ident => fn $name:ident($($argument:ident: $ty:ty),* $(,)?)) => {
        fn $name($($argument: $ty),*) {
            struct Call<T>(T);
            impl pulp::WithSimd for Call<($($ty,)*)> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, simd: S) {
                    let ($($argument,)*) = self.0;
                    $body(simd, $($argument),*)
                }
            }
            $crate::kernel::digital::simd::run(Call(($($argument,)*)))
        }
    };
}
pub(super) use dispatch;

/// Test support: the same kernel on every instruction set.
#[cfg(test)]
pub(super) mod each {
    use std::cell::Cell;

    /// An instruction set that is asked for.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::kernel::digital) enum Set {
        Baseline,
        Avx2,
        Best,
    }

    thread_local! {
        /// What [`super::run`] uses on this thread.
        pub(super) static FORCED: Cell<Option<Set>> = const { Cell::new(None) };
    }

    /// Calls `check` with each instruction set in force on this thread (not on those of a pool).
    pub(in crate::kernel::digital) fn instruction_set(mut check: impl FnMut(Set)) {
        for set in [Set::Baseline, Set::Avx2, Set::Best] {
            FORCED.set(Some(set));
            check(set);
            FORCED.set(None);
        }
    }
}
