//! What the simulated models say: plans, work and verdicts that fit the question.
//!
//! Pure and repeatable: the same prompt, forms and seed give the same answer. No answer pretends to be a real one: text ends
//! with a line `(simulated answer)`, JSON carries `"simulated": true`.
//!
//! ```
//! use bellwether_sim::Answers;
//! use bellwether_sim::answers::{self, Format, Message, Prompt, Role, Speaker};
//!
//! let say = |speaker, text: &str| Message { speaker, text: text.to_owned() };
//! let system = "Du bist ein erfahrener Tech Lead, der komplexe Aufgaben in handhabbare Subtasks zerlegt.";
//! let request = "Analyze and break down: Implementiere einen async HTTP-Client mit Retry-Logik";
//! let messages = vec![say(Speaker::System, system), say(Speaker::User, request)];
//! let answer = answers::compose(&Prompt { format: Format::Text, messages }, &Answers::default(), 1);
//! assert_eq!(answer.role, Role::Plan);
//! assert!(answer.text.contains("\n5. "));
//! ```

mod code;
mod plan;
mod review;
mod role;
mod subject;
mod work;

use crate::scenario::Answers;

/// What a model is asked: the part of a chat request that decides the answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Prompt {
    /// The form that the request demands.
    pub format: Format,
    /// The conversation.
    pub messages: Vec<Message>,
}

/// One message of the conversation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// Who says it.
    pub speaker: Speaker,
    /// What is said.
    pub text: String,
}

/// Who says something in a conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaker {
    /// The model.
    Assistant,
    /// Tools and whoever else has a role in a request.
    Other,
    /// The instructions: `system` and `developer`.
    System,
    /// The user.
    User,
}

/// The form that a request demands (`response_format`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// Some JSON object.
    Json,
    /// JSON of a schema with this name.
    Schema(String),
    /// Whatever fits.
    #[default]
    Text,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// A plan.
    Plan,
    /// A verdict on a piece of work.
    Review,
    /// A piece of work.
    Work,
}

/// A finished answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What it was taken to be asked for.
    pub role: Role,
    /// The text.
    pub text: String,
}

/// Answers a prompt.
#[must_use]
pub fn compose(prompt: &Prompt, forms: &Answers, seed: u64) -> Answer {
    let role = role::asked(prompt);
    let text = match role {
        Role::Plan => plan::write(prompt, forms),
        Role::Review => review::write(prompt, forms, seed),
        Role::Work => work::write(prompt),
    };
    Answer { role, text }
}

/// How many tokens a text counts as: a quarter of its characters, rounded up.
#[must_use]
pub fn tokens(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX).div_ceil(CHARS_PER_TOKEN)
}

/// The characters that count as one token.
pub const CHARS_PER_TOKEN: u64 = 4;

/// The line that marks every text as simulated.
pub const MARK: &str = "(simulated answer)";

// === impl Prompt ===

impl Prompt {
    /// The tokens of the whole conversation, counted as one text.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        let chars: usize = self.messages.iter().map(|message| message.text.chars().count()).sum();
        u64::try_from(chars).unwrap_or(u64::MAX).div_ceil(CHARS_PER_TOKEN)
    }

    fn wants_json(&self) -> bool {
        self.format != Format::Text || self.messages.iter().any(|message| message.text.contains("JSON"))
    }

    fn said_by(&self, speaker: Speaker) -> impl DoubleEndedIterator<Item = &str> {
        self.messages.iter().filter(move |message| message.speaker == speaker).map(|message| message.text.as_str())
    }
}

// === impl Role ===

impl Role {
    /// The name that statistics use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Review => "review",
            Self::Work => "work",
        }
    }
}
