//! The one trait between alora and a photonic processor.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    descriptor::Descriptor,
    error::BackendError,
    frame::{ActuatorFrame, Applied, InputBatch, Readout},
};

/// How many writes a device has carried out since it was started: told after a crash, it says whether the last one took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Which start; another one after each.
    pub boot: u32,
    /// Frames and parks that took effect, each as a whole.
    pub commits: u32,
}

/// A photonic MVM processor in raw units: actuator codes in, detector counts out.
///
/// # Contract
///
/// Each clause is a test of `contract::check` (feature `contract`), which every driver passes.
///
/// * **Descriptor.** Constant for the life of the connection; `limits` has one entry an actuator.
/// * **After connecting** the processor is parked: every code 0. `execute` is allowed then (dark readings).
/// * **Blocking.** `apply` and `park` return once the outputs have settled; `execute` once the last count is in.
/// * **Refusal.** A frame of the wrong length, a code above its limit, an input vector of the wrong width, an input
///   code out of range, or 0 repeats is refused whole, before anything is sent: nothing is applied, nothing is
///   clipped, and the processor is as it was.
/// * **Cancel safety.** `descriptor`, `read_back` and `wait` are cancel-safe. Dropping the future of `apply` or `park` leaves
///   the outputs unknown until the next `apply` or `park`; dropping that of `execute` loses its counts only.
/// * **State after an error.** After a refusal: unchanged. After any other error: unknown until the next successful
///   `apply` or `park`; until then `execute` answers `OutputsUnknown`.
/// * **Repeats** are kept apart, never averaged; `saturated` marks each count taken at a limit.
/// * **Wait** returns when `duration` has passed on the processor's clock, and only waits: it leaves the codes alone.
/// * **Park** zeroes every actuator; it is idempotent and allowed in every state.
#[async_trait]
pub trait PhotonicBackend: Send {
    /// What the processor is. Constant for the life of the connection.
    fn descriptor(&self) -> &Descriptor;

    /// Writes that the device has carried out; `None` where it does not count them, or where that is not known now.
    fn generation(&self) -> Option<Generation> {
        None
    }

    /// Applies one frame of actuator codes and returns once the outputs have settled.
    ///
    /// Not cancel-safe: dropping the future leaves the outputs unknown until the next `apply` or `park`.
    ///
    /// # Errors
    /// A frame of the wrong length or a code above its limit refuses the whole frame; nothing is clipped.
    async fn apply(&mut self, frame: &ActuatorFrame) -> Result<Applied, BackendError>;

    /// The codes that the device holds now, as it reports them.
    ///
    /// # Errors
    /// Only link errors.
    async fn read_back(&mut self) -> Result<ActuatorFrame, BackendError>;

    /// Sends each input vector `repeats` times and returns the counts, `[repeats, frames, channels]`.
    ///
    /// # Errors
    /// Refuses a wrong width, a code out of range and 0 repeats before anything is sent.
    async fn execute(&mut self, inputs: &InputBatch, repeats: usize) -> Result<Readout, BackendError>;

    /// Lets `duration` pass with the codes held; links that need it are kept alive. A mock's clock is moved on, which takes
    /// no time. Cancel-safe.
    ///
    /// # Errors
    /// Only link errors.
    async fn wait(&mut self, duration: Duration) -> Result<(), BackendError>;

    /// Zeroes every actuator (a bench: brings each source to where its station says that it rests) and returns once the outputs have settled. Idempotent; allowed in every state.
    ///
    /// # Errors
    /// Only link errors.
    async fn park(&mut self) -> Result<(), BackendError>;
}
