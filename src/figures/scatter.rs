//! Target against measured weights.

use std::path::Path;

use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;

use super::{
    FigureError, Spread, Subject,
    axes::{Axis, FOOT, Plot, TITLE, draw_title},
    canvas::{CURVE, Canvas, LEADING, MARGIN, Point, Rect, Stroke, WIDTH},
    check_spread, finite,
    legend::{Legend, Sample, free_place},
    save,
    style::{BLACK, Hue, LineStyle},
    wording,
};

const FIGURE: &str = "plot of target against measured weights";
/// Points drawn at most: more make the file slower to draw, not the cloud clearer.
const MOST_POINTS: usize = 20_000;

/// Pairs of weights, both in units of full scale.
#[derive(Clone, Debug)]
pub struct TargetAgainstMeasured<'a> {
    /// What was measured.
    pub subject: Subject,
    /// Weights asked, full scale = 1.
    pub targets: &'a [f64],
    /// Weights measured, one for each target.
    pub measured: &'a [f64],
    /// Rms residual, where known.
    pub sigma: Option<Spread>,
    /// What σ is a fraction of, e.g. `full scale`.
    pub reference: String,
}

/// Draws measured against target weights with the line of equality; both axes have one scale.
///
/// Of more than 20 000 pairs a random 20 000 are drawn, always the same; the figure says so.
///
/// # Errors
/// No pairs, lists of different lengths, a number that is not finite, or a file that cannot be written.
pub fn draw_target_against_measured(
    path: &Path,
    pairs: &TargetAgainstMeasured<'_>,
) -> Result<(), FigureError> {
    check(pairs)?;
    let mut canvas = Canvas::new()?;
    let legend = legend(pairs);
    let shown = shown(pairs);
    let (low, high) = range(pairs);
    let plot = |canvas: &Canvas, header: f64| {
        let x = Axis::new(low, high, 7, "Target weight (full scale = 1)");
        let y = Axis::new(low, high, 7, "Measured weight (full scale = 1)");
        let mut plot = Plot::fit(canvas, Plot::sheet(WIDTH, WIDTH, header), x, y);
        plot.area.bottom = plot.area.top + plot.area.width();
        plot
    };

    let mut sheet = plot(&canvas, TITLE);
    let obstacles = |sheet: &Plot| -> Vec<Point> {
        let line = (0..=200).map(|step| low + (high - low) * f64::from(step) / 200.0).map(|w| (w, w));
        shown.iter().copied().chain(line).map(|(x, y)| sheet.at(x, y)).collect()
    };
    let inside = free_place(sheet.area, legend.size(&canvas, 1), &obstacles(&sheet));
    let columns = legend.columns_within(&canvas, WIDTH - sheet.area.left - MARGIN);
    if inside.is_none() {
        sheet = plot(&canvas, TITLE + legend.size(&canvas, columns).1 + LEADING * 0.3);
    }

    canvas.lay(WIDTH, sheet.area.bottom + FOOT + MARGIN);
    draw_cloud(&mut canvas, &sheet, &shown);
    let equality = [sheet.at(low, low), sheet.at(high, high)];
    canvas.polyline(&equality, Stroke { ink: BLACK, width: CURVE * 0.6, line: LineStyle::Dashed });
    sheet.draw(&mut canvas);
    draw_title(&mut canvas, sheet.area.left, WIDTH - MARGIN, &pairs.subject);
    match inside {
        Some(Rect { left, top, .. }) => legend.draw(&mut canvas, (left, top), 1),
        None => legend.draw(&mut canvas, (sheet.area.left, MARGIN + TITLE), columns),
    }
    save(path, canvas)
}

fn check(pairs: &TargetAgainstMeasured<'_>) -> Result<(), FigureError> {
    let (targets, measured) = (pairs.targets.len(), pairs.measured.len());
    if targets != measured {
        return Err(FigureError::Lengths { figure: FIGURE, targets, measured });
    }
    if targets == 0 {
        return Err(FigureError::Empty { figure: FIGURE, what: "pair of weights" });
    }
    for (index, &value) in pairs.targets.iter().enumerate() {
        finite(FIGURE, value, || format!("target {index}"))?;
    }
    for (index, &value) in pairs.measured.iter().enumerate() {
        finite(FIGURE, value, || format!("measured weight {index}"))?;
    }
    check_spread(FIGURE, pairs.sigma)
}

/// The pairs that are drawn.
fn shown(pairs: &TargetAgainstMeasured<'_>) -> Vec<(f64, f64)> {
    let all = pairs.targets.len();
    let pair = |index: usize| (pairs.targets[index], pairs.measured[index]);
    if all <= MOST_POINTS {
        return (0..all).map(pair).collect();
    }
    // Not every k-th pair: that would meet the same cells of the array again and again.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    sample(&mut rng, all, MOST_POINTS).into_iter().map(pair).collect()
}

/// One range for both axes, with a rim of 4 %.
fn range(pairs: &TargetAgainstMeasured<'_>) -> (f64, f64) {
    let values = || pairs.targets.iter().chain(pairs.measured).copied();
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let rim = ((high - low) * 0.04).max(1e-4);
    (low - rim, high + rim)
}

fn legend(pairs: &TargetAgainstMeasured<'_>) -> Legend {
    let all = pairs.targets.len();
    let mut legend = Legend::default();
    let dashed = Sample::Curve { ink: BLACK, line: LineStyle::Dashed, marker: None };
    legend.push(dashed, "measured = target");
    if let Some(sigma) = pairs.sigma {
        let (value, interval) = wording::spread(sigma);
        legend.push(Sample::None, format!("σ = {value} of {}", pairs.reference));
        if let Some(interval) = interval {
            legend.push(Sample::None, format!("95 % CI: {interval}"));
        }
    }
    legend.push(Sample::None, format!("n = {}", wording::count(all)));
    if all > MOST_POINTS {
        legend.push(Sample::None, format!("({} shown)", wording::count(MOST_POINTS)));
    }
    legend
}

/// Small dots, the smaller the more there are, so that the cloud's inside stays visible.
fn draw_cloud(canvas: &mut Canvas, sheet: &Plot, shown: &[(f64, f64)]) {
    let radius = (160.0 / (shown.len() as f64).sqrt()).clamp(2.6, 11.0);
    for &(x, y) in shown {
        canvas.disc(sheet.at(x, y), radius, Hue::Blue.ink());
    }
}
