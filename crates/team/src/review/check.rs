//! Checks that need no model: what a machine can find, no judge is paid for.

mod command;
#[cfg(feature = "checks")]
mod pattern;
#[cfg(feature = "checks")]
mod schema;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub use command::CommandCheck;
#[cfg(feature = "checks")]
pub use pattern::{BadPattern, PatternCheck};
#[cfg(feature = "checks")]
pub use schema::{BadSchema, SchemaCheck};

/// How much of a finding's evidence is kept, in characters: enough for the end of a failing test's output.
pub(crate) const MAX_EVIDENCE: usize = 2_000;

/// Looks at a piece of work before any judge does.
///
/// Work that a check with [`Check::must`] finds wanting goes straight back to its author with the evidence; what other
/// checks find is shown to the judge.
#[async_trait]
pub trait Check: fmt::Debug + Send + Sync {
    /// Its name, unique in the team.
    fn id(&self) -> &str;

    /// Whether work that does not pass goes back.
    fn must(&self) -> bool {
        true
    }

    /// Whether it looks at the work of this role.
    fn is_for(&self, role: &str) -> bool {
        let _ = role;
        true
    }

    /// Looks at the work.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for its author.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the check and what it started.
    async fn look(&self, work: &str) -> Result<(), String>;
}

const _: fn(&dyn Check) = |_| {};

/// What was found about one criterion or by one check.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The criterion, such as `c2`, or the check.
    pub id: String,
    /// Whether work that does not meet it goes back.
    pub must: bool,
    /// Whether it is met.
    pub pass: bool,
    /// Why, from the work itself.
    pub evidence: String,
}

/// Lets every check look at the work, side by side. A check that falls over has found something: itself.
pub(crate) async fn all(checks: Vec<Arc<dyn Check>>, work: String) -> Vec<Finding> {
    let work: Arc<str> = work.into();
    let looking = checks.into_iter().map(|check| {
        let work = Arc::clone(&work);
        let (id, must) = (check.id().to_owned(), check.must());
        let mut looked = JoinSet::new();
        looked.spawn(async move { check.look(&work).await });
        (id, must, looked)
    });
    let looking: Vec<_> = looking.collect();
    let mut findings = Vec::with_capacity(looking.len());
    for (id, must, mut looked) in looking {
        let found = match looked.join_next().await {
            Some(Ok(found)) => found,
            _ => Err("the check itself fell over".to_owned()),
        };
        let evidence = found.as_ref().err().map(|why| tail(why)).unwrap_or_default();
        findings.push(Finding { id, must, pass: found.is_ok(), evidence });
    }
    findings
}

/// Which roles' work is looked at, and whether it goes back: what all checks have in common.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) id: String,
    pub(crate) must: bool,
    /// The roles; all if empty.
    pub(crate) roles: Vec<String>,
}

impl Terms {
    pub(crate) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), must: true, roles: Vec::new() }
    }

    pub(crate) fn is_for(&self, role: &str) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|named| named == role)
    }
}

/// Adds to a check the setters and the trait's getters that all checks share.
macro_rules! terms {
    (setters) => {
        /// Only tells the judge; the work does not go back for it.
        #[must_use]
        pub fn advisory(mut self) -> Self {
            self.terms.must = false;
            self
        }

        /// Looks at the work of these roles only.
        #[must_use]
        pub fn for_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
            self.terms.roles = roles.into_iter().map(Into::into).collect();
            self
        }
    };
    (getters) => {
        fn id(&self) -> &str {
            &self.terms.id
        }

        fn must(&self) -> bool {
            self.terms.must
        }

        fn is_for(&self, role: &str) -> bool {
            self.terms.is_for(role)
        }
    };
}
pub(crate) use terms;

/// The end of `text`, at most [`MAX_EVIDENCE`] characters: what a tool says last is what went wrong.
pub(crate) fn tail(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(MAX_EVIDENCE);
    text.chars().skip(skip).collect()
}

/// What stands in the first fenced block, or else the whole text: models wrap code and data in fences.
pub(crate) fn unfenced(work: &str) -> &str {
    let Some(open) = work.find("```") else { return work.trim() };
    let rest = &work[open + 3..];
    let Some(line) = rest.find('\n') else { return work.trim() };
    let body = &rest[line + 1..];
    body.find("```").map_or(work, |close| &body[..close]).trim()
}
