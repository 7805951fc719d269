//! Which model a task starts on.
//!
//! - [`seam`]: the trait [`Router`], and the words that it speaks.
//! - [`features`]: what can be seen of a task before anybody works on it.

pub mod features;
pub mod seam;

#[cfg(feature = "test-util")]
pub mod conformance;

pub use features::{Brief, Features, Group};
pub use seam::{Audit, Ending, FirstTier, Lesson, Means, Offer, Route, Router, TaskProfile, Weighed};
