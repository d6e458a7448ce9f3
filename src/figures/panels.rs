//! Accuracy against σ in a grid of panels: one network or task each, one legend for all.

use std::path::Path;

use super::{
    AccuracyAgainstSigma, AccuracySeries, FigureError, Subject,
    accuracy::{accuracy_range, check, draw_guides, draw_series, legend},
    axes::{Axis, FOOT, GAP, LINE, Plot, TICK, TITLE, draw_title, setting},
    canvas::{Canvas, LABEL, LEADING, MARGIN, Rect, TEXT, WIDTH},
    legend::{Legend, Sample},
    save,
    text::{Anchor, Weight},
};

const FIGURE: &str = "grid of accuracy against σ";
const MOST_PANELS: usize = 6;
const MOST_COLUMNS: usize = 3;
/// Width of a figure over both columns of a page: 18.1 cm at 478 dots per inch.
const BOTH_COLUMNS: f64 = 3400.0;
/// Height of the line above a panel that names it.
const CAPTION: f64 = 70.0;
/// Blank between panels: half a number of the σ axis stands out on either side.
const GUTTER: f64 = 56.0;
/// Room kept for a sample of a legend and its distance from the text.
const SAMPLE: f64 = 150.0;

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Network or task; a letter is put before it where there are several panels. Empty: no line above the panel.
    pub title: String,
    /// Curves. A series of the same name and style in several panels is one entry of the legend.
    pub series: Vec<AccuracySeries>,
    /// Accuracy of the digital network, 0 to 1.
    pub digital: Option<f64>,
}

/// Panels on one sheet. All share one σ axis.
#[derive(Clone, Debug)]
pub struct Panels {
    /// What all panels have in common.
    pub subject: Subject,
    /// 1 to 6 panels, row after row.
    pub panels: Vec<Panel>,
    /// What σ is a fraction of, e.g. `full scale`.
    pub reference: String,
    /// Panels in a row, 1 to 3. One column is set for a column of 8.5 cm, more for a page of 18.1 cm.
    pub columns: usize,
    /// True gives all panels one accuracy axis, so that they compare; false gives each its own.
    pub shared_accuracy: bool,
    /// What the error bars span, e.g. `± standard error of 3 seeds`.
    pub bars: Option<String>,
}

/// Draws accuracy in per cent against σ in per cent, panel beside panel.
///
/// # Errors
/// No panel or more than 6, columns outside 1 to 3, a panel without series, a series without points, an accuracy outside
/// 0 to 1, a negative σ, a number that is not finite, or a file that cannot be written.
pub fn draw_panels(path: &Path, data: &Panels) -> Result<(), FigureError> {
    let panels = checked(data)?;
    let mut canvas = Canvas::new()?;
    let mut sheet = Sheet::plan(&canvas, data, &panels);
    let legend = common_legend(&canvas, data, &panels, sheet.width);
    let place = sheet.place_legend(&canvas, &legend);

    canvas.lay(sheet.width, sheet.bottom() + FOOT + MARGIN);
    for (index, (plot, panel)) in sheet.plots.iter().zip(&panels).enumerate() {
        draw_guides(&mut canvas, plot, panel, &[]);
        plot.draw(&mut canvas);
        for series in &panel.series {
            draw_series(&mut canvas, plot, series);
        }
        draw_caption(&mut canvas, plot.area, index, data);
    }
    let (left, right) = (sheet.plots[0].area.left, sheet.width - MARGIN);
    let label = canvas.shortened(&sigma_label(data), LABEL, Weight::Regular, sheet.width - 2.0 * MARGIN);
    let half = (canvas.text_width(&label, LABEL) / 2.0).min(sheet.width / 2.0 - MARGIN);
    let middle = ((left + right) / 2.0).min(sheet.width - MARGIN - half);
    let below = sheet.bottom() + FOOT - LINE / 2.0;
    canvas.text((middle, below), &label, setting(LABEL, Anchor::Middle));
    draw_title(&mut canvas, left, right, &data.subject);
    legend.draw(&mut canvas, (place.left, place.top), place.columns);
    save(path, canvas)
}

