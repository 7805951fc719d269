//! Why a call did not get its turn, and how that is told.

use std::time::Duration;

use bellwether_core::limiter::Refused;
use bellwether_core::queue::QueueFull;
use bellwether_core::{ErrorKind, ProviderError, Retry};

use crate::parking::Parked;

/// Why a call did not get its turn.
#[derive(Debug)]
pub(crate) enum NoTurn {
    /// The key keeps failing and is not asked for so long, and the call has somewhere else to go.
    Broken(Duration),
    /// The dispatch was shut down.
    Closed,
    /// There is no room in the queue.
    Full(QueueFull),
    /// It would come too late.
    Late(Refused),
    /// Those in front of it take so long that it would come far too late.
    Long(Duration),
    /// The key is parked.
    Parked(Parked),
    /// Somebody else finds out whether a parked key is well again, and the call has somewhere else to go.
    Probing,
    /// Everybody stays away from the key for so long, and the call has somewhere else to go.
    Paused(Duration),
    /// It was in the queue and had to make room; when there may be some again, if that is known.
    Shed(Option<Duration>),
}

/// How long a call waits for its turn, as far as a refusal has to say it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// Until its deadline.
    Deadline,
    /// As long as it has to.
    None,
    /// Until its patience with 429s is at an end.
    Patience,
}

impl NoTurn {
    /// What the caller is told, after `last`, the failure for which the call queued again.
    pub(crate) fn into_error(self, bound: Bound, last: Option<ProviderError>) -> ProviderError {
        let after = |wait: Option<Duration>, or| wait.map_or(or, Retry::After);
        match self {
            Self::Broken(wait) => {
                let what = "the provider keeps failing and is not asked for a while";
                told(ErrorKind::Overloaded, what, last).with_retry(Retry::After(wait))
            }
            Self::Closed => told(ErrorKind::Cancelled, "the dispatch was shut down", last),
            Self::Full(QueueFull { retry_after }) => {
                told(ErrorKind::QueueFull, "the queue is full", last).with_retry(after(retry_after, Retry::Never))
            }
            Self::Late(refused) => match (last, bound) {
                (Some(last), Bound::Patience) => last,
                (last, Bound::Deadline | Bound::Patience) => too_late("no room in the quota before the deadline", last)
                    .with_retry(after(refused.wait, Retry::Never)),
                (last, Bound::None) => told(ErrorKind::RateLimited, "no room in the quota", last)
                    .with_retry(after(refused.wait, Retry::Backoff)),
            },
            Self::Long(wait) => too_late("the line in front of it takes longer than its deadline allows", last)
                .with_retry(Retry::After(wait)),
            Self::Parked(parked) => parked.into_error(),
            Self::Paused(wait) => told(ErrorKind::RateLimited, "everybody stays away from the key for a while", last)
                .with_retry(Retry::After(wait)),
            Self::Probing => told(ErrorKind::Overloaded, "somebody else finds out whether the key is well again", last),
            Self::Shed(wait) => told(ErrorKind::QueueFull, "it had to make room for others in the queue", last)
                .with_retry(after(wait, Retry::Never)),
        }
    }
}

/// What a call is told that cannot be answered before its deadline.
pub(crate) fn too_late(message: &str, cause: Option<ProviderError>) -> ProviderError {
    told(ErrorKind::DeadlineExceeded, message, cause)
}

/// The end of a call that was not in flight, after `cause`.
fn told(kind: ErrorKind, message: &str, cause: Option<ProviderError>) -> ProviderError {
    let mut error = ProviderError::new(kind, message);
    match cause {
        Some(cause) => {
            error.details.may_have_executed = cause.details.may_have_executed;
            error.caused_by(cause)
        }
        None => error,
    }
}
