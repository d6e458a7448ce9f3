//! The tables of a sweep as Markdown.

use std::{io::Write, path::Path};

use alora_calibration::{StoreError, write_atomically};

use super::{
    cell::Method,
    config::{Shown, SweepConfig},
    plan::SweepPlan,
    store::SweepStore,
    summary::{At, OverSeeds, Point},
};

/// Writes one table for each network and task: accuracy in per cent, a row for each method and resolution, a column for
/// each σ; `±` is the standard error over seeds where there are several.
///
/// # Errors
/// A file that cannot be written.
pub fn write_document(path: &Path, plan: &SweepPlan, store: &SweepStore) -> Result<(), StoreError> {
    let text = document(plan, store);
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}

fn document(plan: &SweepPlan, store: &SweepStore) -> String {
    let config = plan.config();
    let mut text = String::from("# Accuracy against σ (simulated)\n\n");
    text.push_str(&preamble(config));
    for model in &config.models {
        for task in &config.tasks {
            text.push_str(&section(plan, store, &model.name, &task.name));
        }
    }
    text
}

fn preamble(config: &SweepConfig) -> String {
    let errors = match config.shown {
        Shown::Fresh if config.draws == 1 => "errors drawn anew for each execution, one draw".to_owned(),
        Shown::Fresh => format!("errors drawn anew for each execution, mean of {} draws", config.draws),
        Shown::Frozen => format!("frozen errors, mean of {} chips", config.chips),
    };
    let seeds = match config.seeds.len() {
        1 => "one seed".to_owned(),
        more => format!("mean ± standard error of {more} seeds"),
    };
    format!("Accuracy in per cent, σ in per cent of full scale; {errors}; {seeds}. – : not run.\n")
}

fn section(plan: &SweepPlan, store: &SweepStore, model: &str, task: &str) -> String {
    let SweepConfig { methods, bits, sigma_percent, .. } = plan.config();
    let mut rows = String::new();
    let mut digital = Vec::new();
    for &method in methods {
        for &bits in bits {
            let at = |sigma| Point::gather(plan, store, At { model, task, method, bits, sigma });
            let points: Vec<Point<'_>> = sigma_percent.iter().map(|&sigma| at(sigma)).collect();
            digital.extend(points.iter().flat_map(Point::digital));
            rows.push_str(&row(method, bits, &points, plan.config().shown));
        }
    }
    let sigmas: String = sigma_percent.iter().map(|sigma| format!(" σ = {sigma} |")).collect();
    let rule = "---:|".repeat(sigma_percent.len());
    let head = format!("| method | bits | trained |{sigmas}\n|---|---:|---:|{rule}\n");
    let digital =
        OverSeeds::of(&digital).map(|digital| format!("Digital: {:.1} %.\n\n", digital.mean * 100.0));
    let title = format!("{model}, {task}").replace('|', "\\|");
    format!("\n## {title}\n\n{}{head}{rows}", digital.unwrap_or_default())
}

fn row(method: Method, bits: u8, points: &[Point<'_>], shown: Shown) -> String {
    let trained = points.iter().find_map(Point::parameters).map_or_else(|| "–".to_owned(), parameters);
    let cells: String = points.iter().map(|point| format!(" {} |", entry(point, shown))).collect();
    format!("| {} | {bits} | {trained} |{cells}\n", method.name())
}

fn parameters((trainable, total): (u64, u64)) -> String {
    let count = match trainable {
        0 => return "0".to_owned(),
        1..10_000 => trainable.to_string(),
        10_000..1_000_000 => format!("{:.0} k", trainable as f64 / 1e3),
        _ => format!("{:.2} M", trainable as f64 / 1e6),
    };
    format!("{count} ({:.2} %)", trainable as f64 / total.max(1) as f64 * 100.0)
}

fn entry(point: &Point<'_>, shown: Shown) -> String {
    let Some(OverSeeds { mean, standard_error }) = point.accuracy(shown) else {
        return if point.failed > 0 { "failed" } else { "–" }.to_owned();
    };
    let mut text = format!("{:.1}", mean * 100.0);
    if let Some(error) = standard_error {
        text.push_str(&format!(" ± {:.1}", error * 100.0));
    }
    if point.failed > 0 {
        text.push_str(&format!(" ({} failed)", point.failed));
    }
    text
}
