//! Residual of each cell of the array.

use std::path::Path;

use alora_calibration::Cell;
use ndarray::ArrayView2;

use super::{
    FigureError, Subject,
    axes::{Axis, FOOT, Plot, TITLE, Tick, draw_title, setting},
    canvas::{Canvas, HAIRLINE, LABEL, LEADING, MARGIN, Point, Rect, Setting, Stroke, TEXT, WIDTH},
    finite, save,
    style::{BLACK, LineStyle, WHITE, diverging},
    text::{Anchor, Direction},
    wording,
};

const FIGURE: &str = "residual map";
/// Height of the array at most.
const TALLEST: f64 = 1250.0;
/// Narrowest sheet: a title must fit.
const NARROWEST: f64 = 900.0;
/// Colour bar: distance from the array, width, and room to its right for numbers and label.
const BAR: (f64, f64) = (50.0, 56.0);
/// Steps of the colour bar.
const SHADES: u32 = 200;

/// Residual over the array, in units of full scale.
#[derive(Clone, Debug)]
pub struct ResidualMap<'a> {
    /// What was measured.
    pub subject: Subject,
    /// Residual of each cell, `rows × cols` (outputs × inputs), full scale = 1.
    pub residuals: ArrayView2<'a, f64>,
    /// What the residual is a fraction of, e.g. `full scale`.
    pub reference: String,
    /// Programmings whose mean is shown.
    pub programmings: usize,
    /// Stuck or dead cells; marked, and left out of the colour scale.
    pub defects: &'a [Cell],
}

/// Draws the map: square cells, row 0 on top, colours symmetric about zero.
///
/// # Errors
/// No cells, a number that is not finite, a defect outside the array, or a file that cannot be written.
pub fn draw_residual_map(path: &Path, map: &ResidualMap<'_>) -> Result<(), FigureError> {
    check(map)?;
    let (rows, cols) = map.residuals.dim();
    let mut canvas = Canvas::new()?;
    let limit = limit(map);
    let mut scale = Axis::new(-limit * 100.0, limit * 100.0, 7, &bar_label(map));

    let widest = scale.ticks.iter().map(|tick| canvas.text_width(&tick.text, TEXT)).fold(0.0, f64::max);
    let beside = BAR.0 + BAR.1 + 28.0 + widest + 20.0 + LABEL;
    let note = note(map);
    let outer = Plot::sheet(WIDTH, WIDTH, TITLE);
    let outer = Rect { right: outer.right - beside, ..outer };
    let mut plot = Plot::fit(&canvas, outer, cell_axis(cols, "Input (column)"), row_axis(rows));
    let side = (plot.area.width() / cols as f64).min(TALLEST / rows as f64);
    // Beside a low array the label does not fit along the bar; it then stands above.
    let label_above = side * (rows as f64) < canvas.text_width(&scale.label, LABEL);
    if !note.is_empty() || label_above {
        plot.area.top += LEADING + if label_above { 0.4 * LEADING } else { 0.0 };
    }
    plot.area.right = plot.area.left + side * cols as f64;
    plot.area.bottom = plot.area.top + side * rows as f64;
    for (axis, length) in [(&mut plot.x, side * cols as f64), (&mut plot.y, side * rows as f64)] {
        thin(axis, &canvas, length);
    }
    let numbers = (plot.area.height() / (TEXT * 1.4)).clamp(3.0, 7.0) as usize;
    scale = Axis::new(scale.low, scale.high, numbers, &scale.label);
    let width = (plot.area.right + beside + MARGIN).max(NARROWEST);

    canvas.lay(width, plot.area.bottom + FOOT + MARGIN);
    draw_cells(&mut canvas, &plot, map, limit, side);
    plot.draw(&mut canvas);
    draw_bar(&mut canvas, plot.area, &scale, clipped(map, limit), widest);
    draw_title(&mut canvas, plot.area.left, width - MARGIN, &map.subject);
    let line = MARGIN + TITLE + LEADING * 0.3;
    if !note.is_empty() {
        draw_note(&mut canvas, (plot.area.left, line), &note);
    }
    let beside_bar = (plot.area.right + beside - LABEL / 2.0, plot.area.top + plot.area.height() / 2.0);
    if label_above {
        canvas.text((width - MARGIN, line), &scale.label, setting(TEXT, Anchor::End));
    } else {
        let upwards = Setting { direction: Direction::Upwards, ..setting(LABEL, Anchor::Middle) };
        canvas.text(beside_bar, &scale.label, upwards);
    }
    save(path, canvas)
}

