//! Sixteen rows side by side: the layout of the kernels, and how loops over it are compiled for the vectors at hand.

#![expect(
    unsafe_code,
    reason = "shuffles of vector registers, and loops compiled for vectors found at run time"
)]

pub(super) mod vector;

use super::Isa;

/// Rows side by side.
pub(super) const LANES: usize = 16;

/// One number a row.
pub(super) type Lanes<T> = [T; LANES];

/// Adding and taking away `1.5 · 2²³` rounds an `f32` below `2²²` to the nearest whole number, ties to even, in two additions
/// that every compiler vectorises. In between, the low byte is that of the whole number in two's complement.
pub(super) const ROUND: f32 = 12_582_912.0;

/// A cache line of 8-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [i8; 64]);

/// Asks for lines that are wanted soon.
pub(super) fn prefetch(lines: &[Line]) {
    for line in lines {
        prefetch_line(std::ptr::from_ref(line).cast());
    }
}

/// Asks for numbers that are wanted soon.
pub(super) fn prefetch_reals(values: &[f32]) {
    for line in values.chunks(LANES) {
        prefetch_line(line.as_ptr().cast());
    }
}

#[inline]
fn prefetch_line(line: *const i8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, which reads nothing that could be observed.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// The numbers of consecutive lines.
pub(super) fn bytes_mut(lines: &mut [Line]) -> &mut [i8] {
    // SAFETY: lines are 64 numbers each, without padding, one after the other.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 64 * lines.len()) }
}

/// Declares a function that runs `$body`, an `#[inline(always)]` function, compiled for the vectors of the instruction set given as
/// first argument; `$body<Vector>` is generic over the implementation of [`vector::Vector`].
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident<Vector>) => {
        $crate::kernel::lanes::vectorised! {
            @each $(#[$meta])* $vis fn $name($($arg: $type),*) $(-> $out)? =
                $body::<$crate::kernel::lanes::vector::Wide>,
                $body::<$crate::kernel::lanes::vector::Halves>,
                $body::<$crate::kernel::lanes::Lanes<f32>>
        }
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $crate::kernel::lanes::vectorised! {
            @each $(#[$meta])* $vis fn $name($($arg: $type),*) $(-> $out)? = $body, $body, $body
        }
    };
    (@each $(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? =
        $wide:expr, $medium:expr, $plain:expr) => {
        $(#[$meta])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "the loop is also compiled for vectors found at run time")
        )]
        $vis fn $name(isa: $crate::kernel::Isa, $($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn wide($($arg: $type),*) $(-> $out)? {
                    $wide($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn medium($($arg: $type),*) $(-> $out)? {
                    $medium($($arg),*)
                }
                match isa {
                    // SAFETY: these instruction sets are only chosen where the machine has them.
                    $crate::kernel::Isa::Amx | $crate::kernel::Isa::Avx512Vnni => return unsafe { wide($($arg),*) },
                    // SAFETY: as above.
                    $crate::kernel::Isa::Avx2 => return unsafe { medium($($arg),*) },
                    _ => {}
                }
            }
            let _ = isa;
            $plain($($arg),*)
        }
    };
}
pub(super) use vectorised;

/// `to[j][i] = from[i][j]` in numbers of 4 bytes: from a row a line to 4 inputs of 16 rows a line.
pub(super) fn transpose_lines(isa: Isa, from: [&Line; LANES], to: &mut [Line; LANES]) {
    // SAFETY: both are lines of 64 bytes without invalid values, aligned to more than 4.
    let (from, to) = unsafe {
        (
            from.map(|line| &*std::ptr::from_ref(line).cast::<Lanes<u32>>()),
            &mut *std::ptr::from_mut(to).cast::<[u32; LANES * LANES]>(),
        )
    };
    transpose(isa, from, to, LANES);
}

/// `to[j · stride + i] = from[i][j]`; `to` must hold all sixteen rows.
pub(super) fn transpose_reals(isa: Isa, from: &[Lanes<f32>; LANES], to: &mut [f32], stride: usize) {
    // SAFETY: numbers of 4 bytes, and every pattern of bits is valid in both types.
    let (from, to) = unsafe {
        (
            from.each_ref().map(|lanes| &*std::ptr::from_ref(lanes).cast::<Lanes<u32>>()),
            std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<u32>(), to.len()),
        )
    };
    transpose(isa, from, to, stride);
}

/// 16 × 16 numbers of 4 bytes, by row.
type Square<'a> = [&'a Lanes<u32>; LANES];

#[inline]
fn transpose(isa: Isa, from: Square<'_>, to: &mut [u32], stride: usize) {
    // What the unchecked stores below rely on.
    let to = &mut to[..(LANES - 1) * stride + LANES];
    #[cfg(target_arch = "x86_64")]
    match isa {
        // SAFETY: these instruction sets are only chosen where the machine has them; 16 numbers fit from each multiple of the stride.
        Isa::Amx | Isa::Avx512Vnni => return unsafe { transpose_512(from, to.as_mut_ptr(), stride) },
        // SAFETY: as above.
        Isa::Avx2 => return unsafe { transpose_256(from, to.as_mut_ptr(), stride) },
        _ => {}
    }
    let _ = isa;
    for column in 0..LANES {
        for (to, from) in to[column * stride..][..LANES].iter_mut().zip(from) {
            *to = from[column];
        }
    }
}

/// Room for 16 numbers must be at each multiple of `stride` from `to`, 16 times.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_512(from: Square<'_>, to: *mut u32, stride: usize) {
    use std::arch::x86_64::*;
    // No closures here: they would not be compiled for these vectors.
    let mut a = [_mm512_setzero_si512(); 16];
    for (a, row) in a.iter_mut().zip(from) {
        // SAFETY: the pointer is to 16 numbers of 32 bits.
        *a = unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
    }
    let mut b = a;
    // Blocks of 4 × 4 within the quarters of the registers …
    for i in (0..16).step_by(2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for i in (0..16).step_by(4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    // … then the quarters among each other.
    for half in [0, 8] {
        for i in half..half + 4 {
            b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[i + 4]);
            b[i + 4] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[i + 4]);
        }
    }
    for i in 0..8 {
        a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[i + 8]);
        a[i + 8] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[i + 8]);
    }
    for (row, values) in a.into_iter().enumerate() {
        // SAFETY: the caller has room there.
        unsafe { _mm512_storeu_si512(to.add(row * stride).cast(), values) };
    }
}

