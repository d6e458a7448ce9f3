//! Fields through both meshes and the attenuators, with first derivatives in both directions.

use num_complex::Complex64;

use super::{mzi::Splitters, topology::Topology};

/// Fields of a batch of vectors, `[modes, width]`, row-major: one row a waveguide.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields {
    pub(crate) width: usize,
    pub(crate) entries: Vec<Complex64>,
}

impl Fields {
    pub(crate) fn zeros(modes: usize, width: usize) -> Self {
        Self { width, entries: vec![Complex64::ZERO; modes * width] }
    }

    /// The `modes` unit vectors: what comes out is the transfer matrix.
    pub(crate) fn identity(modes: usize) -> Self {
        let mut fields = Self::zeros(modes, modes);
        fields.entries.iter_mut().step_by(modes + 1).for_each(|entry| *entry = Complex64::ONE);
        fields
    }

    pub(crate) fn row(&self, mode: usize) -> &[Complex64] {
        &self.entries[mode * self.width..(mode + 1) * self.width]
    }

    pub(crate) fn row_mut(&mut self, mode: usize) -> &mut [Complex64] {
        &mut self.entries[mode * self.width..(mode + 1) * self.width]
    }

    pub(crate) fn scale_row(&mut self, mode: usize, factor: Complex64) {
        self.row_mut(mode).iter_mut().for_each(|entry| *entry *= factor);
    }

    /// A splitter of angle with cosine `c` and sine `s` on `(upper, upper + 1)`.
    fn split(&mut self, upper: usize, (c, s): (f64, f64)) {
        let middle = (upper + 1) * self.width;
        let end = middle + self.width;
        let (above, below) = self.entries[upper * self.width..end].split_at_mut(self.width);
        for (a, b) in above.iter_mut().zip(below) {
            let (x, y) = (*a, *b);
            *a = Complex64::new(c * x.re - s * y.im, c * x.im + s * y.re);
            *b = Complex64::new(c * y.re - s * x.im, c * y.im + s * x.re);
        }
    }
}

/// One interferometer of the light path.
#[derive(Clone, Copy, Debug)]
struct Element {
    /// Frame index of θ; φ is the next.
    theta: usize,
    upper: usize,
    /// Only the upper port is used, the other is dark.
    attenuator: bool,
    /// (cosine, sine) of the angles of both splitters.
    first: (f64, f64),
    second: (f64, f64),
}

impl Element {
    /// The parts of an attenuator's `T11 = e^{iφ} (p e^{iθ} − q)`.
    fn attenuator_parts(&self) -> (f64, f64) {
        (self.first.0 * self.second.0, self.first.1 * self.second.1)
    }
}

/// The light path of a processor with two meshes, in propagation order.
#[derive(Clone, Debug)]
pub(crate) struct Circuit {
    modes: usize,
    elements: Vec<Element>,
}

/// What every shifter adds to the field when its phase grows by dφ: `i dφ` times these rows, `[shifters, width]`.
pub(crate) type Tape = Vec<Complex64>;

impl Circuit {
    /// Light path with perfect splitters.
    pub(crate) fn ideal(topology: &Topology) -> Self {
        Self::new(topology, &vec![Splitters::default(); topology.modes() * topology.modes()])
    }

    /// Light path whose interferometer `k` (V mesh, attenuators, U mesh) has the splitters `splitters[k]`.
    pub(crate) fn new(topology: &Topology, splitters: &[Splitters]) -> Self {
        let modes = topology.modes();
        let mesh = || topology.sites().iter().map(|site| (site.upper, false));
        let path = mesh().chain((0..modes).map(|mode| (mode, true))).chain(mesh());
        let quarter = std::f64::consts::FRAC_PI_4;
        let cos_sin = |angle: f64| (angle.cos(), angle.sin());
        let elements = path
            .zip(splitters)
            .enumerate()
            .map(|(index, ((upper, attenuator), splitters))| Element {
                theta: 2 * index,
                upper,
                attenuator,
                first: cos_sin(quarter + splitters.alpha),
                second: cos_sin(quarter + splitters.beta),
            })
            .collect();
        Self { modes, elements }
    }

