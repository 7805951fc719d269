//! Code samples in two languages, by what the task is about.

mod python;
mod rust;

use super::{Prompt, Speaker};

/// The language that a prompt speaks of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Language {
    Python,
    Rust,
}

/// An explanation and the code that goes with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) code: &'static str,
    pub(super) explanation: &'static str,
}

/// The sample that fits a task's title best.
pub(super) fn sample(title: &str, language: Language) -> Sample {
    let title = title.to_lowercase();
    let topic = TOPICS.iter().find(|topic| topic.words.iter().any(|word| title.contains(word))).unwrap_or(&OTHER);
    let code = match language {
        Language::Python => topic.python,
        Language::Rust => topic.rust,
    };
    Sample { code, explanation: topic.explanation }
}

impl Language {
    /// The first one named in the instructions or else by the user; Rust if neither is.
    pub(super) fn of(prompt: &Prompt) -> Self {
        let texts = prompt.said_by(Speaker::System).chain(prompt.said_by(Speaker::User));
        texts.map(str::to_lowercase).find_map(|text| Self::named_in(&text)).unwrap_or(Self::Rust)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Rust => "rust",
        }
    }

    fn named_in(text: &str) -> Option<Self> {
        match (text.find("python"), text.find("rust")) {
            (Some(python), Some(rust)) if rust < python => Some(Self::Rust),
            (Some(_), _) => Some(Self::Python),
            (None, Some(_)) => Some(Self::Rust),
            (None, None) => None,
        }
    }
}

#[derive(Debug)]
struct Topic {
    words: &'static [&'static str],
    explanation: &'static str,
    python: &'static str,
    rust: &'static str,
}

const TOPICS: [Topic; 5] = [
    Topic {
        words: &["test", "prüf"],
        explanation: "Each promise is checked by a test whose name says it. Time is virtual, so that waiting costs nothing.",
        python: python::TESTS,
        rust: rust::TESTS,
    },
    Topic {
        words: &["retry", "jitter", "backoff", "wiederhol"],
        explanation: "The pause before the next attempt is drawn between zero and a growing bound, so that many callers do not \
                      return at the same moment. A time named by the server is a floor.",
        python: python::RETRY,
        rust: rust::RETRY,
    },
    Topic {
        words: &["timeout", "send", "request", "http"],
        explanation: "One call, one attempt. Every step has its own limit, and giving up closes the connection.",
        python: python::SEND,
        rust: rust::SEND,
    },
    Topic {
        words: &["pool", "config", "setting", "default"],
        explanation: "All settings stand in one place with finite defaults. Idle connections are reused until they are too old.",
        python: python::POOL,
        rust: rust::POOL,
    },
    Topic {
        words: &["interface", "error", "type", "failure", "api"],
        explanation: "The error type carries the decision: whoever handles it asks whether another attempt makes sense instead \
                      of reading messages.",
        python: python::ERRORS,
        rust: rust::ERRORS,
    },
];

const OTHER: Topic = Topic {
    words: &[],
    explanation: "The decision is a plain function of its inputs; reading and writing stay at the border, so that it can be \
                  tested without either.",
    python: python::CORE,
    rust: rust::CORE,
};
