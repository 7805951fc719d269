//! What every implementation of a seam must keep.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use serde_json::json;

use crate::call::{CallContext, Class, Flow, RunId};
use crate::chat::{ChatRequest, FinishReason, Message};
use crate::journal::{Entry, Journal, JournalError, Lease, Snapshot};
use crate::limiter::RateLimiter;
use crate::permit::{Outcome, RateLimits};
use crate::provider::ChatProvider;
use crate::queue::{TaskQueue, Ticket, TicketId};
use crate::usage::{Demand, Usage};

/// A provider that answers: the stream folds to what the unary call says, and ends with a finish reason.
///
/// # Panics
///
/// If a promise is broken.
pub async fn provider(provider: &dyn ChatProvider, model: &str) {
    assert!(!provider.name().is_empty(), "a provider has a name");
    let request = ChatRequest::new(model, vec![Message::user("Say something.")]);
    let whole = provider.chat(request.clone(), CallContext::default()).await.expect("a plain question is answered");
    let stream = provider.stream(request, CallContext::default()).await.expect("a plain question is streamed");
    let folded = stream.fold().await.expect("a stream ends with a finish reason");
    assert!(!whole.text.is_empty(), "an answer says something");
    assert_eq!(whole.text, folded.text, "the unary answer is the fold of the stream");
    assert_eq!(whole.finish, FinishReason::Stop, "a plain answer ends by itself");
    assert_eq!(whole.finish, folded.finish, "both ways say why the model stopped");
    provider.models().await.expect("models are listed");
}

/// An idle limiter admits a small demand at once, takes it back on every way out, and refuses no later than promised.
///
/// # Panics
///
/// If a promise is broken.
pub async fn rate_limiter(limiter: &dyn RateLimiter) {
    let demand = Demand { requests: 1, input_tokens: 1, output_tokens: 1 };
    let limits = RateLimits::default();
    let usage = Usage { input_tokens: Some(1), output_tokens: Some(1), ..Usage::default() };
    let outcomes = [
        Some(Outcome::Completed { usage, limits }),
        Some(Outcome::Failed { may_have_executed: true, limits }),
        Some(Outcome::Unused),
        None,
    ];
    for outcome in outcomes {
        assert_eq!(limiter.outlook(demand), None, "an idle limiter has room");
        let permit = limiter.acquire(demand, None).await.expect("an idle limiter admits");
        assert_eq!(permit.demand(), demand, "a permit says what it reserved");
        match outcome {
            Some(outcome) => permit.settle(outcome),
            None => drop(permit),
        }
    }
}

fn ticket(id: u64) -> Ticket {
    Ticket {
        id: TicketId(id),
        flow: Flow::default(),
        weight: NonZeroU32::MIN,
        class: Class::Standard,
        cost: 1,
        deadline: None,
    }
}

/// Tickets of one flow come out in order, each once; cancelled ones never; a closed queue runs dry and ends.
///
/// # Panics
///
/// If a promise is broken.
pub async fn queue(queue: &dyn TaskQueue) {
    assert!(queue.is_empty(), "a new queue is empty");
    {
        let mut next = pin!(queue.next());
        let poll = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Pending), "an empty queue lets its taker wait");
    }
    for id in 0..4 {
        queue.push(ticket(id)).await.expect("a nearly empty queue has room");
    }
    assert_eq!(queue.len(), 4, "every ticket waits");
    assert!(queue.cancel(TicketId(1)), "a waiting ticket can be cancelled");
    assert!(!queue.cancel(TicketId(1)), "but only once");
    assert_eq!(queue.len(), 3, "a cancelled ticket does not wait");
    queue.close();
    assert!(queue.push(ticket(9)).await.is_err(), "a closed queue takes no tickets");
    for id in [0, 2, 3] {
        let taken = queue.next().await.expect("a closed queue runs dry first");
        assert_eq!(taken.id, TicketId(id), "one flow's tickets come in order");
        queue.settle(taken.id, 5);
    }
    assert!(!queue.cancel(TicketId(0)), "a taken ticket cannot be cancelled");
    assert!(queue.next().await.is_none(), "a closed and empty queue ends");
}

