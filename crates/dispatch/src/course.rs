//! The course of one call: its turns, its sendings, and the pauses in between.

mod sending;

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::chat::ChatStream;
use bellwether_core::limiter::Refused;
use bellwether_core::queue::Ticket;
use bellwether_core::{Call, CallContext, ChatRequest, Demand, ErrorKind, ProviderError, Retry};
use tokio::select;
use tokio::time::Instant;

use crate::dispatch::Desk;
use crate::estimate::{self, Lesson};
use crate::guard::Verdict;
use crate::line::Wish;
use crate::live::{Live, Opened, Seen, Teller};
use crate::parking::parks;
use crate::pump::detour;
use crate::refusal::{Bound, NoTurn, too_late};
use crate::story::Story;
use crate::turn::Turn;
use crate::{backoff::RetryPolicy, clock};

pub(crate) use sending::Limit;

/// One call, from its first place in the line to its answer.
#[derive(Debug)]
pub(crate) struct Course {
    dispatch: Arc<Desk>,
    request: Arc<ChatRequest>,
    lesson: Option<Lesson>,
    story: Story,
    demand: Demand,
    patience: Patience,
    deadline: Option<Instant>,
    /// Tries that failed.
    failures: u32,
    /// 429s so far.
    throttles: u32,
    /// How much longer it may wait after 429s.
    throttled_wait: Duration,
    /// When the 429 came after which it waits now.
    throttled: Option<Instant>,
    /// Whether it was sent to see how a key is that failed before.
    looked: bool,
    /// Why it queues again.
    last: Option<ProviderError>,
}

/// What a call does while its key is not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// It goes away at once: it has somewhere else to go.
    Brief,
    /// It waits.
    Full,
}

impl Course {
    pub(crate) fn new(dispatch: Arc<Desk>, request: ChatRequest, context: CallContext, patience: Patience) -> Self {
        let deadline = context.deadline.map(Instant::from_std);
        let request = Arc::new(request);
        let lesson = dispatch
            .estimator
            .as_ref()
            .map(|estimator| Lesson::new(Arc::clone(estimator), Arc::clone(&request), Arc::clone(&context.flow.role)));
        let demand = lesson.as_ref().map_or_else(|| estimate::demand(&request), Lesson::demand);
        let call = Call { context, model: Arc::clone(&request.model), provider: Arc::clone(&dispatch.name), demand };
        Self {
            demand,
            request,
            lesson,
            story: Story::new(Arc::clone(&dispatch.observer), call),
            patience,
            deadline,
            failures: 0,
            throttles: 0,
            throttled_wait: dispatch.policy.max_throttled_wait,
            dispatch,
            throttled: None,
            looked: false,
            last: None,
        }
    }

    /// Waits for its turn in the queue and for room in the quota.
    pub(crate) async fn turn(&mut self) -> Result<Turn, ProviderError> {
        self.story.queued();
        let until = self.waits_until();
        if until.is_some_and(|until| until <= clock::now()) {
            return Err(self.refused(NoTurn::Late(Refused { wait: None })));
        }
        if let Some(why) = self.turned_away(until) {
            return Err(self.refused(why));
        }
        let waited = clock::within(until, self.wait(until)).await;
        let mut turn = match waited.unwrap_or(Err(NoTurn::Late(Refused { wait: None }))) {
            Ok(turn) => turn,
            Err(why) => return Err(self.refused(why)),
        };
        if let Some(since) = self.throttled.take() {
            let waited = clock::now().saturating_duration_since(since);
            self.throttled_wait = self.throttled_wait.saturating_sub(waited);
        }
        self.looked = turn.looks();
        turn.send(self.failures);
        self.story.admitted(turn.since());
        Ok(turn)
    }

    /// Tries until the first piece of an answer is there.
    pub(crate) async fn opened(&mut self) -> Result<Opened, ProviderError> {
        loop {
            let turn = self.turn().await?;
            // In a box, as for a whole answer.
            match Box::pin(self.open(turn)).await {
                Ok(opened) => return Ok(opened),
                Err(error) => Box::pin(self.again(error)).await?,
            }
        }
    }

