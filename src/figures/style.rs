//! Colours, line styles and markers.

use super::canvas::{Canvas, Ink, Point};

/// Black of text and frames.
pub(super) const BLACK: Ink = plotters::style::RGBColor(20, 20, 20);
/// Grey of lines that guide the eye.
pub(super) const GREY: Ink = plotters::style::RGBColor(110, 110, 110);
/// Paper.
pub(super) const WHITE: Ink = plotters::style::RGBColor(255, 255, 255);

/// A colour of the palette of M. Okabe and K. Ito, "Color Universal Design" (2008).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hue {
    /// Blue.
    Blue,
    /// Vermilion.
    Vermilion,
    /// Bluish green.
    Green,
    /// Reddish purple.
    Purple,
    /// Orange.
    Orange,
    /// Sky blue.
    SkyBlue,
    /// Black.
    Black,
}

impl Hue {
    const ALL: [Self; 7] =
        [Self::Blue, Self::Vermilion, Self::Green, Self::Purple, Self::Orange, Self::SkyBlue, Self::Black];

    pub(super) fn ink(self) -> Ink {
        let (red, green, blue) = match self {
            Self::Blue => (0, 114, 178),
            Self::Vermilion => (213, 94, 0),
            Self::Green => (0, 158, 115),
            Self::Purple => (204, 121, 167),
            Self::Orange => (230, 159, 0),
            Self::SkyBlue => (86, 180, 233),
            Self::Black => (0, 0, 0),
        };
        plotters::style::RGBColor(red, green, blue)
    }
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStyle {
    /// Unbroken.
    Solid,
    /// Dashes.
    Dashed,
    /// Dots.
    Dotted,
}

impl LineStyle {
    /// Drawn and blank length, in widths of the line; `None` for an unbroken line.
    fn pattern(self) -> Option<(f64, f64)> {
        match self {
            Self::Solid => None,
            Self::Dashed => Some((4.0, 2.4)),
            Self::Dotted => Some((1.3, 1.7)),
        }
    }

    /// The pieces of a line through `points` that are drawn.
    pub(super) fn pieces(self, points: &[Point], width: f64) -> Vec<Vec<Point>> {
        let Some((drawn, blank)) = self.pattern() else { return vec![points.to_vec()] };
        let (drawn, blank) = (drawn * width, blank * width);
        let mut pieces = Vec::new();
        let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
        let (mut pen_down, mut left) = (true, drawn);
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            let mut length = (to.0 - from.0).hypot(to.1 - from.1);
            while length > left {
                let part = left / length;
                from = (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
                length -= left;
                piece.push(from);
                if pen_down {
                    pieces.push(std::mem::take(&mut piece));
                } else {
                    piece = vec![from];
                }
                pen_down = !pen_down;
                left = if pen_down { drawn } else { blank };
            }
            left -= length;
            if pen_down {
                piece.push(to);
            } else {
                piece.clear();
            }
        }
        if pen_down && piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }
}

/// Shape at each point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// ●
    Disc,
    /// ■
    Square,
    /// ▲
    Triangle,
    /// ◆
    Diamond,
}

impl Marker {
    /// Draws the marker about as large as a disc of `radius`; hollow ones are white inside.
    pub(super) fn draw(self, canvas: &mut Canvas, at: Point, radius: f64, ink: Ink, filled: bool) {
        self.solid(canvas, at, radius, ink);
        if !filled {
            self.solid(canvas, at, radius * 0.58, WHITE);
        }
    }

    fn solid(self, canvas: &mut Canvas, (x, y): Point, radius: f64, ink: Ink) {
        let corners: &[Point] = match self {
            Self::Disc => return canvas.disc((x, y), radius, ink),
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => &[(0.0, -1.2), (1.1, 0.75), (-1.1, 0.75)],
            Self::Diamond => &[(0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)],
        };
        let corners: Vec<Point> =
            corners.iter().map(|corner| (x + corner.0 * radius, y + corner.1 * radius)).collect();
        canvas.polygon(&corners, ink);
    }
}

/// How a named series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesStyle {
    /// Colour.
    pub hue: Hue,
    /// Line between the points.
    pub line: LineStyle,
    /// Shape at the points.
    pub marker: Marker,
    /// False draws the marker as an outline.
    pub filled: bool,
}

impl SeriesStyle {
    /// The `index`-th of a cycle in which neighbours differ in colour and in shape.
    #[must_use]
    pub fn nth(index: usize) -> Self {
        let markers = [Marker::Disc, Marker::Square, Marker::Triangle, Marker::Diamond];
        let lines = [LineStyle::Solid, LineStyle::Dashed, LineStyle::Dotted];
        let round = index / Hue::ALL.len();
        Self {
            hue: Hue::ALL[index % Hue::ALL.len()],
            line: lines[round % lines.len()],
            marker: markers[index % markers.len()],
            filled: round.is_multiple_of(2),
        }
    }
}

/// Diverging colours, blue over white to red, of `position` from −1 to 1 (clipped); white is exactly 0.
///
/// Anchors: RdBu of C. A. Brewer's ColorBrewer, reversed.
pub(super) fn diverging(position: f64) -> Ink {
    const BLUES: [[f64; 3]; 6] = [
        [247.0, 247.0, 247.0],
        [209.0, 229.0, 240.0],
        [146.0, 197.0, 222.0],
        [67.0, 147.0, 195.0],
        [33.0, 102.0, 172.0],
        [5.0, 48.0, 97.0],
    ];
    const REDS: [[f64; 3]; 6] = [
        [247.0, 247.0, 247.0],
        [253.0, 219.0, 199.0],
        [244.0, 165.0, 130.0],
        [214.0, 96.0, 77.0],
        [178.0, 24.0, 43.0],
        [103.0, 0.0, 31.0],
    ];
    let anchors = if position < 0.0 { &BLUES } else { &REDS };
    let place = position.abs().min(1.0) * 5.0;
    let below = (place.floor() as usize).min(4);
    let part = place - below as f64;
    let channel = |index: usize| {
        (anchors[below][index] * (1.0 - part) + anchors[below + 1][index] * part).round() as u8
    };
    plotters::style::RGBColor(channel(0), channel(1), channel(2))
}
