//! A sweep as Fig. 2 or Fig. 4 of Taniguchi et al., OECC/PSC 2025.

use std::path::PathBuf;

use super::{
    SweepError,
    cell::{Method, slug},
    config::{Shown, SweepConfig, SweepFigure},
    plan::SweepPlan,
    store::SweepStore,
    summary::{At, OverSeeds, Point},
};
use crate::figures::{
    AccuracyPoint, AccuracySeries, Hue, LineStyle, Marker, Panel, Panels, SeriesStyle, Subject, draw_panels,
};

/// Panels on one sheet.
const MOST_PANELS: usize = 6;

/// Draws the figure that the sweep asks for from the cells that are there, in the store's folder: `fig2.png` with a panel
/// for each network, or `fig4.png` with a panel for each task. Several tasks (networks) make several files, named by them,
/// as do more than two resolutions in Fig. 4. Returns the files drawn.
///
/// # Errors
/// A file that cannot be written.
pub fn draw_sweep(plan: &SweepPlan, store: &SweepStore) -> Result<Vec<PathBuf>, SweepError> {
    let sheets = match plan.config().figure {
        SweepFigure::Fig2 => fig2(plan, store),
        SweepFigure::Fig4 => fig4(plan, store),
        SweepFigure::None => Vec::new(),
    };
    let mut drawn = Vec::new();
    for (name, sheet) in sheets {
        for (part, panels) in sheet.panels.chunks(MOST_PANELS).enumerate() {
            let part = if part == 0 { String::new() } else { format!("-{}", part + 1) };
            let path = store.folder().join(format!("{name}{part}.png"));
            let columns = if matches!(panels.len(), 2 | 4) { 2 } else { panels.len().min(3) };
            draw_panels(&path, &Panels { panels: panels.to_vec(), columns, ..sheet.clone() })?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// A curve: method, bits, name, style.
type Curve = (Method, u8, String, SeriesStyle);

fn fig2(plan: &SweepPlan, store: &SweepStore) -> Vec<(String, Panels)> {
    let SweepConfig { models, tasks, bits, .. } = plan.config();
    let curves: Vec<Curve> = bits
        .iter()
        .enumerate()
        .map(|(index, &bits)| (Method::Ptq, bits, format!("{bits} bits"), SeriesStyle::nth(index)))
        .collect();
    let sheet = |task: &str| {
        let panels = models.iter().map(|model| panel(plan, store, (&model.name, task), &model.name, &curves));
        let name = if tasks.len() > 1 { format!("fig2-{}", slug(task)) } else { "fig2".to_owned() };
        (name, sheet(plan, format!("{task}, PTQ"), panels.flatten().collect()))
    };
    tasks.iter().map(|task| sheet(&task.name)).collect()
}

fn fig4(plan: &SweepPlan, store: &SweepStore) -> Vec<(String, Panels)> {
    let SweepConfig { models, tasks, bits, methods, .. } = plan.config();
    // With more than two, line styles no longer tell them apart at a glance.
    let groups: Vec<&[u8]> = if bits.len() > 2 { bits.chunks(1).collect() } else { vec![bits] };
    let mut sheets = Vec::new();
    for model in models {
        for group in &groups {
            let curves: Vec<Curve> = group
                .iter()
                .enumerate()
                .flat_map(|(place, &bits)| methods.iter().map(move |&method| (method, bits, place)))
                .map(|(method, bits, place)| {
                    let name = format!("{}, {bits} bits", method.name());
                    (method, bits, name, style(method, place))
                })
                .collect();
            let panels =
                tasks.iter().map(|task| panel(plan, store, (&model.name, &task.name), &task.name, &curves));
            let mut name = "fig4".to_owned();
            if models.len() > 1 {
                name.push_str(&format!("-{}", slug(&model.name)));
            }
            if let ([bits], true) = (group, groups.len() > 1) {
                name.push_str(&format!("-{bits}bit"));
            }
            sheets.push((name, sheet(plan, model.name.clone(), panels.flatten().collect())));
        }
    }
    sheets
}

/// Hue and marker tell the method; full lines and markers the first resolution, broken and hollow ones the second.
fn style(method: Method, place: usize) -> SeriesStyle {
    let (hue, marker) = match method {
        Method::Ptq => (Hue::Blue, Marker::Disc),
        Method::Qat => (Hue::Green, Marker::Triangle),
        Method::QatLora => (Hue::Purple, Marker::Diamond),
        Method::Alora => (Hue::Vermilion, Marker::Square),
    };
    let first = place == 0;
    SeriesStyle { hue, marker, line: if first { LineStyle::Solid } else { LineStyle::Dashed }, filled: first }
}

/// The curves that have points; `None` without any.
fn panel(
    plan: &SweepPlan,
    store: &SweepStore,
    (model, task): (&str, &str),
    title: &str,
    curves: &[Curve],
) -> Option<Panel> {
    let shown = plan.config().shown;
    let mut sigmas = plan.config().sigma_percent.clone();
    sigmas.sort_by(|left, right| left.0.total_cmp(&right.0));
    let mut digital = Vec::new();
    let mut series = Vec::new();
    for (method, bits, name, style) in curves {
        let mut points = Vec::new();
        for &sigma in &sigmas {
            let point = Point::gather(plan, store, At { model, task, method: *method, bits: *bits, sigma });
            digital.extend(point.digital());
            if let Some(OverSeeds { mean, .. }) = point.accuracy(shown) {
                let (sigma, bounds) = (sigma.fraction(), point.bounds(shown, plan.config().seeds.len() > 1));
                points.push(AccuracyPoint { sigma, accuracy: mean, bounds });
            }
        }
        if !points.is_empty() {
            series.push(AccuracySeries { name: name.clone(), points, style: *style });
        }
    }
    let digital = OverSeeds::of(&digital).map(|digital| digital.mean);
    (!series.is_empty()).then(|| Panel { title: title.to_owned(), series, digital })
}

fn sheet(plan: &SweepPlan, name: String, panels: Vec<Panel>) -> Panels {
    let SweepConfig { shown, seeds, draws, chips, .. } = plan.config();
    let (errors, repeats) = match shown {
        Shown::Fresh => ("fresh errors", format!("{draws} draws")),
        Shown::Frozen => ("frozen errors", format!("{chips} chips")),
    };
    let bars = match (seeds.len(), shown) {
        (2.., _) => Some(format!("± standard error of {} seeds", seeds.len())),
        (_, Shown::Fresh) if *draws < 2 => None,
        (_, Shown::Frozen) if *chips < 2 => None,
        _ => Some(format!("least to greatest of {repeats}")),
    };
    Panels {
        subject: Subject { name: format!("{name}, {errors}"), simulated: true },
        panels,
        reference: "full scale".to_owned(),
        columns: 1,
        shared_accuracy: true,
        bars,
    }
}
