//! Layers packed in strips: outputs that are worked on together.

use std::ops::Range;

use super::{
    Held, OutputNoise, Part,
    depth::Depth,
    digits::Digits,
    packed::{Panels, Weights},
};
use crate::kernel::{Isa, int8::PANEL};

/// Outputs of a strip, unless a tile has more: its weights and sums stay in the second-level cache.
const STRIP: usize = 256;

/// Outputs of a strip that is worked on for all rows at once.
const NARROW_STRIP: usize = 64;

/// How layers are cut into strips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Anywhere.
    Open,
    /// Whole tiles of this many outputs.
    Tiles(usize),
    /// The same, with few outputs a strip.
    Narrow(usize),
}

impl Cut {
    /// Outputs of a strip.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Open => STRIP,
            Self::Tiles(rows) => (STRIP / rows).max(1) * rows,
            Self::Narrow(rows) => (NARROW_STRIP / rows).max(1) * rows,
        }
    }
}

/// Outputs of one layer that are worked on together.
#[derive(Clone, Debug)]
pub(super) struct Strip {
    /// Outputs, counted within the layer.
    pub(super) outputs: Range<usize>,
    /// Pairs of panels that hold them.
    pub(super) pairs: Range<usize>,
}

impl Strip {
    /// Outputs with the padding of the last pair.
    pub(super) fn padded(&self) -> usize {
        self.pairs.len() * 2 * PANEL
    }
}

/// A layer, packed.
#[derive(Debug)]
pub(super) struct Programmed {
    pub(super) outputs: usize,
    pub(super) held: Held,
    pub(super) noise: OutputNoise,
    /// `[col_blocks, outputs]`.
    pub(super) scales: Vec<f32>,
    /// `[outputs]`; zeros where there is none.
    pub(super) bias: Vec<f32>,
    /// Position of its first output in the group.
    pub(super) first: usize,
    /// Position of its first pair of panels in the group.
    pub(super) first_pair: usize,
    pub(super) strips: Vec<Strip>,
    pub(super) panels: Panels,
    /// σ² of the weights, for noise that has one for each.
    pub(super) variances: Option<Panels>,
}

impl Programmed {
    /// Packs a group.
    pub(super) fn all(isa: Isa, depth: Depth, cut: Cut, parts: Vec<Part>) -> Vec<Self> {
        let (mut first, mut first_pair) = (0, 0);
        let mut programmed = Vec::with_capacity(parts.len());
        for Part { outputs, held, scales, mut noise, bias } in parts {
            let strips = strips(outputs, cut.size());
            let panels = held_panels(isa, depth, &held, &strips);
            let mut variances = None;
            if let OutputNoise::PerWeight(values) = &noise {
                variances = Some(value_panels(isa, depth, Digits::COARSE, values, &strips));
                // The panels have them now.
                noise = OutputNoise::None;
            }
            let bias = bias.unwrap_or_else(|| vec![0.0; outputs]);
            let pairs = strips.last().map_or(0, |strip| strip.pairs.end);
            programmed.push(Self {
                outputs,
                held,
                noise,
                scales,
                bias,
                first,
                first_pair,
                strips,
                panels,
                variances,
            });
            (first, first_pair) = (first + outputs, first_pair + pairs);
        }
        programmed
    }

    /// Scales of `outputs` in column block `block`.
    pub(super) fn scales(&self, block: usize, outputs: &Range<usize>) -> &[f32] {
        self.of_block(&self.scales, block, outputs)
    }

    /// Entries of `outputs` in column block `block` of a table `[col_blocks, outputs]`.
    pub(super) fn of_block<'a>(&self, table: &'a [f32], block: usize, outputs: &Range<usize>) -> &'a [f32] {
        let first = block * self.outputs;
        &table[first + outputs.start..first + outputs.end]
    }
}

fn strips(outputs: usize, size: usize) -> Vec<Strip> {
    let mut pair = 0;
    (0..outputs)
        .step_by(size)
        .map(|start| {
            let outputs = start..(start + size).min(outputs);
            let first = pair;
            pair += outputs.len().div_ceil(2 * PANEL);
            Strip { outputs, pairs: first..pair }
        })
        .collect()
}

fn held_panels(isa: Isa, depth: Depth, held: &Held, strips: &[Strip]) -> Panels {
    match held {
        Held::Values(values) => value_panels(isa, depth, Digits::FINE, values, strips),
        Held::Codes { codes, max_code } => {
            let unit = 1.0 / *max_code as f32;
            panels(isa, depth, None, strips, |cells| Weights::Codes(&codes[cells], unit))
        }
    }
}

fn value_panels(isa: Isa, depth: Depth, form: Digits, values: &[f32], strips: &[Strip]) -> Panels {
    panels(isa, depth, Some(form), strips, |cells| Weights::Values(&values[cells]))
}

/// Packs the rows that `weights` gives for their cells.
fn panels<'a>(
    isa: Isa,
    depth: Depth,
    form: Option<Digits>,
    strips: &[Strip],
    weights: impl Fn(Range<usize>) -> Weights<'a> + Sync,
) -> Panels {
    let pairs = strips.last().map_or(0, |strip| strip.pairs.end);
    Panels::new(isa, depth, form, 2 * pairs, |place| {
        let pair = place / (2 * PANEL);
        let strip = &strips[strips.partition_point(|strip| strip.pairs.end <= pair)];
        let output = strip.outputs.start + place - strip.pairs.start * 2 * PANEL;
        if output < strip.outputs.end {
            weights(output * depth.inputs..(output + 1) * depth.inputs)
        } else {
            Weights::Padding
        }
    })
}
