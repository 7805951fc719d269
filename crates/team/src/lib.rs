//! Runs teams of LLM agents: a planner breaks a request down, workers do the parts side by side, a reviewer judges
//! each, what is not good enough goes back once, and everything that was paid for is reported. With a journal, a run
//! that was stopped or crashed goes on where it was.
//!
//! - [`team`]: a team and its rules, put together by [`Team::builder`].
//! - [`role`]: who is in it, and which models they may use.
//! - [`plan`]: what is to be done, understood from what a planner says.
//! - [`estimate`]: what a plan is likely to take.
//! - [`review`]: checks that need no model, and what keeps the loop of revisions short.
//! - [`verdict`]: what a reviewer says of a piece of work.
//! - [`message`]: what agents and the runtime say to each other.
//! - [`runtime`]: living through a run, and stopping it.
//! - [`economy`]: what a run does without when its budget runs low.
//! - [`report`]: what came of it.
//! - [`events`]: what happens in its runs, as a stream.
//! - [`explain`]: why a task went as it did.
//!
//! A team knows its models only as [`ChatProvider`]s and everybody who watches as [`Observer`]s.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bellwether_team::{ChatProvider, Role, Team, Tier};
//! # use bellwether_provider::Scripted;
//! # use bellwether_core::ChatResponse;
//! # let provider = Scripted::answering(|_, context| Ok(ChatResponse::text(match context.phase {
//! #     "plan" => "1. Write it\n2. Test it",
//! #     _ => "done",
//! # })));
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let provider: Arc<dyn ChatProvider> = Arc::new(provider);
//! let tier = Tier::new(provider, "your-model");
//! let team = Team::builder("pair")
//!     .role(Role::planner("lead", "You plan: answer with a numbered list of subtasks.", tier.clone()))
//!     .role(Role::worker("coder", "You write clean, documented Rust.", tier))
//!     .build()?;
//! let report = team.run("An async HTTP client with retries").await;
//! assert_eq!(report.tasks.len(), 2);
//! assert!(report.tasks.iter().all(|task| task.success));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agent;
mod context;
pub mod economy;
pub mod estimate;
pub mod events;
pub mod explain;
mod extract;
mod history;
mod log;
mod mailbox;
pub mod message;
pub mod plan;
mod prompt;
mod question;
pub mod report;
pub mod review;
pub mod role;
pub mod runtime;
mod state;
pub mod team;
pub mod verdict;

pub use bellwether_core::{ChatProvider, Class, Fact, Journal, Observer, RunId, RunOutcome, TaskState};
pub use bellwether_router::Router;
pub use economy::Economy;
pub use estimate::Estimate;
pub use events::Events;
pub use plan::{Join, Plan, SpawnRules};
pub use question::DeadLetter;
pub use report::{RunReport, TaskResult};
pub use review::{Check, CommandCheck, Finding, OnExhausted, ReviewRules};
#[cfg(feature = "checks")]
pub use review::{PatternCheck, SchemaCheck};
pub use role::{Role, RoleKind, Tier};
pub use runtime::{Booked, ChangedTerms, Control, Doubt, Past, ResumeError, Ruling, TaskRuling, fork, new_run_id};
pub use team::{OnInvalidPlan, OnTaskFailure, Settings, Share, Team, TeamBuilder, TeamError};
