//! The seam to whatever keeps a failing key from being asked too often.

use std::fmt;

use bellwether_core::{ErrorKind, Timestamp};

/// Keeps a failing key from being asked too often: a circuit breaker, and a budget for retries.
///
/// [`Dispatch`](crate::Dispatch) asks it before a call is sent and before a call is tried again, and tells it how calls
/// go. What it decides by is its own matter; `bellwether-limiter` has a breaker and a budget that fit. Times are counted
/// from when the dispatch was built.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use bellwether_dispatch::{Guard, Standing, Timestamp, Trial, Verdict};
/// use bellwether_limiter::{Breaker, BreakerPolicy, Pass};
///
/// /// A breaker, and no bound on retries.
/// #[derive(Debug)]
/// struct Fuse(Arc<Mutex<Breaker>>);
///
/// #[derive(Debug)]
/// struct Sent(Arc<Mutex<Breaker>>, Pass);
///
/// impl Guard for Fuse {
///     fn admit(&self, now: Timestamp) -> Result<Box<dyn Trial>, Timestamp> {
///         let pass = self.0.lock().unwrap().admit(now)?;
///         Ok(Box::new(Sent(Arc::clone(&self.0), pass)))
///     }
///
///     fn standing(&self) -> Standing {
///         let breaker = self.0.lock().unwrap();
///         match breaker.open_until() {
///             Some(until) => Standing::Open { until },
///             None if breaker.is_closed() => Standing::Closed,
///             None => Standing::HalfOpen,
///         }
///     }
///
///     fn succeeded(&self, _: u64, _: Timestamp) {}
///
///     fn may_retry(&self, _: u64, _: bool, _: Timestamp) -> bool {
///         true
///     }
/// }
///
/// impl Trial for Sent {
///     fn judge(self: Box<Self>, verdict: Verdict, now: Timestamp) {
///         let verdict = match verdict {
///             Verdict::Fault => bellwether_limiter::Verdict::Fault,
///             Verdict::Fine => bellwether_limiter::Verdict::Fine,
///             Verdict::Unknown => bellwether_limiter::Verdict::Unknown,
///         };
///         let Self(breaker, pass) = *self;
///         breaker.lock().unwrap().judge(pass, verdict, now);
///     }
/// }
///
/// let fuse = Fuse(Arc::new(Mutex::new(Breaker::new(BreakerPolicy::default(), 1))));
/// for _ in 0..10 {
///     fuse.admit(Timestamp::ZERO).expect("it is closed").judge(Verdict::Fault, Timestamp::ZERO);
/// }
/// assert!(matches!(fuse.standing(), Standing::Open { .. }));
/// ```
pub trait Guard: fmt::Debug + Send + Sync {
    /// Whether a call may be sent now.
    ///
    /// # Errors
    ///
    /// When to ask again; later than `now`.
    fn admit(&self, now: Timestamp) -> Result<Box<dyn Trial>, Timestamp>;

    /// How the key stands.
    fn standing(&self) -> Standing;

    /// A call that cost so many tokens was answered.
    fn succeeded(&self, cost: u64, now: Timestamp);

    /// Whether a call that will cost so many tokens may be tried again now; takes it from the budget if so. After a
    /// timeout the first try may still be running.
    fn may_retry(&self, cost: u64, timed_out: bool, now: Timestamp) -> bool;
}

const _: fn(&dyn Guard) = |_| {};

/// A call that may be sent, and will be judged once.
pub trait Trial: fmt::Debug + Send {
    /// Hears how the call went: at the head of its answer, or at its failure.
    fn judge(self: Box<Self>, verdict: Verdict, now: Timestamp);
}

/// How a call went, as a breaker sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The provider failed: 5xx, no connection, no answer in time.
    Fault,
    /// The provider is well: an answer, a 4xx, a 429.
    Fine,
    /// Nobody knows: the call was never sent, or its caller went away.
    Unknown,
}

impl Verdict {
    /// What a failure of this kind says about the provider.
    pub(crate) const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Connect
            | ErrorKind::Decode
            | ErrorKind::Overloaded
            | ErrorKind::Timeout(_)
            | ErrorKind::Truncated
            | ErrorKind::Upstream => Self::Fault,
            ErrorKind::BudgetExceeded | ErrorKind::Cancelled | ErrorKind::DeadlineExceeded => Self::Unknown,
            _ => Self::Fine,
        }
    }
}

/// How a guarded key stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is asked.
    Closed,
    /// It is asked by a few calls, to see whether it is well again.
    HalfOpen,
    /// It is not asked.
    Open {
        /// Until then.
        until: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use bellwether_core::error::Phase;

    use super::*;

    #[test]
    fn a_call_that_ran_out_of_its_own_time_says_nothing_of_the_provider() {
        for kind in [ErrorKind::BudgetExceeded, ErrorKind::Cancelled, ErrorKind::DeadlineExceeded] {
            assert_eq!(Verdict::of(kind), Verdict::Unknown, "{kind:?}");
        }
        for kind in [ErrorKind::Connect, ErrorKind::Overloaded, ErrorKind::Timeout(Phase::Total), ErrorKind::Upstream] {
            assert_eq!(Verdict::of(kind), Verdict::Fault, "{kind:?}");
        }
        for kind in [ErrorKind::Auth, ErrorKind::InvalidRequest, ErrorKind::RateLimited] {
            assert_eq!(Verdict::of(kind), Verdict::Fine, "whoever refuses is well: {kind:?}");
        }
    }
}
