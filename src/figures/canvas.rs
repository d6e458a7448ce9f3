//! A sheet to draw on: an RGB buffer that `plotters` rasterises into at three times the resolution, averaged down at the end.

use plotters::{
    prelude::{BitMapBackend, DrawingBackend},
    style::{Color, RGBColor, ShapeStyle},
};

use super::{
    FigureError,
    style::LineStyle,
    text::{Anchor, Direction, Faces, Weight},
};

/// Pixels rasterised along each side of one pixel of the figure.
const OVERSAMPLING: u32 = 3;

/// Width of a figure: a column of 8.5 cm at 478 dots per inch.
pub(super) const WIDTH: f64 = 1600.0;
/// Blank border.
pub(super) const MARGIN: f64 = 18.0;
/// Em of ticks, legends and notes: 6.6 pt in a column of 8.5 cm.
pub(super) const TEXT: f64 = 44.0;
/// Em of axis labels and titles: 7.5 pt in a column of 8.5 cm.
pub(super) const LABEL: f64 = 50.0;
/// Distance between two lines of [`TEXT`].
pub(super) const LEADING: f64 = 62.0;
/// Width of frames and ticks.
pub(super) const HAIRLINE: f64 = 3.0;
/// Width of curves.
pub(super) const CURVE: f64 = 7.0;

/// A colour and how much of it (0 to 1).
pub(super) type Ink = RGBColor;

/// Position in pixels of the figure, y downwards.
pub(super) type Point = (f64, f64);

/// A rectangle in pixels of the figure, y downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Rect {
    pub(super) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub(super) fn contains(&self, (x, y): Point) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }

    pub(super) fn grown(&self, by: f64) -> Self {
        Self { left: self.left - by, top: self.top - by, right: self.right + by, bottom: self.bottom + by }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy)]
pub(super) struct Stroke {
    pub(super) ink: Ink,
    pub(super) width: f64,
    pub(super) line: LineStyle,
}

/// How a text is set.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) ink: Ink,
    pub(super) size: f64,
    pub(super) weight: Weight,
    pub(super) anchor: Anchor,
    pub(super) direction: Direction,
}

/// The sheet. Drawing calls do not fail one by one: the first failure is kept and reported by [`Canvas::into_png`].
pub(super) struct Canvas {
    width: u32,
    height: u32,
    fine: Vec<u8>,
    faces: Faces,
    failure: Option<FigureError>,
}

impl Canvas {
    /// No sheet yet: measures type, so that the sheet can be given its size by [`Canvas::lay`].
    pub(super) fn new() -> Result<Self, FigureError> {
        Ok(Self { width: 0, height: 0, fine: Vec::new(), faces: Faces::load()?, failure: None })
    }

    /// Lays a white sheet of this size.
    pub(super) fn lay(&mut self, width: f64, height: f64) {
        (self.width, self.height) = (width.round() as u32, height.round() as u32);
        let bytes = (self.width * OVERSAMPLING) as usize * (self.height * OVERSAMPLING) as usize * 3;
        self.fine = vec![255; bytes];
    }

    pub(super) fn text_width(&self, text: &str, size: f64) -> f64 {
        self.faces.width(text, size, Weight::Regular)
    }

    fn draw<E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        draw: impl FnOnce(&mut BitMapBackend<'_>) -> Result<(), E>,
    ) {
        let size = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let mut backend = BitMapBackend::with_buffer(&mut self.fine, size);
        if let Err(error) = draw(&mut backend) {
            drop(backend);
            self.failure.get_or_insert(FigureError::Raster(Box::new(error)));
        }
    }

    /// A filled convex polygon.
    pub(super) fn polygon(&mut self, corners: &[Point], ink: Ink) {
        let corners: Vec<_> = corners.iter().copied().map(fine).collect();
        self.draw(|backend| backend.fill_polygon(corners, &filled(ink)));
    }

    /// A filled rectangle.
    pub(super) fn rect(&mut self, rect: Rect, ink: Ink) {
        let (left, top) = fine((rect.left, rect.top));
        let (right, bottom) = fine((rect.right, rect.bottom));
        if left < right && top < bottom {
            self.draw(|backend| backend.draw_rect((left, top), (right, bottom), &filled(ink), true));
        }
    }

    /// A filled disc.
    pub(super) fn disc(&mut self, centre: Point, radius: f64, ink: Ink) {
        let radius = (radius * f64::from(OVERSAMPLING)).round() as u32;
        self.draw(|backend| backend.draw_circle(fine(centre), radius, &filled(ink), true));
    }

    /// Straight pieces through `points`, with round joins.
    pub(super) fn polyline(&mut self, points: &[Point], stroke: Stroke) {
        for piece in stroke.line.pieces(points, stroke.width) {
            for pair in piece.windows(2) {
                self.segment(pair[0], pair[1], stroke);
            }
            for &join in piece.iter().skip(1).take(piece.len().saturating_sub(2)) {
                self.disc(join, stroke.width / 2.0, stroke.ink);
            }
        }
    }

