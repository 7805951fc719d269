//! The waiting room does what a naive list would do, and wakes exactly those who wait.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bellwether_core::queue::{Ticket, TicketId};
use bellwether_dispatch::{Class, Fifo, Flow, TaskQueue};
use proptest::prelude::*;
use tokio::task::JoinSet;

fn ticket(id: u64, class: Class) -> Ticket {
    Ticket { id: TicketId(id), flow: Flow::default(), weight: NonZeroU32::MIN, class, cost: 1, deadline: None }
}

/// What a future says without waiting.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Cancel(u64),
    Close,
    Next,
    Push(u64, Class),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::Interactive), Just(Class::Standard), Just(Class::Batch)];
    prop_oneof![
        3 => (0u64..30).prop_map(Step::Cancel),
        1 => Just(Step::Close),
        6 => Just(Step::Next),
        10 => (0u64..30, class).prop_map(|(id, class)| Step::Push(id, class)),
    ]
}

proptest! {
    #[test]
    fn it_does_what_a_naive_list_does(capacity in 0usize..8, steps in prop::collection::vec(step(), 0..120)) {
        let fifo = Fifo::new(capacity);
        let mut naive: Vec<(u64, Class)> = Vec::new();
        let mut closed = false;
        for step in steps {
            match step {
                Step::Cancel(id) => {
                    let there = naive.iter().position(|(other, _)| *other == id).map(|at| naive.remove(at));
                    prop_assert_eq!(fifo.cancel(TicketId(id)), there.is_some());
                }
                Step::Close => {
                    fifo.close();
                    closed = true;
                }
                Step::Next => {
                    let best = (0..naive.len()).min_by_key(|at| (naive[*at].1, *at)).map(|at| naive.remove(at));
                    match now(fifo.next()) {
                        Some(Some(taken)) => prop_assert_eq!(Some((taken.id.0, taken.class)), best),
                        Some(None) => prop_assert!(closed && best.is_none()),
                        None => prop_assert!(!closed && best.is_none()),
                    }
                }
                Step::Push(id, class) => {
                    if naive.iter().any(|(other, _)| *other == id) {
                        continue; // An id may wait only once.
                    }
                    let pushed = now(fifo.push(ticket(id, class))).expect("to push is not to wait");
                    let room = !closed && naive.len() < capacity;
                    prop_assert_eq!(pushed.is_ok(), room);
                    if room {
                        naive.push((id, class));
                    }
                }
            }
            prop_assert_eq!(fifo.len(), naive.len());
            prop_assert_eq!(fifo.is_empty(), naive.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_takers_and_many_givers_lose_nothing() {
    let fifo = Arc::new(Fifo::new(10_000));
    let mut takers = JoinSet::new();
    for _ in 0..8 {
        let fifo = Arc::clone(&fifo);
        takers.spawn(async move {
            let mut taken = Vec::new();
            while let Some(ticket) = fifo.next().await {
                taken.push(ticket.id.0);
                tokio::task::yield_now().await;
            }
            taken
        });
    }
    let mut givers = JoinSet::new();
    for giver in 0..4 {
        let fifo = Arc::clone(&fifo);
        givers.spawn(async move {
            for n in 0..250 {
                fifo.push(ticket(giver * 250 + n, Class::Standard)).await.expect("there is room");
                tokio::task::yield_now().await;
            }
        });
    }
    while givers.join_next().await.is_some() {}
    fifo.close();
    let mut taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_ticket_pushed_twice_waits_once() {
    let fifo = Fifo::new(10);
    fifo.push(ticket(1, Class::Batch)).await.unwrap();
    fifo.push(ticket(1, Class::Interactive)).await.unwrap();
    assert_eq!(fifo.len(), 1);
    assert_eq!(fifo.next().await.unwrap().class, Class::Interactive);
    assert!(now(fifo.next()).is_none());
}
