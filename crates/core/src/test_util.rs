//! A double and a conformance test for each seam.
//!
//! A conformance test panics, naming the promise that was broken. Every implementation of a seam calls it from its
//! own tests.

mod conformance;
mod doubles;

pub use conformance::{journal, provider, queue, rate_limiter};
pub use doubles::{MemoryJournal, Recorder, Unlimited};
