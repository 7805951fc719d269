//! A provider of our own, swapped in behind the trait: the rest of the team does not notice.
//!
//! ```sh
//! cargo run --example custom_provider
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ProviderError, Usage};
use bellwether_team::{Role, Team, Tier};

/// Answers from the head, without any network. A real one would ask its own service here.
#[derive(Debug)]
struct OutOfTheHead;

#[async_trait]
impl ChatProvider for OutOfTheHead {
    fn name(&self) -> &'static str {
        "out-of-the-head"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let text = match context.phase {
            "plan" => "1. Gather the flock\n2. Hang a bell on its leader",
            "review" => "Verdict: accept\nScore: 0.9",
            _ => "Done.",
        };
        let usage = Usage { input_tokens: Some(20), output_tokens: Some(5), ..Usage::default() };
        Ok(ChatStream::ready(ChatResponse { usage, ..ChatResponse::text(text) }))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(vec!["head".to_owned()])
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tier = Tier::new(Arc::new(OutOfTheHead), "head");
    let team = Team::builder("shepherds")
        .role(Role::planner("elder", "You plan.", tier.clone()))
        .role(Role::worker("shepherd", "You do it.", tier.clone()))
        .role(Role::reviewer("owner", "You judge it.", tier))
        .build()?;
    let report = team.run("Find a bellwether").await;
    for task in &report.tasks {
        println!("{} {:<30} {}", task.task_id, task.title, task.state.as_str());
    }
    println!("{}: {}", report.outcome.as_str(), report.reason);
    Ok(())
}
