//! Accuracy against the standard deviation of the weight error.

use std::path::Path;

use super::{
    FigureError, Subject,
    axes::{Axis, FOOT, Plot, TITLE, draw_title, setting},
    canvas::{CURVE, Canvas, HAIRLINE, LEADING, MARGIN, Point, Rect, Stroke, TEXT, WIDTH},
    finite,
    legend::{Legend, MARKER, Sample, along, free_place},
    not_negative, save,
    style::{BLACK, GREY, LineStyle, SeriesStyle},
    text::Anchor,
    wording,
};

const FIGURE: &str = "plot of accuracy against σ";
const HEIGHT: f64 = 1200.0;

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccuracyPoint {
    /// Standard deviation of the weight error, as a fraction of the reference.
    pub sigma: f64,
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
    /// Lower and upper end of its error bar, 0 to 1.
    pub bounds: Option<(f64, f64)>,
}

/// A named curve.
#[derive(Clone, Debug, PartialEq)]
pub struct AccuracySeries {
    /// Name in the legend, e.g. `ALoRA, 8 bit`.
    pub name: String,
    /// Points by rising σ.
    pub points: Vec<AccuracyPoint>,
    /// How it is drawn.
    pub style: SeriesStyle,
}

/// Accuracy of one network on one task by technique.
#[derive(Clone, Debug)]
pub struct AccuracyAgainstSigma {
    /// Processor, or network and task.
    pub subject: Subject,
    /// Curves.
    pub series: Vec<AccuracySeries>,
    /// Accuracy of the digital network, 0 to 1.
    pub digital: Option<f64>,
    /// σ that was measured on the processor, as a fraction of the reference.
    pub measured_sigma: Option<f64>,
    /// What σ is a fraction of, e.g. `full scale`.
    pub reference: String,
}

/// Draws accuracy in per cent against σ in per cent.
///
/// # Errors
/// No series, a series without points, an accuracy outside 0 to 1, a negative σ, a number that is not finite, or a file
/// that cannot be written.
pub fn draw_accuracy_against_sigma(path: &Path, data: &AccuracyAgainstSigma) -> Result<(), FigureError> {
    check(data)?;
    let mut canvas = Canvas::new()?;
    let mut legend = legend(data);
    let plot = |canvas: &Canvas, header: f64, height: f64| {
        let (low, high) = accuracy_range(data);
        let label = format!("Weight error σ (% of {})", data.reference);
        let widest = data.series.iter().flat_map(|series| &series.points).map(|point| point.sigma);
        let right = widest.fold(0.0, f64::max).max(1e-6) * 100.0;
        let x = Axis::new(-right * 0.02, right * 1.02, 7, &label);
        let y = Axis { low, high, ..Axis::new(low, high.min(100.0), 7, "Accuracy (%)") };
        Plot::fit(canvas, Plot::sheet(WIDTH, height, TITLE + header), x, y)
    };

    let mut sheet = plot(&canvas, 0.0, HEIGHT);
    if let (Some(sigma), None) = (data.measured_sigma, measured_x(data, &sheet)) {
        legend.push(Sample::None, format!("{} (off axis)", measured_text(sigma)));
    }
    let mut obstacles = obstacles(data, &sheet);
    let size = legend.size(&canvas, 1);
    let inside = free_place(sheet.area, size, &obstacles);
    let columns = legend.columns_within(&canvas, WIDTH - sheet.area.left - MARGIN);
    if let Some(place) = inside {
        obstacles.extend(grid(place));
    } else {
        let header = legend.size(&canvas, columns).1 + LEADING * 0.3;
        sheet = plot(&canvas, header, HEIGHT + header);
        obstacles = self::obstacles(data, &sheet);
    }

    canvas.lay(WIDTH, sheet.area.bottom + FOOT + MARGIN);
    draw_guides(&mut canvas, &sheet, data, &obstacles);
    sheet.draw(&mut canvas);
    for series in &data.series {
        draw_series(&mut canvas, &sheet, series);
    }
    draw_title(&mut canvas, sheet.area.left, WIDTH - MARGIN, &data.subject);
    match inside {
        Some(Rect { left, top, .. }) => legend.draw(&mut canvas, (left, top), 1),
        None => legend.draw(&mut canvas, (sheet.area.left, MARGIN + TITLE), columns),
    }
    save(path, canvas)
}

