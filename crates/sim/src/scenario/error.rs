//! What is wrong with a scenario file, and in which line.

/// A scenario file cannot be read; the message says where, why, and what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{problem}; correct it, or delete it to get the default", self.place())]
pub struct ScenarioError {
    line: Option<usize>,
    problem: String,
}

impl ScenarioError {
    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, span.start));
        Self { line, problem: error.message().trim_end().replace('\n', ", ") }
    }

    /// For what only shows when the whole file is known: points at the line that begins with `key` for the `nth` time, from 0,
    /// or else at the first one.
    pub(super) fn at_key(text: &str, key: &str, nth: usize, problem: &str) -> Self {
        let begins = |line: &str| {
            let rest = line.trim_start_matches(['[', ' ', '\t']).strip_prefix(key);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        let mut lines = text.lines().enumerate().filter(|(_, line)| begins(line)).map(|(at, _)| at + 1);
        let first = lines.next();
        let line = nth.checked_sub(1).and_then(|further| lines.nth(further)).or(first);
        Self { line, problem: problem.to_owned() }
    }

    /// The line, counted from 1, if it is known.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        self.line
    }

    fn place(&self) -> String {
        self.line.map_or_else(String::new, |line| format!("line {line}: "))
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
