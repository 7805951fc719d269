//! The words and the seams of Bellwether, in the order in which a call meets them:
//!
//! - [`call`]: who asks, how urgently, until when.
//! - [`chat`]: what is asked and what is answered; a unary answer is the fold of its stream.
//! - [`usage`]: what a call will take, what it took, and what that cost.
//! - [`error`]: how a call fails, and when to try again.
//! - [`permit`]: a reservation that is settled exactly once.
//! - [`fact`]: everything that can happen, in the past tense.
//! - the seams, each one trait that works behind a pointer: [`ChatProvider`], [`RateLimiter`], [`TaskQueue`],
//!   [`Journal`], [`Observer`].
//! - [`time`]: time as a value, for decisions that read no clock.
//!
//! There is no I/O here and no runtime. Whoever implements a seam may depend on this crate alone; the feature
//! `test-util` adds a double and a conformance test for each seam.

/// An enum whose variants have a word each, as metrics, files and reports name them.
macro_rules! words {
    ($(#[$of_enum:meta])* pub enum $name:ident { $($(#[$of_variant:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$of_enum])*
        pub enum $name {
            $($(#[$of_variant])* $variant,)*
        }

        impl $name {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its word, in snake case, as metrics, files and reports name it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

pub mod call;
pub mod chat;
pub mod error;
pub mod fact;
pub mod journal;
pub mod limiter;
pub mod observer;
pub mod permit;
pub mod provider;
pub mod queue;
#[cfg(feature = "test-util")]
pub mod test_util;
pub mod time;
pub mod usage;

pub use call::{Call, CallContext, Class, Flow, RunId, TaskId};
pub use chat::{ChatEvent, ChatRequest, ChatResponse, ChatStream, FinishReason, Message};
pub use error::{ErrorKind, ProviderError, Retry};
pub use fact::{Fact, KeyState, RunOutcome, TaskState};
pub use journal::Journal;
pub use limiter::RateLimiter;
pub use observer::Observer;
pub use permit::{Outcome, Permit, Settle};
pub use provider::ChatProvider;
pub use queue::TaskQueue;
pub use time::Timestamp;
pub use usage::{Demand, Price, Usage, Usd};
