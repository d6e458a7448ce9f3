//! The output converter: analog outputs of tiles to their share of the digital sums.

use super::{OutputRange, digits::round};
use crate::kernel::{
    Isa,
    lanes::{LANES, Lanes, transpose_reals, vector::Vector, vectorised},
};

/// How the output converter reads a tile.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading<'a> {
    /// As it is, clipped to `±range`.
    Ideal { range: f32 },
    /// Over the dynamic range of each vector.
    Vector { largest: f32 },
    /// Over a range known beforehand, clipped to it.
    Fixed { largest: f32, range: f32 },
    /// Over a range known beforehand for each tile.
    Tiles { largest: f32, ranges: &'a [f32] },
}

impl Reading<'_> {
    /// For a converter with this largest code; `None`: ideal.
    pub(super) fn of(largest: Option<f32>, range: OutputRange) -> Self {
        match (largest, range) {
            (None, OutputRange::Static(range)) => Self::Ideal { range },
            (None, _) => Self::Ideal { range: f32::INFINITY },
            (Some(largest), OutputRange::Static(range)) => Self::Fixed { largest, range },
            (Some(largest), _) => Self::Vector { largest },
        }
    }
}

/// Where readings go.
pub(super) enum Target<'a> {
    /// In place of the analog outputs, plus these, one an output.
    InPlace(&'a [f32]),
    /// Added to digital sums.
    Sums(&'a mut [Lanes<f32>]),
}

vectorised! {
    /// Reads the tiles of `tile_rows` outputs that `z`, `[output][row]`, starts with: `scale · z'` goes to the target.
    pub(super) fn read(
        z: &mut [Lanes<f32>],
        scales: &[f32],
        tile_rows: usize,
        reading: Reading<'_>,
        target: Target<'_>,
    ) = read_body<Vector>
}

#[inline(always)]
fn read_body<V: Vector>(
    z: &mut [Lanes<f32>],
    scales: &[f32],
    tile_rows: usize,
    reading: Reading<'_>,
    mut target: Target<'_>,
) {
    for (tile, z) in z.chunks_mut(tile_rows).enumerate() {
        let outputs = tile * tile_rows..tile * tile_rows + z.len();
        let scales = &scales[outputs.clone()];
        let target = match &mut target {
            Target::InPlace(bias) => Target::InPlace(&bias[outputs]),
            Target::Sums(sums) => Target::Sums(&mut sums[outputs]),
        };
        let fixed = match reading {
            Reading::Ideal { range } => {
                let range = V::splat(range);
                convert::<V>(z, scales, target, |value| value.clipped(range));
                continue;
            }
            Reading::Vector { largest } => (largest, maxima::<V>(z)),
            Reading::Fixed { largest, range } => (largest, V::splat(range)),
            Reading::Tiles { largest, ranges } => (largest, V::splat(ranges[tile])),
        };
        let (largest, range) = (V::splat(fixed.0), fixed.1);
        let (step, inverse) = steps(range, largest);
        match reading {
            Reading::Fixed { .. } => {
                convert::<V>(z, scales, target, |value| {
                    value.times(inverse).clipped(largest).rounded().times(step)
                });
            }
            // Nothing is beyond the largest magnitude.
            _ => convert::<V>(z, scales, target, |value| value.times(inverse).rounded().times(step)),
        }
    }
}

/// Largest magnitude of each row.
#[inline(always)]
fn maxima<V: Vector>(z: &[Lanes<f32>]) -> V {
    let mut maxima = [V::splat(0.0); 2];
    let (pairs, rest) = z.as_chunks::<2>();
    for pair in pairs {
        maxima[0] = maxima[0].larger_magnitude(V::load(&pair[0]));
        maxima[1] = maxima[1].larger_magnitude(V::load(&pair[1]));
    }
    for z in rest {
        maxima[0] = maxima[0].larger_magnitude(V::load(z));
    }
    maxima[0].larger_magnitude(maxima[1])
}

/// Steps of converters of these ranges, 0 where they are no normal numbers, and their inverses.
#[inline(always)]
fn steps<V: Vector>(ranges: V, largest: V) -> (V, V) {
    let smallest = V::splat(f32::MIN_POSITIVE);
    let steps = ranges.over(largest).zero_below(smallest);
    // Of the smallest instead of 0: codes of nothing are finite, and times 0.
    (steps, V::splat(1.0).over(steps.larger(smallest)))
}

#[inline(always)]
fn convert<V: Vector>(z: &mut [Lanes<f32>], scales: &[f32], target: Target<'_>, converted: impl Fn(V) -> V) {
    match target {
        Target::Sums(sums) => {
            for ((z, &scale), sums) in z.iter().zip(scales).zip(sums) {
                V::load(sums).plus(V::splat(scale).times(converted(V::load(z)))).store(sums);
            }
        }
        Target::InPlace(bias) => {
            for ((z, &scale), &bias) in z.iter_mut().zip(scales).zip(bias) {
                V::splat(scale).times(converted(V::load(z))).plus(V::splat(bias)).store(z);
            }
        }
    }
}

vectorised! {
    /// Raises `tiles`, magnitudes one a tile, to those of `z`, `[output][row]`, which starts at output `first`.
    pub(super) fn raise_maxima(z: &[Lanes<f32>], first: usize, tile_rows: usize, tiles: &mut [f32])
        = raise_maxima_body<Vector>
}

#[inline(always)]
fn raise_maxima_body<V: Vector>(z: &[Lanes<f32>], first: usize, tile_rows: usize, tiles: &mut [f32]) {
    let mut start = 0;
    while start < z.len() {
        let tile = (first + start) / tile_rows;
        let end = ((tile + 1) * tile_rows - first).min(z.len());
        let mut largest = [0.0; LANES];
        maxima::<V>(&z[start..end]).store(&mut largest);
        tiles[tile] = largest.into_iter().fold(tiles[tile], larger_magnitude);
        start = end;
    }
}

/// The larger of two magnitudes, NaN above all.
#[inline(always)]
pub(super) fn larger_magnitude(a: f32, b: f32) -> f32 {
    if a.to_bits() > b.to_bits() { a } else { b }
}

/// Writes `lanes`, `[output][row]`, to the first columns of up to 16 rows, each `stride` long.
pub(super) fn store_rows(isa: Isa, lanes: &[Lanes<f32>], rows: &mut [f32], stride: usize) {
    let mut square = [0.0; LANES * LANES];
    let (whole, rest) = lanes.as_chunks::<LANES>();
    let full = rows.len() > (LANES - 1) * stride;
    for (index, lanes) in whole.iter().enumerate() {
        let first = index * LANES;
        if full {
            transpose_reals(isa, lanes, &mut rows[first..], stride);
        } else {
            transpose_reals(isa, lanes, &mut square, LANES);
            copy_square(&square, LANES, &mut rows[first..], stride);
        }
    }
    if !rest.is_empty() {
        let mut from = [[0.0; LANES]; LANES];
        from[..rest.len()].copy_from_slice(rest);
        transpose_reals(isa, &from, &mut square, LANES);
        copy_square(&square, rest.len(), &mut rows[whole.len() * LANES..], stride);
    }
}

fn copy_square(square: &[f32; LANES * LANES], columns: usize, rows: &mut [f32], stride: usize) {
    for (row, values) in rows.chunks_mut(stride).zip(square.chunks_exact(LANES)) {
        row[..columns].copy_from_slice(&values[..columns]);
    }
}

/// How the rows of a layer are read over ranges that all rows share.
pub(super) struct RowReading<'a> {
    pub(super) scales: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    /// One a tile.
    pub(super) ranges: &'a [f32],
    pub(super) tile_rows: usize,
    pub(super) largest: f32,
}

