//! Legends and notes, and the place where they cover nothing.

use super::{
    axes::setting,
    canvas::{CURVE, Canvas, Ink, LEADING, Point, Rect, Stroke, TEXT},
    style::{BLACK, LineStyle, Marker},
    text::Anchor,
};

/// Width of a sample of a curve: three whole dashes.
const SAMPLE: f64 = 16.8 * CURVE;
/// Space between sample and text.
const SPACE: f64 = 22.0;
/// Radius of a marker.
pub(super) const MARKER: f64 = 13.0;
/// Distance of a legend from the frame.
pub(super) const INSET: f64 = 26.0;

/// What stands before a text.
#[derive(Clone, Copy)]
pub(super) enum Sample {
    /// Text that starts at the margin.
    None,
    /// Text set below the one before it, indented by a sample's width.
    Indent,
    /// A piece of a curve, perhaps with its marker.
    Curve { ink: Ink, line: LineStyle, marker: Option<(Marker, bool)> },
    /// A box of a histogram.
    Box(Ink),
}

/// Lines of text with samples.
#[derive(Clone, Default)]
pub(super) struct Legend {
    entries: Vec<(Sample, String)>,
}

impl Legend {
    pub(super) fn push(&mut self, sample: Sample, text: impl Into<String>) {
        self.entries.push((sample, text.into()));
    }

    /// Width and height in `columns` columns.
    pub(super) fn size(&self, canvas: &Canvas, columns: usize) -> (f64, f64) {
        let rows = self.entries.len().div_ceil(columns.max(1));
        let width: f64 = self.column_widths(canvas, columns).iter().sum();
        (width + (columns.max(1) - 1) as f64 * TEXT, rows as f64 * LEADING)
    }

    fn column_widths(&self, canvas: &Canvas, columns: usize) -> Vec<f64> {
        let rows = self.entries.len().div_ceil(columns.max(1)).max(1);
        let width = |(sample, text): &(Sample, String)| indent(*sample) + canvas.text_width(text, TEXT);
        self.entries.chunks(rows).map(|column| column.iter().map(width).fold(0.0, f64::max)).collect()
    }

    /// Most columns that fit into `width`.
    pub(super) fn columns_within(&self, canvas: &Canvas, width: f64) -> usize {
        (1..=self.entries.len()).rev().find(|&columns| self.size(canvas, columns).0 <= width).unwrap_or(1)
    }

    /// Draws the lines with their upper left corner at `at`, column after column.
    pub(super) fn draw(&self, canvas: &mut Canvas, at: Point, columns: usize) {
        let rows = self.entries.len().div_ceil(columns.max(1)).max(1);
        let widths = self.column_widths(canvas, columns);
        let mut left = at.0;
        for (column, width) in self.entries.chunks(rows).zip(widths) {
            for (row, (sample, text)) in column.iter().enumerate() {
                let y = at.1 + LEADING * (row as f64 + 0.5);
                draw_sample(canvas, *sample, (left, y));
                canvas.text((left + indent(*sample), y), text, setting(TEXT, Anchor::Start));
            }
            left += width + TEXT;
        }
    }
}

fn indent(sample: Sample) -> f64 {
    match sample {
        Sample::None => 0.0,
        _ => SAMPLE + SPACE,
    }
}

fn draw_sample(canvas: &mut Canvas, sample: Sample, (x, y): Point) {
    let middle = (x + SAMPLE / 2.0, y);
    match sample {
        Sample::None | Sample::Indent => {}
        Sample::Curve { ink, line, marker } => {
            canvas.polyline(&[(x, y), (x + SAMPLE, y)], Stroke { ink, width: CURVE, line });
            if let Some((marker, filled)) = marker {
                marker.draw(canvas, middle, MARKER, ink, filled);
            }
        }
        Sample::Box(ink) => {
            let (right, half) = (x + SAMPLE, TEXT * 0.36);
            let rect = Rect { left: x, top: y - half, right, bottom: y + half };
            canvas.rect(rect, ink);
            canvas.outline(rect, 2.0, BLACK);
        }
    }
}

/// A place of `size` in `area` that holds none of `obstacles`: a corner if one is free, else any place, else `None`.
pub(super) fn free_place(area: Rect, size: (f64, f64), obstacles: &[Point]) -> Option<Rect> {
    let (room_x, room_y) = (area.width() - size.0 - 2.0 * INSET, area.height() - size.1 - 2.0 * INSET);
    if room_x < 0.0 || room_y < 0.0 {
        return None;
    }
    let corners = [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 1.0)];
    let steps = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let anywhere = steps.into_iter().flat_map(|y| [1.0, 0.0, 0.75, 0.25, 0.5].map(|x| (x, y)));
    corners
        .into_iter()
        .chain(anywhere)
        .map(|(x, y)| {
            let (left, top) = (area.left + INSET + x * room_x, area.top + INSET + y * room_y);
            Rect { left, top, right: left + size.0, bottom: top + size.1 }
        })
        .find(|place| !obstacles.iter().any(|&point| place.grown(MARKER + 6.0).contains(point)))
}

/// Points along straight pieces through `points`, close enough for [`free_place`] to see the line.
pub(super) fn along(points: &[Point]) -> Vec<Point> {
    let mut dense: Vec<Point> = points.to_vec();
    for pair in points.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let pieces = ((to.0 - from.0).hypot(to.1 - from.1) / MARKER).ceil().max(1.0) as usize;
        dense.extend((1..pieces).map(|index| {
            let part = index as f64 / pieces as f64;
            (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
        }));
    }
    dense
}