pub(super) fn check(data: &AccuracyAgainstSigma) -> Result<(), FigureError> {
    let empty = |what| Err(FigureError::Empty { figure: FIGURE, what });
    if data.series.is_empty() {
        return empty("series");
    }
    for series in &data.series {
        if series.points.is_empty() {
            return empty("point in a series");
        }
        for point in &series.points {
            not_negative(FIGURE, point.sigma, &format!("a σ of `{}`", series.name))?;
            let (low, high) = point.bounds.unwrap_or((point.accuracy, point.accuracy));
            for value in [point.accuracy, low, high] {
                check_accuracy(value, || format!("an accuracy of `{}`", series.name))?;
            }
        }
    }
    if let Some(digital) = data.digital {
        check_accuracy(digital, || "the digital accuracy".to_owned())?;
    }
    data.measured_sigma.map_or(Ok(()), |sigma| not_negative(FIGURE, sigma, "the measured σ"))
}

fn check_accuracy(value: f64, what: impl Fn() -> String) -> Result<(), FigureError> {
    finite(FIGURE, value, &what)?;
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(FigureError::OutOfRange { figure: FIGURE, what: what(), value, expected: "a fraction from 0 to 1" })
}

/// Everything drawn and a rim of 6 %, in per cent; a little above 100 at most, so that markers at 100 are whole.
pub(super) fn accuracy_range(data: &AccuracyAgainstSigma) -> (f64, f64) {
    let points = || data.series.iter().flat_map(|series| &series.points);
    let ends = |point: &AccuracyPoint| point.bounds.unwrap_or((point.accuracy, point.accuracy));
    let values =
        || points().flat_map(move |point| [point.accuracy, ends(point).0, ends(point).1]).chain(data.digital);
    let low = values().fold(f64::INFINITY, f64::min) * 100.0;
    let high = values().fold(f64::NEG_INFINITY, f64::max) * 100.0;
    let rim = ((high - low) * 0.06).max(0.2);
    ((low - rim).max(-rim.min(2.0)), (high + rim).min(100.0 + rim.min(3.0)))
}

fn on(sheet: &Plot, point: &AccuracyPoint) -> Point {
    sheet.at(point.sigma * 100.0, point.accuracy * 100.0)
}

/// Pixels that a legend must not cover.
fn obstacles(data: &AccuracyAgainstSigma, sheet: &Plot) -> Vec<Point> {
    let mut pixels = Vec::new();
    for series in &data.series {
        let points: Vec<Point> = series.points.iter().map(|point| on(sheet, point)).collect();
        pixels.extend(along(&points));
        for point in &series.points {
            let (low, high) = point.bounds.unwrap_or((point.accuracy, point.accuracy));
            let x = point.sigma * 100.0;
            pixels.extend(along(&[sheet.at(x, low * 100.0), sheet.at(x, high * 100.0)]));
        }
    }
    let Rect { left, right, top, bottom } = sheet.area;
    if let Some(digital) = data.digital {
        let y = sheet.y_at(digital * 100.0);
        pixels.extend(along(&[(left, y), (right, y)]));
    }
    if let Some(x) = measured_x(data, sheet) {
        pixels.extend(along(&[(x, top), (x, bottom)]));
    }
    pixels
}

/// Points that fill `place`.
fn grid(place: Rect) -> Vec<Point> {
    let steps = || (0..=20).map(|step| f64::from(step) / 20.0);
    steps()
        .flat_map(|y| steps().map(move |x| (x, y)))
        .map(|(x, y)| (place.left + x * place.width(), place.top + y * place.height()))
        .collect()
}

