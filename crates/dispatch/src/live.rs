//! An answer under way: what was seen of it, and its stream with the permit inside.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bellwether_core::permit::RateLimits;
use bellwether_core::{ChatEvent, ChatResponse, ChatStream, ErrorKind, Outcome, ProviderError, Usage};
use futures_core::Stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::course::{Course, Limit, named_wait};
use crate::estimate::{self, Lesson};
use crate::story::Story;
use crate::turn::Turn;

/// What was seen of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When the first piece came.
    pub(crate) first: Option<Instant>,
    pub(crate) usage: Usage,
    limits: RateLimits,
    /// Whether the answer is whole: whatever comes after that, or does not, changes nothing.
    pub(crate) finished: bool,
}

/// An answer whose first piece has come.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) events: ChatStream,
    /// What came up to and with the first piece.
    pub(crate) held: VecDeque<ChatEvent>,
    pub(crate) seen: Seen,
    pub(crate) turn: Turn,
    pub(crate) limit: Option<Limit>,
}

/// The answer as the caller gets it.
#[derive(Debug)]
pub(crate) struct Live {
    held: VecDeque<ChatEvent>,
    /// `None` once the call is settled.
    sent: Option<Sent>,
    /// The next try of an answer that may begin anew.
    again: Option<Again>,
}

#[derive(Debug)]
struct Sent {
    wire: Grip,
    watch: Option<Watch>,
    teller: Teller,
}

/// The reader's hold on a connection. Without it nobody keeps the place, though the task that watches it may take a
/// moment to go.
#[derive(Debug)]
struct Grip(Arc<Mutex<Wire>>);

/// The connection of an answer, and the place that it takes.
#[derive(Debug)]
struct Wire {
    /// `None` once its time was up.
    events: Option<ChatStream>,
    /// `None` once it is settled.
    turn: Option<Turn>,
    seen: Seen,
}

/// Ends an answer when its time is up, whether anybody reads it or not: a reader that has stopped would keep the
/// connection and the place for as long as it likes.
#[derive(Debug)]
struct Watch {
    limit: Limit,
    passed: bool,
    task: JoinSet<()>,
}

/// Who tells what becomes of an answer, and asks again for one that may begin anew.
#[derive(Debug)]
pub(crate) enum Teller {
    /// It may.
    Course(Box<Course>),
    /// It may not; what is learnt from it, if anything is.
    Story(Story, Option<Box<Lesson>>),
}

/// Tries once more, after a part of the answer was handed on.
struct Again(Pin<Box<dyn Future<Output = Begun> + Send>>);

/// An answer that has begun anew, and its course.
type Begun = Result<(Opened, Box<Course>), ProviderError>;

// === impl Seen ===

impl Seen {
    pub(crate) fn event(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Finished(_) => self.finished = true,
            // The pause that it asks for was handed on at once, and is over when the answer ends.
            ChatEvent::Started(head) => self.limits = RateLimits { retry_after: None, ..head.limits },
            ChatEvent::Usage(usage) => self.usage = *usage,
            // Text, reasoning, a refusal, a call: a piece of the answer.
            _ => {
                self.first.get_or_insert_with(clock::now);
            }
        }
    }

    pub(crate) fn whole(&mut self, response: &ChatResponse) {
        self.usage = response.usage;
        self.limits = response.head.limits;
        self.finished = true;
    }

    /// Whether there is a piece of the answer.
    pub(crate) fn began(&self) -> bool {
        self.first.is_some() || self.finished
    }

    /// Settles the permit and the charge of a call that was answered, or failed with `error`.
    pub(crate) fn settle(&self, turn: Turn, error: Option<&ProviderError>) {
        let Some(error) = error else {
            let outcome = Outcome::Completed { usage: self.usage, limits: self.limits };
            return turn.settle(None, outcome, estimate::charge_of(&self.usage));
        };
        let told = error.details.limits;
        let limits = if told == RateLimits::default() { self.limits } else { told };
        if error.kind == ErrorKind::RateLimited {
            let limits = RateLimits { retry_after: named_wait(error), ..limits };
            return turn.settle(Some(error), Outcome::Throttled { limits }, Some(0));
        }
        if error.kind == ErrorKind::Overloaded && turn.is_fresh() {
            return turn.settle(Some(error), Outcome::Overloaded { limits }, Some(0));
        }
        let may_have_executed = error.details.may_have_executed || self.first.is_some();
        let cost = if may_have_executed { estimate::charge_of(&self.usage) } else { Some(0) };
        turn.settle(Some(error), Outcome::Failed { may_have_executed, limits }, cost);
    }
}

// === impl Live ===

impl Live {
    pub(crate) fn new(opened: Opened, teller: Teller) -> Self {
        let Opened { events, held, seen, turn, limit } = opened;
        let wire = Arc::new(Mutex::new(Wire { events: Some(events), turn: Some(turn), seen }));
        let watch = limit.map(|limit| Watch::new(limit, Arc::clone(&wire)));
        Self { held, sent: Some(Sent { wire: Grip(wire), watch, teller }), again: None }
    }