    /// Hands the answer on as it arrives; from here on nothing is tried again, unless the caller allows it.
    pub(crate) fn into_stream(self, opened: Opened) -> ChatStream {
        ChatStream::new(match self.story.context().may_restart {
            true => Live::new(opened, Teller::Course(Box::new(self))),
            false => Live::new(opened, Teller::Story(self.story, self.lesson.map(Box::new))),
        })
    }

    /// The call was answered and took this.
    pub(crate) fn completed(&mut self, seen: &Seen) {
        self.story.completed(seen.usage, seen.first);
        if let Some(lesson) = &self.lesson {
            lesson.learn(&seen.usage);
        }
    }

    /// Waits until it is time to try again after `error`, which was not handed on.
    ///
    /// # Errors
    ///
    /// The error to hand on, if there is no further try.
    pub(crate) async fn again(&mut self, mut error: ProviderError) -> Result<(), ProviderError> {
        error.details.emitted_output = false;
        error.details.retries = self.story.context().attempt;
        if error.kind == ErrorKind::RateLimited && error.retry != Retry::Never {
            return self.throttled(error).await;
        }
        self.story.failed(error.kind);
        if parks(error.kind) {
            return Err(error);
        }
        let fault = Verdict::of(error.kind) == Verdict::Fault;
        if self.looked && fault {
            // It tells of the key, as a 429 does, and costs the call its patience but no attempt.
            self.throttled.get_or_insert_with(clock::now);
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        let (policy, retry) = (self.policy(), error.retry);
        let Some(delay) = self.dispatch.draw(|rng| policy.pause(retry, self.failures, rng)) else {
            return Err(error);
        };
        if !self.looked && !self.afford(error.kind).await {
            return Err(error);
        }
        let ends = clock::after(clock::now(), delay);
        if self.deadline.is_some_and(|deadline| deadline <= ends) {
            let mut late = too_late("no time for another try before the deadline", Some(error));
            late.details.retries = self.story.context().attempt;
            return Err(late);
        }
        self.story.retried(error.kind, delay);
        self.last = Some(error);
        self.pause(ends).await;
        Ok(())
    }

    /// Waits until another try can be paid for out of what all calls together may spend on that; whether it can.
    async fn afford(&self, kind: ErrorKind) -> bool {
        let (policy, cost) = (self.policy(), estimate::charge(&self.demand));
        let gives_up = clock::after(clock::now(), policy.cap);
        let gives_up = self.deadline.map_or(gives_up, |deadline| deadline.min(gives_up));
        let mut denied = 0;
        while !self.dispatch.key.may_retry(cost, matches!(kind, ErrorKind::Timeout(_))) {
            if denied == 0 {
                self.story.denied();
            }
            denied += 1;
            // It grows little, so that whoever waits is there when the budget has room again.
            let jitter = self.dispatch.draw(|rng| policy.jitter(denied.min(3), rng));
            let looks = clock::after(clock::now(), (policy.base / 2).saturating_add(jitter));
            if self.patience == Patience::Brief || looks >= gives_up {
                return false;
            }
            self.pause(looks).await;
            if self.dispatch.line.is_closed() {
                // It queues again, and is told there that this is the end.
                return true;
            }
        }
        true
    }

    /// Why it need not even queue.
    fn turned_away(&self, until: Option<Instant>) -> Option<NoTurn> {
        let Desk { key, limiter, line, .. } = &*self.dispatch;
        if let Some(parked) = key.look() {
            return Some(NoTurn::Parked(parked));
        }
        if let Some(wait) = key.broken() {
            if self.patience == Patience::Brief {
                return Some(NoTurn::Broken(wait));
            }
            if until.is_some_and(|until| until <= clock::after(clock::now(), wait)) {
                return Some(NoTurn::Late(Refused { wait: Some(wait) }));
            }
        }
        if let Some(wait) = self.deadline.and_then(|deadline| line.too_long(self.story.named(), deadline)) {
            return Some(NoTurn::Long(wait));
        }
        if self.patience == Patience::Full {
            return None;
        }
        detour(&**limiter, self.demand).map(NoTurn::Paused)
    }

    /// The limiter has heard of it and keeps everybody away. If it lets this call through at once all the same, the
    /// call stays away by itself: nothing may ask a provider in a loop.
    async fn throttled(&mut self, error: ProviderError) -> Result<(), ProviderError> {
        let now = clock::now();
        let named = named_wait(&error);
        self.story.throttled(named);
        self.throttles = self.throttles.saturating_add(1);
        self.throttled = Some(now);
        self.last = Some(error);
        if self.dispatch.limiter.outlook(self.demand).is_none() {
            let policy = self.policy();
            let jitter = self.dispatch.draw(|rng| policy.jitter(self.throttles, rng));
            let ends = clock::after(now, named.unwrap_or_default().saturating_add(jitter));
            if self.waits_until().is_some_and(|until| until <= ends) {
                self.story.queued();
                return Err(self.refused(NoTurn::Late(Refused { wait: named })));
            }
            self.pause(ends).await;
        }
        Ok(())
    }

    async fn wait(&self, until: Option<Instant>) -> Result<Turn, NoTurn> {
        let Desk { queue, line, .. } = &*self.dispatch;
        let context = self.story.context();
        let ticket = Ticket {
            id: self.dispatch.next_id(),
            flow: context.flow.clone(),
            weight: context.weight,
            class: context.class,
            cost: estimate::charge(&self.demand),
            deadline: until.map(Instant::into_std),
        };
        let brief = self.patience == Patience::Brief;
        let wish = Wish { call: self.story.call(), demand: self.demand, lesson: self.lesson.clone(), until, brief };
        let mut place = line.join(Arc::clone(queue), ticket.id, wish).ok_or(NoTurn::Closed)?;
        let pushed = select! {
            biased;
            pushed = queue.push(ticket) => pushed,
            // Whoever waits for room in the queue may be sent away as well.
            answer = place.answer() => return answer.ok_or(NoTurn::Closed)?,
        };
        if let Err(full) = pushed {
            return Err(if line.is_closed() { NoTurn::Closed } else { NoTurn::Full(full) });
        }
        place.answer().await.ok_or(NoTurn::Closed)?
    }

    /// Waits until then, or until the dispatch is shut down.
    async fn pause(&self, ends: Instant) {
        clock::within(Some(ends), self.dispatch.line.closed()).await;
    }

    /// How long it waits for its turn: until the deadline, or until its patience with 429s is at an end.
    fn waits_until(&self) -> Option<Instant> {
        let patience = self.throttled.map(|since| clock::after(since, self.throttled_wait));
        self.deadline.into_iter().chain(patience).min()
    }

    /// Tells that it was refused, and what to hand on.
    fn refused(&mut self, why: NoTurn) -> ProviderError {
        let bound = match (self.waits_until(), self.deadline) {
            (None, _) => Bound::None,
            (bound, deadline) if bound == deadline => Bound::Deadline,
            _ => Bound::Patience,
        };
        let lack = self.dispatch.limiter.outlook(self.demand).map(|outlook| outlook.reason);
        let mut error = why.into_error(bound, lack, self.last.take());
        // The try for which it waited was not made.
        error.details.retries = self.story.context().attempt.saturating_sub(1);
        self.story.refused(error.kind);
        error
    }

    fn policy(&self) -> RetryPolicy {
        self.dispatch.policy
    }
}

/// How long the provider asked us to stay away.
pub(crate) fn named_wait(error: &ProviderError) -> Option<Duration> {
    match error.retry {
        Retry::After(wait) => Some(wait),
        _ => error.details.limits.retry_after,
    }
}
