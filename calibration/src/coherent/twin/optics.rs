//! Fields through the chip, with first derivatives in both directions by every phase, splitter and loss.

mod sides;

use std::borrow::Cow;

use num_complex::Complex64;

pub(super) use self::sides::Sides;
use super::layout::{Element, Layout};

/// Fields of a batch of vectors: one row a waveguide, real parts `[0, width)` and imaginary parts `[width, 2 width)`; the
/// last row is the dump, where the unused port of an attenuator ends.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::coherent) struct Fields {
    pub(in crate::coherent) width: usize,
    entries: Vec<f64>,
}

impl Fields {
    /// `rows` dark waveguides, and the dump.
    pub(in crate::coherent) fn dark(rows: usize, width: usize) -> Self {
        Self { width, entries: vec![0.0; 2 * width * (rows + 1)] }
    }

    /// Light in one waveguide a vector: what comes out is the transfer matrix, column by column.
    pub(in crate::coherent) fn identity(modes: usize) -> Self {
        let mut fields = Self::dark(modes, modes);
        (0..modes).for_each(|mode| fields.row_mut(mode)[mode] = 1.0);
        fields
    }

    /// Real parts, then imaginary parts.
    pub(in crate::coherent) fn row(&self, mode: usize) -> &[f64] {
        &self.entries[2 * self.width * mode..2 * self.width * (mode + 1)]
    }

    pub(in crate::coherent) fn row_mut(&mut self, mode: usize) -> &mut [f64] {
        &mut self.entries[2 * self.width * mode..2 * self.width * (mode + 1)]
    }

    /// One entry.
    pub(in crate::coherent) fn at(&self, mode: usize, vector: usize) -> Complex64 {
        let row = self.row(mode);
        Complex64::new(row[vector], row[self.width + vector])
    }

    pub(in crate::coherent) fn put(&mut self, mode: usize, vector: usize, field: Complex64) {
        let width = self.width;
        let row = self.row_mut(mode);
        (row[vector], row[width + vector]) = (field.re, field.im);
    }

    /// Rows `upper < lower`.
    #[inline(always)]
    fn two(&mut self, element: Element) -> (&mut [f64], &mut [f64]) {
        let size = 2 * self.width;
        let (above, below) = self.entries.split_at_mut(size * element.lower);
        (&mut above[size * element.upper..size * (element.upper + 1)], &mut below[..size])
    }
}

/// Five rows an interferometer (upper waveguide after φ; upper after θ; lower after the first splitter; both at the end),
/// then one row an output.
pub(in crate::coherent) type Tape = Vec<f64>;
const ROWS: usize = 5;

/// First-order changes of what [`Chip`] is made of.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Changes {
    /// Phases of the shifters, radians.
    pub(in crate::coherent) phases: Vec<f64>,
    /// Angles of the splitters, radians, and logarithm of the field transmission, of each interferometer.
    pub(in crate::coherent) alpha: Vec<f64>,
    pub(in crate::coherent) beta: Vec<f64>,
    pub(in crate::coherent) loss: Vec<f64>,
}

impl Changes {
    pub(in crate::coherent) fn none(layout: &Layout) -> Self {
        let elements = vec![0.0; layout.elements.len()];
        Self {
            phases: vec![0.0; layout.shifters()],
            alpha: elements.clone(),
            beta: elements.clone(),
            loss: elements,
        }
    }
}

/// A chip with all its phases set.
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Chip<'a> {
    layout: &'a Layout,
    parts: &'a [Part],
    /// `(cos, sin)` of every phase.
    turns: Cow<'a, [(f64, f64)]>,
}

/// Splitters and transmission of one interferometer.
#[derive(Clone, Copy, Debug)]
pub(in crate::coherent) struct Part {
    first: (f64, f64),
    second: (f64, f64),
    transmission: f64,
}

impl Part {
    pub(in crate::coherent) fn new(alpha: f64, beta: f64, log_transmission: f64) -> Self {
        let cos_sin = |angle: f64| {
            let (s, c) = (std::f64::consts::FRAC_PI_4 + angle).sin_cos();
            (c, s)
        };
        Self { first: cos_sin(alpha), second: cos_sin(beta), transmission: log_transmission.exp() }
    }
}

/// `(cos, sin)` of every phase.
pub(in crate::coherent) fn turns(phases: &[f64]) -> Vec<(f64, f64)> {
    phases
        .iter()
        .map(|phase| {
            let (s, c) = phase.sin_cos();
            (c, s)
        })
        .collect()
}

