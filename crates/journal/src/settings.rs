//! How a journal is kept.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{SystemClock, WallClock};

/// How a journal is kept. The defaults suit a run on one machine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many bytes of disk are held in reserve, so that what is already paid still fits once the disk is full.
    pub ballast: u64,
    /// Whether the long texts of entries are kept.
    pub bodies: Bodies,
    /// Tells when entries were appended and leases end.
    pub clock: Arc<dyn WallClock>,
    /// How often leases are renewed while the process lives.
    pub heartbeat: Duration,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// The most bytes the database may grow to; beyond them it behaves as if the disk were full.
    pub max_bytes: Option<u64>,
    /// How many KiB of entries may wait for the disk; whoever appends more waits for room.
    pub pending_kib: u32,
    /// How long to wait before a commit that found no room is tried again.
    pub retry: Duration,
    /// What must never reach the file. Each occurrence in a text of an entry is replaced before it is hashed or stored. An
    /// entry's kind and the names of its fields are words of whoever writes it, and stay: without them it means nothing.
    pub secrets: Vec<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ballast: 16 << 20,
            bodies: Bodies::Keep,
            clock: Arc::new(SystemClock),
            heartbeat: Duration::from_secs(15),
            lease: Duration::from_secs(60),
            max_bytes: None,
            pending_kib: 64 << 10,
            retry: Duration::from_secs(1),
            secrets: Vec::new(),
        }
    }
}

/// Whether the long texts of entries are kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Bodies {
    /// Texts of 64 bytes and more are replaced by their hashes. Such a run can be listed and followed, not resumed.
    Hashes,
    /// They are: compressed, and each different text once.
    #[default]
    Keep,
}

/// A text that must never reach the file, such as an API key. Its `Debug` is silent.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text to look for; an empty one is never found.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn hide(&self, text: &mut String) {
        if !self.0.is_empty() && text.contains(&self.0) {
            *text = text.replace(&self.0, "[redacted]");
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
