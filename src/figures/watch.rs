//! The programming error over time, with what is foreseen and what may not be exceeded.

use std::path::Path;

use super::{
    FigureError, Subject,
    axes::{Axis, FOOT, Plot, TITLE, draw_title},
    canvas::{CURVE, Canvas, LEADING, MARGIN, Point, Stroke, WIDTH},
    legend::{Legend, Sample},
    not_negative, save,
    style::{BLACK, Hue, LineStyle},
};

const FIGURE: &str = "plot of σ over time";
const HEIGHT: f64 = 900.0;

/// One check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchPoint {
    /// Seconds since the beginning.
    pub at_s: f64,
    /// Programming error, fraction of the reference.
    pub sigma: f64,
    /// What it is foreseen not to exceed at the next check.
    pub foreseen: f64,
}

/// A watch.
#[derive(Clone, Debug)]
pub struct SigmaOverTime {
    /// Processor.
    pub subject: Subject,
    /// Checks, by time.
    pub points: Vec<WatchPoint>,
    /// Largest σ allowed, fraction of the reference.
    pub budget: f64,
    /// What σ is a fraction of, e.g. `full scale`.
    pub reference: String,
}

/// Draws σ in per cent over time.
///
/// # Errors
/// No check, a number that is negative or not finite, or a file that cannot be written.
pub fn draw_sigma_over_time(path: &Path, data: &SigmaOverTime) -> Result<(), FigureError> {
    let Some(last) = data.points.last() else {
        return Err(FigureError::Empty { figure: FIGURE, what: "check" });
    };
    for point in &data.points {
        not_negative(FIGURE, point.at_s, "a time")?;
        not_negative(FIGURE, point.sigma, "a σ")?;
        not_negative(FIGURE, point.foreseen, "a σ that is foreseen")?;
    }
    not_negative(FIGURE, data.budget, "the budget")?;

    let mut canvas = Canvas::new()?;
    let (unit, name) = unit_of(last.at_s);
    let mut legend = Legend::default();
    let curve = |ink, line| Sample::Curve { ink, line, marker: None };
    legend.push(curve(Hue::Blue.ink(), LineStyle::Solid), "σ");
    legend.push(curve(Hue::Vermilion.ink(), LineStyle::Dotted), "at most, next check");
    legend.push(curve(BLACK, LineStyle::Dashed), "budget");
    let columns = legend.columns_within(&canvas, 0.8 * WIDTH);
    let header = legend.size(&canvas, columns).1 + LEADING * 0.3;

    let most = data.points.iter().map(|point| point.foreseen.max(point.sigma)).fold(data.budget, f64::max);
    let right = (last.at_s / unit).max(1e-3);
    let x = Axis::new(0.0, right * 1.01, 8, &format!("Time after programming ({name})"));
    let y = Axis::new(0.0, most * 106.0, 6, &format!("σ (% of {})", data.reference));
    let sheet = Plot::fit(&canvas, Plot::sheet(WIDTH, HEIGHT + header, TITLE + header), x, y);

    canvas.lay(WIDTH, sheet.area.bottom + FOOT + MARGIN);
    let budget = sheet.y_at(100.0 * data.budget);
    let dashed = Stroke { ink: BLACK, width: CURVE * 0.7, line: LineStyle::Dashed };
    canvas.polyline(&[(sheet.area.left, budget), (sheet.area.right, budget)], dashed);
    sheet.draw(&mut canvas);
    let line = |of: fn(&WatchPoint) -> f64| -> Vec<Point> {
        data.points.iter().map(|point| sheet.at(point.at_s / unit, 100.0 * of(point))).collect()
    };
    let foreseen = Stroke { ink: Hue::Vermilion.ink(), width: CURVE * 0.8, line: LineStyle::Dotted };
    canvas.polyline(&line(|point| point.foreseen), foreseen);
    let sigma = Stroke { ink: Hue::Blue.ink(), width: CURVE, line: LineStyle::Solid };
    canvas.polyline(&line(|point| point.sigma), sigma);
    draw_title(&mut canvas, sheet.area.left, WIDTH - MARGIN, &data.subject);
    legend.draw(&mut canvas, (sheet.area.left, MARGIN + TITLE), columns);
    save(path, canvas)
}

/// Seconds a unit of the axis, and its name.
fn unit_of(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 300.0 => (1.0, "s"),
        s if s < 7200.0 => (60.0, "min"),
        s if s < 172_800.0 => (3600.0, "h"),
        _ => (86_400.0, "days"),
    }
}