/// Each panel as a figure of its own, checked under its title.
fn checked(data: &Panels) -> Result<Vec<AccuracyAgainstSigma>, FigureError> {
    let refuse = |what: &str, value: usize, expected| {
        let (what, value) = (what.to_owned(), value as f64);
        Err(FigureError::OutOfRange { figure: FIGURE, what, value, expected })
    };
    match data.panels.len() {
        0 => return Err(FigureError::Empty { figure: FIGURE, what: "panel" }),
        1..=MOST_PANELS => {}
        more => return refuse("its number of panels", more, "1 to 6"),
    }
    if !(1..=MOST_COLUMNS).contains(&data.columns) {
        return refuse("its number of columns", data.columns, "1 to 3");
    }
    data.panels.iter().map(|panel| figure_of(data, panel)).collect()
}

fn figure_of(data: &Panels, panel: &Panel) -> Result<AccuracyAgainstSigma, FigureError> {
    let mut figure = AccuracyAgainstSigma {
        subject: data.subject.clone(),
        series: panel.series.clone(),
        digital: panel.digital,
        measured_sigma: None,
        reference: data.reference.clone(),
    };
    for series in &mut figure.series {
        series.name = format!("{}: {}", panel.title, series.name);
    }
    check(&figure)?;
    figure.series.clone_from(&panel.series);
    Ok(figure)
}

fn sigma_label(data: &Panels) -> String {
    format!("Weight error σ (% of {})", data.reference)
}

/// Where the legend stands.
struct Place {
    left: f64,
    top: f64,
    columns: usize,
}

/// Where the panels stand.
struct Sheet {
    width: f64,
    columns: usize,
    /// Height of a row: caption, panel and the blank below.
    pitch: f64,
    plots: Vec<Plot>,
}

impl Sheet {
    /// Lays the panels out below the title. Numbers of σ stand under the lowest panel of each column; those of the
    /// accuracy beside the leftmost panels if they are shared, else beside each.
    fn plan(canvas: &Canvas, data: &Panels, panels: &[AccuracyAgainstSigma]) -> Self {
        let columns = data.columns.min(panels.len());
        let rows = panels.len().div_ceil(columns);
        let width = if columns == 1 { WIDTH } else { BOTH_COLUMNS };
        let axes = accuracy_axes(data, panels);
        let room = axes.iter().map(|axis| beside(canvas, axis)).fold(0.0, f64::max);
        let scales = if data.shared_accuracy { 1 } else { columns };
        // A number under the corner stands out over it; a column that is too wide by it only thins the ticks earlier.
        let overhang = sigma_axis(canvas, panels, width / columns as f64 - room).1;
        let gutter = GUTTER.max(2.0 * overhang + TEXT * 0.5);
        let gutters = gutter * (columns - 1) as f64 + overhang;
        let area_width = (width - 2.0 * MARGIN - room * scales as f64 - gutters) / columns as f64;
        let area_height = (area_width * 0.68).min(2400.0 / (rows + 1) as f64).max(480.0);
        let caption = if data.panels.iter().all(|panel| panel.title.is_empty()) { 0.0 } else { CAPTION };
        let pitch = caption + area_height + GUTTER;
        let (x, _) = sigma_axis(canvas, panels, area_width);
        let plot = |(index, mut y): (usize, Axis)| {
            let (row, column) = (index / columns, index % columns);
            let scales = if data.shared_accuracy { 1 } else { column + 1 };
            let left = MARGIN + room * scales as f64 + (area_width + gutter) * column as f64;
            let top = MARGIN + TITLE + caption + pitch * row as f64;
            let area = Rect { left, top, right: left + area_width, bottom: top + area_height };
            if data.shared_accuracy && column > 0 {
                y = unnumbered(y);
            }
            let lowest = index + columns >= panels.len();
            let x = if lowest { x.clone() } else { unnumbered(x.clone()) };
            Plot { area, x, y }
        };
        let plots = axes.into_iter().enumerate().map(plot).collect();
        Self { width, columns, pitch, plots }
    }

    /// Lower edge of the lowest panels.
    fn bottom(&self) -> f64 {
        self.plots.iter().map(|plot| plot.area.bottom).fold(0.0, f64::max)
    }

    /// In the empty place after the last panel if the legend fits there, else in a header for which the panels move down.
    fn place_legend(&mut self, canvas: &Canvas, legend: &Legend) -> Place {
        let left = self.plots[0].area.left;
        if let Some(place) = self.empty_place() {
            let columns = legend.columns_within(canvas, place.width());
            let (wide, high) = legend.size(canvas, columns);
            if wide <= place.width() && high <= place.height() {
                return Place { left: place.left, top: place.top, columns };
            }
        }
        let columns = legend.columns_within(canvas, self.width - MARGIN - left);
        let header = legend.size(canvas, columns).1 + LEADING * 0.4;
        for plot in &mut self.plots {
            plot.area.top += header;
            plot.area.bottom += header;
        }
        Place { left, top: MARGIN + TITLE, columns }
    }

