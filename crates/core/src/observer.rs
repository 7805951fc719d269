//! The seam to everybody who watches.

use std::fmt;
use std::sync::Arc;

use crate::fact::Fact;

/// Hears facts, in order.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Hears one fact. Must not block, cannot fail, and should return within microseconds.
    fn observe(&self, fact: &Fact);
}

const _: fn(&dyn Observer) = |_| {};

/// Several observers as one; each hears every fact.
impl Observer for Vec<Arc<dyn Observer>> {
    fn observe(&self, fact: &Fact) {
        for observer in self {
            observer.observe(fact);
        }
    }
}

/// Nobody watches.
impl Observer for () {
    fn observe(&self, _: &Fact) {}
}