/// Entries come back in order, numbered without gaps, and only the latest lease may write.
///
/// # Panics
///
/// If a promise is broken.
pub async fn journal(journal: &dyn Journal) {
    let run = RunId::from("conformance");
    let entry = |n: u32| Entry { kind: "step".to_owned(), body: json!({ "n": n }) };
    assert_eq!(journal.load(&run).await.expect("an unknown run can be asked for"), Vec::new());
    let first = journal.lease(&run).await.expect("a free run can be leased");
    let last = journal.append(&first, vec![entry(1), entry(2)]).await.expect("the writer may write");
    assert_eq!(last, 2, "entries are numbered from 1");
    assert_eq!(journal.append(&first, Vec::new()).await.expect("nothing can be appended"), 2, "nothing has no number");
    let held = journal.lease(&run).await;
    let Err(JournalError::Held { holder, .. }) = held else { panic!("a held run is not given away: {held:?}") };
    assert_eq!(holder.pid, std::process::id(), "a second writer is told who holds the run");
    let second = journal.take_over(&run).await.expect("a run can be taken over");
    assert!(second.epoch > first.epoch, "the fencing token grows");
    let fenced = journal.append(&first, vec![entry(3)]).await;
    assert!(matches!(fenced, Err(JournalError::Fenced { .. })), "the former writer is fenced off");
    let fenced = journal.release(&first).await;
    assert!(matches!(fenced, Err(JournalError::Fenced { .. })), "what is void cannot be given back");
    assert_eq!(journal.append(&second, vec![entry(4)]).await.expect("the new writer may write"), 3, "no gaps");
    journal_reads(journal, &run, &[entry(1), entry(2), entry(4)]).await;
    journal_snapshots(journal, &first, &second).await;
    journal.release(&second).await.expect("a lease can be given back");
    let fenced = journal.append(&second, vec![entry(5)]).await;
    assert!(matches!(fenced, Err(JournalError::Fenced { .. })), "what was given back is void");
    let third = journal.lease(&run).await.expect("a run that was given back is free");
    assert!(third.epoch > second.epoch, "the fencing token grows");
}

async fn journal_snapshots(journal: &dyn Journal, fenced: &Lease, writer: &Lease) {
    let last = async || journal.last_snapshot(&writer.run).await.expect("a run can be asked for its snapshot");
    assert_eq!(last().await, None, "nobody has left one");
    for (seq, state) in [(1, b"one".to_vec()), (2, b"two".to_vec())] {
        journal.snapshot(writer, seq, state.clone()).await.expect("the writer may leave a snapshot");
        assert_eq!(last().await, Some(Snapshot { seq, state }), "the latest one counts");
    }
    let refused = journal.snapshot(fenced, 2, Vec::new()).await;
    assert!(matches!(refused, Err(JournalError::Fenced { .. })), "the former writer is fenced off");
    journal.snapshot(writer, 99, Vec::new()).await.expect_err("there is no such entry");
    assert_eq!(last().await.map(|kept| kept.seq), Some(2), "what was refused changes nothing");
    let unknown = journal.last_snapshot(&RunId::from("unknown")).await;
    assert_eq!(unknown.expect("an unknown run can be asked for"), None);
}

async fn journal_reads(journal: &dyn Journal, run: &RunId, expected: &[Entry]) {
    assert_eq!(journal.load(run).await.expect("a run can be loaded"), expected, "entries come back in order");
    let all = journal.read(run, 0, usize::MAX).await.expect("a run can be read");
    assert!(all.iter().map(|recorded| recorded.seq).eq(1..=expected.len() as u64), "numbers have no gaps");
    assert!(all.iter().map(|recorded| &recorded.entry).eq(expected), "both ways of reading agree");
    assert!(all.is_sorted_by_key(|recorded| recorded.at), "time does not run backwards within a run");
    let one = journal.read(run, 1, 1).await.expect("a part can be read");
    assert_eq!(one, all[1..2], "reading starts after a number and ends at the limit");
    assert_eq!(journal.runs().await.expect("runs can be listed"), std::slice::from_ref(run));
}
