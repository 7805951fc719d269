//! Values that must lie in a range, checked where they are read, so that the error knows its line.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::{Burst, duration};
use crate::wire::LONGEST_MODEL;

/// A burst as it stands in a file: one flat table with two sorts of keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BurstEntry {
    after: Option<u64>,
    #[serde(default, deserialize_with = "duration::optional")]
    at: Option<Duration>,
    count: Option<u64>,
    #[serde(default, deserialize_with = "duration::optional")]
    r#for: Option<Duration>,
    #[serde(default, deserialize_with = "duration::optional")]
    retry_after: Option<Duration>,
}

impl TryFrom<BurstEntry> for Burst {
    type Error = &'static str;

    fn try_from(entry: BurstEntry) -> Result<Self, Self::Error> {
        let retry_after = entry.retry_after;
        match (entry.after, entry.count, entry.at, entry.r#for) {
            (_, Some(0), ..) => Err("a burst of no requests is none: `count` is at least 1"),
            (.., Some(Duration::ZERO)) => Err("a burst that lasts no time is none: `for` is longer than nothing"),
            (after, Some(count), None, None) => Ok(Self::Requests { after: after.unwrap_or(0), count, retry_after }),
            (None, None, Some(at), Some(lasting)) => Ok(Self::Time { at, lasting, retry_after }),
            _ => Err("a burst has either `after` and `count` or `at` and `for`"),
        }
    }
}

/// A model's window.
pub(super) fn context<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(u32::deserialize(deserializer)?, 1, u32::MAX)
}

/// A model's name.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = (1..=LONGEST_MODEL).contains(&name.len());
    if fits { Ok(name) } else { Err(D::Error::custom(format!("a model's name has 1 to {LONGEST_MODEL} bytes"))) }
}

/// A request's number.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("requests are numbered from 1")),
        number => Ok(number),
    }
}

pub(super) fn plan_tasks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    within(usize::deserialize(deserializer)?, 1, 64)
}

pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(f64::deserialize(deserializer)?, 0.0, 1.0)
}

pub(super) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    within(u16::deserialize(deserializer)?, 400, 599)
}

pub(super) fn window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let window = duration::deserialize(deserializer)?;
    if window.is_zero() { Err(D::Error::custom("a window must be longer than nothing")) } else { Ok(window) }
}

fn within<T: Display + PartialOrd, E: Error>(value: T, least: T, most: T) -> Result<T, E> {
    if value >= least && value <= most {
        Ok(value)
    } else {
        Err(E::custom(format!("{value} is not from {least} to {most}")))
    }
}
