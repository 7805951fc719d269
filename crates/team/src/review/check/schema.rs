//! Work that has to be JSON of a certain form.

use async_trait::async_trait;
use jsonschema::Validator;
use serde_json::Value;

use super::{Check, Terms, terms, unfenced};

/// How many violations are told at once.
const MAX_VIOLATIONS: usize = 10;

/// Passes work that is one JSON value, fenced or not, which follows a JSON schema.
#[derive(Clone, Debug)]
pub struct SchemaCheck {
    terms: Terms,
    validator: std::sync::Arc<Validator>,
}

/// A JSON schema that is none.
#[derive(Debug, thiserror::Error)]
#[error("the schema of check {id:?} is not understood: {why}")]
pub struct BadSchema {
    id: String,
    why: String,
}

impl SchemaCheck {
    /// A check against `schema`. References to other documents are not followed.
    ///
    /// # Errors
    ///
    /// [`BadSchema`] if it is no schema.
    pub fn new(id: impl Into<String>, schema: &Value) -> Result<Self, BadSchema> {
        let terms = Terms::new(id);
        match jsonschema::validator_for(schema) {
            Ok(validator) => Ok(Self { terms, validator: std::sync::Arc::new(validator) }),
            Err(error) => Err(BadSchema { id: terms.id, why: error.to_string() }),
        }
    }

    terms!(setters);
}

#[async_trait]
impl Check for SchemaCheck {
    terms!(getters);

    async fn look(&self, work: &str) -> Result<(), String> {
        let value: Value = match serde_json::from_str(unfenced(work)) {
            Ok(value) => value,
            Err(error) => return Err(format!("it is no JSON: {error}")),
        };
        let violation = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str() {
            "" => error.to_string(),
            place => format!("{place}: {error}"),
        };
        let found: Vec<String> = self.validator.iter_errors(&value).take(MAX_VIOLATIONS).map(violation).collect();
        if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
    }
}
