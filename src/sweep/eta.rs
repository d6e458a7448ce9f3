//! How long the rest of a sweep takes, judged by the cells that are done.

use std::collections::BTreeMap;

use super::{
    cell::{Cell, Method},
    plan::{PlannedCell, SweepPlan},
    store::SweepStore,
};

/// What cells are alike in: network, task, method.
type Likeness<'a> = (Option<&'a str>, Option<&'a str>, Option<Method>);

/// From most to least alike; the last holds for any two cells.
fn likenesses(cell: &Cell) -> [Likeness<'_>; 5] {
    let (model, task, method) = (Some(cell.model.as_str()), Some(cell.task.as_str()), Some(cell.method));
    [
        (model, task, method),
        (model, None, method),
        (None, None, method),
        (model, None, None),
        (None, None, None),
    ]
}

/// Seconds that the cells still `open` will take: for each the mean over the finished cells of `plan` most like it.
/// `None` before any is finished.
pub(super) fn remaining_seconds(plan: &SweepPlan, store: &SweepStore, open: &[&PlannedCell]) -> Option<f64> {
    let mut sums: BTreeMap<Likeness<'_>, (f64, f64)> = BTreeMap::new();
    for planned in plan.cells() {
        let result = store.record(planned).and_then(|record| record.outcome.result());
        let Some(seconds) = result.map(|result| result.seconds) else { continue };
        for likeness in likenesses(&planned.cell) {
            let (sum, count) = sums.entry(likeness).or_default();
            *sum += seconds;
            *count += 1.0;
        }
    }
    let expected = |cell: &Cell| {
        likenesses(cell).iter().find_map(|likeness| sums.get(likeness)).map(|(sum, count)| sum / count)
    };
    open.iter().map(|planned| expected(&planned.cell)).sum()
}

/// A duration as one says it: two units at most.
pub(super) fn spoken(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min", whole.div_ceil(60)),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_in_two_units_at_most() {
        let said = [0.4, 59.4, 60.0, 3599.0, 4320.0, 90_000.0, -1.0].map(spoken);
        assert_eq!(said, ["0 s", "59 s", "1 min", "60 min", "1 h 12 min", "1 d 1 h", "0 s"]);
    }
}
