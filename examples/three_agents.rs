//! Three agents in twenty lines: a lead plans, engineers work side by side, a reviewer sends back what is not good enough.
//!
//! ```sh
//! cargo run --example three_agents
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use std::sync::Arc;

use bellwether_provider::{OpenAiCompatible, ProviderConfig};
use bellwether_sim::{Scenario, Simulator};
use bellwether_team::{Role, Team, Tier};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // With a real provider: ProviderConfig::preset(Preset::HolySheep), and a key.
    let simulator = Simulator::start(Scenario::default(), ([127, 0, 0, 1], 0).into()).await?;
    let provider = Arc::new(OpenAiCompatible::new(ProviderConfig::new("sim", simulator.base_url()))?);
    let tier = Tier::new(provider, "sim-large");
    let team = Team::builder("feature")
        .role(Role::planner("lead", "You are a tech lead: break the task down into subtasks.", tier.clone()))
        .role(Role::worker("coder", "You are a senior engineer: write clean, documented code.", tier.clone()))
        .role(Role::reviewer("reviewer", "You review code for security, speed and clarity.", tier))
        .build()?;
    let report = team.run("Implement an async HTTP client with retry logic").await;
    for task in &report.tasks {
        println!("{:<4} {:<10} {}", task.task_id, task.state.as_str(), task.title);
    }
    println!("{}: {}", report.outcome.as_str(), report.reason);
    simulator.shutdown().await;
    Ok(())
}