    /// Waits until the answer has begun anew.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProviderError>> {
        let Some(Again(again)) = &mut self.again else { return Poll::Ready(Ok(())) };
        let begun = ready!(again.as_mut().poll(cx));
        self.again = None;
        let (opened, course) = begun?;
        *self = Self::new(opened, Teller::Course(course));
        self.held.push_front(ChatEvent::Restarted);
        Poll::Ready(Ok(()))
    }

    /// What the caller gets of a failure: itself, or nothing as long as the answer may begin anew.
    fn fail(&mut self, sent: Sent, error: ProviderError) -> Option<ProviderError> {
        sent.wire.lock().settle(Some(&error));
        match sent.teller {
            Teller::Course(course) => {
                self.again = Some(Again(Box::pin(anew(course, error))));
                None
            }
            Teller::Story(mut story, _) => {
                let mut error = error;
                error.details.retries = story.context().attempt;
                error.details.emitted_output = true;
                story.failed(error.kind);
                Some(error)
            }
        }
    }
}

impl Stream for Live {
    type Item = Result<ChatEvent, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Err(error) = ready!(this.poll_again(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(event) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(sent) = &mut this.sent else {
            return Poll::Ready(None);
        };
        let end = match ready!(sent.poll(cx)) {
            Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let sent = this.sent.take().expect("it was there a moment ago");
        match end {
            Ok(()) => {
                sent.complete();
                Poll::Ready(None)
            }
            Err(error) => match this.fail(sent, error) {
                Some(error) => Poll::Ready(Some(Err(error))),
                None => self.poll_next(cx),
            },
        }
    }
}

impl Drop for Live {
    /// A caller that has seen the end of the answer need not wait for the end of the stream.
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take_if(|sent| sent.wire.lock().seen.finished) {
            sent.complete();
        }
    }
}

// === impl Sent ===

impl Sent {
    /// The next event, or the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ChatEvent>, ProviderError>> {
        let passed = self.watch.as_mut().and_then(|watch| watch.passed(cx));
        let wire = &mut *self.wire.lock();
        if passed.is_some() && !wire.seen.finished {
            return Poll::Ready(Err(Limit::passed(passed)));
        }
        let event = wire.events.as_mut().map_or(Poll::Ready(None), |events| Pin::new(events).poll_next(cx));
        Poll::Ready(match event {
            Poll::Pending if passed.is_none() => return Poll::Pending,
            Poll::Ready(Some(Ok(event))) => {
                wire.seen.event(&event);
                Ok(Some(event))
            }
            _ if wire.seen.finished => Ok(None),
            Poll::Ready(Some(Err(error))) => Err(error),
            _ => Err(ProviderError::truncated(true)),
        })
    }

    fn complete(mut self) {
        let wire = &mut *self.wire.lock();
        wire.settle(None);
        match &mut self.teller {
            Teller::Course(course) => course.completed(&wire.seen),
            Teller::Story(story, lesson) => {
                story.completed(wire.seen.usage, wire.seen.first);
                if let Some(lesson) = lesson {
                    lesson.learn(&wire.seen.usage);
                }
            }
        }
    }
}

// === impl Grip ===

impl Grip {
    fn lock(&self) -> MutexGuard<'_, Wire> {
        lock(&self.0)
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let mut wire = self.lock();
        drop((wire.events.take(), wire.turn.take()));
    }
}

// === impl Wire ===

impl Wire {
    /// Settles the call unless it is.
    fn settle(&mut self, error: Option<&ProviderError>) {
        if let Some(turn) = self.turn.take() {
            self.seen.settle(turn, error);
        }
    }
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Watch ===

impl Watch {
    fn new(limit: Limit, wire: Arc<Mutex<Wire>>) -> Self {
        let mut task = JoinSet::new();
        task.spawn(async move {
            sleep_until(limit.at).await;
            let mut wire = lock(&wire);
            if wire.seen.finished {
                // Nothing but the end is to come, and that may lie there already.
                return wire.settle(None);
            }
            wire.events = None;
            wire.settle(Some(&Limit::passed(Some(limit))));
        });
        Self { limit, passed: false, task }
    }

    /// The limit, once it has passed.
    fn passed(&mut self, cx: &mut Context<'_>) -> Option<Limit> {
        if !self.passed {
            self.passed = matches!(self.task.poll_join_next(cx), Poll::Ready(Some(Ok(()))));
        }
        self.passed.then_some(self.limit)
    }
}

// === impl Again ===

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

/// Asks again for an answer that broke off with `error`, if that may help.
async fn anew(mut course: Box<Course>, error: ProviderError) -> Begun {
    let begun = match course.again(error).await {
        Ok(()) => course.opened().await,
        Err(error) => Err(error),
    };
    match begun {
        Ok(opened) => Ok((opened, course)),
        Err(mut error) => {
            error.details.emitted_output = true;
            Err(error)
        }
    }
}
