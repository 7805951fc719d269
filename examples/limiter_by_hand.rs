//! The limiter by hand: one quota, and calls that keep to it.
//!
//! ```sh
//! cargo run -p bellwether-examples --example limiter_by_hand
//! ```

#![expect(clippy::print_stdout, reason = "an example shows something")]

use bellwether_limiter::{Demand, Limit, Limiter, Limits, Outcome, Rate, RateLimits, Refused, Settings, Usage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Refused> {
    let limits = Limits { requests: Limit::told(Rate::per_second(10)), ..Limits::default() };
    let limiter = Limiter::new("my key", Settings { limits, ..Settings::default() });
    for _ in 0..15 {
        let permit = limiter.acquire(Demand { requests: 1, input_tokens: 900, output_tokens: 500 }, None).await?;
        // Here the call is sent; this is what it took.
        let usage = Usage { input_tokens: Some(871), output_tokens: Some(322), ..Usage::default() };
        permit.settle(Outcome::Completed { usage, limits: RateLimits::default() });
    }
    println!("{}", limiter.snapshot());
    Ok(())
}
