//! Histogram of the residual with the fitted normal distributions.

use std::path::Path;

use super::{
    FigureError, Spread, Subject,
    axes::{Axis, FOOT, Plot, TITLE, draw_title},
    canvas::{CURVE, Canvas, HAIRLINE, Ink, MARGIN, Rect, Stroke, WIDTH},
    check_spread, finite,
    legend::{INSET, Legend, Sample},
    not_negative, save,
    style::{BLACK, GREY, Hue, LineStyle},
    wording,
};

const FIGURE: &str = "histogram of residuals";
const HEIGHT: f64 = 1200.0;
const BARS: Ink = plotters::style::RGBColor(176, 208, 230);
/// Bins at most and at least.
const BINS: (f64, f64) = (9.0, 90.0);
/// Residuals are shown up to so many robust standard deviations from the median; the legend counts those beyond.
const REACH: f64 = 6.0;
/// Half width of the axis when all residuals are equal, as a fraction of full scale.
const LEAST_REACH: f64 = 1e-7;

/// A normal distribution of residuals, in units of full scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalCurve {
    /// Mean.
    pub mean: f64,
    /// Standard deviation; with 0 no curve is drawn.
    pub sigma: f64,
}

/// Residuals (measured − target) and what was estimated from them, all in units of full scale.
#[derive(Clone, Debug)]
pub struct ResidualHistogram<'a> {
    /// What was measured.
    pub subject: Subject,
    /// Residuals.
    pub residuals: &'a [f64],
    /// Rms residual, where known.
    pub sigma: Option<Spread>,
    /// What σ is a fraction of, e.g. `full scale`.
    pub reference: String,
    /// Normal distribution by maximum likelihood.
    pub maximum_likelihood: Option<NormalCurve>,
    /// Normal distribution by least squares on the histogram.
    pub histogram_fit: Option<NormalCurve>,
    /// Standard deviation from the median absolute deviation.
    pub mad: Option<f64>,
}

/// Draws the histogram (bins by Freedman and Diaconis, 1981) with both curves scaled to its counts.
///
/// # Errors
/// No residuals, a number that is not finite, a negative σ, or a file that cannot be written.
pub fn draw_residual_histogram(path: &Path, data: &ResidualHistogram<'_>) -> Result<(), FigureError> {
    check(data)?;
    let bins = Bins::of(data.residuals);
    let mut canvas = Canvas::new()?;
    let (notes, curves) = (notes(data, bins.beyond), curve_legend(data));

    let outer = Plot::sheet(WIDTH, HEIGHT, TITLE);
    let frame = |canvas: &Canvas, top: f64| {
        let label = format!("Residual δW (% of {})", data.reference);
        let x = Axis::new(bins.low * 100.0, bins.high() * 100.0, 7, &label);
        Plot::fit(canvas, outer, x, Axis::new(0.0, top, 6, "Weights per bin"))
    };
    let (notes_size, curves_size) = (notes.size(&canvas, 1), curves.size(&canvas, 1));
    let heights = heights(data, &bins);
    let peak = heights.iter().map(|&(_, height)| height).fold(1.0, f64::max);
    let draft = frame(&canvas, peak);
    let area = draft.area;
    // Raise the axis until nothing reaches up to the two blocks of text.
    let top = |from: f64, to: f64, tall: f64| {
        let below = 1.0 - (tall + 2.0 * INSET) / area.height();
        let under = heights.iter().filter(|(x, _)| (from..=to).contains(&draft.x_at(x * 100.0)));
        under.map(|&(_, height)| height / below).fold(0.0, f64::max)
    };
    let left = top(area.left, area.left + notes_size.0 + 2.0 * INSET, notes_size.1);
    let right = top(area.right - curves_size.0 - 2.0 * INSET, area.right, curves_size.1);
    let plot = frame(&canvas, (peak * 1.06).max(left).max(right));

    canvas.lay(WIDTH, plot.area.bottom + FOOT + MARGIN);
    draw_bars(&mut canvas, &plot, &bins);
    for (curve, stroke) in curves_of(data) {
        draw_curve(&mut canvas, &plot, &bins, data.residuals.len(), curve, stroke);
    }
    plot.draw(&mut canvas);
    draw_title(&mut canvas, plot.area.left, WIDTH - MARGIN, &data.subject);
    notes.draw(&mut canvas, (plot.area.left + INSET, plot.area.top + INSET), 1);
    let at = (plot.area.right - INSET - curves_size.0, plot.area.top + INSET);
    curves.draw(&mut canvas, at, 1);
    save(path, canvas)
}

fn check(data: &ResidualHistogram<'_>) -> Result<(), FigureError> {
    if data.residuals.is_empty() {
        return Err(FigureError::Empty { figure: FIGURE, what: "residual" });
    }
    for (index, &value) in data.residuals.iter().enumerate() {
        finite(FIGURE, value, || format!("residual {index}"))?;
    }
    check_spread(FIGURE, data.sigma)?;
    if let Some(mad) = data.mad {
        not_negative(FIGURE, mad, "σ from the MAD")?;
    }
    for (curve, _) in curves_of(data) {
        finite(FIGURE, curve.mean, || "the mean of a fit".to_owned())?;
        not_negative(FIGURE, curve.sigma, "σ of a fit")?;
    }
    Ok(())
}

/// Counts in bins of equal width.
struct Bins {
    low: f64,
    width: f64,
    counts: Vec<usize>,
    /// Residuals left of the first or right of the last bin.
    beyond: usize,
}

