//! Caps in money, tokens, calls and time that are never broken: each call's worst case is reserved before it is sent.
//!
//! - [`Caps`] and [`Scope`]: how much, and for whom: everything, a tenant, a role, a run, a task.
//! - [`Ledger`]: what is spent and what is reserved; a pure account book.
//! - [`Till`]: a cap that several processes share, such as that of a tenant for a day.
//! - [`Budgeted`]: a [`ChatProvider`] around another one that keeps to a ledger. Put it below the retry layer, so that
//!   every attempt is accounted for.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bellwether_budget::{Budgeted, Caps, Ledger, Scope};
//! use bellwether_core::{CallContext, ChatProvider, ChatRequest, ErrorKind, Message, Price, Usd};
//! # use bellwether_core::{ChatResponse, Usage};
//! # use bellwether_provider::Scripted;
//! # let usage = Usage { input_tokens: Some(10), output_tokens: Some(100), ..Usage::default() };
//! # let provider = Scripted::answering(move |_, _| Ok(ChatResponse { usage, ..ChatResponse::text("done") }));
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let dollars = |amount| Usd::from_dollars(amount).expect("not negative");
//! let price = Price { input_per_mtok: dollars(5.0), cached_per_mtok: dollars(5.0), output_per_mtok: dollars(25.0) };
//! let ledger = Ledger::new([(Scope::Everything, Caps { usd: Some(dollars(0.01)), ..Caps::default() })]);
//! let budgeted = Budgeted::new(Arc::new(provider), ledger).price("your-model", price);
//!
//! let ask = |cap| ChatRequest {
//!     max_output_tokens: Some(cap),
//!     ..ChatRequest::new("your-model", vec![Message::user("Which sheep leads the flock?")])
//! };
//! assert!(budgeted.chat(ask(100), CallContext::default()).await.is_ok());
//! // A thousand output tokens could cost $0.025: that is refused before anything is sent.
//! let refused = budgeted.chat(ask(1_000), CallContext::default()).await.unwrap_err();
//! assert_eq!(refused.kind, ErrorKind::BudgetExceeded);
//! # });
//! ```

mod budgeted;
mod ledger;
mod till;
mod worst;

pub use bellwether_core::{CallContext, ChatProvider, ChatRequest, Price, ProviderError, Usage, Usd};
pub use budgeted::Budgeted;
pub use ledger::{Account, Amount, Caps, Exceeded, Ledger, Limit, Reservation, Scope};
pub use till::{Refusal, Till};
pub use worst::worst_input_tokens;