#[inline(always)]
fn turn(row: &mut [f64], (c, s): (f64, f64)) {
    let (re, im) = row.split_at_mut(row.len() / 2);
    for (re, im) in re.iter_mut().zip(im) {
        (*re, *im) = (c * *re - s * *im, s * *re + c * *im);
    }
}

/// `(a, b) ← t (c a + i s b, i s a + c b)`.
#[inline(always)]
fn split(a: &mut [f64], b: &mut [f64], (c, s): (f64, f64), t: f64) {
    let half = a.len() / 2;
    let (c, s) = (t * c, t * s);
    let ((ar, ai), (br, bi)) = (a.split_at_mut(half), b.split_at_mut(half));
    for (((ar, ai), br), bi) in ar.iter_mut().zip(ai).zip(br).zip(bi) {
        let (x, y) = ((*ar, *ai), (*br, *bi));
        (*ar, *ai) = (c * x.0 - s * y.1, c * x.1 + s * y.0);
        (*br, *bi) = (c * y.0 - s * x.1, c * y.1 + s * x.0);
    }
}

/// `row += i f taped`.
#[inline(always)]
fn add_turned(row: &mut [f64], f: f64, taped: &[f64]) {
    let half = row.len() / 2;
    let ((re, im), (tr, ti)) = (row.split_at_mut(half), taped.split_at(half));
    for (((re, im), tr), ti) in re.iter_mut().zip(im).zip(tr).zip(ti) {
        *re -= f * ti;
        *im += f * tr;
    }
}

/// `row += i f e^{±iθ} taped`.
#[inline(always)]
fn add_turned_by(row: &mut [f64], f: f64, (c, s): (f64, f64), taped: &[f64]) {
    let half = row.len() / 2;
    let ((re, im), (tr, ti)) = (row.split_at_mut(half), taped.split_at(half));
    let (c, s) = (f * c, f * s);
    for (((re, im), tr), ti) in re.iter_mut().zip(im).zip(tr).zip(ti) {
        *re -= s * tr + c * ti;
        *im += c * tr - s * ti;
    }
}

#[inline(always)]
fn add_scaled(row: &mut [f64], f: f64, taped: &[f64]) {
    row.iter_mut().zip(taped).for_each(|(entry, taped)| *entry += f * taped);
}

/// Partial sums kept apart, so that the compiler may use vector instructions; their order is fixed.
const LANES: usize = 8;

/// `Σ x y`.
#[inline(always)]
pub(super) fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in x.zip(y) {
        lanes.iter_mut().zip(x.iter().zip(y)).for_each(|(lane, (x, y))| *lane += x * y);
    }
    lanes.iter().sum::<f64>() + rest
}

/// `Re Σ λ̄ y`.
#[inline(always)]
fn along(back: &[f64], taped: &[f64]) -> f64 {
    dot(back, taped)
}

/// `Re Σ λ̄ i y`.
#[inline(always)]
fn across(back: &[f64], taped: &[f64]) -> f64 {
    let half = back.len() / 2;
    dot(&back[half..], &taped[..half]) - dot(&back[..half], &taped[half..])
}

/// `Re Σ λ̄ i e^{iθ} y`.
#[inline(always)]
fn across_turned(back: &[f64], (c, s): (f64, f64), taped: &[f64]) -> f64 {
    c * across(back, taped) - s * along(back, taped)
}

impl<'a> Chip<'a> {
    pub(in crate::coherent) fn new(layout: &'a Layout, parts: &'a [Part], phases: &[f64]) -> Self {
        Self { layout, parts, turns: Cow::Owned(turns(phases)) }
    }

    /// The same from `(cos, sin)` of every phase.
    pub(in crate::coherent) fn turned(
        layout: &'a Layout,
        parts: &'a [Part],
        turns: &'a [(f64, f64)],
    ) -> Self {
        Self { layout, parts, turns: Cow::Borrowed(turns) }
    }

    /// Propagates `fields` in place.
    #[inline(always)]
    pub(in crate::coherent) fn forward(&self, fields: &mut Fields) {
        let dump = self.layout.modes();
        for (index, (&element, part)) in self.layout.elements.iter().zip(self.parts).enumerate() {
            let (a, b) = fields.two(element);
            if element.lower == dump {
                b.fill(0.0);
            }
            turn(a, self.turns[2 * index + 1]);
            split(a, b, part.first, 1.0);
            turn(a, self.turns[2 * index]);
            split(a, b, part.second, part.transmission);
        }
        for mode in 0..dump {
            turn(fields.row_mut(mode), self.turns[2 * dump * dump + mode]);
        }
    }

