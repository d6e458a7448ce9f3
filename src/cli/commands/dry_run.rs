//! `--dry-run` of what writes weights.

use serde::Serialize;

use super::TOOL;
use crate::{cli::table::line, error::Error, stage::DryRun};

/// All writes, for programs.
#[derive(Serialize)]
struct Found<'a> {
    tool: &'static str,
    dry_run: bool,
    processor: String,
    limits: &'a [u16],
    writes: Vec<Write<'a>>,
}

#[derive(Serialize)]
struct Write<'a> {
    layer: &'a str,
    tile: usize,
    unreachable: usize,
    codes: &'a [u16],
    in_words: Vec<String>,
}

/// Every write, one actuator a line, or one JSON object.
pub(super) fn show(plan: &DryRun, json: bool) -> Result<(), Error> {
    let in_words = |codes: &[u16]| -> Vec<String> {
        codes.iter().enumerate().map(|(actuator, &code)| plan.wiring.in_words(actuator, code)).collect()
    };
    if json {
        let writes = plan.writes.iter().map(|one| Write {
            layer: &one.layer,
            tile: one.tile,
            unreachable: one.unreachable,
            codes: &one.codes,
            in_words: in_words(&one.codes),
        });
        let found = Found {
            tool: TOOL,
            dry_run: true,
            processor: plan.processor.to_string(),
            limits: &plan.limits,
            writes: writes.collect(),
        };
        return line(&serde_json::to_string(&found).unwrap_or_default());
    }
    let frames = plan.writes.len();
    line(&format!(
        "dry run: {frames} frames of {} actuators for {}, all within their limits; no device is opened",
        plan.limits.len(),
        plan.processor
    ))?;
    for write in &plan.writes {
        let mut text = format!("{}, tile {}", write.layer, write.tile);
        if write.unreachable > 0 {
            text.push_str(&format!(", {} weights beyond the chip's reach", write.unreachable));
        }
        for (actuator, (code, words)) in write.codes.iter().zip(in_words(&write.codes)).enumerate() {
            let limit = plan.limits[actuator];
            text.push_str(&format!("\n  actuator {actuator:>4}: code {code:>5} of {limit:>5}, {words}"));
        }
        line(&text)?;
    }
    line("then all actuators to code 0")
}
