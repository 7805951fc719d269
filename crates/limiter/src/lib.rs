//! A limiter that keeps to limits it is told, and finds those it is not told.
//!
//! Ten lines are enough; see [`Limiter`]. What it is made of can be used alone, and holds no clock and no lock:
//!
//! - `rate`, `bucket`: [`Rate`] and [`Bucket`], exact in whole numbers, with debt.
//! - `learn`: [`Learner`], which finds a hidden limit by counting between two refusals.
//! - `places`: [`Places`], how many calls may be under way.
//! - `settings`: [`Settings`], what is told: [`Limits`], and what the provider counts.
//! - `quota`: [`Quota`], all of it for one key: reserve, hint, settle.
//! - `snapshot`: [`Snapshot`], how a quota stands.
//!
//! The shell around it:
//!
//! - `line`, `desk`: who waits, and who is woken, still as a value.
//! - `limiter`: [`Limiter`], with the lock and the one timer; `clock` reads the clock.
//! - `registry`: [`Registry`], a limiter per key.
//! - `layer`: `LimitLayer`, the same around a tower service (feature `tower`).
//!
//! And what a client that retries needs beside it:
//!
//! - `estimate`: [`Estimator`], what a call will take.
//! - `backoff`, `budget`, `breaker`: [`Backoff`], [`RetryBudget`], [`Breaker`].

mod backoff;
mod breaker;
mod bucket;
mod budget;
mod clock;
mod desk;
mod estimate;
#[cfg(feature = "tower")]
mod layer;
mod learn;
mod limiter;
mod line;
mod places;
mod quota;
mod rate;
mod registry;
mod settings;
mod snapshot;

pub use backoff::Backoff;
pub use bellwether_core::limiter::{Outlook, Refused, WaitReason};
pub use bellwether_core::permit::{Level, RateLimits};
pub use bellwether_core::{Demand, Outcome, Permit, RateLimiter, Timestamp, Usage};
pub use breaker::{Breaker, BreakerPolicy, Pass, Verdict};
pub use bucket::Bucket;
pub use budget::{RetryBudget, Why};
pub use estimate::Estimator;
#[cfg(feature = "tower")]
pub use layer::{LimitError, LimitLayer, LimitService};
pub use learn::{Flight, LearnPolicy, Learner, Reaction};
pub use limiter::{Acquire, Hold, Limiter};
pub use places::Places;
pub use quota::{Denied, News, Quota, Reservation};
pub use rate::Rate;
pub use registry::Registry;
pub use settings::{Cached, Charges, Concurrency, Limit, Limits, Settings};
pub use snapshot::{Budget, Snapshot, Stage};