    /// Propagates `fields` in place and returns the tape of [`Self::tangent`] and [`Self::adjoint`].
    #[inline(always)]
    pub(in crate::coherent) fn record(&self, fields: &mut Fields) -> Tape {
        let dump = self.layout.modes();
        let size = 2 * fields.width;
        let mut tape = vec![0.0; (ROWS * self.layout.elements.len() + dump) * size];
        let (inner, last) = tape.split_at_mut(ROWS * self.layout.elements.len() * size);
        let steps = self.layout.elements.iter().zip(self.parts).zip(inner.chunks_exact_mut(ROWS * size));
        for (index, ((&element, part), rows)) in steps.enumerate() {
            let (a, b) = fields.two(element);
            if element.lower == dump {
                b.fill(0.0);
            }
            turn(a, self.turns[2 * index + 1]);
            rows[..size].copy_from_slice(a);
            split(a, b, part.first, 1.0);
            turn(a, self.turns[2 * index]);
            rows[size..2 * size].copy_from_slice(a);
            rows[2 * size..3 * size].copy_from_slice(b);
            split(a, b, part.second, part.transmission);
            rows[3 * size..4 * size].copy_from_slice(a);
            rows[4 * size..].copy_from_slice(b);
        }
        for (mode, row) in last.chunks_exact_mut(size).enumerate() {
            turn(fields.row_mut(mode), self.turns[2 * dump * dump + mode]);
            row.copy_from_slice(fields.row(mode));
        }
        tape
    }

    /// First-order change of the outputs by `changes` of the chip and `fields` of the inputs, in place.
    #[inline(always)]
    pub(in crate::coherent) fn tangent(&self, tape: &[f64], changes: &Changes, fields: &mut Fields) {
        let dump = self.layout.modes();
        let size = 2 * fields.width;
        let (inner, last) = tape.split_at(ROWS * self.layout.elements.len() * size);
        let steps = self.layout.elements.iter().zip(self.parts).zip(inner.chunks_exact(ROWS * size));
        for (index, ((&element, part), rows)) in steps.enumerate() {
            let (theta, phi) = (self.turns[2 * index], self.turns[2 * index + 1]);
            let (a, b) = fields.two(element);
            if element.lower == dump {
                b.fill(0.0);
            }
            let row = |k: usize| &rows[k * size..(k + 1) * size];
            turn(a, phi);
            add_turned(a, changes.phases[2 * index + 1], row(0));
            split(a, b, part.first, 1.0);
            turn(a, theta);
            add_turned_by(a, changes.alpha[index], theta, row(2));
            add_turned_by(b, changes.alpha[index], (theta.0, -theta.1), row(1));
            add_turned(a, changes.phases[2 * index], row(1));
            split(a, b, part.second, part.transmission);
            add_turned(a, changes.beta[index], row(4));
            add_turned(b, changes.beta[index], row(3));
            add_scaled(a, changes.loss[index], row(3));
            add_scaled(b, changes.loss[index], row(4));
        }
        for (mode, row) in last.chunks_exact(size).enumerate() {
            let shifter = 2 * dump * dump + mode;
            turn(fields.row_mut(mode), self.turns[shifter]);
            add_turned(fields.row_mut(mode), changes.phases[shifter], row);
        }
    }

    /// Adjoint of [`Self::tangent`] for the scalar product `Re Σ x̄ y`: carries `back` from the outputs to the inputs in
    /// place and adds each part's share to `gradient`.
    #[inline(always)]
    pub(in crate::coherent) fn adjoint(&self, tape: &[f64], back: &mut Fields, gradient: &mut Changes) {
        let dump = self.layout.modes();
        let size = 2 * back.width;
        let (inner, last) = tape.split_at(ROWS * self.layout.elements.len() * size);
        let inverse = |(c, s): (f64, f64)| (c, -s);
        for (mode, row) in last.chunks_exact(size).enumerate() {
            let shifter = 2 * dump * dump + mode;
            gradient.phases[shifter] += across(back.row(mode), row);
            turn(back.row_mut(mode), inverse(self.turns[shifter]));
        }
        let steps = self.layout.elements.iter().zip(self.parts).zip(inner.chunks_exact(ROWS * size));
        for (index, ((&element, part), rows)) in steps.enumerate().rev() {
            let (theta, phi) = (self.turns[2 * index], self.turns[2 * index + 1]);
            let (a, b) = back.two(element);
            if element.lower == dump {
                b.fill(0.0);
            }
            let row = |k: usize| &rows[k * size..(k + 1) * size];
            gradient.beta[index] += across(a, row(4)) + across(b, row(3));
            gradient.loss[index] += along(a, row(3)) + along(b, row(4));
            split(a, b, inverse(part.second), part.transmission);
            gradient.phases[2 * index] += across(a, row(1));
            gradient.alpha[index] +=
                across_turned(a, theta, row(2)) + across_turned(b, inverse(theta), row(1));
            turn(a, inverse(theta));
            split(a, b, inverse(part.first), 1.0);
            gradient.phases[2 * index + 1] += across(a, row(0));
            turn(a, inverse(phi));
        }
    }

