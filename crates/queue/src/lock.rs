//! The lock around a hall, so that a model checker's can take its place.

use std::sync::{Mutex, PoisonError};

/// A lock around a value.
pub(crate) trait Lock<S>: Send + Sync {
    fn new(value: S) -> Self;

    /// Works on the value alone.
    fn with<A>(&self, work: impl FnOnce(&mut S) -> A) -> A;
}

impl<S: Send> Lock<S> for Mutex<S> {
    fn new(value: S) -> Self {
        Self::new(value)
    }

    fn with<A>(&self, work: impl FnOnce(&mut S) -> A) -> A {
        work(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
