//! The model of a bank of rings: from drives to weights.

use super::line::Line;

/// Offsets (rows, columns) of the elements that disturb a ring thermally: the 4 nearest, 4 diagonal, 4 two away.
pub(super) const OFFSETS: [(isize, isize); PAIRS] =
    [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1), (-2, 0), (2, 0), (0, -2), (0, 2)];
/// Stands for a neighbour beyond the edge.
const NONE: u32 = u32::MAX;
/// Those in the row, before and after: whose tails reach a ring's channel.
pub(super) const IN_ROW: [usize; 2] = [2, 3];
/// Neighbours of a ring.
pub(super) const PAIRS: usize = 12;
/// Of them, the nearest.
pub(super) const NEAREST: usize = 4;
/// Parameters of a ring.
pub(super) const PARAMETERS: usize = FIRST_TAIL + 2;

/// Weight far off resonance.
pub(super) const OFF: usize = 0;
/// Weight on resonance less that far off.
pub(super) const SWING: usize = 1;
/// Phase with no heater of the bank driven.
pub(super) const BIAS: usize = 2;
/// Phase that full drive brings, without the quartic term.
pub(super) const SPAN: usize = 3;
/// Share that the quartic term adds at full drive.
pub(super) const QUARTIC: usize = 4;
/// The first of the crosstalk coefficients, in the order of [`OFFSETS`].
pub(super) const FIRST_PAIR: usize = 5;

/// Strength, relative to the nominal line, of the tails by which the ring before and the ring after in the row take light
/// of the ring's channel.
pub(super) const FIRST_TAIL: usize = FIRST_PAIR + PAIRS;

/// Parameters of one ring.
pub(super) type Theta = [f64; PARAMETERS];

/// Light that the rings next to a channel's own take of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tail {
    /// Share of the channel's light.
    pub(super) taken: f64,
    /// Shares of the ring before and the ring after at strength 1.
    pub(super) parts: [f64; 2],
    /// Derivative of `taken` by the channels' spacing.
    pub(super) by_spacing: f64,
}

/// Model of a bank: `φ_k = b_k + h_k + Σ χ_kl h_l`, `h = g v (1 + q v)`,
/// `w_k = c_k + s_k L(φ_k) − 2 D_k c_k (1 − dip L(φ_k))`, `D_k = Σ η_k± peak L(φ_k±1 ± spacing)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BankModel {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) line: Line,
    pub(super) rings: Vec<Theta>,
    /// Distance of neighbouring channels, in radians of phase.
    pub(super) spacing: f64,
    /// Neighbours of each ring, in the order of [`OFFSETS`]; [`NONE`] beyond the edge.
    neighbours: Vec<[u32; PAIRS]>,
}

impl BankModel {
    pub(super) fn new(rows: usize, cols: usize, line: Line, rings: Vec<Theta>, spacing: f64) -> Self {
        let at = |ring: usize, offset: (isize, isize)| {
            let row = (ring / cols).checked_add_signed(offset.0).filter(|&row| row < rows)?;
            let col = (ring % cols).checked_add_signed(offset.1).filter(|&col| col < cols)?;
            u32::try_from(row * cols + col).ok()
        };
        let neighbours = (0..rings.len()).map(|ring| OFFSETS.map(|offset| at(ring, offset).unwrap_or(NONE)));
        let neighbours = neighbours.collect();
        Self { rows, cols, line, rings, spacing, neighbours }
    }

    /// The neighbour number `pair` of [`OFFSETS`], if there is one.
    pub(super) fn neighbour(&self, ring: usize, pair: usize) -> Option<usize> {
        let neighbour = self.neighbours[ring][pair];
        (neighbour != NONE).then_some(neighbour as usize)
    }

    /// Own phase that the drive `power` (0 to 1, proportional to the square of the voltage) brings to a ring.
    pub(super) fn heat(&self, ring: usize, power: f64) -> f64 {
        let theta = &self.rings[ring];
        theta[SPAN] * power * (1.0 + theta[QUARTIC] * power)
    }

    /// The drive that brings the own phase `heat`, 0 to 1.
    pub(super) fn power_for(&self, ring: usize, heat: f64) -> f64 {
        let theta = &self.rings[ring];
        if theta[SPAN] <= 0.0 {
            return 0.0;
        }
        let linear = heat / theta[SPAN];
        // v (1 + q v) = linear, stable for q → 0.
        let root = (1.0 + 4.0 * theta[QUARTIC] * linear).max(0.0).sqrt();
        (2.0 * linear / (1.0 + root)).clamp(0.0, 1.0)
    }

    /// Phase that the neighbours' `heat` brings to a ring.
    pub(super) fn disturbance(&self, ring: usize, heat: impl Fn(usize) -> f64) -> f64 {
        let theta = &self.rings[ring];
        (0..PAIRS).filter_map(|pair| Some(theta[FIRST_PAIR + pair] * heat(self.neighbour(ring, pair)?))).sum()
    }

    /// Phase of every ring under `heats`.
    pub(super) fn phases(&self, heats: &[f64]) -> Vec<f64> {
        (0..self.rings.len())
            .map(|ring| {
                self.rings[ring][BIAS] + heats[ring] + self.disturbance(ring, |neighbour| heats[neighbour])
            })
            .collect()
    }

    /// What the neighbours in the row take of a ring's channel.
    pub(super) fn tail(&self, ring: usize, phase: impl Fn(usize) -> f64) -> Tail {
        let mut tail = Tail::default();
        for (side, sign) in [-1.0, 1.0].into_iter().enumerate() {
            if let Some(neighbour) = self.neighbour(ring, IN_ROW[side]) {
                let strength = self.rings[ring][FIRST_TAIL + side];
                let (level, slope) = self.line.level_and_slope(phase(neighbour) + sign * self.spacing);
                tail.parts[side] = self.line.peak * level;
                tail.taken += strength * tail.parts[side];
                tail.by_spacing += strength * sign * self.line.peak * slope;
            }
        }
        tail
    }

    /// Weight of a ring at the phase `phase` when its neighbours take the share `taken` of its channel.
    pub(super) fn weight(&self, ring: usize, phase: f64, taken: f64) -> f64 {
        let theta = &self.rings[ring];
        let level = self.line.level(phase);
        theta[OFF] + theta[SWING] * level - 2.0 * taken * theta[OFF] * (1.0 - self.line.dip * level)
    }

    /// Phase at or below resonance at which the weight of a ring is nearest to `weight`.
    pub(super) fn phase_for(&self, ring: usize, weight: f64, taken: f64) -> f64 {
        let theta = &self.rings[ring];
        let taken = 2.0 * taken * theta[OFF];
        self.line.phase_for((weight - theta[OFF] + taken) / (theta[SWING] + taken * self.line.dip))
    }

    /// Weight of every ring under `heats`.
    pub(super) fn weights(&self, heats: &[f64]) -> Vec<f64> {
        let phases = self.phases(heats);
        let taken = |ring: usize| self.tail(ring, |neighbour| phases[neighbour]).taken;
        (0..self.rings.len()).map(|ring| self.weight(ring, phases[ring], taken(ring))).collect()
    }
}
