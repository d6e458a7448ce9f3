//! Axes: ranges, ticks that do not crowd, frame, labels and title.

use super::{
    Subject,
    canvas::{Canvas, HAIRLINE, LABEL, MARGIN, Point, Rect, Setting, Stroke, TEXT},
    style::{BLACK, LineStyle},
    text::{Anchor, Direction, Weight},
    wording,
};

/// Length of a tick.
pub(super) const TICK: f64 = 14.0;
/// Space between a tick and its number, and between numbers and label.
pub(super) const GAP: f64 = 14.0;
/// Height kept for a line of type.
pub(super) const LINE: f64 = 50.0;
/// Height below the frame: ticks, numbers, label.
pub(super) const FOOT: f64 = TICK + GAP + LINE + GAP + LINE;
/// Height of the title with the space below it.
pub(super) const TITLE: f64 = 78.0;

/// One tick.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) text: String,
}

/// One axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<Tick>,
    pub(super) label: String,
}

impl Axis {
    /// An axis from `low` to `high` with at most `most` ticks at 1, 2 or 5 times a power of ten.
    pub(super) fn new(low: f64, high: f64, most: usize, label: &str) -> Self {
        Self { low, high, ticks: ticks(low, high, most), label: label.to_owned() }
    }

    /// Width of the widest number.
    fn widest(&self, canvas: &Canvas) -> f64 {
        self.ticks.iter().map(|tick| canvas.text_width(&tick.text, TEXT)).fold(0.0, f64::max)
    }

    /// Fewer ticks until their numbers stand apart on an axis `length` long.
    fn thinned(mut self, canvas: &Canvas, length: f64) -> Self {
        let mut most = self.ticks.len();
        while most > 2 && self.widest(canvas) + TEXT * 0.9 > self.spacing(length) {
            most -= 1;
            self.ticks = ticks(self.low, self.high, most);
        }
        self
    }

    /// Distance between neighbouring ticks on an axis `length` long.
    pub(super) fn spacing(&self, length: f64) -> f64 {
        match self.ticks.as_slice() {
            [first, second, ..] => (second.at - first.at) / (self.high - self.low) * length,
            _ => length,
        }
    }
}

/// At most `most` round numbers from `low` to `high`, with as many decimals as their step needs.
fn ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let span = high - low;
    let rough = span / most.max(2) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| count(low, high, step) <= most.max(2))
        .unwrap_or(span);
    let decimals = (-step.log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize;
    let first = (low / step - 1e-9).ceil();
    (0..count(low, high, step))
        .map(|index| (first + index as f64) * step)
        .map(|at| Tick { at, text: label(at, decimals) })
        .collect()
}

/// Large whole numbers are grouped like counts.
fn label(at: f64, decimals: usize) -> String {
    if decimals == 0 && at >= 10_000.0 { wording::count(at as usize) } else { wording::decimal(at, decimals) }
}

fn count(low: f64, high: f64, step: f64) -> usize {
    (((high / step + 1e-9).floor() - (low / step - 1e-9).ceil()) as i64 + 1).max(0) as usize
}

