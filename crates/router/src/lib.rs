//! Which model a task starts on: a ladder of models from cheap to dear, and a choice among them that learns from
//! verdicts.
//!
//! - [`seam`]: the trait [`Router`], and the words that it speaks.
//! - [`features`]: what can be seen of a task before anybody works on it.
//! - [`settings`]: how to route, and how to learn.
//! - [`ladder`]: what it is worth to start on a tier, knowing that what fails there may go on to the next.
//! - [`stats`] and [`outcome`]: what is known of models, as a fold over what became of tasks.
//! - [`choose`](choose()): the decision, as a function of what is known and a seeded source of chance.
//! - [`history`]: each outcome once, mergeable.
//! - [`Adaptive`]: the router that does all of it, and keeps what it learnt in a file.
//!
//! ```
//! use bellwether_router::{Adaptive, Brief, Ending, Features, Lesson, Means, Mode, Offer, Router, Settings, TaskProfile};
//!
//! let router = Adaptive::new(Settings { mode: Mode::Thompson, ..Settings::default() }, 7);
//! let offer = |name: &str| Offer { name: name.into(), model: name.into(), price: None };
//! let objective = "Implement a client with retries";
//! let profile = TaskProfile {
//!     run: "run-1".into(),
//!     task: "t1".into(),
//!     role: "coder".into(),
//!     tiers: vec![offer("small"), offer("large")],
//!     features: Features::of(&Brief { objective, complexity: 2, ..Brief::default() }),
//!     escalations: 1,
//!     means: Means::default(),
//! };
//! let route = router.route(&profile);
//! println!("{}: {}", route.name, route.why);
//!
//! // When a reviewer has spoken:
//! router.learn(&Lesson {
//!     run: profile.run.clone(),
//!     task: profile.task.clone(),
//!     stint: 0,
//!     role: profile.role.clone(),
//!     tier: route.tier,
//!     model: route.name.clone(),
//!     route,
//!     ending: Ending::Accepted,
//!     judge: Some("critic".into()),
//!     cost: None,
//!     review_cost: None,
//!     took: std::time::Duration::from_secs(4),
//! });
//! assert_eq!(router.history().entries().len(), 1);
//! ```

pub mod adaptive;
mod choose;
mod difficulty;
pub mod features;
pub mod history;
pub mod ladder;
pub mod outcome;
mod sample;
pub mod seam;
pub mod settings;
pub mod stats;
mod store;
mod tally;

#[cfg(feature = "test-util")]
pub mod conformance;

pub use adaptive::Adaptive;
pub use bellwether_core::{Price, RunId, TaskId, Usd};
pub use choose::choose;
pub use features::{Brief, Features, Group};
pub use history::History;
pub use seam::{Audit, Ending, FirstTier, Lesson, Means, Offer, Route, Router, TaskProfile, Weighed};
pub use settings::{Mode, Settings};
pub use stats::Stats;
pub use store::StoreError;
