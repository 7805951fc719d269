//! A simulated provider: a real OpenAI-compatible HTTP server with limits, latency and faults.

mod clock;
mod connection;
mod scenario;
mod server;
mod stats;

pub use scenario::{
    Algorithm, Answers, ApiKey, Burst, Fail, Fault, Faults, Latency, Limit, Model, PlanForm, Rejections, RetryAfter,
    Scenario, ScenarioError, VerdictForm,
};
pub use server::Simulator;
pub use stats::{Share, Stats};
