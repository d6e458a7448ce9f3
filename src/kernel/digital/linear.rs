//! A linear layer computed digitally: `y = x Wᵀ + b`.

use super::chunks::{add_column_sums, row_chunk};
use super::matmul::{Update, matmul_nn, matmul_nt, matmul_tn};
use rayon::prelude::*;

/// A linear layer's weights.
#[derive(Clone, Copy)]
pub struct Linear<'a> {
    /// `W` `[outputs, inputs]`.
    pub weight: &'a [f32],
    /// `b` `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// Features of `x`.
    pub inputs: usize,
}

/// Which gradients of a [`Linear`] are wanted.
#[derive(Default)]
pub struct LinearGradients<'a> {
    /// By `x` `[rows, inputs]`: overwritten.
    pub x: Option<&'a mut [f32]>,
    /// By `W` `[outputs, inputs]`: added to.
    pub weight: Option<&'a mut [f32]>,
    /// By `b` `[outputs]`: added to.
    pub bias: Option<&'a mut [f32]>,
}

impl Linear<'_> {
    /// `x` `[rows, inputs]` to `y` `[rows, outputs]`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        match self.bias {
            None => matmul_nt(x, self.weight, self.inputs, Update::SET, y),
            Some(bias) => {
                fill_rows(bias, y);
                matmul_nt(x, self.weight, self.inputs, Update::ADD, y);
            }
        }
    }

    /// From `g = ∂L/∂y` `[rows, outputs]`: `g W`, `gᵀ x` and the column sums of `g`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(&self, x: &[f32], g: &[f32], gradients: LinearGradients<'_>) {
        let outputs = self.weight.len() / self.inputs;
        if let Some(gx) = gradients.x {
            matmul_nn(g, self.weight, outputs, Update::SET, gx);
        }
        if let Some(weight) = gradients.weight {
            matmul_tn(g, x, x.len() / self.inputs, Update::ADD, weight);
        }
        if let Some(bias) = gradients.bias {
            add_column_sums(g, bias);
        }
    }
}

/// Every row of `y` becomes `row`.
fn fill_rows(row: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(row_chunk(row.len()))
        .for_each(|y| y.chunks_exact_mut(row.len()).for_each(|y| y.copy_from_slice(row)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_close, assert_gradient, random, weigh, wide};

    const ROWS: usize = 5;
    const INPUTS: usize = 7;
    const OUTPUTS: usize = 3;

    fn exact(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let output = |row: usize, n: usize| {
            bias[n] + (0..INPUTS).map(|c| x[row * INPUTS + c] * weight[n * INPUTS + c]).sum::<f64>()
        };
        (0..ROWS * OUTPUTS).map(|index| output(index / OUTPUTS, index % OUTPUTS)).collect()
    }

    #[test]
    fn the_layer_and_its_three_gradients_agree_with_f64() {
        let (x, weight, bias) = (random(1, ROWS * INPUTS), random(2, OUTPUTS * INPUTS), random(3, OUTPUTS));
        let layer = Linear { weight: &weight, bias: Some(&bias), inputs: INPUTS };
        let mut y = vec![0.0; ROWS * OUTPUTS];
        layer.forward(&x, &mut y);
        let (wx, ww, wb) = (wide(&x), wide(&weight), wide(&bias));
        assert_close("y", &y, &exact(&wx, &ww, &wb), 1e-6);

        let g = random(4, ROWS * OUTPUTS);
        let (mut gx, mut gw, mut gb) = (vec![0.0; x.len()], vec![0.0; weight.len()], vec![0.0; OUTPUTS]);
        let gradients = LinearGradients { x: Some(&mut gx), weight: Some(&mut gw), bias: Some(&mut gb) };
        layer.backward(&x, &g, gradients);
        assert_gradient("gx", &x, &gx, |x| weigh(&g, &exact(x, &ww, &wb)));
        assert_gradient("gW", &weight, &gw, |w| weigh(&g, &exact(&wx, w, &wb)));
        assert_gradient("gb", &bias, &gb, |b| weigh(&g, &exact(&wx, &ww, b)));
    }
}
