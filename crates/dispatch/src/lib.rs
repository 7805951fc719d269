//! Puts a waiting room, a quota and the one retry layer around a provider.
//!
//! [`Dispatch`] is itself a [`ChatProvider`]: whoever asks it waits for its turn in a [`TaskQueue`] and for room in a
//! [`RateLimiter`], and asks again when asking again helps. A 429 is no failed attempt: it pauses everybody on the
//! key, and the call takes its place in the line again. Dropping a call takes its ticket out of the line, or cancels
//! it and gives its place back.
//!
//! In the order in which a call meets them:
//!
//! - [`Dispatch`] and its [`DispatchBuilder`]: the parts, put together.
//! - [`Fifo`]: a bounded waiting room, strict between classes, in order of arrival within one.
//! - [`PermitPool`]: a quota of so many calls at a time, with one pause for all.
//! - [`Routes`]: several of them for one model, in order, for when a key cannot.
//! - [`RetryPolicy`]: how often to try, and how long to wait in between.
//! - [`HedgePolicy`]: whether a call that takes unusually long is sent a second time beside itself.
//! - [`Estimator`]: the seam to whatever learns how much calls take; [`demand`] and [`charge`]: what is reckoned without.
//! - [`Guard`]: the seam to a circuit breaker and a budget for retries. [`Parked`]: why a call on a refused key was
//!   turned away.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use bellwether_dispatch::{
//!     CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, Dispatch, Message, ProviderError,
//! };
//!
//! #[derive(Debug)]
//! struct Echo;
//!
//! #[async_trait]
//! impl ChatProvider for Echo {
//!     fn name(&self) -> &str {
//!         "echo"
//!     }
//!
//!     async fn stream(&self, request: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
//!         Ok(ChatStream::ready(ChatResponse::text(format!("{} heard you", request.model))))
//!     }
//!
//!     async fn models(&self) -> Result<Vec<String>, ProviderError> {
//!         Ok(vec!["parrot".to_owned()])
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), ProviderError> {
//!     let dispatch = Dispatch::builder(Arc::new(Echo)).build();
//!     let request = ChatRequest::new("parrot", vec![Message::user("Hello?")]);
//!     let answer = dispatch.chat(request, CallContext::default()).await?;
//!     assert_eq!(answer.text, "parrot heard you");
//!     dispatch.shutdown().await;
//!     Ok(())
//! }
//! ```

mod backoff;
mod clock;
mod course;
mod dispatch;
mod estimate;
mod fifo;
mod guard;
mod hedge;
mod key;
mod line;
mod live;
mod parking;
mod pool;
mod pump;
mod refusal;
mod routes;
mod story;
mod turn;

pub use backoff::RetryPolicy;
pub use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ChatStream, Class, Demand, ErrorKind, Fact, Flow,
    Message, Observer, ProviderError, RateLimiter, Retry, TaskQueue, Timestamp, Usage,
};
pub use dispatch::{Dispatch, DispatchBuilder};
pub use estimate::{Estimator, charge, demand};
pub use fifo::Fifo;
pub use guard::{Guard, Standing, Trial, Verdict};
pub use hedge::HedgePolicy;
pub use parking::Parked;
pub use pool::PermitPool;
pub use routes::Routes;
