//! What every router must keep.

use std::sync::Arc;
use std::time::Duration;

use crate::{Audit, Ending, Features, Lesson, Means, Offer, Router, TaskProfile};

/// A profile to try routers with: a ladder of so many tiers.
#[must_use]
pub fn profile(task: &str, tiers: usize, complexity: u8) -> TaskProfile {
    let offer = |n: usize| Offer { name: format!("tier-{n}").into(), model: format!("model-{n}").into(), price: None };
    TaskProfile {
        run: "run".into(),
        task: task.into(),
        role: "coder".into(),
        tiers: (0..tiers).map(offer).collect(),
        features: Features { complexity, tokens: 500, ..Features::default() },
        escalations: 1,
        means: Means { tasks: 1, ..Means::default() },
    }
}

/// The tier picked is one that exists, the decision is explained and was possible, and lessons are taken.
///
/// # Panics
///
/// If a promise is broken.
pub fn router(router: &dyn Router) {
    for tiers in 1..=4 {
        for complexity in 1..=5 {
            let profile = profile(&format!("t{tiers}.{complexity}"), tiers, complexity);
            let route = router.route(&profile);
            assert!(route.tier < tiers, "the tier exists");
            assert_eq!(route.name, profile.tiers[route.tier].name, "and is named");
            assert!(!route.why.is_empty(), "a decision is explained");
            assert!(route.propensity > 0.0 && route.propensity <= 1.0, "what was chosen was possible");
            assert_eq!(route.features, profile.features, "the decision says what it was made of");
            let lesson = Lesson {
                run: profile.run.clone(),
                task: profile.task.clone(),
                stint: 0,
                role: Arc::clone(&profile.role),
                tier: route.tier,
                model: Arc::clone(&profile.tiers[route.tier].model),
                route,
                ending: Ending::Accepted,
                judge: Some("judge".into()),
                cost: None,
                review_cost: None,
                took: Duration::from_secs(1),
            };
            router.learn(&lesson);
            router.learn(&lesson);
            router.audited(&Audit { run: profile.run, task: profile.task, judge: "judge".into(), agreed: true });
        }
    }
}
