//! Ranges of the converters.

/// Range `r_x` of the input converter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputRange {
    /// `max|x|` of each vector over each column block: the dynamic range of one MVM.
    Vector,
    /// `max|x|` over all rows of the batch, for each column block.
    Batch,
    /// The same for everything, clipping beyond.
    Static(f32),
}

/// Range `r_z` of the output converter, in chip units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputRange {
    /// `max|z|` over the outputs of a tile for each vector.
    Vector,
    /// `max|z|` over the outputs of a tile for all rows of the batch.
    Batch,
    /// The same for everything, clipping beyond.
    Static(f32),
}

/// Magnitudes at the converters in one forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ObservedRanges {
    /// Largest of the inputs `x` of the group, before the converter.
    pub input: f32,
    /// Root of their mean square.
    pub input_rms: f32,
    /// Largest of the analog outputs `z` of the tiles with their noise, before the converter, in chip units.
    pub output: f32,
    /// Root of their mean square.
    pub output_rms: f32,
}

/// Largest magnitude and sum of squares, gathered piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gathered {
    max: f32,
    squares: f64,
    count: usize,
}

impl Gathered {
    /// Of `values`.
    pub(super) fn of(values: &[f32]) -> Self {
        let mut gathered = Self { count: values.len(), ..Self::default() };
        for &value in values {
            gathered.max = if value.abs() > gathered.max { value.abs() } else { gathered.max };
            gathered.squares += f64::from(value) * f64::from(value);
        }
        gathered
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            max: if other.max > self.max { other.max } else { self.max },
            squares: self.squares + other.squares,
            count: self.count + other.count,
        }
    }

    /// Largest magnitude.
    pub(super) fn max(&self) -> f32 {
        self.max
    }

    /// Root of the mean square.
    pub(super) fn rms(&self) -> f32 {
        (self.squares / self.count.max(1) as f64).sqrt() as f32
    }
}
