//! Work that has to contain something, or must not.

use async_trait::async_trait;
use regex::{Regex, RegexBuilder};

use super::{Check, Terms, terms};

/// The most memory a compiled pattern may take, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// Looks for a regular expression in the work, in time linear in its length.
#[derive(Clone, Debug)]
pub struct PatternCheck {
    terms: Terms,
    pattern: Regex,
    wanted: bool,
}

/// A regular expression that is none.
#[derive(Debug, thiserror::Error)]
#[error("the pattern of check {id:?} is not understood: {why}")]
pub struct BadPattern {
    id: String,
    why: String,
}

impl PatternCheck {
    /// Passes work that contains a match of `pattern` (in the syntax of the `regex` crate).
    ///
    /// # Errors
    ///
    /// [`BadPattern`] if it is not understood or needs too much memory.
    pub fn contains(id: impl Into<String>, pattern: &str) -> Result<Self, BadPattern> {
        let terms = Terms::new(id);
        match RegexBuilder::new(pattern).size_limit(MAX_SIZE).build() {
            Ok(pattern) => Ok(Self { terms, pattern, wanted: true }),
            Err(error) => Err(BadPattern { id: terms.id, why: error.to_string() }),
        }
    }

    /// Passes work that contains no match of `pattern`.
    ///
    /// # Errors
    ///
    /// As [`PatternCheck::contains`].
    pub fn lacks(id: impl Into<String>, pattern: &str) -> Result<Self, BadPattern> {
        Self::contains(id, pattern).map(|check| Self { wanted: false, ..check })
    }

    terms!(setters);
}

#[async_trait]
impl Check for PatternCheck {
    terms!(getters);

    async fn look(&self, work: &str) -> Result<(), String> {
        match (self.pattern.find(work), self.wanted) {
            (Some(_), true) | (None, false) => Ok(()),
            (None, true) => Err(format!("nothing in it matches `{}`", self.pattern)),
            (Some(found), false) => {
                let line = work[..found.start()].lines().count().max(1);
                Err(format!("line {line} matches `{}`, which must not be there", self.pattern))
            }
        }
    }
}