/// As [`transpose_512`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn transpose_256(from: Square<'_>, to: *mut u32, stride: usize) {
    use std::arch::x86_64::*;
    for (top, left) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        let mut a = [_mm256_setzero_si256(); 8];
        for (a, row) in a.iter_mut().zip(&from[top..]) {
            // SAFETY: 8 numbers from column `left` ≤ 8 of a row of 16.
            *a = unsafe { _mm256_loadu_si256(row.as_ptr().add(left).cast()) };
        }
        let mut b = a;
        for i in (0..8).step_by(2) {
            b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
        }
        for i in [0, 4] {
            a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
            a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
            a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
            a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
        }
        for i in 0..4 {
            let low = _mm256_permute2x128_si256::<0x20>(a[i], a[i + 4]);
            let high = _mm256_permute2x128_si256::<0x31>(a[i], a[i + 4]);
            // SAFETY: the caller has room for 16 numbers, of which these are the 8 from `top` ≤ 8 on.
            unsafe {
                _mm256_storeu_si256(to.add((left + i) * stride + top).cast(), low);
                _mm256_storeu_si256(to.add((left + i + 4) * stride + top).cast(), high);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_on_every_instruction_set() {
        let from: [Lanes<u32>; LANES] = std::array::from_fn(|i| std::array::from_fn(|j| (16 * i + j) as u32));
        for isa in Isa::available() {
            let stride = 19;
            let mut to = vec![u32::MAX; 16 * stride];
            transpose(isa, from.each_ref(), &mut to, stride);
            for (place, value) in to.into_iter().enumerate() {
                let (j, i) = (place / stride, place % stride);
                let expected = if i < 16 { from[i][j] } else { u32::MAX };
                assert_eq!(value, expected, "{isa:?} {i} {j}");
            }
        }
    }
}
