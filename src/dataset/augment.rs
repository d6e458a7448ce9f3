//! Random shifts, crops and mirror images of training images.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{ImageShape, RawImage};

/// What is varied in a training image, at its stored resolution, before it is resized.
///
/// Every image draws its own variation, a pure function of the [`Epoch`](super::Epoch) and the image's place in its
/// source. First the shift, then the crop, then the mirror image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Moves the image by up to so many pixels both ways; zeros come in at the edges. 4 is the usual recipe for CIFAR
    /// (a random crop after padding with zeros).
    pub shift: usize,
    /// Mirrors left and right with probability ½.
    pub flip: bool,
    /// Cuts an image of the same size at random out of the one padded with so many pixels, mirrored at its edges (the
    /// edge itself is not repeated, as in NumPy's and torchvision's `reflect`).
    pub crop_padding: usize,
}

impl Augment {
    /// The larger of shift and crop padding: an image must have more pixels than this each way.
    pub(super) fn reach(&self) -> usize {
        self.shift.max(self.crop_padding)
    }

    /// Varies `image`, which has more than [`reach`](Self::reach) pixels each way.
    pub(super) fn apply(&self, image: RawImage, rng: &mut impl Rng) -> RawImage {
        let ImageShape { height, width, .. } = image.shape;
        // All numbers are drawn whatever is switched on: switching one variation leaves the others as they were.
        let mut offset = |most: usize| rng.random_range(0..=2 * most) as isize - most as isize;
        let [down, right] = [offset(self.shift), offset(self.shift)];
        let [crop_down, crop_right] = [offset(self.crop_padding), offset(self.crop_padding)];
        let flip = rng.random_bool(0.5) && self.flip;
        let rows = origins(height, down, crop_down, false);
        let cols = origins(width, right, crop_right, flip);
        gather(&image, &rows, &cols)
    }
}

/// For each of `n` places of the result along one axis, the place it comes from; `None` is a zero.
fn origins(n: usize, shift: isize, crop: isize, flip: bool) -> Vec<Option<usize>> {
    let last = n as isize - 1;
    let origin = |place: isize| {
        let mirrored = if flip { last - place } else { place };
        let cut = (mirrored + crop).abs();
        let reflected = if cut > last { 2 * last - cut } else { cut };
        usize::try_from(reflected + shift).ok().filter(|&origin| origin < n)
    };
    (0..n as isize).map(origin).collect()
}

fn gather(image: &RawImage, rows: &[Option<usize>], cols: &[Option<usize>]) -> RawImage {
    let width = image.shape.width;
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for plane in image.pixels.chunks_exact(image.shape.plane()) {
        for row in rows {
            match row {
                Some(row) => {
                    let source = &plane[row * width..][..width];
                    pixels.extend(cols.iter().map(|col| col.map_or(0, |col| source[col])));
                }
                None => pixels.resize(pixels.len() + width, 0),
            }
        }
    }
    RawImage { shape: image.shape, pixels }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataset::Epoch;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 9, width: 7 };

    /// Every pixel tells its place: no two are equal, none is zero.
    fn image() -> RawImage {
        RawImage { shape: SHAPE, pixels: (1..=189).collect() }
    }

    /// The results of 400 images.
    fn varied(augment: Augment) -> Vec<RawImage> {
        let epoch = Epoch { seed: 3, number: 0 };
        (0..400).map(|record| augment.apply(image(), &mut epoch.augmentation(record))).collect()
    }

    #[test]
    fn a_shift_moves_the_whole_image_and_lets_zeros_in() {
        let mut seen = BTreeSet::new();
        for moved in varied(Augment { shift: 1, ..Augment::default() }) {
            // The centre pixel tells the shift.
            let centre = i32::from(moved.pixels[4 * 7 + 3]) - 1;
            let (down, right) = (centre / 7 - 4, centre % 7 - 3);
            seen.insert((down, right));
            for (place, &value) in moved.pixels.iter().enumerate() {
                let (plane, row, col) = (place as i32 / 63, place as i32 / 7 % 9, place as i32 % 7);
                let (from_row, from_col) = (row + down, col + right);
                let inside = (0..9).contains(&from_row) && (0..7).contains(&from_col);
                let expected = if inside { 1 + plane * 63 + from_row * 7 + from_col } else { 0 };
                assert_eq!(i32::from(value), expected);
            }
        }
        assert_eq!(seen.len(), 9);
    }

    #[test]
    fn about_half_of_the_images_are_mirrored_left_and_right() {
        let original = image();
        let mut mirrored = original.clone();
        mirrored.pixels.chunks_exact_mut(7).for_each(<[u8]>::reverse);
        let flipped = varied(Augment { flip: true, ..Augment::default() });
        assert!(flipped.iter().all(|image| *image == original || *image == mirrored));
        let count = flipped.iter().filter(|image| **image == mirrored).count();
        // 400 fair draws: σ = 10, 4 σ either way.
        assert!((160..=240).contains(&count), "{count}");
    }

    #[test]
    fn a_crop_mirrors_at_the_edge_without_repeating_it() {
        // NumPy: np.pad([0, 1, 2, 3], 2, "reflect") = [2, 1, 0, 1, 2, 3, 2, 1].
        let cut = |crop| origins(4, 0, crop, false).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(cut(-2), [2, 1, 0, 1]);
        assert_eq!(cut(-1), [1, 0, 1, 2]);
        assert_eq!(cut(0), [0, 1, 2, 3]);
        assert_eq!(cut(2), [2, 3, 2, 1]);
        let crops = varied(Augment { crop_padding: 3, ..Augment::default() });
        assert!(crops.iter().all(|crop| !crop.pixels.contains(&0)));
        assert_eq!(crops.iter().map(|crop| crop.pixels.clone()).collect::<BTreeSet<_>>().len(), 49);
    }

    #[test]
    fn switching_the_mirror_on_leaves_the_shifts_as_they_were() {
        let shifted = varied(Augment { shift: 2, ..Augment::default() });
        let both = varied(Augment { shift: 2, flip: true, ..Augment::default() });
        for (shifted, mut both) in shifted.into_iter().zip(both) {
            if both != shifted {
                both.pixels.chunks_exact_mut(7).for_each(<[u8]>::reverse);
            }
            assert_eq!(both, shifted);
        }
    }
}