impl Bins {
    fn of(residuals: &[f64]) -> Self {
        let mut sorted = residuals.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
        let (smallest, largest, median) = (quantile(0.0), quantile(1.0), quantile(0.5));
        let quartiles = quantile(0.75) - quantile(0.25);
        // 1.349: the quartiles' distance of a normal distribution, in standard deviations.
        let reach = if quartiles > 0.0 { REACH * quartiles / 1.349 } else { f64::INFINITY };
        let (low, high) = (smallest.max(median - reach), largest.min(median + reach));
        let rim = ((high - low) * 0.04).max(LEAST_REACH);
        let (low, high) = (low - rim, high + rim);
        let wanted = 2.0 * quartiles / (residuals.len() as f64).cbrt();
        let number = if wanted > 0.0 { ((high - low) / wanted).clamp(BINS.0, BINS.1) } else { BINS.1 };
        let number = number.ceil() as usize;
        let width = (high - low) / number as f64;
        let mut counts = vec![0; number];
        let mut beyond = 0;
        for residual in residuals {
            match ((residual - low) / width).floor() {
                bin if bin >= 0.0 && (bin as usize) < number => counts[bin as usize] += 1,
                _ => beyond += 1,
            }
        }
        Self { low, width, counts, beyond }
    }

    fn high(&self) -> f64 {
        self.edge(self.counts.len())
    }

    fn edge(&self, index: usize) -> f64 {
        self.low + self.width * index as f64
    }
}

/// Expected count of a bin around `residual`: n · width · density.
fn expected(curve: NormalCurve, residual: f64, bins: &Bins, n: usize) -> f64 {
    let distance = (residual - curve.mean) / curve.sigma;
    let density = (-distance * distance / 2.0).exp() / (curve.sigma * std::f64::consts::TAU.sqrt());
    n as f64 * bins.width * density
}

/// The fits that can be drawn, with their strokes.
fn curves_of(data: &ResidualHistogram<'_>) -> Vec<(NormalCurve, Stroke)> {
    let solid = Stroke { ink: Hue::Vermilion.ink(), width: CURVE, line: LineStyle::Solid };
    let dashed = Stroke { ink: BLACK, width: CURVE, line: LineStyle::Dashed };
    let fits = [(data.maximum_likelihood, solid), (data.histogram_fit, dashed)];
    fits.into_iter().filter_map(|(curve, stroke)| Some((curve?, stroke))).collect()
}

/// Residuals and the heights drawn there: bars (both edges) and curves.
fn heights(data: &ResidualHistogram<'_>, bins: &Bins) -> Vec<(f64, f64)> {
    let bars = bins.counts.iter().enumerate();
    let mut heights: Vec<_> = bars
        .flat_map(|(index, &count)| [index, index + 1].map(|edge| (bins.edge(edge), count as f64)))
        .collect();
    for (curve, _) in curves_of(data) {
        heights.extend(curve_points(curve, bins, data.residuals.len()));
    }
    heights
}

fn curve_points(curve: NormalCurve, bins: &Bins, n: usize) -> Vec<(f64, f64)> {
    if curve.sigma == 0.0 {
        return Vec::new();
    }
    let residual = |step: u32| bins.low + (bins.high() - bins.low) * f64::from(step) / 400.0;
    (0..=400).map(residual).map(|residual| (residual, expected(curve, residual, bins, n))).collect()
}

fn draw_curve(canvas: &mut Canvas, plot: &Plot, bins: &Bins, n: usize, curve: NormalCurve, stroke: Stroke) {
    let points: Vec<_> =
        curve_points(curve, bins, n).into_iter().map(|(x, count)| plot.at(x * 100.0, count)).collect();
    canvas.polyline(&points, stroke);
}

fn draw_bars(canvas: &mut Canvas, plot: &Plot, bins: &Bins) {
    for (index, &count) in bins.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (left, top) = plot.at(bins.edge(index) * 100.0, count as f64);
        let right = plot.x_at(bins.edge(index + 1) * 100.0);
        let bar = Rect { left, top, right, bottom: plot.area.bottom };
        canvas.rect(bar, BARS);
        canvas.outline(bar, HAIRLINE * 0.7, GREY);
    }
}

fn notes(data: &ResidualHistogram<'_>, beyond: usize) -> Legend {
    let mut notes = Legend::default();
    if let Some(sigma) = data.sigma {
        let (value, interval) = wording::spread(sigma);
        notes.push(Sample::None, format!("σ (rms) = {value}"));
        if let Some(interval) = interval {
            notes.push(Sample::None, "95 % CI");
            notes.push(Sample::None, interval);
        }
    }
    if let Some(mad) = data.mad {
        notes.push(Sample::None, format!("σ (MAD) = {}", wording::percent(mad)));
    }
    notes.push(Sample::None, format!("n = {}", wording::count(data.residuals.len())));
    if beyond > 0 {
        notes.push(Sample::None, format!("{} off axis", wording::count(beyond)));
    }
    notes
}

fn curve_legend(data: &ResidualHistogram<'_>) -> Legend {
    let mut legend = Legend::default();
    legend.push(Sample::Box(BARS), "measured");
    let names = [(data.maximum_likelihood, "max. likelihood"), (data.histogram_fit, "least squares")];
    let named = names.into_iter().filter_map(|(curve, name)| Some((curve?, name)));
    for ((curve, name), (_, stroke)) in named.zip(curves_of(data)) {
        // Without spread there is no curve to name.
        let drawn = Sample::Curve { ink: stroke.ink, line: stroke.line, marker: None };
        legend.push(if curve.sigma > 0.0 { drawn } else { Sample::Indent }, name);
        legend.push(Sample::Indent, format!("σ = {}", wording::percent(curve.sigma)));
    }
    legend
}
