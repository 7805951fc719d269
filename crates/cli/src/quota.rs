//! The waiting room and the limits in front of one key.

use std::hash::{BuildHasher, RandomState};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use bellwether_core::{Observer, RateLimiter, TaskQueue};
use bellwether_limiter::{Cached, Charges, Concurrency, Limit, Limiter, Limits, Rate};
use bellwether_provider::ChargeRule;
use bellwether_queue::{AtTheDoor, TicketQueue};

use crate::team_file::raw::RawQueue;

/// How many calls may wait for their turn if nobody says.
const CAPACITY: usize = 10_000;

/// What is known of a key's limits; what is not known is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Requests per minute.
    pub(crate) requests: Option<u64>,
    /// Tokens per minute.
    pub(crate) tokens: Option<u64>,
    /// Calls in flight at once.
    pub(crate) concurrency: Option<NonZeroUsize>,
    /// What counts against the tokens per minute.
    pub(crate) charge: ChargeRule,
}

/// The limits of the key `name`.
pub(crate) fn limiter(name: &str, told: Told, observer: &Arc<dyn Observer>) -> Arc<dyn RateLimiter> {
    let limit =
        |per_minute: Option<u64>| per_minute.map_or(Limit::Hidden, |limit| Limit::told(Rate::per_minute(limit)));
    let places = |places: NonZeroUsize| NonZeroU32::try_from(places).unwrap_or(NonZeroU32::MAX);
    let limits = Limits {
        requests: limit(told.requests),
        tokens: limit(told.tokens),
        concurrency: told.concurrency.map_or(Concurrency::Hidden, |n| Concurrency::Told(places(n))),
        ..Limits::default()
    };
    // Processes that share a key must not draw alike.
    let seed = RandomState::new().hash_one(name);
    let charges = if told.charge == ChargeRule::InputAndCap { Charges::Reserved } else { Charges::Actual };
    let cached = if told.charge == ChargeRule::UncachedInputAndOutput { Cached::Free } else { Cached::Counts };
    let settings =
        bellwether_limiter::Settings { limits, charges, cached, seed, ..bellwether_limiter::Settings::default() };
    Arc::new(Limiter::observed(name, settings, Arc::clone(observer)))
}

/// A fair waiting room.
pub(crate) fn queue(raw: &RawQueue, observer: &Arc<dyn Observer>) -> Arc<dyn TaskQueue> {
    let mut settings = bellwether_queue::Settings { capacity: CAPACITY, ..bellwether_queue::Settings::default() };
    if let Some(count) = raw.capacity {
        settings.capacity = usize::try_from(count.0).unwrap_or(usize::MAX);
    }
    if let Some(floors) = raw.floors {
        settings.floors = vec![0, floors.standard.0, floors.batch.0];
    }
    Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, Arc::clone(observer)))
}
