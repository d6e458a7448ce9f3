//! Matrix tiles: `tdpbssd`.

#![expect(unsafe_code, reason = "tile instructions, which have no stable intrinsics")]

use std::{arch::asm, marker::PhantomData};

use super::{Isa, Operands, Sums};

/// The tile registers of this thread, configured until this is dropped.
///
/// Threads are shared with others' work, and configured tiles make each switch between threads dearer.
pub(in crate::kernel) struct Tiles {
    configured: bool,
    /// The configuration is the thread's own.
    not_send: PhantomData<*const ()>,
}

/// Layout that `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Configures the tiles for steps of `quads` lines where `isa` has tiles.
    pub(in crate::kernel) fn configure(isa: Isa, quads: usize) -> Self {
        let configured = isa == Isa::Amx;
        if configured {
            let mut configuration = Configuration {
                palette: 1,
                start_row: 0,
                reserved: [0; 14],
                bytes_a_row: [0; 16],
                rows: [0; 16],
            };
            for tile in 0..8 {
                // 0 to 3: sums, 16 outputs × 16 rows. 4, 5: weights, 16 outputs × 4 quads. 6, 7: rows, quads × 16 rows × 4.
                configuration.bytes_a_row[tile] = if matches!(tile, 4 | 5) { 4 * quads as u16 } else { 64 };
                configuration.rows[tile] = if tile >= 6 { quads as u8 } else { 16 };
            }
            // SAFETY: the machine has tiles, and the configuration is a valid one of palette 1: 1 to 16 quads.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly, preserves_flags));
            }
        }
        Self { configured, not_send: PhantomData }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if self.configured {
            // SAFETY: the machine has tiles; nobody uses those of this thread after this guard.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }
}

/// Addresses of one operand, as the loop below reads them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Addresses {
    weights: [*const i8; 2],
    rows: [*const i8; 2],
    steps: usize,
}

/// See [`super::product`].
pub(super) fn product(operands: &[Operands<'_>], quads: usize, sums: &mut Sums) {
    let none = Addresses { weights: [std::ptr::null(); 2], rows: [std::ptr::null(); 2], steps: 0 };
    let mut addresses = [none; 3];
    let mut count = 0_usize;
    for (addresses, operand) in addresses.iter_mut().zip(operands) {
        let steps = operand.lines() / quads;
        if steps > 0 {
            *addresses = Addresses {
                weights: operand.weights.map(|lines| lines.as_ptr().cast()),
                rows: operand.rows.map(|lines| lines.as_ptr().cast()),
                steps,
            };
            count += 1;
        }
    }
    if count == 0 {
        *sums = Sums([[[0; super::LANES]; 2 * super::PANEL]; 2]);
        return;
    }
    // SAFETY: the tiles are configured (the caller's guard); each address has `steps` times `64 · quads` bytes behind it; the sums
    // take four tiles of 1 KiB: the outputs of both panels for the first group, then for the second.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "mov {w0}, [{operand}]",
            "mov {w1}, [{operand} + 8]",
            "mov {x0}, [{operand} + 16]",
            "mov {x1}, [{operand} + 24]",
            "mov {steps}, [{operand} + 32]",
            "3:",
            "tileloadd tmm4, [{w0} + {width}*1]",
            "tileloadd tmm6, [{x0} + {line}*1]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{w1} + {width}*1]",
            "tdpbssd tmm1, tmm5, tmm6",
            "tileloadd tmm7, [{x1} + {line}*1]",
            "tdpbssd tmm2, tmm4, tmm7",
            "tdpbssd tmm3, tmm5, tmm7",
            "add {w0}, {advance}",
            "add {w1}, {advance}",
            "add {x0}, {advance}",
            "add {x1}, {advance}",
            "dec {steps}",
            "jnz 3b",
            "add {operand}, 40",
            "dec {count}",
            "jnz 2b",
            "tilestored [{sums} + {line}*1], tmm0",
            "tilestored [{sums} + {line}*1 + 1024], tmm1",
            "tilestored [{sums} + {line}*1 + 2048], tmm2",
            "tilestored [{sums} + {line}*1 + 3072], tmm3",
            w0 = out(reg) _, w1 = out(reg) _, x0 = out(reg) _, x1 = out(reg) _, steps = out(reg) _,
            operand = inout(reg) addresses.as_ptr() => _,
            count = inout(reg) count => _,
            width = in(reg) 4 * quads,
            line = in(reg) 64_usize,
            advance = in(reg) 64 * quads,
            sums = in(reg) sums.0.as_mut_ptr(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
