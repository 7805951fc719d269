//! What happens to a call between its turn and the first piece of its answer: it is sent, and perhaps sent twice.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::chat::{ChatResponse, ChatStream, Fold};
use bellwether_core::error::Phase;
use bellwether_core::fact::HedgeEnd;
use bellwether_core::{ChatEvent, ChatRequest, Demand, ErrorKind, ProviderError};
use tokio::select;
use tokio::time::Instant;

use super::Course;
use crate::dispatch::Way;
use crate::hedge::Hedges;
use crate::live::{Opened, Seen};
use crate::turn::Turn;
use crate::{clock, estimate};

/// When a sending is cancelled, and what it is called then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    kind: ErrorKind,
}

/// A sending that was answered, as far as was waited for.
struct Leg {
    head: Head,
    seen: Seen,
    turn: Turn,
}

/// What there is of an answer.
enum Head {
    /// The beginning: what came up to and with the first piece. It is held back, so that a provider that fails before
    /// it can be asked again.
    Stream(ChatStream, VecDeque<ChatEvent>),
    Whole(Box<ChatResponse>),
}

impl Course {
    /// Sends the call and waits for the whole answer.
    pub(crate) async fn whole(&mut self, turn: Turn) -> Result<ChatResponse, ProviderError> {
        let limit = self.limit();
        let Leg { head, mut seen, mut turn } = self.send(turn, self.dispatch.way, limit).await?;
        let answer = match head {
            Head::Whole(response) => Ok(*response),
            Head::Stream(events, held) => {
                let mut fold = Fold::default();
                held.into_iter().for_each(|event| fold.add(event));
                let rest = self.rest(events, &mut fold, &mut seen, &mut turn);
                match clock::within(limit.map(|limit| limit.at), rest).await {
                    None if !seen.finished => Err(Limit::passed(limit)),
                    Some(Err(error)) if !seen.finished => Err(error),
                    _ => fold.finish(),
                }
            }
        };
        seen.settle(turn, answer.as_ref().err());
        if answer.is_ok() {
            self.completed(&seen);
        }
        answer
    }

    /// Sends the call and waits for the first piece of the answer.
    pub(crate) async fn open(&mut self, turn: Turn) -> Result<Opened, ProviderError> {
        let limit = self.limit();
        let Leg { head, seen, turn } = self.send(turn, Way::Streaming, limit).await?;
        let (events, held) = match head {
            Head::Stream(events, held) => (events, held),
            Head::Whole(response) => (ChatStream::ready(*response), VecDeque::new()),
        };
        Ok(Opened { events, held, seen, turn, limit })
    }

    /// Sends the call, and once more beside it if it takes unusually long. Whatever does not answer is settled.
    async fn send(&self, turn: Turn, way: Way, limit: Option<Limit>) -> Result<Leg, ProviderError> {
        let Some(hedges) = self.hedges().filter(|_| !turn.looks()) else {
            return self.leg(turn, way, limit).await;
        };
        let sent = clock::now();
        let model = &self.request.model;
        let after = {
            let mut hedges = hedges;
            hedges.sent(estimate::charge(&self.demand));
            hedges.after(model)
        };
        let leg = match after {
            // In a box, so that calls that wait in their thousands do not hold room for it.
            Some(after) => Box::pin(self.race(turn, way, limit, clock::after(sent, after))).await,
            None => self.leg(turn, way, limit).await,
        }?;
        if let Some(mut hedges) = self.hedges() {
            hedges.began(model, clock::now().saturating_duration_since(sent));
        }
        Ok(leg)
    }

    /// The first of two sendings to begin its answer; the second sets out at `slow`, or as soon after it as there is
    /// room for it.
    async fn race(&self, turn: Turn, way: Way, limit: Option<Limit>, slow: Instant) -> Result<Leg, ProviderError> {
        let mut first = pin!(self.leg(turn, way, limit));
        let second = select! {
            biased;
            leg = &mut first => return leg,
            turn = self.second_turn(slow) => turn,
        };
        let mut note = self.story.hedged();
        let mut second = pin!(self.leg(second, way, limit));
        select! {
            biased;
            // If it failed it is settled, and of no interest as long as the other one may answer.
            leg = &mut first => if leg.is_ok() {
                return leg;
            },
            leg = &mut second => {
                note.end = if leg.is_ok() { HedgeEnd::Won } else { HedgeEnd::Failed };
                return match leg {
                    Ok(leg) => Ok(leg),
                    Err(_) => first.await,
                };
            }
        }
        let leg = second.await;
        note.end = if leg.is_ok() { HedgeEnd::Won } else { HedgeEnd::Failed };
        leg
    }

