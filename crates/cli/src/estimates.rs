//! What calls take, learnt by the limiter's estimator as dispatch asks it.

use bellwether_core::{ChatRequest, Demand, Usage};
use bellwether_limiter::Estimator;

/// The limiter's estimator behind the seam of dispatch.
#[derive(Debug, Default)]
pub(crate) struct Estimates(Estimator);

impl bellwether_dispatch::Estimator for Estimates {
    fn demand(&self, request: &ChatRequest, role: &str) -> Demand {
        self.0.demand(request, role)
    }

    fn learn(&self, request: &ChatRequest, role: &str, usage: &Usage) {
        self.0.learn(request, role, usage);
    }
}
