//! The waiting room and the limits in front of one key.

use std::hash::{BuildHasher, RandomState};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Observer, TaskQueue};
use bellwether_limiter::{Cached, Charges, Concurrency, Limit, Limiter, Limits, Rate, Stage};
use bellwether_metrics::{LimitStands, limit_stands};
use bellwether_provider::ChargeRule;
use bellwether_queue::{AtTheDoor, TicketQueue};

use crate::team_file::raw::RawQueue;

/// How many calls may wait for their turn if nobody says.
pub(crate) const CAPACITY: usize = 10_000;

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
    /// How near to each other calls may be let in together, at the later moment.
    pub(crate) stride: Duration,
}

/// The limits of the key `name`.
pub(crate) fn limiter(name: &str, told: Told, observer: &Arc<dyn Observer>) -> Arc<Limiter> {
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
    let stride = told.stride;
    let settings = bellwether_limiter::Settings {
        limits,
        charges,
        cached,
        seed,
        stride,
        ..bellwether_limiter::Settings::default()
    };
    Arc::new(Limiter::observed(name, settings, Arc::clone(observer)))
}

/// Says how a limiter stands, for metrics.
pub(crate) fn stands(limiter: &Limiter) {
    let (quota, snapshot) = (Arc::from(limiter.key()), limiter.snapshot());
    for (dimension, budget) in [
        ("requests", snapshot.requests),
        ("tokens", snapshot.tokens),
        ("input_tokens", snapshot.input_tokens),
        ("output_tokens", snapshot.output_tokens),
    ] {
        if let Some(budget) = budget {
            let told = budget.stage == Stage::Told;
            limit_stands(&quota, dimension, LimitStands { level: budget.level, told, drift: budget.drift });
        }
    }
}

/// A fair waiting room, which tells the observer who has to leave it.
pub(crate) fn queue(raw: &RawQueue, observer: Arc<dyn Observer>) -> Arc<dyn TaskQueue> {
    let mut settings = bellwether_queue::Settings { capacity: CAPACITY, ..bellwether_queue::Settings::default() };
    if let Some(count) = raw.capacity {
        settings.capacity = usize::try_from(count.0).unwrap_or(usize::MAX);
    }
    if let Some(floors) = raw.floors {
        settings.floors = vec![0, floors.standard.0, floors.batch.0];
    }
    Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, observer))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bellwether_core::queue::{Ticket, TicketId};
    use bellwether_core::{Class, Flow};

    use super::*;
    use crate::team_file::raw::{RawFloors, Share};

    /// Who has how many of the first hundred turns, if each flow has a hundred calls waiting.
    async fn turns(raw: &RawQueue, flows: &[(&'static str, u32, Class)]) -> HashMap<String, usize> {
        let observer: Arc<dyn Observer> = Arc::new(());
        let queue = queue(raw, observer);
        let mut owners = HashMap::new();
        for n in 0..100 {
            for (run, weight, class) in flows {
                let id = TicketId(owners.len() as u64);
                owners.insert(id, format!("{run} {}", class.as_str()));
                let weight = NonZeroU32::new(*weight).unwrap();
                let flow = Flow::new("team", *run, "coder");
                let ticket = Ticket { id, flow, weight, class: *class, cost: 100, deadline: None };
                assert_eq!(queue.push(ticket).await, Ok(()), "{n}");
            }
        }
        let mut turns = HashMap::new();
        for _ in 0..100 {
            let next = queue.next().await.unwrap();
            *turns.entry(owners[&next.id].clone()).or_default() += 1;
        }
        turns
    }

    const EACH: [(&str, u32, Class); 3] =
        [("a", 1, Class::Interactive), ("b", 1, Class::Standard), ("c", 1, Class::Batch)];

    #[tokio::test]
    async fn floors_are_the_share_that_a_class_is_sure_of() {
        for (standard, batch) in [(100, 50), (300, 200)] {
            let floors = RawFloors { standard: Share(standard), batch: Share(batch) };
            let turns = turns(&RawQueue { floors: Some(floors), ..RawQueue::default() }, &EACH).await;
            for (who, thousandths) in [("b standard", standard), ("c batch", batch)] {
                let wanted = thousandths as usize / 10;
                assert!(turns[who].abs_diff(wanted) <= 2, "{who} is to have {wanted}: {turns:?}");
            }
        }
    }

    #[tokio::test]
    async fn runs_share_by_weight_and_the_urgent_go_first() {
        let light_and_heavy = [("light", 1, Class::Standard), ("heavy", 3, Class::Standard)];
        let turns = turns(&RawQueue::default(), &light_and_heavy).await;
        assert!(turns["heavy standard"].abs_diff(75) <= 2, "{turns:?}");
        let turns = self::turns(&RawQueue::default(), &EACH).await;
        assert!(turns["a interactive"] > turns["b standard"] && turns["b standard"] > turns["c batch"], "{turns:?}");
    }
}