vectorised! {
    /// `y = scale · z' + bias` for the outputs of a layer in one row; in place where there is no `z`. Added to what is there where
    /// `adds`.
    pub(super) fn read_row(z: Option<&[f32]>, reading: &RowReading<'_>, adds: bool, y: &mut [f32]) = read_row_body
}

#[inline(always)]
fn read_row_body(z: Option<&[f32]>, reading: &RowReading<'_>, adds: bool, y: &mut [f32]) {
    for (tile, y) in y.chunks_mut(reading.tile_rows).enumerate() {
        let outputs = tile * reading.tile_rows..tile * reading.tile_rows + y.len();
        let (step, inverse) = steps::<Lanes<f32>>([reading.ranges[tile]; LANES], [reading.largest; LANES]);
        let scales = &reading.scales[outputs.clone()];
        let converted = |value: f32, scale: f32| scale * (round(value * inverse[0]) * step[0]);
        match (z, reading.bias) {
            (None, Some(bias)) => {
                for ((y, &scale), bias) in y.iter_mut().zip(scales).zip(&bias[outputs]) {
                    *y = converted(*y, scale) + bias;
                }
            }
            (None, None) => y.iter_mut().zip(scales).for_each(|(y, &scale)| *y = converted(*y, scale)),
            (Some(z), bias) => {
                if !adds {
                    match bias {
                        Some(bias) => y.copy_from_slice(&bias[outputs.clone()]),
                        None => y.fill(0.0),
                    }
                }
                let pairs = z[outputs].iter().zip(scales);
                y.iter_mut().zip(pairs).for_each(|(y, (&z, &scale))| *y += converted(z, scale));
            }
        }
    }
}
