//! The limiter: a quota behind a lock, with a line in front of it and one timer.

mod acquire;
mod hold;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant as StdInstant};

use async_trait::async_trait;
use bellwether_core::limiter::{Outlook, Refused};
use bellwether_core::{Demand, Fact, Observer, Permit, RateLimiter, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::{self, Handle};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

pub use self::acquire::Acquire;
pub use self::hold::Hold;
use crate::clock::Clock;
use crate::desk::Desk;
use crate::quota::{News, Quota};
use crate::settings::{Limits, Settings};
use crate::snapshot::Snapshot;

/// Lets calls through to one quota key, as fast as its limits allow and no faster.
///
/// Places are given in the order of asking. Whoever asks takes from every budget or from none. Only the first in the
/// line waits for a moment, with the one timer; the others are woken once, when it is their turn. Clones stand for the
/// same quota.
///
/// ```
/// use bellwether_limiter::{Demand, Limit, Limiter, Limits, Outcome, Rate, RateLimits, Settings, Usage};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bellwether_limiter::Refused> {
/// let limits = Limits { requests: Limit::told(Rate::per_minute(600)), ..Limits::default() };
/// let limiter = Limiter::new("my key", Settings { limits, ..Settings::default() });
/// let permit = limiter.acquire(Demand { requests: 1, input_tokens: 900, output_tokens: 500 }, None).await?;
/// // Send the call, and say what became of it.
/// let usage = Usage { input_tokens: Some(871), output_tokens: Some(322), ..Usage::default() };
/// permit.settle(Outcome::Completed { usage, limits: RateLimits::default() });
/// println!("{}", limiter.snapshot());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Limiter(Arc<Shared>);

/// Invariant: no waker is woken and no observer is told anything while `inner` is locked.
struct Shared {
    key: Arc<str>,
    observer: Option<Arc<dyn Observer>>,
    clock: Clock,
    stride: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    desk: Desk,
    timer: Option<Timer>,
}

/// The one timer. It lives in the runtime in which it was last armed.
#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    runtime: runtime::Id,
}

// === impl Limiter ===

impl Limiter {
    /// A limiter for the quota of `key`, which names it in facts.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>, settings: Settings) -> Self {
        Self::build(key.into(), settings, None)
    }

    /// The same, with somebody who is told when a limit was found to be another, and when everybody stays away.
    #[must_use]
    pub fn observed(key: impl Into<Arc<str>>, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        Self::build(key.into(), settings, Some(observer))
    }

    fn build(key: Arc<str>, settings: Settings, observer: Option<Arc<dyn Observer>>) -> Self {
        let clock = Clock::start();
        let desk = Desk::new(Quota::new(settings, clock.now()));
        let stride = settings.stride;
        Self(Arc::new(Shared { key, observer, clock, stride, inner: Mutex::new(Inner { desk, timer: None }) }))
    }

    /// Takes `demand` from every budget at once, waiting in line until all of them have room.
    ///
    /// # Errors
    ///
    /// [`Refused`] with the time it would take, at once, if that is not before `deadline`; or as soon as that becomes
    /// certain. Nothing was taken then. What depends on other calls, such as a free place, is waited for until then.
    ///
    /// # Panics
    ///
    /// If it has to wait outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the line and takes nothing.
    pub async fn acquire(&self, demand: Demand, deadline: Option<StdInstant>) -> Result<Permit, Refused> {
        self.hold(demand, deadline).await.map(Hold::into_permit)
    }

    /// The same without allocating: the reservation borrows the limiter.
    pub fn hold(&self, demand: Demand, deadline: Option<StdInstant>) -> Acquire<'_> {
        Acquire::new(&self.0, demand, deadline.map(Instant::from_std))
    }

    /// Takes `demand` if nobody waits and there is room now.
    ///
    /// # Errors
    ///
    /// Why it would have to wait, and how long if that is known.
    #[inline]
    pub fn try_hold(&self, demand: Demand) -> Result<Hold<'_>, Outlook> {
        let now = self.0.clock.now();
        let reservation = self.0.lock().desk.try_enter(&demand, now)?;
        Ok(Hold::new(&self.0, reservation))
    }

    /// Puts other limits in force, for those who wait as well. What was taken stays taken, as far as a window of the new
    /// limit holds it.
    pub fn change_limits(&self, limits: Limits) {
        let now = self.0.clock.now();
        self.0.with(|desk| desk.change_limits(limits, now));
    }

    /// How things stand. As text it answers the question "why am I waiting?".
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.0.clock.now();
        self.0.lock().desk.snapshot(now)
    }

    /// The key whose quota it is.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl RateLimiter for Limiter {
    async fn acquire(&self, demand: Demand, deadline: Option<StdInstant>) -> Result<Permit, Refused> {
        self.hold(demand, deadline).await.map(Hold::into_permit)
    }

    fn outlook(&self, demand: Demand) -> Option<Outlook> {
        let now = self.0.clock.now();
        let mut inner = self.0.lock();
        if inner.desk.waiting() > 0 {
            return Some(inner.desk.outlook(&demand, now));
        }
        inner.desk.quota.outlook(&demand, now)
    }
}

// === impl Shared ===

impl Shared {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Changes something, then wakes and tells whoever has to know.
    fn with<R>(&self, change: impl FnOnce(&mut Desk) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner.desk);
        let (wakes, news) = (inner.desk.take_wakes(), inner.desk.quota.take_news());
        drop(inner);
        wakes.into_iter().for_each(Waker::wake);
        self.tell(news);
        result
    }

    fn tell(&self, news: Vec<News>) {
        let Some(observer) = &self.observer else { return };
        for news in news {
            let quota = Arc::clone(&self.key);
            observer.observe(&match news {
                News::Limit(what, limit) => Fact::LimitChanged { quota, what, limit },
                News::Paused(wait) => Fact::QuotaPaused { quota, wait },
            });
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    /// Arms the timer for whoever has to look next. Only called from a poll, so there is a runtime.
    fn arm(&mut self, clock: Clock, stride: Duration, now: Timestamp) {
        let Self { desk, timer } = self;
        let Some((at, waker)) = desk.arm_next() else {
            if desk.alarm().is_none() {
                *timer = None;
            }
            return;
        };
        let at = clock.instant(together(at, stride, now));
        let here = Handle::current().id();
        let timer = match timer {
            Some(timer) if timer.runtime == here => {
                timer.sleep.as_mut().reset(at);
                timer
            }
            _ => timer.insert(Timer { sleep: Box::pin(sleep_until(at)), runtime: here }),
        };
        // The timer remembers whom it wakes, whoever arms it, and however much the task of that one has done before: a
        // timer that answers "come again" would not be armed.
        let armed = pin!(unconstrained(timer.sleep.as_mut())).poll(&mut Context::from_waker(waker));
        if armed.is_ready() {
            let waker = waker.clone();
            desk.wake(waker);
        }
    }
}

/// `at`, or if that is near the next multiple of `stride`, at which others may be let in as well.
fn together(at: Timestamp, stride: Duration, now: Timestamp) -> Timestamp {
    if at.since(now) >= stride {
        return at;
    }
    let stride = u64::try_from(stride.as_nanos()).unwrap_or(u64::MAX);
    at.as_nanos().checked_next_multiple_of(stride).map_or(at, Timestamp::from_nanos)
}