    pub(crate) fn shifters(&self) -> usize {
        2 * self.modes * self.modes + self.modes
    }

    /// Propagates `fields` in place; `turns[k] = e^{iφ_k}`.
    pub(crate) fn forward(&self, turns: &[Complex64], fields: &mut Fields) {
        for element in &self.elements {
            let (theta, phi) = (turns[element.theta], turns[element.theta + 1]);
            if element.attenuator {
                let (p, q) = element.attenuator_parts();
                fields.scale_row(element.upper, phi * (theta * p - q));
            } else {
                fields.scale_row(element.upper, phi);
                fields.split(element.upper, element.first);
                fields.scale_row(element.upper, theta);
                fields.split(element.upper, element.second);
            }
        }
        for mode in 0..self.modes {
            fields.scale_row(mode, turns[2 * self.modes * self.modes + mode]);
        }
    }

    /// Propagates `fields` in place and returns the tape of [`Self::tangent`] and [`Self::adjoint`].
    pub(crate) fn record(&self, turns: &[Complex64], fields: &mut Fields) -> Tape {
        let width = fields.width;
        let mut tape = vec![Complex64::ZERO; self.shifters() * width];
        let mut keep = |index: usize, row: &[Complex64]| {
            tape[index * width..(index + 1) * width].copy_from_slice(row);
        };
        for element in &self.elements {
            let (theta, phi) = (turns[element.theta], turns[element.theta + 1]);
            if element.attenuator {
                let (p, q) = element.attenuator_parts();
                fields.scale_row(element.upper, phi);
                let driven: Vec<_> = fields.row(element.upper).iter().map(|x| x * theta * p).collect();
                keep(element.theta, &driven);
                fields.scale_row(element.upper, theta * p - q);
                keep(element.theta + 1, fields.row(element.upper));
            } else {
                fields.scale_row(element.upper, phi);
                keep(element.theta + 1, fields.row(element.upper));
                fields.split(element.upper, element.first);
                fields.scale_row(element.upper, theta);
                keep(element.theta, fields.row(element.upper));
                fields.split(element.upper, element.second);
            }
        }
        for mode in 0..self.modes {
            let index = 2 * self.modes * self.modes + mode;
            fields.scale_row(mode, turns[index]);
            keep(index, fields.row(mode));
        }
        tape
    }

    /// First-order change of the outputs when shifter `k` moves by `moves[k]` and the inputs by `change`; in place.
    pub(crate) fn tangent(
        &self,
        turns: &[Complex64],
        tape: &[Complex64],
        moves: &[f64],
        change: &mut Fields,
    ) {
        let width = change.width;
        let add = |change: &mut Fields, mode: usize, index: usize| {
            let factor = Complex64::new(0.0, moves[index]);
            let row = &tape[index * width..(index + 1) * width];
            change.row_mut(mode).iter_mut().zip(row).for_each(|(entry, taped)| *entry += factor * taped);
        };
        for element in &self.elements {
            let (theta, phi) = (turns[element.theta], turns[element.theta + 1]);
            if element.attenuator {
                let (p, q) = element.attenuator_parts();
                change.scale_row(element.upper, phi * (theta * p - q));
                add(change, element.upper, element.theta);
                add(change, element.upper, element.theta + 1);
            } else {
                change.scale_row(element.upper, phi);
                add(change, element.upper, element.theta + 1);
                change.split(element.upper, element.first);
                change.scale_row(element.upper, theta);
                add(change, element.upper, element.theta);
                change.split(element.upper, element.second);
            }
        }
        for mode in 0..self.modes {
            let index = 2 * self.modes * self.modes + mode;
            change.scale_row(mode, turns[index]);
            add(change, mode, index);
        }
    }

