//! The provider without anything else of Bellwether: one answer as a whole, and one as it comes.
//!
//! ```sh
//! HOLYSHEEP_API_KEY=... cargo run --example provider_alone
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its answers")]

use bellwether_provider::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, Message, OpenAiCompatible, Preset, ProviderConfig,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = OpenAiCompatible::new(ProviderConfig::from_env(Preset::HolySheep)?)?;
    let ask = |text: &str| ChatRequest::new("claude-sonnet-4-6", vec![Message::user(text)]);
    let answer = provider.chat(ask("Which sheep leads the flock?"), CallContext::default()).await?;
    println!("{}\nIt cost {}.\n", answer.text, provider.cost("claude-sonnet-4-6", &answer.usage));
    let mut stream = provider.stream(ask("And who follows it?"), CallContext::default()).await?;
    while let Some(event) = stream.next().await {
        if let ChatEvent::Text(piece) = event? {
            print!("{piece}");
        }
    }
    Ok(())
}
