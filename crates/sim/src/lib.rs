//! A simulated provider: a real OpenAI-compatible HTTP server with limits, latency and faults.

pub mod answers;
pub mod fate;
pub mod quota;

mod app;
mod clock;
mod connection;
mod desk;
mod reply;
mod routes;
mod scenario;
mod server;
mod stats;
mod wire;

pub use scenario::{
    Algorithm, Answers, ApiKey, Burst, Fail, Fault, Faults, Latency, Limit, Model, PlanForm, Rejections, RetryAfter,
    Scenario, ScenarioError, VerdictForm,
};
pub use server::Simulator;
pub use stats::{Share, Stats};
