//! The conversation so far, tools, the shape wanted, the limits.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::ToolCall;

/// A question to a model, in the field's terms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// The model, by the provider's name for it.
    pub model: Arc<str>,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The functions the model may ask us to call.
    pub tools: Vec<Tool>,
    /// Which of them it has to call; the provider decides if absent.
    pub tool_choice: Option<ToolChoice>,
    /// The shape of the answer.
    pub response_format: Option<ResponseFormat>,
    /// The most output tokens to buy, reasoning included; the provider's own cap if absent.
    pub max_output_tokens: Option<u32>,
    /// Sampling temperature; the provider's default if absent.
    pub temperature: Option<f32>,
    /// Nucleus sampling; the provider's default if absent.
    pub top_p: Option<f32>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Asks for a repeatable answer.
    pub seed: Option<u64>,
    /// Further fields, passed on untouched. They never replace a field that this type sets.
    pub extra: Map<String, Value>,
}

impl ChatRequest {
    /// Asks `model` to answer `messages`.
    #[must_use]
    pub fn new(model: impl Into<Arc<str>>, messages: Vec<Message>) -> Self {
        Self { model: model.into(), messages, ..Self::default() }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: MessageRole,
    /// What is said.
    pub content: Vec<Part>,
    /// The calls an assistant asked for.
    pub tool_calls: Vec<ToolCall>,
    /// Which call a tool's message answers.
    pub tool_call_id: Option<String>,
}

impl Message {
    fn text(role: MessageRole, text: impl Into<String>) -> Self {
        Self { role, content: vec![Part::Text(text.into())], tool_calls: Vec::new(), tool_call_id: None }
    }

    /// Instructions that hold for the whole conversation.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self::text(MessageRole::System, text)
    }

    /// What the user says.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::text(MessageRole::User, text)
    }

    /// What the model said.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::text(MessageRole::Assistant, text)
    }

    /// What the call `id` of a tool returned.
    #[must_use]
    pub fn tool(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tool_call_id: Some(id.into()), ..Self::text(MessageRole::Tool, text) }
    }

    /// The number of characters in its text parts.
    #[must_use]
    pub fn chars(&self) -> usize {
        let of = |part: &Part| if let Part::Text(text) = part { text.chars().count() } else { 0 };
        self.content.iter().map(of).sum()
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageRole {
    /// The model.
    Assistant,
    /// Instructions.
    System,
    /// The result of a call that the model asked for.
    Tool,
    /// The user.
    User,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// A content part in the provider's own JSON, passed on untouched.
    Opaque(Value),
    /// What the model thought before it said this. Sent back only to providers that ask for it.
    Reasoning(String),
    /// Text.
    Text(String),
}

/// A function the model may ask us to call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// A JSON schema of its arguments.
    pub parameters: Value,
}

/// Which tool has to be called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// This one.
    Named(String),
    /// None.
    None,
    /// At least one.
    Required,
}

/// The shape of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The schema.
        schema: Value,
    },
}
