//! Everything that was learnt, each outcome once, and the statistics that follow from it.

use std::collections::HashSet;

use crate::outcome::Entry;
use crate::settings::Settings;
use crate::stats::Stats;

/// The most entries that are kept; the oldest ones, which count for next to nothing, go first.
pub const MAX_ENTRIES: usize = 20_000;

/// Entries in the order in which they were learnt, and what follows from them.
#[derive(Clone, Debug)]
pub struct History {
    settings: Settings,
    entries: Vec<Entry>,
    seen: HashSet<String>,
    stats: Stats,
}

impl History {
    /// Nothing was learnt yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, entries: Vec::new(), seen: HashSet::new(), stats: Stats::new(settings) }
    }

    /// Takes in an entry; whether it is new.
    pub fn add(&mut self, entry: Entry) -> bool {
        let new = self.seen.insert(entry.id().to_owned());
        if new {
            self.stats.fold(&entry);
            self.entries.push(entry);
        }
        new
    }

    /// Takes in an entry that no file keeps. Of many the oldest are forgotten, and with them that they were told.
    pub(crate) fn learn(&mut self, entry: Entry) {
        self.add(entry);
        if self.is_long() {
            let kept = self.entries.split_off(self.entries.len() - MAX_ENTRIES);
            for entry in std::mem::replace(&mut self.entries, kept) {
                self.seen.remove(entry.id());
            }
        }
    }

    /// Whether the oldest entries should go. Not each time that a new one comes, for that is work.
    pub(crate) const fn is_long(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES + MAX_ENTRIES / 4
    }

    /// Whether an entry of this id was taken in.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.seen.contains(id)
    }

    /// Both histories as one, in the order of time: of an entry that both have, one. It does not matter which of them
    /// is merged into which.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let mut entries: Vec<&Entry> = self.entries.iter().chain(&other.entries).collect();
        entries.sort_by(|a, b| (a.at(), a.id()).cmp(&(b.at(), b.id())));
        let mut merged = Self::new(self.settings);
        for entry in entries {
            merged.add(entry.clone());
        }
        merged
    }

    /// The entries, in the order in which they were learnt.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What follows from them.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The entries that are worth keeping.
    pub(crate) fn latest(&self) -> &[Entry] {
        &self.entries[self.entries.len().saturating_sub(MAX_ENTRIES)..]
    }
}

impl Extend<Entry> for History {
    fn extend<I: IntoIterator<Item = Entry>>(&mut self, entries: I) {
        for entry in entries {
            self.add(entry);
        }
    }
}
