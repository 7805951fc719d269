//! Profiles and lessons to try a router with.

use std::time::Duration;

use bellwether_router::{Adaptive, Mode};
use bellwether_router::{Ending, Lesson, Price, Router, Settings, TaskProfile, Usd, conformance};

/// The same ladder with prices: each tier four times as dear as the one below.
pub(crate) fn priced(mut profile: TaskProfile) -> TaskProfile {
    let mut dollars = 1.0;
    for offer in &mut profile.tiers {
        let price = Usd::from_dollars(dollars).expect("not negative");
        offer.price = Some(Price { input_per_mtok: price, cached_per_mtok: price, output_per_mtok: price });
        dollars *= 4.0;
    }
    profile
}

/// What becomes of a task on a tier of three.
pub(crate) fn lesson(task: &str, tier: usize, ending: Ending) -> Lesson {
    lesson_of(&conformance::profile(task, 3, 3), tier, ending)
}

/// What becomes of a task on a tier of its ladder.
pub(crate) fn lesson_of(profile: &TaskProfile, tier: usize, ending: Ending) -> Lesson {
    let route = Adaptive::new(Settings { mode: Mode::Cascade, ..Settings::default() }, 1).route(profile);
    Lesson {
        run: profile.run.clone(),
        task: profile.task.clone(),
        stint: 0,
        role: std::sync::Arc::clone(&profile.role),
        tier,
        model: std::sync::Arc::clone(&profile.tiers[tier].model),
        route,
        ending,
        judge: Some("judge".into()),
        cost: None,
        review_cost: None,
        took: Duration::from_secs(4),
    }
}