/// Two axes and where they lie on the sheet.
pub(super) struct Plot {
    pub(super) area: Rect,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Plot {
    /// Fits the axes into `outer` with room for numbers and labels, thinning ticks that crowd.
    pub(super) fn fit(canvas: &Canvas, outer: Rect, x: Axis, y: Axis) -> Self {
        let bottom = outer.bottom - FOOT;
        let left = outer.left + LINE + GAP + y.widest(canvas) + GAP + TICK;
        let x = x.thinned(canvas, outer.right - left);
        // The last number may stand out over the corner.
        let beyond = x.ticks.last().map_or(0.0, |tick| {
            let blank = (x.high - tick.at) / (x.high - x.low) * (outer.right - left);
            (canvas.text_width(&tick.text, TEXT) / 2.0 - blank).max(0.0)
        });
        let area = Rect { left, top: outer.top, right: outer.right - beyond.max(HAIRLINE), bottom };
        Self { area, x, y }
    }

    /// The whole sheet but its margins and `header` at the top.
    pub(super) fn sheet(width: f64, height: f64, header: f64) -> Rect {
        Rect { left: MARGIN, top: MARGIN + header, right: width - MARGIN, bottom: height - MARGIN }
    }

    /// Pixels of a value pair.
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.x_at(x), self.y_at(y))
    }

    pub(super) fn x_at(&self, x: f64) -> f64 {
        self.area.left + (x - self.x.low) / (self.x.high - self.x.low) * self.area.width()
    }

    pub(super) fn y_at(&self, y: f64) -> f64 {
        self.area.bottom - (y - self.y.low) / (self.y.high - self.y.low) * self.area.height()
    }

    /// Frame, ticks, numbers and labels.
    pub(super) fn draw(&self, canvas: &mut Canvas) {
        let Rect { left, bottom, .. } = self.area;
        canvas.outline(self.area, HAIRLINE, BLACK);
        let stroke = Stroke { ink: BLACK, width: HAIRLINE, line: LineStyle::Solid };
        let number = setting(TEXT, Anchor::Middle);
        let numbers = bottom + TICK + GAP + LINE / 2.0;
        for tick in &self.x.ticks {
            let x = self.x_at(tick.at);
            canvas.polyline(&[(x, bottom), (x, bottom + TICK)], stroke);
            canvas.text((x, numbers), &tick.text, number);
        }
        for tick in &self.y.ticks {
            let y = self.y_at(tick.at);
            canvas.polyline(&[(left - TICK, y), (left, y)], stroke);
            canvas.text((left - TICK - GAP, y), &tick.text, Setting { anchor: Anchor::End, ..number });
        }
        let label = setting(LABEL, Anchor::Middle);
        let middle = (left + self.area.width() / 2.0, self.area.top + self.area.height() / 2.0);
        canvas.text((middle.0, numbers + LINE + GAP), &self.x.label, label);
        let beside = left - TICK - GAP - self.y.widest(canvas) - GAP - LINE / 2.0;
        canvas.text((beside, middle.1), &self.y.label, Setting { direction: Direction::Upwards, ..label });
    }
}

/// Black upright type.
pub(super) fn setting(size: f64, anchor: Anchor) -> Setting {
    Setting { ink: BLACK, size, weight: Weight::Regular, anchor, direction: Direction::Across }
}

/// The title from `left` on: name in bold, then whether it was simulated.
pub(super) fn draw_title(canvas: &mut Canvas, left: f64, right: f64, subject: &Subject) {
    let note = if subject.simulated { "  ·  simulated" } else { "" };
    let room = right - left - canvas.text_width(note, LABEL);
    let name = canvas.shortened(&subject.name, LABEL, Weight::Bold, room);
    let y = MARGIN + LINE / 2.0;
    let plain = setting(LABEL, Anchor::Start);
    canvas.text((left, y), &name, Setting { weight: Weight::Bold, ..plain });
    let width = canvas.bold_width(&name, LABEL);
    canvas.text((left + width, y), note, plain);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_range_and_not_too_many() {
        for (low, high) in [(-1.05, 1.05), (0.0, 10.0), (91.3, 98.2), (-3e-5, 3e-5), (0.0, 123_456.0)] {
            let ticks = ticks(low, high, 7);
            assert!((2..=7).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (low..=high).contains(&tick.at)), "{low} to {high}: {ticks:?}");
        }
    }

    #[test]
    fn neighbouring_ticks_never_share_a_number() {
        for step in [1e-7, 0.03, 0.4, 7.0, 900.0] {
            let ticks = ticks(0.0, step * 5.0, 7);
            assert!(ticks.windows(2).all(|pair| pair[0].text != pair[1].text), "{ticks:?}");
        }
    }
}
