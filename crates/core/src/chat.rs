//! What is asked and what is answered.
//!
//! - [`request`]: the conversation so far, tools, the shape wanted, the limits.
//! - [`stream`]: the answer as it arrives, and as a whole: the fold of its events.

pub mod request;
pub mod stream;

pub use request::{ChatRequest, Message, MessageRole, Part, ResponseFormat, Tool, ToolChoice};
pub use stream::{ChatEvent, ChatResponse, ChatStream, FinishReason, Fold, Started, ToolCall};
