//! A writer and a critic behind one queue, one limit and one retry layer, over real HTTP against a simulator that
//! fails now and then.
//!
//! ```sh
//! cargo run --example two_roles
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_dispatch::{Dispatch, PermitPool};
use bellwether_provider::{ChatProvider, OpenAiCompatible, ProviderConfig};
use bellwether_sim::{Answers, Faults, Scenario, Simulator};
use bellwether_team::{ReviewRules, Role, Settings, Team, Tier};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let scenario = Scenario {
        faults: Faults { error_503: 0.2, ..Faults::default() },
        answers: Answers { revise_share: 1.0, ..Answers::default() },
        ..Scenario::default()
    };
    let simulator = Simulator::start(scenario, ([127, 0, 0, 1], 0).into()).await?;
    let http = OpenAiCompatible::new(ProviderConfig::new("simulator", simulator.base_url()))?;
    let places = NonZeroUsize::new(4).ok_or("four is not zero")?;
    let dispatch = Arc::new(Dispatch::builder(Arc::new(http)).limiter(Arc::new(PermitPool::new(places))).build());

    let tier = Tier::new(Arc::<Dispatch>::clone(&dispatch) as Arc<dyn ChatProvider>, "sim-large");
    let team = Team::builder("press")
        .role(Role::worker("writer", "You write clean, documented Rust.", tier.clone()))
        .role(Role::reviewer("critic", "You review code for security and clarity.", tier))
        .settings(Settings { review: ReviewRules { max_rounds: 3, ..ReviewRules::default() }, ..Settings::default() })
        .build()?;
    let report = team.run("A function that parses Retry-After").await;

    let task = &report.tasks[0];
    println!("{}\n", task.result.as_deref().unwrap_or("nothing"));
    println!(
        "{} after {} revision(s), {} of {} calls sent again",
        task.state.as_str(),
        task.revisions,
        report.retries,
        report.calls
    );
    dispatch.shutdown().await;
    simulator.shutdown().await;
    Ok(())
}
