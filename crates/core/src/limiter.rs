//! The seam to a quota.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::permit::Permit;
use crate::usage::Demand;

/// Admits calls to a quota.
#[async_trait]
pub trait RateLimiter: fmt::Debug + Send + Sync {
    /// Takes `demand` from every budget at once, waiting until all of them have room, in the order of asking.
    ///
    /// # Errors
    ///
    /// [`Refused`], without waiting, if there will be no room before `deadline`. Nothing was taken then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the line and takes nothing.
    async fn acquire(&self, demand: Demand, deadline: Option<Instant>) -> Result<Permit, Refused>;

    /// Why `demand` would have to wait if it came now; `None` if it would not.
    fn outlook(&self, demand: Demand) -> Option<Outlook>;
}

const _: fn(&dyn RateLimiter) = |_| {};

/// The answer to a demand that cannot be met in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no room in the quota before the deadline")]
pub struct Refused {
    /// How long it would have taken, if that is known.
    pub wait: Option<Duration>,
}

/// Why a demand would have to wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outlook {
    /// What it would wait for.
    pub reason: WaitReason,
    /// How long at least, if that is known.
    pub wait: Option<Duration>,
}

words! {
    /// What a call waits for.
    #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
    #[non_exhaustive]
    pub enum WaitReason {
        /// A place among the calls in flight.
        Concurrency = "concurrency",
        /// The provider asked everybody on this key to stay away for a while.
        Pause = "pause",
        /// Requests in this window.
        Requests = "requests",
        /// Tokens in this window.
        Tokens = "tokens",
    }
}
