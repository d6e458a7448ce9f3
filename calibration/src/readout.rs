//! Reading a programmed matrix: the input vectors of a basis, and weights from their outputs.
//!
//! | basis | bipolar inputs | unipolar inputs |
//! |---|---|---|
//! | one-hot | one input at a time, of random sign | one input at a time, and `⌈√N⌉` dark vectors |
//! | signed, split Hadamard | random orthogonal sets | the same in two passes: split Hadamard |
//! | S-matrix | its rows, and one dark vector | the same |
//!
//! Every set is drawn anew: order and signs of orthogonal sets are random (Hadamard vectors of Sylvester where the inputs are a power
//! of two, else those of the Hartley transform), so that rounding and what the chip does beyond its matrix differ from set to
//! set and average away. An encoding sends signed vectors to intensities as two passes, the positive and the negative parts, and
//! subtracts: signed Hadamard vectors *are* split Hadamard there. Vectors without a negative entry go in one pass, whose dark
//! reading is taken in the same set; `√N` dark vectors beside `N` lit ones cost the least time for a variance.

use alora_drivers::{InputAlphabet, InputBatch, Readout};
use ndarray::{Array2, Array3, ArrayView2, Axis, concatenate, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{
    characterise::{Bench, CharacteriseError, Question},
    encoding::{Encoded, EncodedInputs, Encoding},
    statistics::probe::Basis,
    vectors::{orthogonal, shuffled, sign},
};

/// How a matrix is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadOut {
    /// Input vectors.
    pub basis: Basis,
    /// Readings of the whole matrix.
    pub repeats: usize,
}

impl Default for ReadOut {
    /// What suits most receivers, where nothing was measured.
    fn default() -> Self {
        Self { basis: Basis::SignedHadamard, repeats: 64 }
    }
}

impl ReadOut {
    /// The same basis with `repeats` readings; with its own where `repeats` is 0. At least 2.
    #[must_use]
    pub fn with_repeats(self, repeats: usize) -> Self {
        Self { repeats: if repeats > 0 { repeats } else { self.repeats }.max(2), ..self }
    }
}

/// One measurement of a programmed matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// `[repeats, rows, cols]`, full scale = 1.
    pub values: Array3<f64>,
    /// Counts taken at a limit.
    pub saturated: usize,
    /// Chip temperature, °C.
    pub celsius: f64,
}

/// Reads the matrix that `encoded` programs `readout.repeats` times, each time by another set of vectors.
///
/// # Errors
/// As for [`Bench::ask`].
pub async fn read(
    bench: &mut Bench<'_>,
    encoding: &dyn Encoding,
    encoded: &Encoded,
    name: &str,
    readout: ReadOut,
    seed: u64,
) -> Result<Reading, CharacteriseError> {
    let probes = Probes::new(encoding, encoded, bench.descriptor().alphabet, readout, seed);
    let question = Question {
        name: name.to_owned(),
        frames: vec![encoded.frame.clone()],
        inputs: vec![probes.batch().clone()],
        repeats: 1,
    };
    let readings = bench.ask(question).await?;
    Ok(probes.decode(encoding, encoded, &readings[0]))
}

/// Vectors by which a matrix is read once, and the weights that their outputs make.
struct ProbeVectors {
    /// `[K, inputs]`.
    vectors: Array2<f64>,
    /// `[inputs, K]`: weights from outputs.
    decoder: Array2<f64>,
}

impl ProbeVectors {
    fn draw(basis: Basis, inputs: usize, alphabet: InputAlphabet, rng: &mut impl Rng) -> Self {
        match (basis, alphabet) {
            (Basis::SignedHadamard | Basis::SplitHadamard, _) => {
                let vectors = orthogonal(inputs, rng);
                let energy = vectors.row(0).iter().map(|x| x * x).sum::<f64>();
                Self { decoder: vectors.t().mapv(|x| x / energy), vectors }
            }
            (Basis::OneHot, InputAlphabet::Unipolar) => {
                let lit = Array2::eye(inputs);
                let dark = (inputs as f64).sqrt().ceil() as usize;
                Self { vectors: lit.clone(), decoder: lit }.with_dark(dark)
            }
            (Basis::OneHot, InputAlphabet::Bipolar | InputAlphabet::Complex) => {
                let signs: Vec<f64> = (0..inputs).map(|_| sign(rng)).collect();
                let lit = Array2::from_diag(&ndarray::Array1::from(signs));
                Self { vectors: lit.clone(), decoder: lit }
            }
            (Basis::SMatrix, _) => {
                let probe = basis.probe(inputs);
                let (rows, columns) = (shuffled(probe.passes(), rng), shuffled(inputs, rng));
                let vectors = probe.patterns().select(Axis(0), &rows).select(Axis(1), &columns);
                let decoder = probe.decoder().select(Axis(1), &rows).select(Axis(0), &columns);
                Self { vectors, decoder }.with_dark(1)
            }
        }
    }

