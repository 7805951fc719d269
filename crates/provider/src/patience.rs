//! How long a call waits, and which of its timeouts ran out.

use std::future::Future;
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::{CallContext, ErrorKind, ProviderError};
use tokio::time::{Instant, timeout_at};

use crate::asked::Asked;
use crate::config::Timeouts;

/// What a call waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// For the model's first word.
    Beginning,
    /// For the rest of an error's body, of which we already know the status.
    Excuse,
    /// For the usage and the end, after the model is done.
    Ending,
    /// For the model's next word.
    Flowing,
}

/// The timeouts of one call, counted from the moment it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    began: Instant,
    streams: bool,
    timeouts: Timeouts,
    deadline: Option<Instant>,
}

impl Patience {
    /// The timeouts of a call that begins now. A call that does not stream has no first word and no next one.
    pub(crate) fn new(timeouts: Timeouts, streams: bool, context: Option<&CallContext>) -> Self {
        let most = context.and_then(|context| context.timeout).unwrap_or(Duration::MAX);
        Self {
            began: Instant::now(),
            streams,
            timeouts: Timeouts { total: timeouts.total.min(most), ..timeouts },
            deadline: context.and_then(|context| context.deadline).map(Instant::from_std),
        }
    }

    /// Refuses a call whose deadline is past before anything is sent.
    pub(crate) fn check(&self, asked: &Asked) -> Result<(), ProviderError> {
        match self.deadline {
            Some(deadline) if deadline <= self.began => {
                let error = ProviderError::new(ErrorKind::DeadlineExceeded, asked.says("was not asked: too late"));
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Waits for `future` as long as `stage` allows.
    pub(crate) async fn wait<T>(
        &self,
        stage: Stage,
        asked: &Asked,
        future: impl Future<Output = T>,
    ) -> Result<T, ProviderError> {
        let (until, kind, limit) = self.limit(stage);
        // A timeout lets a future that is ready pass, so a stream that never pauses would never run out of time.
        if until <= Instant::now() {
            return Err(ran_out(asked, kind, limit));
        }
        timeout_at(until, future).await.map_err(|_| ran_out(asked, kind, limit))
    }

    /// The earliest moment at which the call gives up, and why.
    fn limit(&self, stage: Stage) -> (Instant, ErrorKind, Duration) {
        let Timeouts { first_token, idle, total, .. } = self.timeouts;
        let since = |start, limit, phase| (later(start, limit), ErrorKind::Timeout(phase), limit);
        let own = match stage {
            Stage::Beginning if self.streams => Some(since(self.began, first_token, Phase::FirstToken)),
            Stage::Excuse => Some(since(Instant::now(), idle, Phase::Idle)),
            Stage::Ending => Some(since(Instant::now(), idle.min(ENDING), Phase::Idle)),
            Stage::Flowing if self.streams => Some(since(Instant::now(), idle, Phase::Idle)),
            Stage::Beginning | Stage::Flowing => None,
        };
        let total = since(self.began, total, Phase::Total);
        let deadline =
            self.deadline.map(|deadline| (deadline, ErrorKind::DeadlineExceeded, deadline.duration_since(self.began)));
        [own, deadline]
            .into_iter()
            .flatten()
            .fold(total, |earliest, next| if next.0 < earliest.0 { next } else { earliest })
    }
}

fn ran_out(asked: &Asked, kind: ErrorKind, limit: Duration) -> ProviderError {
    let what = match kind {
        ErrorKind::Timeout(Phase::FirstToken) => "did not begin to answer",
        ErrorKind::Timeout(Phase::Idle) => "fell silent",
        _ => "did not finish its answer",
    };
    // What is left until a deadline has digits that nobody reads.
    let limit = u64::try_from(limit.as_millis()).map_or(limit, Duration::from_millis);
    let mut error = ProviderError::new(kind, format!("{} within {limit:?}", asked.says(what)));
    error.details.may_have_executed = true;
    error
}

/// A moment that far ahead; a moment beyond the clock's range is as good as never.
fn later(start: Instant, limit: Duration) -> Instant {
    start.checked_add(limit).unwrap_or_else(|| start + NEVER)
}

/// After the model is done, only the usage and the end mark are still to come.
const ENDING: Duration = Duration::from_secs(5);

const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
