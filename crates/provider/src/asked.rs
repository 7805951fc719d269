//! Whom a call asked for what, as every message says it.

use std::sync::Arc;

use crate::scrub::Scrub;

/// Whom a call asked for what, so that a failure can say so without giving the key away.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The provider's host and port.
    pub(crate) host: Arc<str>,
    /// The model, if the call was for one.
    pub(crate) model: Option<Arc<str>>,
    /// Removes the key.
    pub(crate) scrub: Scrub,
}

impl Asked {
    /// Begins a message: the host, and the model if there is one.
    pub(crate) fn says(&self, what: &str) -> String {
        match &self.model {
            Some(model) => format!("{} {what} for model {}", self.host, clip(&self.scrub.apply(model), 120)),
            None => format!("{} {what}", self.host),
        }
    }

    /// The beginning of a body, without the key.
    pub(crate) fn excerpt(&self, body: &[u8]) -> String {
        // A body may be large, and only its beginning is kept. The key goes before the final cut, and where the first
        // cut may have left half of one, the end goes too.
        let (beginning, cut) = body.split_at(body.len().min(LOOKED_AT));
        let mut text = self.scrub.apply(&String::from_utf8_lossy(beginning));
        if !cut.is_empty() {
            text.truncate(text.floor_char_boundary(text.len().saturating_sub(self.scrub.longest())));
        }
        clip(&text, KEPT_BODY).to_owned()
    }
}

/// The beginning of `text`, at most `most` bytes, cut between characters.
pub(crate) fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// How much of a body an error keeps.
const KEPT_BODY: usize = 4 << 10;

/// How much of a body is searched for the key.
const LOOKED_AT: usize = 64 << 10;
