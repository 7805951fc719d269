//! What happens in a team's runs, as a stream: bounded, and never in a run's way.

use std::num::NonZeroUsize;

use bellwether_core::{Fact, Observer};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};

/// What a reader of [`Events`] gets.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Something happened.
    Fact(Fact),
    /// The reader was too slow: so many facts were let go to make room for later ones.
    Missed(u64),
}

/// The facts of a team's runs, in order, from the moment it was asked for.
///
/// A run never waits for its readers: it keeps the latest facts, and a reader that falls behind is told how many it
/// missed. Get one by [`TeamBuilder::events`](crate::TeamBuilder::events):
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::sync::Arc;
///
/// use bellwether_team::events::Heard;
/// use bellwether_team::{Fact, Role, Team, Tier};
/// # use bellwether_core::ChatResponse;
/// # use bellwether_provider::Scripted;
///
/// # let provider = Scripted::answering(|_, _| Ok(ChatResponse::text("done")));
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let coder = Role::worker("coder", "You write clean Rust.", Tier::new(Arc::new(provider), "your-model"));
/// let room = NonZeroUsize::MIN.saturating_add(255);
/// let (builder, mut events) = Team::builder("one").role(coder).events(room);
/// let team = builder.build()?;
/// let run = async move { team.run("An async HTTP client").await };
/// let watch = async {
///     let mut moves = 0;
///     while let Some(heard) = events.next().await {
///         match heard {
///             Heard::Fact(Fact::TaskMoved { task, to, .. }) => {
///                 println!("{task} is {}", to.as_str());
///                 moves += 1;
///             }
///             Heard::Fact(_) => {}
///             Heard::Missed(facts) => println!("{facts} facts too late"),
///         }
///     }
///     moves
/// };
/// let (report, moves) = tokio::join!(run, watch);
/// assert!(report.tasks[0].success && moves > 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Events(Receiver<Fact>);

impl Events {
    /// The next fact, or how many were missed; `None` once the team and all its runs are gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(fact) => Some(Heard::Fact(fact)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Feeds a stream of events.
#[derive(Debug)]
pub(crate) struct Feed(Sender<Fact>);

impl Feed {
    /// A feed that keeps at least so many facts for its reader.
    pub(crate) fn new(capacity: NonZeroUsize) -> (Self, Events) {
        let (sender, receiver) = channel(capacity.get().min(1 << 20));
        (Self(sender), Events(receiver))
    }
}

impl Observer for Feed {
    fn observe(&self, fact: &Fact) {
        // Whoever listens no longer misses nothing.
        let _ = self.0.send(fact.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{Fact, Feed, Heard, Observer};

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_and_goes_on_from_there() {
        let (feed, mut events) = Feed::new(NonZeroUsize::MIN.saturating_add(3));
        for n in 0..10 {
            feed.observe(&Fact::RunStarted { run: n.to_string().into(), team: "team".into() });
        }
        drop(feed);
        let mut heard = Vec::new();
        while let Some(next) = events.next().await {
            heard.push(match next {
                Heard::Fact(Fact::RunStarted { run, .. }) => run.to_string(),
                Heard::Fact(_) => String::new(),
                Heard::Missed(missed) => format!("missed {missed}"),
            });
        }
        assert_eq!(heard, ["missed 6", "6", "7", "8", "9"]);
    }

    #[test]
    fn a_reader_that_is_gone_is_in_nobodys_way() {
        let (feed, events) = Feed::new(NonZeroUsize::MIN);
        drop(events);
        feed.observe(&Fact::RunStarted { run: "r".into(), team: "team".into() });
    }
}
