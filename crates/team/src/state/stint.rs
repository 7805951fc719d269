//! A task's stay on one tier, and what it says about that tier's model.

use std::time::Duration;

use bellwether_core::{TaskState, Timestamp, Usd};
use bellwether_router::Ending;
use serde::{Deserialize, Serialize};

use super::Record;
use crate::message::Spent;

/// A task's stay on one tier.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Stint {
    /// The tier.
    pub(crate) tier: usize,
    /// When it began.
    began: Timestamp,
    /// How many drafts there were before.
    drafts: usize,
    /// What the task had taken before, and the part of it that went into verdicts.
    spent: Spent,
    judging: Spent,
}

/// What a finished stint says about its tier's model.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome<'a> {
    /// Which one, counted from 0.
    pub(crate) n: usize,
    /// The stint.
    pub(crate) stint: &'a Stint,
    /// How it ended.
    pub(crate) ending: Ending,
    /// What working cost, if all of it is known.
    pub(crate) cost: Option<Usd>,
    /// What judging cost, if all of it is known.
    pub(crate) review_cost: Option<Usd>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Record {
    /// Begins a stay on a tier, unless the task is there already.
    pub(super) fn enter(&mut self, tier: usize, at: Timestamp) {
        if self.stints.last().is_none_or(|stint| stint.tier != tier) {
            let (spent, judging) = (self.spent, self.judging);
            self.stints.push(Stint { tier, began: at, drafts: self.drafts.len(), spent, judging });
        }
    }

    /// Takes back the stay on a tier whose first call was refused before it was sent: it says nothing of the model.
    pub(super) fn leave_unpaid(&mut self) {
        if self.stints.last().is_some_and(|stint| stint.drafts == self.drafts.len() && stint.spent == self.spent) {
            self.stints.pop();
        }
    }

    /// What its stints say about the models: those that were followed by another one missed; what the last one says
    /// depends on how the task came to rest. A stint that ended for a reason outside of the model says nothing.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = Outcome<'_>> {
        self.stints.iter().enumerate().filter_map(|(n, stint)| {
            let (ending, spent, judging, ended) = match self.stints.get(n + 1) {
                Some(next) => (Ending::Missed, next.spent, next.judging, next.began),
                None => (self.ending(stint)?, self.spent, self.judging, self.ended?),
            };
            Some(Outcome {
                n,
                stint,
                ending,
                cost: between(difference(stint.judging, stint.spent), difference(judging, spent)),
                review_cost: between(stint.judging.into(), judging.into()),
                took: ended.since(stint.began),
            })
        })
    }

    fn ending(&self, last: &Stint) -> Option<Ending> {
        let judged = self.drafts.last().is_some_and(|draft| draft.verdict.is_some());
        // What a person decides says nothing of how good a model is in a judge's eyes.
        if self.ruled {
            return None;
        }
        match (self.state, &self.failure) {
            (TaskState::Accepted, _) if judged && self.drafts.len() > last.drafts + 1 => Some(Ending::Revised),
            (TaskState::Accepted, _) if judged => Some(Ending::Accepted),
            (TaskState::Failed | TaskState::Rejected, None) if judged => Some(Ending::Missed),
            (TaskState::Failed | TaskState::Rejected, Some(failure)) if failure.is_unusable() => Some(Ending::Missed),
            _ => None,
        }
    }
}

/// Money, and how many calls had no price.
#[derive(Clone, Copy)]
struct Priced {
    cost: Usd,
    unpriced: u32,
}

impl From<Spent> for Priced {
    fn from(spent: Spent) -> Self {
        Self { cost: spent.usage.cost.unwrap_or_default(), unpriced: spent.unpriced }
    }
}

fn difference(part: Spent, whole: Spent) -> Priced {
    let (part, whole) = (Priced::from(part), Priced::from(whole));
    let cost = Usd::from_nanos(whole.cost.as_nanos().saturating_sub(part.cost.as_nanos()));
    Priced { cost, unpriced: whole.unpriced.saturating_sub(part.unpriced) }
}

/// What was spent between two moments; `None` if nothing was, or not all of it is known.
fn between(before: Priced, after: Priced) -> Option<Usd> {
    let spent = after.cost.as_nanos().saturating_sub(before.cost.as_nanos());
    (spent > 0 && after.unpriced == before.unpriced).then_some(Usd::from_nanos(spent))
}