    fn segment(&mut self, from: Point, to: Point, stroke: Stroke) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        if length == 0.0 {
            return;
        }
        let half = stroke.width / 2.0;
        let (nx, ny) = (-dy / length * half, dx / length * half);
        if dx == 0.0 || dy == 0.0 {
            let rect = Rect {
                left: from.0.min(to.0) - nx.abs(),
                top: from.1.min(to.1) - ny.abs(),
                right: from.0.max(to.0) + nx.abs(),
                bottom: from.1.max(to.1) + ny.abs(),
            };
            self.rect(rect, stroke.ink);
            return;
        }
        let corners = [
            (from.0 + nx, from.1 + ny),
            (to.0 + nx, to.1 + ny),
            (to.0 - nx, to.1 - ny),
            (from.0 - nx, from.1 - ny),
        ];
        self.polygon(&corners, stroke.ink);
    }

    /// The outline of `rect`, centred on its edges.
    pub(super) fn outline(&mut self, rect: Rect, width: f64, ink: Ink) {
        let half = width / 2.0;
        let Rect { left, top, right, bottom } = rect;
        let stroke = Stroke { ink, width, line: LineStyle::Solid };
        for y in [top, bottom] {
            self.polyline(&[(left - half, y), (right + half, y)], stroke);
        }
        for x in [left, right] {
            self.polyline(&[(x, top - half), (x, bottom + half)], stroke);
        }
    }

    /// A text; `at` is the middle of the height of its capitals.
    pub(super) fn text(&mut self, at: Point, text: &str, setting: Setting) {
        let scale = f64::from(OVERSAMPLING);
        let Setting { ink, size, weight, anchor, direction } = setting;
        let bounds = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        let Self { fine, faces, .. } = self;
        let colour = [ink.0, ink.1, ink.2];
        let at = (at.0 * scale, at.1 * scale);
        faces.rasterise(text, (size * scale, weight), at, (anchor, direction), |x, y, coverage| {
            if x < 0 || y < 0 || x as u32 >= bounds.0 || y as u32 >= bounds.1 {
                return;
            }
            let start = (y as usize * bounds.0 as usize + x as usize) * 3;
            for (byte, target) in fine[start..start + 3].iter_mut().zip(colour) {
                let mixed = f64::from(*byte) * (1.0 - coverage) + f64::from(target) * coverage;
                *byte = mixed.round() as u8;
            }
        });
    }

    /// `text`, shortened in the middle until it is at most `width` wide.
    pub(super) fn shortened(&self, text: &str, size: f64, weight: Weight, width: f64) -> String {
        let characters: Vec<char> = text.chars().collect();
        let mut kept = characters.len();
        let mut shown = text.to_owned();
        while self.faces.width(&shown, size, weight) > width && kept > 2 {
            kept -= 1;
            let head = kept.div_ceil(2);
            let tail = characters.len() - (kept - head);
            shown = characters[..head].iter().chain(&['…']).chain(&characters[tail..]).collect();
        }
        shown
    }

    pub(super) fn bold_width(&self, text: &str, size: f64) -> f64 {
        self.faces.width(text, size, Weight::Bold)
    }

    /// The sheet as PNG.
    ///
    /// # Errors
    /// The first failure of any drawing call, or of the encoder.
    pub(super) fn into_png(self) -> Result<Vec<u8>, FigureError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let pixels = averaged(&self.fine, self.width as usize, self.height as usize);
        let mut png = Vec::new();
        let mut encoder = png::Encoder::new(&mut png, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(png)
    }
}

fn filled(ink: Ink) -> ShapeStyle {
    ink.filled()
}

fn fine((x, y): Point) -> (i32, i32) {
    let scale = f64::from(OVERSAMPLING);
    ((x * scale).round() as i32, (y * scale).round() as i32)
}

/// Mean over squares of `OVERSAMPLING²` pixels; `width` and `height` are those of the result.
fn averaged(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let side = OVERSAMPLING as usize;
    let row_bytes = width * side * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    let mut sums = vec![0_u16; width * 3];
    for rows in fine.chunks_exact(row_bytes * side) {
        sums.fill(0);
        for row in rows.chunks_exact(row_bytes) {
            for (sum, block) in sums.chunks_exact_mut(3).zip(row.chunks_exact(side * 3)) {
                for pixel in block.chunks_exact(3) {
                    sum[0] += u16::from(pixel[0]);
                    sum[1] += u16::from(pixel[1]);
                    sum[2] += u16::from(pixel[2]);
                }
            }
        }
        let count = (side * side) as u16;
        pixels.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
    }
    pixels
}
