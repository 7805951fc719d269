//! How things stand that no fact tells: budgets and limits, said by whoever holds them.

use std::sync::Arc;

use bellwether_core::Usd;
use metrics::{SharedString, gauge};

use crate::names;

/// Says how a budget stands: spent, reserved for calls under way, and the cap if there is one.
pub fn budget_stands(spent: Usd, reserved: Usd, cap: Option<Usd>) {
    gauge!(names::BUDGET_SPENT).set(spent.as_dollars());
    gauge!(names::BUDGET_RESERVED).set(reserved.as_dollars());
    if let Some(cap) = cap {
        gauge!(names::BUDGET_LIMIT).set(cap.as_dollars());
    }
}

/// How one limit of a quota stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitStands {
    /// What could be taken at once: requests or tokens; negative while a debt is worked off.
    pub level: i64,
    /// Whether the limit was told, or else found out.
    pub told: bool,
    /// How much more we thought was there than the provider said the last time, if it said anything.
    pub drift: Option<i64>,
}

/// Says how a limit of a quota stands: one of requests or tokens, as `dimension` says. A quota's name becomes a label:
/// name few.
pub fn limit_stands(quota: &Arc<str>, dimension: &'static str, stands: LimitStands) {
    let LimitStands { level, told, drift } = stands;
    let quota = || SharedString::from(Arc::clone(quota));
    gauge!(names::LIMIT_AVAILABLE, "dimension" => dimension, "quota" => quota()).set(float(level.max(0)));
    gauge!(names::LIMIT_DEBT, "dimension" => dimension, "quota" => quota()).set(float(level.saturating_neg().max(0)));
    for (source, is_it) in [("found", !told), ("told", told)] {
        let now = f64::from(u8::from(is_it));
        gauge!(names::LIMIT_SOURCE, "dimension" => dimension, "quota" => quota(), "source" => source).set(now);
    }
    if let Some(drift) = drift {
        gauge!(names::HEADER_DRIFT, "dimension" => dimension, "quota" => quota()).set(float(drift));
    }
}

/// Beyond 2^53 nobody looks closely.
#[expect(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
const fn float(level: i64) -> f64 {
    level as f64
}
