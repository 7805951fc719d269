//! A simulated provider: a real OpenAI-compatible HTTP server with limits, latency and faults.
//!
//! Point any client at [`Simulator::base_url`] and see how it copes with a tight quota, a burst of 429s, one answer in five
//! being a 503, a connection that breaks in the middle. Plans, work and verdicts fit the question, so that a whole team of
//! agents can run against it without a key and without a bill; and nothing it says pretends to come from a real model.
//!
//! - `POST /v1/chat/completions`: whole or streamed (`stream`, `stream_options.include_usage`)
//! - `GET /v1/models`
//! - `GET /stats`: what happened so far, as [`Stats`]; needs no key
//!
//! ```
//! use bellwether_sim::{Scenario, Simulator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = Scenario::parse("limits = [{ rpm = 60, concurrency = 4 }]")?;
//! let simulator = Simulator::start(scenario, "127.0.0.1:0".parse()?).await?;
//! println!("OPENAI_BASE_URL={}", simulator.base_url());
//! assert_eq!(simulator.stats().requests, 0);
//! simulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What counts how
//!
//! - A token is four characters, rounded up over the whole text: in the limits, in `usage` and in the statistics alike.
//! - A request is charged its input and its `max_tokens` when it comes in ([`quota::ASSUMED_OUTPUT`] without a cap), and what
//!   it really took when it leaves. A refused request takes nothing; one that fails with 500 or 503 counts as a request.
//! - `x-ratelimit-limit-*` is the rate per minute; `-remaining-*` is what could be taken now; `-reset-*` is when all of it is
//!   there again. `Retry-After` is when the same request would be let in if nobody else came and the limits stayed. A refusal
//!   for want of a free slot, or of a request larger than the limit, has none.
//! - Requests are numbered from 1 as they come in, after key, form and model have been checked. Bursts and faults go by this
//!   number.
//!
//! # The scenario file
//!
//! ```toml
#![doc = include_str!("../scenario.toml")]
//! ```

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