    /// What every shifter does to the transfer matrix: `∂M_ij/∂φ_k = i l_ki x_kj`, with `x_k` the fields at shifter `k` for light
    /// in each input and `l_k` the way from it to each output.
    pub(in crate::coherent) fn ways(&self) -> Ways {
        let modes = self.layout.modes();
        let size = 2 * modes;
        let mut matrix = Fields::identity(modes);
        let tape = self.record(&mut matrix);
        let last = ROWS * self.layout.elements.len();
        let shifters = self.layout.shifters();
        let mut ways =
            Ways { matrix, inward: Vec::with_capacity(shifters), outward: vec![Vec::new(); shifters] };
        for shifter in 0..shifters {
            let row = match shifter.checked_sub(size * modes) {
                Some(mode) => last + mode,
                None => ROWS * (shifter / 2) + usize::from(shifter % 2 == 0),
            };
            ways.inward.push(complex(&tape[row * size..(row + 1) * size], 1.0));
        }
        let mut back = Fields::identity(modes);
        let inverse = |(c, s): (f64, f64)| (c, -s);
        for mode in 0..modes {
            let shifter = size * modes + mode;
            ways.outward[shifter] = complex(back.row(mode), -1.0);
            turn(back.row_mut(mode), inverse(self.turns[shifter]));
        }
        for (index, (&element, part)) in self.layout.elements.iter().zip(self.parts).enumerate().rev() {
            let (a, b) = back.two(element);
            if element.lower == modes {
                b.fill(0.0);
            }
            split(a, b, inverse(part.second), part.transmission);
            ways.outward[2 * index] = complex(a, -1.0);
            turn(a, inverse(self.turns[2 * index]));
            split(a, b, inverse(part.first), 1.0);
            ways.outward[2 * index + 1] = complex(a, -1.0);
            turn(a, inverse(self.turns[2 * index + 1]));
        }
        ways
    }
}

/// See [`Chip::ways`].
#[derive(Clone, Debug)]
pub(in crate::coherent) struct Ways {
    /// The transfer matrix, rows = outputs.
    pub(in crate::coherent) matrix: Fields,
    /// `x_k`, one entry an input.
    pub(in crate::coherent) inward: Vec<Vec<Complex64>>,
    /// `l_k`, one entry an output.
    pub(in crate::coherent) outward: Vec<Vec<Complex64>>,
}

/// A row, its imaginary parts times `sign`.
fn complex(row: &[f64], sign: f64) -> Vec<Complex64> {
    let (re, im) = row.split_at(row.len() / 2);
    re.iter().zip(im).map(|(&re, &im)| Complex64::new(re, sign * im)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_of_a_shifter_are_what_its_phase_does_to_the_matrix() {
        let modes = 5;
        let layout = Layout::new(modes);
        let wave = |k: usize, step: f64| (k as f64 * step + 0.4).sin();
        let parts: Vec<Part> =
            (0..modes * modes).map(|k| Part::new(0.1 * wave(k, 1.3), 0.1 * wave(k, 2.1), -0.02)).collect();
        let phases: Vec<f64> = (0..layout.shifters()).map(|k| 3.0 * wave(k, 1.7)).collect();
        let ways = Chip::new(&layout, &parts, &phases).ways();
        let h = 1e-6;
        for k in 0..layout.shifters() {
            let moved = |sign: f64| {
                let mut phases = phases.clone();
                phases[k] += sign * h;
                let mut fields = Fields::identity(modes);
                Chip::new(&layout, &parts, &phases).forward(&mut fields);
                fields
            };
            let (ahead, behind) = (moved(1.0), moved(-1.0));
            for i in 0..modes {
                for j in 0..modes {
                    let numeric = (ahead.at(i, j) - behind.at(i, j)) / (2.0 * h);
                    let found = Complex64::i() * ways.outward[k][i] * ways.inward[k][j];
                    assert!((numeric - found).norm() < 1e-8, "{k} {i} {j}: {numeric} against {found}");
                }
            }
        }
    }
}
