//! Type. The text of `plotters` drops the left bearing of each glyph, so letters are set unevenly; here they are set by
//! the font's own advances, bearings and kerning, at fractions of a pixel.

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};

use super::FigureError;

/// Height of a capital, as a fraction of the em (DejaVu Sans).
const CAP_HEIGHT: f64 = 0.729;

/// Weight of a face.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// Where the given point lies along the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Reading direction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Across,
    Upwards,
}

/// The two faces in use.
pub(super) struct Faces {
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

impl Faces {
    pub(super) fn load() -> Result<Self, FigureError> {
        Ok(Self {
            regular: FontRef::try_from_slice(dejavu::sans::regular())?,
            bold: FontRef::try_from_slice(dejavu::sans::bold())?,
        })
    }

    fn face(&self, weight: Weight) -> &FontRef<'static> {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    /// Width of `text` at `size` units an em.
    pub(super) fn width(&self, text: &str, size: f64, weight: Weight) -> f64 {
        self.set(text, size, weight).1
    }

    /// Glyphs along a baseline at y = 0, and the width.
    fn set(&self, text: &str, size: f64, weight: Weight) -> (Vec<Glyph>, f64) {
        let face = self.face(weight);
        // `PxScale` is the height between ascender and descender; sizes here are ems.
        let em = face.units_per_em().unwrap_or(2048.0);
        let scale = PxScale::from(size as f32 * face.height_unscaled() / em);
        let scaled = face.as_scaled(scale);
        let mut pen = 0.0;
        let mut previous = None;
        let mut glyphs = Vec::new();
        for character in text.chars() {
            let id = scaled.glyph_id(character);
            if let Some(previous) = previous {
                pen += scaled.kern(previous, id);
            }
            glyphs.push(id.with_scale_and_position(scale, point(pen, 0.0)));
            pen += scaled.h_advance(id);
            previous = Some(id);
        }
        (glyphs, f64::from(pen))
    }

    /// Rasterises `text` and hands each pixel with its coverage (0 to 1) to `pixel`.
    ///
    /// `at` is the middle of the capitals' height, and along the text what `anchor` says.
    pub(super) fn rasterise(
        &self,
        text: &str,
        (size, weight): (f64, Weight),
        at: (f64, f64),
        (anchor, direction): (Anchor, Direction),
        mut pixel: impl FnMut(i32, i32, f64),
    ) {
        let (glyphs, width) = self.set(text, size, weight);
        let shift = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let drop = size * CAP_HEIGHT / 2.0;
        for mut glyph in glyphs {
            // In the text's own frame: u along the line, v downwards; upwards text turns it by a quarter.
            let (u, v) = match direction {
                Direction::Across => (at.0 + shift, at.1 + drop),
                Direction::Upwards => (shift - at.1, at.0 + drop),
            };
            glyph.position.x += u as f32;
            glyph.position.y += v as f32;
            let Some(outline) = self.face(weight).outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|column, row, coverage| {
                let (u, v) = (corner.x as i32 + column as i32, corner.y as i32 + row as i32);
                let (x, y) = match direction {
                    Direction::Across => (u, v),
                    Direction::Upwards => (v, -1 - u),
                };
                pixel(x, y, f64::from(coverage).min(1.0));
            });
        }
    }
}
