//! What keeps a chip whole: limits, ramps in power, interlocks, where outputs rest, and a process that outlives its host.
//!
//! Everything but the supervisor's runner is pure: it looks at values and answers, and writes nothing.

mod guarded;
mod interlock;
mod limits;
pub mod make_safe;
mod park;
pub mod probe;
mod quantity;
mod ramp;
mod supervisor;

pub use guarded::Guarded;
pub use interlock::{
    Age, Blocked, Change, Condition, ConditionError, Interlocks, Reading, Readings, Verdict,
};
pub use limits::{
    ChannelLimits, ChannelOverride, Group, LimitError, Limits, LimitsSpec, Neighbours, RangeError,
};
pub use park::{ParkPolicy, ParkPolicyError, ParkSpec, Parked};
pub use quantity::{Ohms, Quantity, QuantityError, WattsPerSecond};
pub use ramp::{Ramp, RampError, RampStep};
pub use supervisor::{
    Done, Guard, GuardError, Heard, Outcome, Reason, SafeAction, Timing, Watch, WatchedDevice, all_ended,
    make_all_safe, supervise,
};
