//! The calls of one class that wait, and which of them has waited longest.

use std::collections::VecDeque;

use bellwether_core::Class;
use metrics::{Gauge, gauge};

use crate::kinds::float;
use crate::names;

/// The calls of one class that wait.
#[derive(Debug)]
pub(crate) struct Line {
    /// When each came, in that order; a gap for whoever left before others did. Whoever stands first still waits.
    came: VecDeque<Option<f64>>,
    /// How many stood before the first one that is still here.
    gone: u64,
    tokens: u64,
    oldest: Gauge,
    reserved: Gauge,
}

impl Line {
    pub(crate) fn new(class: Class) -> Self {
        let class = class.as_str();
        Self {
            came: VecDeque::new(),
            gone: 0,
            tokens: 0,
            oldest: gauge!(names::QUEUE_OLDEST, "class" => class),
            reserved: gauge!(names::QUEUE_TOKENS, "class" => class),
        }
    }

    /// Lets a call in that asks for so many tokens; where it stands.
    pub(crate) fn join(&mut self, now: f64, tokens: u64) -> u64 {
        if self.came.is_empty() {
            self.oldest.set(now);
        }
        self.came.push_back(Some(now));
        self.tokens = self.tokens.saturating_add(tokens);
        self.reserved.set(float(self.tokens));
        self.gone + self.came.len() as u64 - 1
    }

    /// Lets the call at a place go.
    pub(crate) fn leave(&mut self, place: u64, tokens: u64) {
        let Some(came) = place.checked_sub(self.gone).and_then(|ahead| self.came.get_mut(usize::try_from(ahead).ok()?))
        else {
            return;
        };
        *came = None;
        self.tokens = self.tokens.saturating_sub(tokens);
        self.reserved.set(float(self.tokens));
        if place > self.gone {
            return;
        }
        while self.came.pop_front_if(|came| came.is_none()).is_some() {
            self.gone += 1;
        }
        self.oldest.set(self.came.front().copied().flatten().unwrap_or(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_leaves_the_line_leaves_nothing_behind_in_it() {
        let mut line = Line::new(Class::Batch);
        let first = line.join(1.0, 10);
        let others: Vec<u64> = (0..1_000).map(|_| line.join(2.0, 10)).collect();
        others.iter().rev().for_each(|place| line.leave(*place, 10));
        assert_eq!((line.came.front(), line.tokens), (Some(&Some(1.0)), 10), "the first one still waits");
        line.leave(first, 10);
        assert!(line.came.is_empty() && line.tokens == 0);
        let next = line.join(3.0, 10);
        line.leave(first, 10);
        assert_eq!((line.came.len(), line.tokens), (1, 10), "whoever has left does not leave for somebody else");
        line.leave(next, 10);
        assert!(line.came.is_empty() && line.tokens == 0);
    }
}
