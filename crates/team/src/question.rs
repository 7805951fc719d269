//! What agents ask each other: a question in place of work, and the letters that reach nobody.

use bellwether_core::TaskId;
use serde::{Deserialize, Serialize};

use crate::extract;

/// The longest question: whoever answers pays for it.
const MAX_QUESTION_CHARS: usize = 4_000;

/// A question that the worker of a task asks somebody else before it hands in work.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Question {
    /// The task or the role that is asked, in the worker's word.
    pub(crate) to: String,
    /// What is asked.
    pub(crate) text: String,
}

/// A question, and what came of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    /// The answer, or why there is none; `None` as long as somebody may still answer.
    pub(crate) answer: Option<Result<String, String>>,
}

/// A message that reached nobody.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Who sent it: an agent, a task or the runtime.
    pub from: String,
    /// Whom it was for.
    pub to: String,
    /// What it was, such as `question` or `assign`.
    pub what: String,
    /// The task it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Why nobody got it.
    pub reason: String,
}

impl Question {
    /// The question that an answer is; `None` if it is work. Only an answer that is such an object and nothing else asks.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a sentence a worker can act on.
    pub(crate) fn read(answer: &str) -> Option<Result<Self, String>> {
        let object = extract::sole_object(answer)?;
        let ask = object.get("ask").filter(|ask| ask.is_object())?;
        let (Some(to), Some(text)) = (extract::text(ask, "to"), extract::text(ask, "question")) else {
            return Some(Err("a question needs \"to\" and \"question\"".to_owned()));
        };
        if text.chars().count() > MAX_QUESTION_CHARS {
            return Some(Err(format!("the question has more than {MAX_QUESTION_CHARS} characters: ask more briefly")));
        }
        Some(Ok(Self { to: to.chars().take(100).collect(), text }))
    }
}

#[cfg(test)]
mod tests {
    use super::Question;

    #[test]
    fn only_an_answer_that_is_a_question_and_nothing_else_asks() {
        let asked = Question::read(
            r#"```json
            {"ask": {"to": "t2", "question": "which port?"}}
            ```"#,
        );
        assert_eq!(asked, Some(Ok(Question { to: "t2".to_owned(), text: "which port?".to_owned() })));
        for work in ["fn main() {}", r#"The API takes {"ask": {"to": "t2", "question": "?"}}"#, r#"{"ask": "t2"}"#, "{"]
        {
            assert_eq!(Question::read(work), None, "{work}");
        }
        assert!(Question::read(r#"{"ask": {"to": "t2"}}"#).is_some_and(|read| read.is_err()));
        let long = format!(r#"{{"ask": {{"to": "t2", "question": "{}"}}}}"#, "x".repeat(5_000));
        assert!(Question::read(&long).is_some_and(|read| read.is_err_and(|problem| problem.contains("briefly"))));
    }
}
