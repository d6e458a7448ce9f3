//! Progress: bars with ETA on a terminal, plain lines otherwise; always on standard error.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use alora_calibration::{Event, Observer};
use indicatif::{ProgressBar, ProgressStyle};

/// Shows events to the operator.
pub(crate) struct Progress {
    terminal: bool,
    bar: Option<ProgressBar>,
    stage: &'static str,
    started: Instant,
    interrupted: Arc<AtomicBool>,
}

impl Progress {
    pub(crate) fn new(interrupted: Arc<AtomicBool>) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            stage: "",
            started: Instant::now(),
            interrupted,
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => super::say(text),
        }
    }
}

impl Observer for Progress {
    fn on(&mut self, event: Event) {
        match event {
            Event::Started { stage, steps } => {
                self.stage = stage;
                self.started = Instant::now();
                if self.terminal {
                    let bar = ProgressBar::new(steps);
                    if let Ok(style) =
                        ProgressStyle::with_template("{msg:<34} {bar:30} {pos:>6}/{len:<6} ETA {eta}")
                    {
                        bar.set_style(style);
                    }
                    bar.set_message(stage);
                    self.bar = Some(bar);
                }
            }
            Event::Step => {
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
            }
            Event::Finished => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
                self.line(&format!(
                    "{:<34} done in {:.1} s",
                    self.stage,
                    self.started.elapsed().as_secs_f64()
                ));
            }
            Event::Note(sentence) => self.line(&sentence),
            _ => {}
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}
