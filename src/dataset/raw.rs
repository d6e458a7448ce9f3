//! An image as stored.

pub use crate::model::ImageShape;

/// An image as stored, 8 bits a value, one plane per channel (`[c, h, w]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawImage {
    /// Its size.
    pub shape: ImageShape,
    /// `[c·h·w]`, row by row in each plane.
    pub pixels: Vec<u8>,
}

impl RawImage {
    /// The image in `channels` (1 or 3): grey is repeated, colours become their luma.
    ///
    /// Luma is ITU-R 601 in the integers of Pillow's `convert("L")`: `(19595 R + 38470 G + 7471 B + 2¹⁵) / 2¹⁶`.
    pub(super) fn in_channels(mut self, channels: usize) -> Self {
        match (self.shape.channels, channels) {
            (1, 3) => self.pixels = self.pixels.repeat(3),
            (3, 1) => self.pixels = luma(&self.pixels, self.shape.plane()),
            _ => {}
        }
        self.shape.channels = channels;
        self
    }
}

fn luma(pixels: &[u8], plane: usize) -> Vec<u8> {
    let (red, rest) = pixels.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    let weigh = |((red, green), blue): ((&u8, &u8), &u8)| {
        let sum = 19595 * u32::from(*red) + 38470 * u32::from(*green) + 7471 * u32::from(*blue) + 0x8000;
        // The weights add up to 2¹⁶: the result fits 8 bits.
        (sum >> 16) as u8
    };
    red.iter().zip(green).zip(blue).map(weigh).collect()
}
