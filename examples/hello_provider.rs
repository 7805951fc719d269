//! One question to HolySheep, answered as a stream; to a simulator if there is no key.
//!
//! ```sh
//! HOLYSHEEP_API_KEY=... cargo run --example hello_provider
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use std::error::Error;

use bellwether_provider::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ConfigError, Message, OpenAiCompatible, Preset, ProviderConfig,
};
use bellwether_sim::{Scenario, Simulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let simulator = Simulator::start(Scenario::default(), ([127, 0, 0, 1], 0).into()).await?;
    let config = match ProviderConfig::from_env(Preset::HolySheep) {
        Ok(config) => config,
        Err(ConfigError::MissingKey { variable }) => {
            println!("{variable} is not set: asking a simulator\n");
            ProviderConfig::new("simulator", simulator.base_url())
        }
        Err(error) => return Err(error.into()),
    };
    let provider = OpenAiCompatible::new(config)?;

    let question = "Which sheep leads the flock, and why is it called so?";
    let request = ChatRequest::new("claude-opus-4-5", vec![Message::user(question)]);
    let mut answer = provider.stream(request, CallContext::default()).await?;
    while let Some(event) = answer.next().await {
        match event? {
            ChatEvent::Text(piece) => print!("{piece}"),
            ChatEvent::Usage(usage) => println!("\n\n{} tokens", usage.tokens()),
            _ => {}
        }
    }
    simulator.shutdown().await;
    Ok(())
}