/// Where the measured σ stands, if it is on the axis.
fn measured_x(data: &AccuracyAgainstSigma, sheet: &Plot) -> Option<f64> {
    let sigma = data.measured_sigma? * 100.0;
    (sigma <= sheet.x.high).then(|| sheet.x_at(sigma))
}

/// The digital accuracy and the measured σ.
pub(super) fn draw_guides(
    canvas: &mut Canvas,
    sheet: &Plot,
    data: &AccuracyAgainstSigma,
    obstacles: &[Point],
) {
    let Rect { left, right, top, bottom } = sheet.area;
    if let Some(digital) = data.digital {
        let y = sheet.y_at(digital * 100.0);
        canvas.polyline(
            &[(left, y), (right, y)],
            Stroke { ink: BLACK, width: CURVE * 0.7, line: LineStyle::Dashed },
        );
    }
    let (Some(x), Some(sigma)) = (measured_x(data, sheet), data.measured_sigma) else { return };
    canvas.polyline(
        &[(x, top), (x, bottom)],
        Stroke { ink: GREY, width: CURVE * 0.7, line: LineStyle::Dotted },
    );
    let text = measured_text(sigma);
    let size = (canvas.text_width(&text, TEXT), LEADING);
    // Beside the line, to the right rather than to the left, as low as it is free.
    let strip = |left: f64| Rect { left, right: left + size.0, top: 0.0, bottom: size.1 };
    let heights = || (0..40).map(|step| bottom - LEADING * 1.3 - f64::from(step) * LEADING * 0.4);
    let places = [x + TEXT * 0.4, x - TEXT * 0.4 - size.0]
        .into_iter()
        .flat_map(|left| heights().map(move |top| Rect { top, bottom: top + size.1, ..strip(left) }));
    let inside = |place: &Rect| place.left > left && place.right < right - HAIRLINE && place.top > top;
    let free = |place: &Rect| !obstacles.iter().any(|&point| place.grown(MARKER * 0.6).contains(point));
    if let Some(place) = places.filter(inside).find(free) {
        canvas.text((place.left, place.top + size.1 / 2.0), &text, setting(TEXT, Anchor::Start));
    }
}

fn measured_text(sigma: f64) -> String {
    format!("measured σ = {}", wording::percent(sigma))
}

pub(super) fn draw_series(canvas: &mut Canvas, sheet: &Plot, series: &AccuracySeries) {
    let SeriesStyle { hue, line, marker, filled } = series.style;
    let ink = hue.ink();
    let points: Vec<Point> = series.points.iter().map(|point| on(sheet, point)).collect();
    canvas.polyline(&points, Stroke { ink, width: CURVE, line });
    let bar = Stroke { ink, width: CURVE * 0.55, line: LineStyle::Solid };
    for (point, &at) in series.points.iter().zip(&points) {
        if let Some((low, high)) = point.bounds {
            let (low, high) = (sheet.y_at(low * 100.0), sheet.y_at(high * 100.0));
            canvas.polyline(&[(at.0, low), (at.0, high)], bar);
            for end in [low, high] {
                canvas.polyline(&[(at.0 - MARKER, end), (at.0 + MARKER, end)], bar);
            }
        }
        marker.draw(canvas, at, MARKER, ink, filled);
    }
}

pub(super) fn legend(data: &AccuracyAgainstSigma) -> Legend {
    let mut legend = Legend::default();
    for series in &data.series {
        let SeriesStyle { hue, line, marker, filled } = series.style;
        let sample = Sample::Curve { ink: hue.ink(), line, marker: Some((marker, filled)) };
        legend.push(sample, series.name.clone());
    }
    if data.digital.is_some() {
        legend.push(Sample::Curve { ink: BLACK, line: LineStyle::Dashed, marker: None }, "digital");
    }
    legend
}
