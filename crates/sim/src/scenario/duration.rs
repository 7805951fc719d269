//! `250ms`, `2s`, `1m 30s`: durations as people write them.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Reads a duration from a string.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        D::Error::custom(format!("`{text}` is no duration ({error}); write it as in \"250ms\", \"2s\" or \"1m 30s\""))
    })
}

/// Reads a duration that may be missing.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}
