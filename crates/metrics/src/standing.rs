//! How things stand that no fact tells: budgets and limits, said by whoever holds them.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bellwether_core::limiter::{Outlook, RateLimiter, Refused};
use bellwether_core::permit::{Outcome, Permit, RateLimits, Settle};
use bellwether_core::{Demand, Usd};
use metrics::{SharedString, gauge, histogram};

use crate::names;

/// Says how a budget stands: spent, reserved for calls under way, and the cap if there is one.
pub fn budget_stands(spent: Usd, reserved: Usd, cap: Option<Usd>) {
    gauge!(names::BUDGET_SPENT).set(spent.as_dollars());
    gauge!(names::BUDGET_RESERVED).set(reserved.as_dollars());
    if let Some(cap) = cap {
        gauge!(names::BUDGET_LIMIT).set(cap.as_dollars());
    }
}

/// Says what could be taken from a quota's limit at once: requests or tokens, as `dimension` says; negative while a debt
/// is worked off. A quota's name becomes a label: name few.
pub fn limit_stands(quota: &Arc<str>, dimension: &'static str, level: i64) {
    // Beyond 2^53 nobody looks closely.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
    let level = level as f64;
    let quota = || SharedString::from(Arc::clone(quota));
    gauge!(names::LIMIT_AVAILABLE, "dimension" => dimension, "quota" => quota()).set(level.max(0.0));
    gauge!(names::LIMIT_DEBT, "dimension" => dimension, "quota" => quota()).set((-level).max(0.0));
}

/// Another limiter, whose reservations are compared with what calls took in the end.
///
/// ```
/// # use std::sync::Arc;
/// # use bellwether_core::test_util::Unlimited;
/// use bellwether_metrics::{Measured, RateLimiter};
///
/// let limiter: Arc<dyn RateLimiter> = Arc::new(Measured::new("my key", Arc::new(Unlimited)));
/// ```
#[derive(Debug)]
pub struct Measured {
    quota: Arc<str>,
    inner: Arc<dyn RateLimiter>,
}

impl Measured {
    /// Measures `inner` under the name of its quota.
    #[must_use]
    pub fn new(quota: impl Into<Arc<str>>, inner: Arc<dyn RateLimiter>) -> Self {
        Self { quota: quota.into(), inner }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl RateLimiter for Measured {
    async fn acquire(&self, demand: Demand, deadline: Option<Instant>) -> Result<Permit, Refused> {
        let permit = self.inner.acquire(demand, deadline).await?;
        reserved(&self.quota, tokens(demand));
        let held = Held { quota: Arc::clone(&self.quota), demand: permit.demand(), permit };
        Ok(Permit::new(held.demand, Box::new(held)))
    }

    fn outlook(&self, demand: Demand) -> Option<Outlook> {
        self.inner.outlook(demand)
    }
}

#[derive(Debug)]
struct Held {
    quota: Arc<str>,
    demand: Demand,
    permit: Permit,
}

#[deny(clippy::missing_trait_methods)]
impl Settle for Held {
    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { quota, demand, permit } = *self;
        reserved(&quota, -tokens(demand));
        if let Outcome::Completed { usage, .. } = &outcome
            && !usage.is_absent()
            && demand.tokens() > 0
        {
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let ratio = usage.tokens() as f64 / demand.tokens() as f64;
            histogram!(names::ESTIMATE_RATIO, "quota" => SharedString::from(quota)).record(ratio);
        }
        permit.settle(outcome);
    }

    fn hint(&mut self, limits: &RateLimits) {
        self.permit.hint(limits);
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
fn tokens(demand: Demand) -> f64 {
    demand.tokens() as f64
}

fn reserved(quota: &Arc<str>, change: f64) {
    gauge!(names::LIMIT_RESERVED, "quota" => SharedString::from(Arc::clone(quota))).increment(change);
}