    /// With `count ≥ 1` vectors of zeros, whose mean output is taken off all others.
    fn with_dark(self, count: usize) -> Self {
        let (lit, inputs) = self.vectors.dim();
        let mut vectors = Array2::zeros((lit + count, inputs));
        vectors.slice_mut(s![..lit, ..]).assign(&self.vectors);
        let mut decoder = Array2::zeros((inputs, lit + count));
        decoder.slice_mut(s![.., ..lit]).assign(&self.decoder);
        let shares = self.decoder.sum_axis(Axis(1)) / -(count as f64);
        decoder.slice_mut(s![.., lit..]).assign(&shares.insert_axis(Axis(1)));
        Self { vectors, decoder }
    }
}

/// Input vectors of one measurement, `repeats` sets one after the other.
pub(crate) struct Probes {
    sets: Vec<ProbeVectors>,
    inputs: EncodedInputs,
}

/// Share of the largest expected output that the vectors may use.
const REACH: f64 = 0.9;

impl Probes {
    pub(crate) fn new(
        encoding: &dyn Encoding,
        encoded: &Encoded,
        alphabet: InputAlphabet,
        readout: ReadOut,
        seed: u64,
    ) -> Self {
        let cols = encoded.expected.ncols();
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let sets: Vec<ProbeVectors> =
            (0..readout.repeats).map(|_| ProbeVectors::draw(readout.basis, cols, alphabet, rng)).collect();
        let views: Vec<ArrayView2<'_, f64>> = sets.iter().map(|set| set.vectors.view()).collect();
        let vectors = concatenate(Axis(0), &views).unwrap_or_else(|_| Array2::zeros((0, cols)));
        let mut inputs = encoding.encode_inputs(vectors.view());
        // Dark vectors are read in the unit of the others, none of which is stronger than 1.
        inputs.scales.iter_mut().filter(|scale| **scale == 0.0).for_each(|scale| *scale = 1.0);
        for (v, over) in beyond_range(encoding, encoded, vectors.view()).into_iter().enumerate() {
            inputs.weaken(v, over);
        }
        Self { sets, inputs }
    }

    /// The codes to send.
    pub(crate) fn batch(&self) -> &InputBatch {
        &self.inputs.batch
    }

    /// Frames of the batch.
    pub(crate) fn frames(&self) -> usize {
        self.inputs.batch.0.nrows()
    }

    pub(crate) fn decode(&self, encoding: &dyn Encoding, encoded: &Encoded, readout: &Readout) -> Reading {
        let outputs = encoding.decode(readout, &self.inputs, encoded.output_scale);
        let (rows, cols) = encoded.expected.dim();
        let outputs = outputs.index_axis(Axis(0), 0);
        let mut values = Array3::zeros((self.sets.len(), rows, cols));
        let mut first = 0;
        for (mut matrix, set) in values.outer_iter_mut().zip(&self.sets) {
            let next = first + set.vectors.nrows();
            matrix.assign(&set.decoder.dot(&outputs.slice(s![first..next, ..])).t());
            first = next;
        }
        let saturated = readout.saturated.iter().filter(|&&flag| flag).count();
        Reading { values, saturated, celsius: readout.temperature.0 }
    }
}

/// Factor, at least 1, by which each of `vectors` must be weaker for the outputs that are expected of it to stay within the
/// converters' range; none at all where receivers hold any output.
pub(crate) fn beyond_range(
    encoding: &dyn Encoding,
    encoded: &Encoded,
    vectors: ArrayView2<'_, f64>,
) -> Vec<f64> {
    let Some(most) = encoding.largest_output(encoded.output_scale) else { return Vec::new() };
    let outputs = vectors.dot(&encoded.expected.t());
    let over = |y: &f64, most: &f64| y.abs() / (REACH * most);
    outputs
        .rows()
        .into_iter()
        .map(|row| row.iter().zip(&most).map(|(y, most)| over(y, most)).fold(1.0, f64::max))
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn every_basis_gives_the_matrix_back_whatever_the_dark_reading() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        for inputs in [1, 2, 3, 7, 8, 12] {
            let weights: Array2<f64> =
                Array2::from_shape_simple_fn((inputs, 3), || rng.random_range(-1.0..1.0));
            for alphabet in [InputAlphabet::Unipolar, InputAlphabet::Bipolar] {
                for basis in Basis::ALL {
                    let set = ProbeVectors::draw(basis, inputs, alphabet, rng);
                    // Passes of both signs are subtracted before they come here.
                    let single = matches!(basis, Basis::OneHot | Basis::SMatrix);
                    let dark = if single && alphabet == InputAlphabet::Unipolar { 0.3 } else { 0.0 };
                    let found = set.decoder.dot(&(set.vectors.dot(&weights) + dark));
                    let error = (found - &weights).iter().fold(0.0_f64, |most, error| most.max(error.abs()));
                    assert!(error < 1e-12, "{basis:?} of {inputs}: {error:e}");
                    assert!(set.vectors.iter().all(|x| x.abs() <= 1.0 + 1e-12));
                }
            }
        }
    }

    #[test]
    fn intensities_are_read_one_hot_in_a_single_pass() {
        let rng = &mut ChaCha8Rng::seed_from_u64(2);
        let set = ProbeVectors::draw(Basis::OneHot, 16, InputAlphabet::Unipolar, rng);
        assert_eq!(set.vectors.dim(), (20, 16));
        assert!(set.vectors.iter().all(|&x| x >= 0.0));
    }
}
