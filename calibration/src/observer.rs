//! Progress as events: libraries emit, the command line prints.

/// What a long operation tells of itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A stage begins; `steps` is how many [`Event::Step`] will follow.
    Started {
        /// Name for the operator, e.g. `phase sweeps`.
        stage: &'static str,
        /// Number of steps.
        steps: u64,
    },
    /// One step of the present stage is done.
    Step,
    /// The present stage is done.
    Finished,
    /// A sentence worth a line on the operator's screen.
    Note(String),
}

/// Receives events.
pub trait Observer: Send {
    /// Called for each event, in order.
    fn on(&mut self, event: Event);

    /// True once the operator wants to stop: loops over the processor end after the present step.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on(&mut self, _event: Event) {}
}
