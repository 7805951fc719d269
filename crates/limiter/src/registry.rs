//! A limiter for each quota key.

use std::sync::Arc;

use bellwether_core::Observer;
use dashmap::DashMap;

use crate::limiter::Limiter;
use crate::settings::Settings;

/// Finds the one limiter of a quota key, and makes it when it is asked for the first time.
///
/// A key names what shares a quota: an endpoint, a credential, a group of models. Limiters live until they are
/// [taken out](Self::remove): keys come from configuration, not from requests, so their number is bounded.
///
/// ```
/// use bellwether_limiter::{Registry, Settings};
///
/// let registry = Registry::default();
/// let chat = registry.get("relay/chat", Settings::default);
/// assert_eq!(registry.get("relay/chat", Settings::default).key(), chat.key());
/// assert_eq!(registry.len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Registry {
    limiters: DashMap<Arc<str>, Limiter>,
    observer: Option<Arc<dyn Observer>>,
}

impl Registry {
    /// A registry whose limiters tell `observer` what they find out.
    #[must_use]
    pub fn observed(observer: Arc<dyn Observer>) -> Self {
        Self { limiters: DashMap::new(), observer: Some(observer) }
    }

    /// The limiter of `key`; made with `settings` if there is none yet.
    pub fn get(&self, key: &str, settings: impl FnOnce() -> Settings) -> Limiter {
        if let Some(limiter) = self.limiters.get(key) {
            return limiter.clone();
        }
        let settings = settings();
        let key: Arc<str> = key.into();
        // Whoever comes first makes it; the entry is locked meanwhile, so there is never a second.
        let made = self.limiters.entry(Arc::clone(&key)).or_insert_with(|| match &self.observer {
            Some(observer) => Limiter::observed(key, settings, Arc::clone(observer)),
            None => Limiter::new(key, settings),
        });
        made.clone()
    }

    /// The limiter of `key`, if it was asked for before.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Limiter> {
        self.limiters.get(key).map(|limiter| limiter.clone())
    }

    /// Takes a limiter out. Who holds it keeps it; whoever asks next gets a new one.
    pub fn remove(&self, key: &str) -> Option<Limiter> {
        self.limiters.remove(key).map(|(_, limiter)| limiter)
    }

    /// All limiters, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Limiter> {
        self.limiters.iter().map(|entry| entry.value().clone()).collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.limiters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limiters.is_empty()
    }
}