    /// Adjoint of [`Self::tangent`] for the real scalar product `Re Σ x̄ y`: carries `back` from the outputs to the
    /// inputs in place and adds each shifter's share to `gradient`.
    pub(crate) fn adjoint(
        &self,
        turns: &[Complex64],
        tape: &[Complex64],
        back: &mut Fields,
        gradient: &mut [f64],
    ) {
        let width = back.width;
        let mut take = |back: &Fields, mode: usize, index: usize| {
            let row = &tape[index * width..(index + 1) * width];
            // Re(λ̄ · i x) = Im(λ) Re(x) − Re(λ) Im(x)
            gradient[index] +=
                back.row(mode).iter().zip(row).map(|(l, x)| l.im * x.re - l.re * x.im).sum::<f64>();
        };
        for mode in 0..self.modes {
            let index = 2 * self.modes * self.modes + mode;
            take(back, mode, index);
            back.scale_row(mode, turns[index].conj());
        }
        let reverse = |(c, s): (f64, f64)| (c, -s);
        for element in self.elements.iter().rev() {
            let (theta, phi) = (turns[element.theta], turns[element.theta + 1]);
            if element.attenuator {
                let (p, q) = element.attenuator_parts();
                take(back, element.upper, element.theta);
                take(back, element.upper, element.theta + 1);
                back.scale_row(element.upper, (phi * (theta * p - q)).conj());
            } else {
                back.split(element.upper, reverse(element.second));
                take(back, element.upper, element.theta);
                back.scale_row(element.upper, theta.conj());
                back.split(element.upper, reverse(element.first));
                take(back, element.upper, element.theta + 1);
                back.scale_row(element.upper, phi.conj());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(modes: usize) -> (Circuit, Vec<f64>, Vec<Complex64>) {
        let topology = Topology::new(modes);
        let wave = |k: usize, step: f64| (k as f64 * step).sin();
        let splitters: Vec<_> = (0..modes * modes)
            .map(|k| Splitters { alpha: 0.1 * wave(k, 1.3), beta: 0.1 * wave(k, 2.1) })
            .collect();
        let phases: Vec<f64> = (0..topology.shifters()).map(|k| 3.0 * wave(k, 1.7)).collect();
        let turns = phases.iter().map(|&phase| Complex64::cis(phase)).collect();
        (Circuit::new(&topology, &splitters), phases, turns)
    }

    #[test]
    fn the_tangent_is_the_derivative_of_the_fields() {
        let (circuit, phases, turns) = setup(5);
        let moves: Vec<f64> = (0..phases.len()).map(|k| (k as f64 * 0.7).cos()).collect();
        let mut outputs = Fields::identity(5);
        let tape = circuit.record(&turns, &mut outputs);
        let mut change = Fields::zeros(5, 5);
        circuit.tangent(&turns, &tape, &moves, &mut change);
        let step = 1e-6;
        let shifted = |sign: f64| {
            let turns: Vec<_> =
                phases.iter().zip(&moves).map(|(p, m)| Complex64::cis(p + sign * step * m)).collect();
            let mut fields = Fields::identity(5);
            circuit.forward(&turns, &mut fields);
            fields
        };
        let (ahead, behind) = (shifted(1.0), shifted(-1.0));
        for (index, tangent) in change.entries.iter().enumerate() {
            let numeric = (ahead.entries[index] - behind.entries[index]) / (2.0 * step);
            assert!((numeric - tangent).norm() < 1e-8, "{numeric} against {tangent}");
        }
    }

    #[test]
    fn the_adjoint_is_the_transpose_of_the_tangent() {
        let (circuit, phases, turns) = setup(4);
        let moves: Vec<f64> = (0..phases.len()).map(|k| (k as f64 * 0.9).sin()).collect();
        let mut outputs = Fields::identity(4);
        let tape = circuit.record(&turns, &mut outputs);
        let mut change = Fields::zeros(4, 4);
        circuit.tangent(&turns, &tape, &moves, &mut change);
        let mut back = Fields::zeros(4, 4);
        back.entries.iter_mut().enumerate().for_each(|(k, b)| *b = Complex64::new(k as f64, 1.0 - k as f64));
        let along: f64 = back.entries.iter().zip(&change.entries).map(|(b, c)| (b.conj() * c).re).sum();
        let mut gradient = vec![0.0; phases.len()];
        circuit.adjoint(&turns, &tape, &mut back, &mut gradient);
        let across: f64 = gradient.iter().zip(&moves).map(|(g, m)| g * m).sum();
        assert!((along - across).abs() < 1e-10 * along.abs().max(1.0));
    }
}
