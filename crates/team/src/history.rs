//! A conversation that never outgrows its budget.

use bellwether_core::Message;

/// Four characters a token: a rule of thumb that is near enough for deciding what to leave out.
const CHARS_PER_TOKEN: usize = 4;

/// The conversation about one task with one role.
///
/// Instructions and objective are pinned. Of what follows, the oldest turns are left out as soon as the whole would
/// exceed its budget; the latest turn always stays.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pinned: Vec<Message>,
    turns: Vec<Message>,
    max_tokens: usize,
}

impl History {
    /// A conversation that begins with `pinned`.
    pub(crate) const fn new(pinned: Vec<Message>, max_tokens: usize) -> Self {
        Self { pinned, turns: Vec::new(), max_tokens }
    }

    /// Adds what the model said and what we answered.
    pub(crate) fn push(&mut self, said: Message, answer: Message) {
        self.turns.extend([said, answer]);
        while self.tokens() > self.max_tokens && self.turns.len() > 2 {
            self.turns.drain(..2);
        }
    }

    /// The messages to send.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.pinned.iter().chain(&self.turns).cloned().collect()
    }

    fn tokens(&self) -> usize {
        self.pinned.iter().chain(&self.turns).map(Message::chars).sum::<usize>().div_ceil(CHARS_PER_TOKEN)
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Message};

    #[test]
    fn the_oldest_turns_are_left_out_and_the_pinned_ones_stay() {
        let mut history = History::new(vec![Message::system("s".repeat(40)), Message::user("u".repeat(40))], 50);
        for n in 0..20 {
            history.push(Message::assistant(format!("{n:040}")), Message::user("go on".repeat(8)));
        }
        let messages = history.messages();
        assert_eq!(messages.len(), 4);
        assert_eq!(messages[2], Message::assistant(format!("{:040}", 19)));
        assert!(history.tokens() <= 50);
    }
}
