//! Why a call did not get its turn, and how that is told.

use std::time::Duration;

use bellwether_core::limiter::{Refused, WaitReason};
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
    /// What the caller is told, after `last`, the failure for which the call queued again. If the quota has no room, it is
    /// for `lack` of something.
    pub(crate) fn into_error(
        self,
        bound: Bound,
        lack: Option<WaitReason>,
        last: Option<ProviderError>,
    ) -> ProviderError {
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
                (last, Bound::Deadline | Bound::Patience) => {
                    too_late(&no_room(" before the deadline", lack, refused.wait), last)
                        .with_retry(after(refused.wait, Retry::Never))
                }
                (last, Bound::None) => told(ErrorKind::RateLimited, &no_room("", lack, refused.wait), last)
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

/// What there is no room for, and for how long.
fn no_room(when: &str, lack: Option<WaitReason>, wait: Option<Duration>) -> String {
    let why = match lack {
        Some(WaitReason::Concurrency) => ": as many calls as may be are under way",
        Some(WaitReason::Pause) => ": the provider asked everybody to stay away",
        Some(WaitReason::Requests) => ": its requests are used up",
        Some(WaitReason::Tokens) => ": its tokens are used up",
        _ => "",
    };
    let wait = wait.map_or_else(String::new, |wait| format!(", for {:.1} s more", wait.as_secs_f64()));
    format!("no room in the quota{when}{why}{wait}")
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
