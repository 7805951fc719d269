//! A conversation that never outgrows its budget.

use bellwether_core::Message;
use bellwether_core::chat::Part;

use crate::context::CHARS_PER_TOKEN;

/// The tenths of the budget from which on the oldest turns are left out: what follows needs room too.
const TENTHS: usize = 7;
/// How much of a turn that was left out is remembered, in characters.
const MAX_REMEMBERED: usize = 200;

/// The conversation about one task with one role.
///
/// Instructions and objective are pinned. Of what follows, the oldest turns are left out as soon as the whole would
/// exceed seven tenths of its budget; the latest turn always stays. What was asked for in the turns that are gone is
/// told in a line each, so that nothing is undone that somebody had asked for.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pinned: Vec<Message>,
    turns: Vec<(Message, Message)>,
    gone: Vec<String>,
    max_tokens: usize,
}

impl History {
    /// A conversation that begins with `pinned`.
    pub(crate) const fn new(pinned: Vec<Message>, max_tokens: usize) -> Self {
        Self { pinned, turns: Vec::new(), gone: Vec::new(), max_tokens }
    }

    /// Adds what the model said and what we answered.
    pub(crate) fn push(&mut self, said: Message, answer: Message) {
        self.turns.push((said, answer));
        let budget = self.max_tokens / 10 * TENTHS;
        while self.tokens() > budget && self.turns.len() > 1 {
            let (_, asked) = self.turns.remove(0);
            self.gone.push(brief(&asked));
        }
        while self.tokens() > budget && !self.gone.is_empty() {
            self.gone.remove(0);
        }
    }

    /// The messages to send.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut messages = self.pinned.clone();
        let last = messages.last_mut().and_then(|message| message.content.last_mut());
        if let (Some(Part::Text(text)), false) = (last, self.gone.is_empty()) {
            text.push_str("\n\nEarlier rounds, left out here, were told:");
            self.gone.iter().for_each(|line| text.push_str(&format!("\n- {line}")));
        }
        messages.extend(self.turns.iter().flat_map(|(said, answer)| [said.clone(), answer.clone()]));
        messages
    }

    fn tokens(&self) -> usize {
        let turns = self.turns.iter().flat_map(|(said, answer)| [said, answer]);
        let gone: usize = self.gone.iter().map(|line| line.chars().count() + 3).sum();
        (self.pinned.iter().chain(turns).map(Message::chars).sum::<usize>() + gone).div_ceil(CHARS_PER_TOKEN)
    }
}

/// A message in a line.
fn brief(message: &Message) -> String {
    let text = |part: &'_ Part| if let Part::Text(text) = part { text.clone() } else { String::new() };
    let text: String = message.content.iter().map(text).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_REMEMBERED).collect()
}

#[cfg(test)]
mod tests {
    use super::{History, Message};

    #[test]
    fn the_oldest_turns_are_left_out_and_the_pinned_ones_stay() {
        let mut history = History::new(vec![Message::system("s".repeat(40)), Message::user("u".repeat(40))], 80);
        for n in 0..20 {
            history.push(Message::assistant(format!("{n:040}")), Message::user("go on".repeat(8)));
        }
        let messages = history.messages();
        assert_eq!(messages.len(), 4);
        assert_eq!(messages[2], Message::assistant(format!("{:040}", 19)));
        assert!(history.tokens() <= 56);
    }

    #[test]
    fn what_was_asked_for_in_a_turn_that_is_gone_is_still_told() {
        let mut history = History::new(vec![Message::user("the task")], 200);
        for n in 0..3 {
            history.push(Message::assistant("x".repeat(300)), Message::user(format!("mend\nnumber {n}")));
        }
        let first = format!("{:?}", history.messages()[0]);
        assert!(first.contains("the task") && first.contains("- mend number 0") && first.contains("- mend number 1"));
        assert!(!first.contains("number 2") && !first.contains("xxx"), "{first}");
    }
}
