//! Training loss per epoch.

use std::path::Path;

use super::{
    FigureError, Subject,
    axes::{Axis, FOOT, Plot, TITLE, draw_title},
    canvas::{CURVE, Canvas, LEADING, MARGIN, Point, Rect, Stroke, WIDTH},
    finite,
    legend::{Legend, MARKER, Sample, along, free_place},
    save,
    style::SeriesStyle,
};

const FIGURE: &str = "plot of the training loss";
const HEIGHT: f64 = 1000.0;

/// The loss of one training.
#[derive(Clone, Debug, PartialEq)]
pub struct LossCurve {
    /// Name in the legend, e.g. `ALoRA`.
    pub name: String,
    /// Mean loss of epoch 1, 2, ….
    pub losses: Vec<f64>,
    /// How it is drawn.
    pub style: SeriesStyle,
}

/// Trainings to compare.
#[derive(Clone, Debug)]
pub struct Convergence {
    /// Network and task.
    pub subject: Subject,
    /// Name and unit of the loss, e.g. `Cross-entropy (nats)`.
    pub loss: String,
    /// Curves.
    pub curves: Vec<LossCurve>,
}

/// Draws loss against epoch.
///
/// # Errors
/// No curves, a curve without epochs, a number that is not finite, or a file that cannot be written.
pub fn draw_convergence(path: &Path, data: &Convergence) -> Result<(), FigureError> {
    check(data)?;
    let mut canvas = Canvas::new()?;
    let legend = legend(data);
    let plot = |canvas: &Canvas, header: f64, height: f64| {
        let y = loss_axis(data);
        Plot::fit(canvas, Plot::sheet(WIDTH, height, TITLE + header), epoch_axis(data), y)
    };
    let points = |sheet: &Plot, curve: &LossCurve| -> Vec<Point> {
        curve.losses.iter().enumerate().map(|(index, &loss)| sheet.at(index as f64 + 1.0, loss)).collect()
    };

    let mut sheet = plot(&canvas, 0.0, HEIGHT);
    let obstacles: Vec<Point> = data.curves.iter().flat_map(|curve| along(&points(&sheet, curve))).collect();
    let inside = free_place(sheet.area, legend.size(&canvas, 1), &obstacles);
    let columns = legend.columns_within(&canvas, WIDTH - sheet.area.left - MARGIN);
    if inside.is_none() {
        let header = legend.size(&canvas, columns).1 + LEADING * 0.3;
        sheet = plot(&canvas, header, HEIGHT + header);
    }

    canvas.lay(WIDTH, sheet.area.bottom + FOOT + MARGIN);
    sheet.draw(&mut canvas);
    for curve in &data.curves {
        draw_curve(&mut canvas, &points(&sheet, curve), curve.style, has_markers(data));
    }
    draw_title(&mut canvas, sheet.area.left, WIDTH - MARGIN, &data.subject);
    match inside {
        Some(Rect { left, top, .. }) => legend.draw(&mut canvas, (left, top), 1),
        None => legend.draw(&mut canvas, (sheet.area.left, MARGIN + TITLE), columns),
    }
    save(path, canvas)
}

fn check(data: &Convergence) -> Result<(), FigureError> {
    if data.curves.is_empty() {
        return Err(FigureError::Empty { figure: FIGURE, what: "curve" });
    }
    for curve in &data.curves {
        if curve.losses.is_empty() {
            return Err(FigureError::Empty { figure: FIGURE, what: "epoch in a curve" });
        }
        for (index, &loss) in curve.losses.iter().enumerate() {
            finite(FIGURE, loss, || format!("the loss of `{}` in epoch {}", curve.name, index + 1))?;
        }
    }
    Ok(())
}

/// Whole epochs only, with half a tick's room at both ends.
fn epoch_axis(data: &Convergence) -> Axis {
    let last = data.curves.iter().map(|curve| curve.losses.len()).max().unwrap_or(1);
    let rim = (last as f64 - 1.0).max(1.0) * 0.03;
    let mut axis = Axis::new(1.0 - rim, last as f64 + rim, 9, "Epoch");
    axis.ticks.retain(|tick| tick.at.fract() == 0.0 && tick.at >= 1.0);
    for tick in &mut axis.ticks {
        tick.text = (tick.at as usize).to_string();
    }
    axis
}

/// From zero on, unless a loss is negative.
fn loss_axis(data: &Convergence) -> Axis {
    let losses = || data.curves.iter().flat_map(|curve| &curve.losses).copied();
    let (low, high) = (losses().fold(0.0, f64::min), losses().fold(f64::NEG_INFINITY, f64::max).max(0.0));
    let span = if high > low { high - low } else { 1.0 };
    let rim = if low < 0.0 { span * 0.06 } else { 0.0 };
    Axis::new(low - rim, low + span * 1.06, 6, &data.loss)
}

fn draw_curve(canvas: &mut Canvas, points: &[Point], style: SeriesStyle, markers: bool) {
    let SeriesStyle { hue, line, marker, filled } = style;
    canvas.polyline(points, Stroke { ink: hue.ink(), width: CURVE, line });
    if markers {
        for &point in points {
            marker.draw(canvas, point, MARKER, hue.ink(), filled);
        }
    }
}

/// Markers that would touch say nothing.
fn has_markers(data: &Convergence) -> bool {
    data.curves.iter().all(|curve| curve.losses.len() <= 32)
}

fn legend(data: &Convergence) -> Legend {
    let mut legend = Legend::default();
    for curve in &data.curves {
        let SeriesStyle { hue, line, marker, filled } = curve.style;
        let sample =
            Sample::Curve { ink: hue.ink(), line, marker: has_markers(data).then_some((marker, filled)) };
        legend.push(sample, curve.name.clone());
    }
    legend
}
