//! The operator's wish to stop ends a calibration at the next step.
#![allow(clippy::unwrap_used, reason = "tests")]

use alora_calibration::{CalibrateError, CalibrationPlan, Event, Observer, Provenance, calibrate};
use alora_drivers::mock::{Script, Spec};

/// Wants to stop once so many steps are done, and counts those that come all the same.
struct Impatient {
    left: usize,
    late: usize,
}

impl Observer for Impatient {
    fn on(&mut self, event: Event) {
        if event == Event::Step {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None => self.late += 1,
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.left == 0
    }
}

#[tokio::test]
async fn a_calibration_ends_at_the_next_step_when_the_operator_wants_to_stop() {
    for (preset, steps) in [("incoherent-16x16", 3), ("coherent-4x4", 2), ("coherent-4x4", 30)] {
        let spec = Spec::preset(preset).unwrap();
        let sheet = spec.data_sheet();
        let mut chip = spec.connect(1, Script::default());
        let provenance = Provenance::of(chip.descriptor(), String::new(), 0);
        let mut observer = Impatient { left: steps, late: 0 };
        let plan = CalibrationPlan::default();
        let ended = calibrate(&mut *chip, &sheet, &plan, provenance, &mut observer).await;
        assert!(matches!(ended, Err(CalibrateError::Interrupted)), "{preset}: {ended:?}");
        // A column of a mesh is two steps that belong together, and the outputs' sweep one more.
        assert!(observer.late <= 3, "{preset}: {} steps after", observer.late);
    }
}
