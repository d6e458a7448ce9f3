//! Boards that speak alora's own protocol: the host's side.
//!
//! [`Link`] keeps a window of numbered frames under way and sends again what was lost; [`BoardBackend`] is the processor.

mod backend;
mod chunks;
mod deadline;
mod limited;
mod link;
mod look;
mod session;
mod wire;

pub use backend::{BoardBackend, BoardOptions};
pub use limited::{HeaterRules, LimitedBoard};
pub use link::{Link, LinkOptions};
pub(crate) use look::look;
