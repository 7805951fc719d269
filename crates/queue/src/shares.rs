//! What was said about flows and groups, whether they are there at the moment or not.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What was said about flows and groups, by their paths; bounded by who says it.
#[derive(Debug, Default)]
pub(crate) struct Shares(HashMap<Vec<Arc<str>>, Share>);

/// What was said about one flow or group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Share {
    pub(crate) weight: NonZeroU32,
    pub(crate) cap: u32,
    pub(crate) promised: u64,
}

impl Shares {
    pub(crate) fn of(&self, path: &[&str]) -> Option<Share> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&owned(path)).copied()
    }

    /// Changes what is said about a path; a path about which nothing special is said any more is dropped.
    pub(crate) fn change(&mut self, path: &[&str], change: impl FnOnce(&mut Share)) {
        let path = owned(path);
        let mut share = self.0.get(&path).copied().unwrap_or_default();
        change(&mut share);
        if share == Share::default() {
            self.0.remove(&path);
        } else {
            self.0.insert(path, share);
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { weight: NonZeroU32::MIN, cap: u32::MAX, promised: 0 }
    }
}

fn owned(path: &[&str]) -> Vec<Arc<str>> {
    path.iter().map(|name| Arc::from(*name)).collect()
}
