//! A limiter that keeps to limits it is told, and finds those it is not told.

mod bucket;
mod clock;
mod desk;
mod learn;
mod limiter;
mod line;
mod places;
mod quota;
mod rate;
mod settings;
mod snapshot;

pub use bellwether_core::limiter::{Outlook, Refused, WaitReason};
pub use bellwether_core::permit::{Level, RateLimits};
pub use bellwether_core::{Demand, Outcome, Permit, RateLimiter, Timestamp, Usage};
pub use bucket::Bucket;
pub use learn::{Flight, LearnPolicy, Learner, Reaction};
pub use limiter::{Acquire, Hold, Limiter};
pub use places::Places;
pub use quota::{Denied, News, Quota, Reservation};
pub use rate::Rate;
pub use settings::{Cached, Charges, Concurrency, Limit, Limits, Settings};
pub use snapshot::{Budget, Snapshot, Stage};