fn check(map: &ResidualMap<'_>) -> Result<(), FigureError> {
    let (rows, cols) = map.residuals.dim();
    if map.residuals.is_empty() {
        return Err(FigureError::Empty { figure: FIGURE, what: "cell" });
    }
    for ((row, col), &value) in map.residuals.indexed_iter() {
        finite(FIGURE, value, || format!("the residual at {}", Cell { row, col }))?;
    }
    match map.defects.iter().find(|cell| cell.row >= rows || cell.col >= cols) {
        Some(&cell) => Err(FigureError::DefectOutside { cell, rows, cols }),
        None => Ok(()),
    }
}

fn is_defect(map: &ResidualMap<'_>, (row, col): (usize, usize)) -> bool {
    map.defects.contains(&Cell { row, col })
}

/// Largest residual of a sound cell: a defect would drown the rest.
fn limit(map: &ResidualMap<'_>) -> f64 {
    let sound = map.residuals.indexed_iter().filter(|(place, _)| !is_defect(map, *place));
    let limit = sound.map(|(_, residual)| residual.abs()).fold(0.0, f64::max);
    if limit > 0.0 { limit } else { 1e-4 }
}

/// Whether a residual lies below, and above, the colour scale.
fn clipped(map: &ResidualMap<'_>, limit: f64) -> (bool, bool) {
    (
        map.residuals.iter().any(|&residual| residual < -limit),
        map.residuals.iter().any(|&residual| residual > limit),
    )
}

fn bar_label(map: &ResidualMap<'_>) -> String {
    let mean = if map.programmings > 1 { "Mean residual" } else { "Residual" };
    format!("{mean} (% of {})", map.reference)
}

fn note(map: &ResidualMap<'_>) -> String {
    match map.defects.len() {
        0 => String::new(),
        1 => "1 defective cell".to_owned(),
        many => format!("{} defective cells", wording::count(many)),
    }
}

/// An axis of cells: ticks at their middles, at multiples of a power of two that are not too many.
fn cell_axis(cells: usize, label: &str) -> Axis {
    let ticks = (0..cells).map(|cell| Tick { at: cell as f64 + 0.5, text: cell.to_string() }).collect();
    let mut axis = Axis { low: 0.0, high: cells as f64, ticks, label: label.to_owned() };
    while axis.ticks.len() > 8 {
        axis.ticks = axis.ticks.into_iter().step_by(2).collect();
    }
    axis
}

/// The axis of rows runs downwards, as in a matrix.
fn row_axis(rows: usize) -> Axis {
    let axis = cell_axis(rows, "Output (row)");
    Axis { low: axis.high, high: axis.low, ..axis }
}

/// Halves the ticks until their numbers stand apart on an axis `length` long.
fn thin(axis: &mut Axis, canvas: &Canvas, length: f64) {
    let widest = axis.ticks.iter().map(|tick| canvas.text_width(&tick.text, TEXT)).fold(TEXT, f64::max);
    while axis.ticks.len() > 1 && axis.spacing(length).abs() < widest + TEXT * 0.3 {
        axis.ticks = std::mem::take(&mut axis.ticks).into_iter().step_by(2).collect();
    }
}

fn draw_cells(canvas: &mut Canvas, plot: &Plot, map: &ResidualMap<'_>, limit: f64, side: f64) {
    for ((row, col), &residual) in map.residuals.indexed_iter() {
        let (left, top) = plot.at(col as f64, row as f64);
        let cell = Rect { left, top, right: left + side, bottom: top + side };
        canvas.rect(cell, diverging(residual / limit));
    }
    for cell in map.defects {
        let middle = plot.at(cell.col as f64 + 0.5, cell.row as f64 + 0.5);
        draw_cross(canvas, middle, (side * 0.34).clamp(9.0, 30.0));
    }
}

