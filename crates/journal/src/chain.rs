//! The check that binds each entry to all entries before it, so that damage the database does not notice is noticed.

use bellwether_core::RunId;

/// Sixteen bytes that no other history of the run has, up to the odds of a collision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Chain([u8; 16]);

/// What a row of the event table says beside its check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    pub(crate) seq: u64,
    pub(crate) at_ms: i64,
    pub(crate) kind: &'a str,
    pub(crate) body: &'a str,
    pub(crate) total: u64,
}

impl Chain {
    /// Before the first entry of a run.
    pub(crate) fn start(run: &RunId) -> Self {
        Self::cut(blake3::Hasher::new().update(run.as_str().as_bytes()))
    }

    /// What was read from the file; `None` if it has the wrong length.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// After one more entry.
    pub(crate) fn next(self, link: Link<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&link.seq.to_le_bytes());
        hasher.update(&link.at_ms.to_le_bytes());
        hasher.update(&link.total.to_le_bytes());
        // The length keeps a kind and a body from trading bytes.
        hasher.update(&(link.kind.len() as u64).to_le_bytes());
        hasher.update(link.kind.as_bytes());
        Self::cut(hasher.update(link.body.as_bytes()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn cut(hasher: &blake3::Hasher) -> Self {
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(bytes)
    }
}