    /// Waits until there is room for a second try that nobody else needs, and takes its turn.
    async fn second_turn(&self, slow: Instant) -> Turn {
        let cost = estimate::charge(&self.demand);
        let (mut looks, mut pause) = (slow, slow.saturating_duration_since(clock::now()).max(LOOK));
        loop {
            tokio::time::sleep_until(looks).await;
            if self.may_hedge(cost) {
                // It stands in nobody's way for long if somebody was faster.
                let until = Some(clock::after(clock::now(), LOOK));
                // Only what is sent is paid for out of what everybody may spend on trying again.
                if let Some(Ok(mut turn)) = clock::within(until, self.wait(until)).await
                    && self.dispatch.key.may_retry(cost, false)
                {
                    turn.send(self.failures);
                    return turn;
                }
                self.with_hedges(|hedges| hedges.give_back(cost));
            }
            looks = clock::after(clock::now(), pause);
            pause = pause.saturating_mul(2);
        }
    }

    /// Whether a second try takes nothing that somebody else waits for, and is within the bounds of the policy, of which it
    /// is taken then.
    fn may_hedge(&self, cost: u64) -> bool {
        let Demand { requests, input_tokens, output_tokens } = self.demand;
        let several = Demand {
            requests: requests.saturating_mul(ROOM),
            input_tokens: input_tokens.saturating_mul(ROOM.into()),
            output_tokens: output_tokens.saturating_mul(ROOM.into()),
        };
        let dispatch = &self.dispatch;
        dispatch.queue.is_empty()
            && dispatch.key.is_well()
            && dispatch.limiter.outlook(several).is_none()
            && self.with_hedges(|hedges| hedges.take(cost)).unwrap_or_default()
    }

    fn hedges(&self) -> Option<MutexGuard<'_, Hedges>> {
        Some(self.dispatch.hedges.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_hedges<T>(&self, change: impl FnOnce(&mut Hedges) -> T) -> Option<T> {
        self.hedges().map(|mut hedges| change(&mut hedges))
    }

    /// One sending, up to the first piece of its answer, or to its end if it is not streamed. A failure is settled.
    async fn leg(&self, mut turn: Turn, way: Way, limit: Option<Limit>) -> Result<Leg, ProviderError> {
        let mut seen = Seen::default();
        let head = clock::within(limit.map(|limit| limit.at), self.ask(way, &mut seen, &mut turn)).await;
        match head.unwrap_or_else(|| Err(Limit::passed(limit))) {
            Ok(head) => Ok(Leg { head, seen, turn }),
            Err(error) => {
                seen.settle(turn, Some(&error));
                Err(error)
            }
        }
    }

    async fn ask(&self, way: Way, seen: &mut Seen, turn: &mut Turn) -> Result<Head, ProviderError> {
        let (request, context) = (ChatRequest::clone(&self.request), self.story.context().clone());
        if way == Way::Unary {
            let mut response = self.dispatch.provider.chat(request, context).await?;
            seen.whole(&response);
            response.head.retries = response.head.retries.saturating_add(self.story.context().attempt);
            return Ok(Head::Whole(Box::new(response)));
        }
        let mut events = self.dispatch.provider.stream(request, context).await?;
        let mut held = VecDeque::new();
        while !seen.began() {
            let event = events.next().await.ok_or_else(|| ProviderError::truncated(false))??;
            held.push_back(self.heard(event, seen, turn));
        }
        Ok(Head::Stream(events, held))
    }

    /// The rest of an answer that has begun.
    async fn rest(
        &self,
        mut events: ChatStream,
        fold: &mut Fold,
        seen: &mut Seen,
        turn: &mut Turn,
    ) -> Result<(), ProviderError> {
        while let Some(event) = events.next().await {
            fold.add(self.heard(event?, seen, turn));
        }
        Ok(())
    }

    /// Notes what an event says. The head of an answer is told how often the call was sent before, and what it says
    /// about limits is handed on at once: it is true now, and stale when the answer ends.
    fn heard(&self, mut event: ChatEvent, seen: &mut Seen, turn: &mut Turn) -> ChatEvent {
        if let ChatEvent::Started(head) = &mut event {
            turn.head(&head.limits);
            head.retries = head.retries.saturating_add(self.story.context().attempt);
        }
        seen.event(&event);
        event
    }

    /// When the sending that begins now is cancelled.
    fn limit(&self) -> Option<Limit> {
        let deadline = self.deadline.map(|at| Limit { at, kind: ErrorKind::DeadlineExceeded });
        let timeout = self
            .story
            .context()
            .timeout
            .map(|timeout| Limit { at: clock::after(clock::now(), timeout), kind: ErrorKind::Timeout(Phase::Total) });
        deadline.into_iter().chain(timeout).min_by_key(|limit| limit.at)
    }
}

/// A second try needs room for so many calls of its size, so that it does not take the last of it.
const ROOM: u32 = 5;
/// How soon at most it is looked again whether there is room for a second try.
const LOOK: Duration = Duration::from_millis(10);

// === impl Limit ===

impl Limit {
    /// The call was still running.
    pub(crate) fn passed(limit: Option<Self>) -> ProviderError {
        let kind = limit.map_or(ErrorKind::DeadlineExceeded, |limit| limit.kind);
        let mut error = ProviderError::new(kind, "no answer in time");
        error.details.may_have_executed = true;
        error
    }
}
