//! Where a task stands among the tasks of its own flow.

use std::time::Duration;

use bellwether_core::Timestamp;

/// Where a task stands among the tasks of its own flow: the smallest key goes first, equal keys in order of arrival.
///
/// A key is a moment, set once when the task is pushed. All waiting tasks grow older at the same rate, so that nothing
/// has to be re-ordered as time goes by: a task that is `d` less urgent is passed by tasks that come up to `d` later,
/// and by none after that. Priority that is given this way can delay a task, but never starve it.
///
/// Tasks that belong together, as the parts of one fan-out do, share a key: then one group is done before the next
/// begins, instead of all being half done.
///
/// ```
/// use std::time::Duration;
/// use bellwether_core::Timestamp;
/// use bellwether_queue::Key;
///
/// let now = Timestamp::from_millis(10_000);
/// let ordinary = Key::at(now);
/// assert!(ordinary.earlier(Duration::from_secs(5)) < ordinary);
/// // Less than five seconds later nobody passes it.
/// assert!(Key::at(Timestamp::from_millis(15_001)).earlier(Duration::from_secs(5)) > ordinary);
/// // A deadline pulls a task forward, if it is near.
/// assert!(ordinary.due(Timestamp::from_millis(9_000)) < ordinary);
/// assert_eq!(ordinary.due(Timestamp::from_millis(90_000)), ordinary);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key(pub u64);

impl Key {
    /// Of a task, or of the first of a group, that came at `now`.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self(now.as_nanos())
    }

    /// As if it had come so much earlier: more urgent. Upward rank in a plan, in expected time, goes here.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(Timestamp::from(by).as_nanos()))
    }

    /// As if it had come so much later: less urgent.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self(self.0.saturating_add(Timestamp::from(by).as_nanos()))
    }

    /// Pulled forward to the moment by which it has to begin, if that is sooner.
    #[must_use]
    pub fn due(self, begin: Timestamp) -> Self {
        self.min(Self::at(begin))
    }
}