    /// What is free of the last row, below the numbers of the panels above it.
    fn empty_place(&self) -> Option<Rect> {
        let above = self.plots.get(self.plots.len().checked_sub(self.columns)?)?.area;
        if self.plots.len().is_multiple_of(self.columns) {
            return None;
        }
        let numbers = above.bottom + TICK + GAP + LINE + GAP;
        let place = Rect { top: numbers, bottom: above.bottom + self.pitch, ..above };
        Some(Rect { right: self.width - MARGIN, ..place })
    }
}

/// Room for numbers and label beside the accuracy axis.
fn beside(canvas: &Canvas, axis: &Axis) -> f64 {
    let outer = Rect { left: 0.0, top: 0.0, right: WIDTH, bottom: WIDTH };
    Plot::fit(canvas, outer, Axis::new(0.0, 1.0, 2, ""), axis.clone()).area.left
}

/// The σ axis of all panels with ticks that stand apart at this width, and how far its last number may stand out to the
/// right. Its label is drawn once for all.
fn sigma_axis(canvas: &Canvas, panels: &[AccuracyAgainstSigma], width: f64) -> (Axis, f64) {
    let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let widest = points.map(|point| point.sigma * 100.0).fold(0.0, f64::max);
    let right = if widest > 0.0 { widest } else { 1.0 };
    let x = Axis::new(-right * 0.025, right * 1.025, 7, "");
    let outer = Rect { left: 0.0, top: 0.0, right: width, bottom: WIDTH };
    let Plot { area, x, .. } = Plot::fit(canvas, outer, x, Axis::new(0.0, 1.0, 2, ""));
    (x, width - area.right)
}

/// One accuracy axis a panel: the union of all ranges where they are shared.
fn accuracy_axes(data: &Panels, panels: &[AccuracyAgainstSigma]) -> Vec<Axis> {
    let ranges: Vec<(f64, f64)> = panels.iter().map(accuracy_range).collect();
    let union = ranges
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |all, one| (all.0.min(one.0), all.1.max(one.1)));
    let axis = |(low, high): (f64, f64)| Axis {
        low,
        high,
        ..Axis::new(low.max(0.0), high.min(100.0), 7, "Accuracy (%)")
    };
    ranges.into_iter().map(|own| axis(if data.shared_accuracy { union } else { own })).collect()
}

/// The same ticks without numbers and label.
fn unnumbered(mut axis: Axis) -> Axis {
    axis.label.clear();
    for tick in &mut axis.ticks {
        tick.text.clear();
    }
    axis
}

/// Every series of any panel once, in order of appearance, then what the dashed line and the bars are.
fn common_legend(canvas: &Canvas, data: &Panels, panels: &[AccuracyAgainstSigma], width: f64) -> Legend {
    let mut all = AccuracyAgainstSigma { series: Vec::new(), ..panels[0].clone() };
    all.digital = panels.iter().find_map(|panel| panel.digital);
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !all.series.iter().any(|known| known.name == series.name && known.style == series.style) {
            all.series.push(series.clone());
        }
    }
    let room = width - 2.0 * MARGIN - 2.0 * SAMPLE;
    for series in &mut all.series {
        // Two columns fit in any case.
        series.name = canvas.shortened(&series.name, TEXT, Weight::Regular, room / 2.0 - SAMPLE);
    }
    let mut legend = legend(&all);
    if let Some(bars) = &data.bars {
        let note = format!("bars: {bars}");
        legend.push(Sample::None, canvas.shortened(&note, TEXT, Weight::Regular, room));
    }
    legend
}

/// `(a) title` above the panel.
fn draw_caption(canvas: &mut Canvas, area: Rect, index: usize, data: &Panels) {
    let title = &data.panels[index].title;
    if title.is_empty() {
        return;
    }
    let letter = char::from(b'a' + index as u8);
    let letter = if data.panels.len() > 1 { format!("({letter}) ") } else { String::new() };
    let caption = canvas.shortened(&format!("{letter}{title}"), TEXT, Weight::Bold, area.width());
    let at = (area.left, area.top - CAPTION * 0.45);
    canvas.text(
        at,
        &caption,
        super::canvas::Setting { weight: Weight::Bold, ..setting(TEXT, Anchor::Start) },
    );
}
