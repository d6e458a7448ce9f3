//! The token sequence of a vision transformer (Dosovitskiy et al., arXiv 2010.11929).

use rayon::prelude::*;

use super::chunks::add;

/// Class token and position embedding.
#[derive(Clone, Copy)]
pub struct Embedding<'a> {
    /// Class token `[width]`.
    pub class_token: &'a [f32],
    /// Positions `[(patches + 1)·width]`.
    pub positions: &'a [f32],
}

/// Gradients of an [`Embedding`].
pub struct EmbeddingGradients<'a> {
    /// By the patches `[batch·patches, width]`, overwritten.
    pub patches: Option<&'a mut [f32]>,
    /// By the class token `[width]`, added to.
    pub class_token: Option<&'a mut [f32]>,
    /// By the positions `[(patches + 1)·width]`, added to.
    pub positions: Option<&'a mut [f32]>,
}

impl Embedding<'_> {
    /// `patches` `[batch·patches, width]` to `tokens` `[batch·(patches + 1), width]`: the class token before those of each
    /// image, and the position of each token added.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(&self, patches: &[f32], tokens: &mut [f32]) {
        let (image, width) = (self.positions.len(), self.class_token.len());
        assert!(
            width > 0 && image > width && image.is_multiple_of(width),
            "positions: [(patches + 1)·width]"
        );
        assert!(tokens.len().is_multiple_of(image), "tokens: [batch·(patches + 1), width]");
        assert_eq!(patches.len(), tokens.len() / image * (image - width), "patches: [batch·patches, width]");
        let images = tokens.par_chunks_exact_mut(image).zip(patches.par_chunks_exact(image - width));
        images.for_each(|(tokens, patches)| {
            let (class, rest) = tokens.split_at_mut(width);
            class.copy_from_slice(self.class_token);
            rest.copy_from_slice(patches);
            add(self.positions, tokens);
        });
    }

    /// From `g = ∂L/∂tokens`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(&self, g: &[f32], gradients: EmbeddingGradients<'_>) {
        let (image, width) = (self.positions.len(), self.class_token.len());
        assert!(image > width && g.len().is_multiple_of(image), "g: [batch·(patches + 1), width]");
        if let Some(patches) = gradients.patches {
            assert_eq!(patches.len(), g.len() / image * (image - width), "patches: [batch·patches, width]");
            let images = patches.par_chunks_exact_mut(image - width).zip(g.par_chunks_exact(image));
            images.for_each(|(patches, g)| patches.copy_from_slice(&g[width..]));
        }
        if let Some(class_token) = gradients.class_token {
            g.chunks_exact(image).for_each(|g| add(&g[..width], class_token));
        }
        if let Some(positions) = gradients.positions {
            g.chunks_exact(image).for_each(|g| add(g, positions));
        }
    }
}

/// The first of every `rows` rows of `x` `[groups·rows, columns]`, such as each image's class token: `[groups, columns]`.
///
/// # Panics
/// When the lengths do not fit.
pub fn take_first_rows(x: &[f32], rows: usize, columns: usize, first: &mut [f32]) {
    assert!(columns > 0 && first.len().is_multiple_of(columns), "first: [groups, columns]");
    assert_eq!(x.len(), rows * first.len(), "x: [groups·rows, columns]");
    for (first, x) in first.chunks_exact_mut(columns).zip(x.chunks_exact(rows * columns)) {
        first.copy_from_slice(&x[..columns]);
    }
}

/// From `g`, the gradient by the first rows: theirs in `gx`, and 0 everywhere else. `gx` is overwritten.
///
/// # Panics
/// When the lengths do not fit.
pub fn take_first_rows_backward(g: &[f32], rows: usize, columns: usize, gx: &mut [f32]) {
    assert!(columns > 0 && g.len().is_multiple_of(columns), "g: [groups, columns]");
    assert_eq!(gx.len(), rows * g.len(), "gx: [groups·rows, columns]");
    gx.fill(0.0);
    for (gx, g) in gx.chunks_exact_mut(rows * columns).zip(g.chunks_exact(columns)) {
        gx[..columns].copy_from_slice(g);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::digital::oracle::{assert_gradient, random, weigh, wide};

    const BATCH: usize = 3;
    const PATCHES: usize = 4;
    const WIDTH: usize = 5;

    fn exact(patches: &[f64], class: &[f64], positions: &[f64]) -> Vec<f64> {
        let mut tokens = Vec::new();
        for image in patches.chunks(PATCHES * WIDTH) {
            tokens.extend(class.iter().chain(image).zip(positions).map(|(token, position)| token + position));
        }
        tokens
    }

    #[test]
    fn tokens_and_the_three_gradients_agree_with_f64() {
        let (patches, class) = (random(1, BATCH * PATCHES * WIDTH), random(2, WIDTH));
        let (positions, g) = (random(3, (PATCHES + 1) * WIDTH), random(4, BATCH * (PATCHES + 1) * WIDTH));
        let embedding = Embedding { class_token: &class, positions: &positions };
        let mut tokens = vec![0.0; g.len()];
        embedding.forward(&patches, &mut tokens);
        let (wp, wc, wo) = (wide(&patches), wide(&class), wide(&positions));
        crate::kernel::digital::oracle::assert_close("tokens", &tokens, &exact(&wp, &wc, &wo), 1e-7);
        let (mut gp, mut gc, mut go) =
            (vec![9.0; patches.len()], vec![0.0; WIDTH], vec![0.0; positions.len()]);
        let gradients = EmbeddingGradients {
            patches: Some(&mut gp),
            class_token: Some(&mut gc),
            positions: Some(&mut go),
        };
        embedding.backward(&g, gradients);
        assert_gradient("patches", &patches, &gp, |p| weigh(&g, &exact(p, &wc, &wo)));
        assert_gradient("class", &class, &gc, |c| weigh(&g, &exact(&wp, c, &wo)));
        assert_gradient("positions", &positions, &go, |o| weigh(&g, &exact(&wp, &wc, o)));
    }

    #[test]
    fn first_rows_are_taken_and_put_back_where_they_were() {
        let x: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let mut first = [0.0; 4];
        take_first_rows(&x, 3, 2, &mut first);
        assert_eq!(first, [0.0, 1.0, 6.0, 7.0]);
        let mut gx = [5.0; 12];
        take_first_rows_backward(&[1.0, 2.0, 3.0, 4.0], 3, 2, &mut gx);
        assert_eq!(gx, [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