/// A black cross with a white rim, to be seen on any colour.
fn draw_cross(canvas: &mut Canvas, (x, y): Point, reach: f64) {
    for (ink, width, reach) in [(WHITE, reach * 0.62, reach * 1.18), (BLACK, reach * 0.3, reach)] {
        let stroke = Stroke { ink, width, line: LineStyle::Solid };
        canvas.polyline(&[(x - reach, y - reach), (x + reach, y + reach)], stroke);
        canvas.polyline(&[(x - reach, y + reach), (x + reach, y - reach)], stroke);
    }
}

fn draw_note(canvas: &mut Canvas, (left, y): Point, note: &str) {
    draw_cross(canvas, (left + 18.0, y), 15.0);
    canvas.text((left + 54.0, y), note, setting(TEXT, Anchor::Start));
}

/// The colour bar beside `array`; an arrow at an end means that colours are clipped there.
fn draw_bar(canvas: &mut Canvas, array: Rect, scale: &Axis, clipped: (bool, bool), widest: f64) {
    let left = array.right + BAR.0;
    let bar = Rect { left, right: left + BAR.1, ..array };
    let at = |value: f64| bar.bottom - (value - scale.low) / (scale.high - scale.low) * bar.height();
    for shade in 0..SHADES {
        let edge = |index: u32| bar.bottom - bar.height() * f64::from(index) / f64::from(SHADES);
        let position = (f64::from(shade) + 0.5) / f64::from(SHADES) * 2.0 - 1.0;
        canvas.rect(Rect { top: edge(shade + 1), bottom: edge(shade), ..bar }, diverging(position));
    }
    canvas.outline(bar, HAIRLINE, BLACK);
    let middle = bar.left + BAR.1 / 2.0;
    if clipped.1 {
        canvas.polygon(
            &[(middle - 20.0, bar.top - 8.0), (middle, bar.top - 36.0), (middle + 20.0, bar.top - 8.0)],
            diverging(1.0),
        );
    }
    if clipped.0 {
        let y = bar.bottom;
        canvas.polygon(
            &[(middle - 20.0, y + 8.0), (middle, y + 36.0), (middle + 20.0, y + 8.0)],
            diverging(-1.0),
        );
    }
    let stroke = Stroke { ink: BLACK, width: HAIRLINE, line: LineStyle::Solid };
    for tick in &scale.ticks {
        let y = at(tick.at);
        canvas.polyline(&[(bar.right, y), (bar.right + 14.0, y)], stroke);
        canvas.text((bar.right + 28.0 + widest, y), &tick.text, setting(TEXT, Anchor::End));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_row_stands_at_the_height_of_its_cells() {
        let area = Rect { left: 0.0, top: 100.0, right: 400.0, bottom: 500.0 };
        let plot = Plot { area, x: cell_axis(4, "Input (column)"), y: row_axis(4) };
        let heights: Vec<_> =
            plot.y.ticks.iter().map(|tick| (tick.text.as_str(), plot.y_at(tick.at))).collect();
        assert_eq!(heights, [("0", 150.0), ("1", 250.0), ("2", 350.0), ("3", 450.0)]);
        assert_eq!(plot.at(0.0, 0.0), (0.0, 100.0), "row 0 starts at the top");
    }

    #[test]
    fn only_cells_beyond_the_scale_of_the_sound_ones_are_clipped() {
        let residuals = ndarray::array![[0.01, -0.02], [0.9, 0.015]];
        let defects = [Cell { row: 1, col: 0 }];
        let subject = Subject { name: "x".to_owned(), simulated: true };
        let reference = "full scale".to_owned();
        let map = ResidualMap {
            subject,
            residuals: residuals.view(),
            reference,
            programmings: 1,
            defects: &defects,
        };
        assert_eq!(limit(&map), 0.02);
        assert_eq!(clipped(&map, limit(&map)), (false, true));
    }
}
