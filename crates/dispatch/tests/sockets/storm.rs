//! Ten thousand calls, most of which are dropped: each when something has happened, none when some time has passed.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use bellwether_core::test_util::Recorder;
use bellwether_core::{CallContext, ChatProvider, Demand, Fact, Flow, Observer, TaskQueue};
use bellwether_dispatch::Dispatch;
use bellwether_limiter::{Concurrency, Limiter, Limits};
use bellwether_queue::{AtTheDoor, Settings, TicketQueue};
use bellwether_sim::{Fail, Fault, Faults, Scenario};
use tokio::select;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{idle_within_a_second, latency, provider, request, simulator};

const CALLS: usize = 10_000;
const PLACES: u32 = 64;
/// So many requests are never answered.
const STALLS: usize = 16;

/// When a caller goes away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaves {
    /// When so many facts were told, wherever it is by then: mostly in the line, sometimes at the gate.
    Facts(usize),
    /// Once it was polled so often after it was sent: before the head of its answer, in its middle, perhaps never.
    Polls(u32),
    /// Once nobody is left but those who are never answered.
    Last,
}

/// Remembers the facts, and tells callers when to go.
#[derive(Debug)]
struct Storm {
    facts: Recorder,
    sent: Vec<AtomicBool>,
    schedule: Mutex<Schedule>,
}

#[derive(Debug, Default)]
struct Schedule {
    /// How many facts were told.
    told: usize,
    /// By the number of facts that they wait for; they are told by the drop.
    waiting: BTreeMap<(usize, usize), oneshot::Sender<()>>,
}

/// How many calls ended how.
struct Told {
    completed: usize,
    left_call: usize,
    left_line: usize,
}

impl Storm {
    fn new() -> Self {
        let sent = (0..CALLS).map(|_| AtomicBool::new(false)).collect();
        Self { facts: Recorder::default(), sent, schedule: Mutex::default() }
    }

    /// Ends, with an error, once so many facts were told.
    fn told(&self, facts: usize, who: usize) -> oneshot::Receiver<()> {
        let (door, told) = oneshot::channel();
        let mut schedule = self.schedule();
        if schedule.told < facts {
            schedule.waiting.insert((facts, who), door);
        }
        told
    }

    /// Sends those away who would stay to the last.
    fn end(&self) {
        self.schedule().waiting.clear();
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().expect("nobody panics while it is held")
    }

    /// What became of the calls, once every stay of theirs has ended.
    fn balance(&self) -> Told {
        let count = |wanted: fn(&Fact) -> bool| self.facts.count(wanted);
        let queued = count(|fact| matches!(fact, Fact::CallQueued { .. }));
        let admitted = count(|fact| matches!(fact, Fact::CallAdmitted { .. }));
        let completed = count(|fact| matches!(fact, Fact::CallCompleted { .. }));
        let left_line = count(|fact| matches!(fact, Fact::CallAbandoned { admitted: false, .. }));
        let left_call = count(|fact| matches!(fact, Fact::CallAbandoned { admitted: true, .. }));
        let failed = count(|fact| matches!(fact, Fact::CallFailed { .. }));
        assert_eq!(queued, admitted + left_line, "every stay in the line ended once");
        assert_eq!(admitted, completed + left_call + failed, "and every call that was sent");
        Told { completed, left_call, left_line }
    }
}

impl Observer for Storm {
    fn observe(&self, fact: &Fact) {
        self.facts.observe(fact);
        if let Fact::CallAdmitted { call, .. } = fact {
            self.sent[call.context.agent].store(true, Ordering::Release);
        }
        let mut schedule = self.schedule();
        schedule.told += 1;
        let told = schedule.told;
        while schedule.waiting.first_entry().is_some_and(|first| first.key().0 <= told) {
            schedule.waiting.pop_first();
        }
    }
}

/// Asks, and goes away as it is told; whether it got its answer.
async fn caller(dispatch: Arc<Dispatch>, storm: Arc<Storm>, who: usize, leaves: Leaves) -> bool {
    let flow = Flow::new("team", format!("run-{}", who % 7), "role");
    let context = CallContext { agent: who, ..CallContext::new(flow) };
    let mut answer = pin!(async {
        match who.is_multiple_of(2) {
            true => dispatch.chat(request(), context).await,
            false => dispatch.stream(request(), context).await?.fold().await,
        }
    });
    let mut polls = 0;
    let answer = std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(answer.is_ok());
        }
        polls += u32::from(storm.sent[who].load(Ordering::Acquire));
        if matches!(leaves, Leaves::Polls(most) if polls > most) { Poll::Ready(false) } else { Poll::Pending }
    });
    let until = if let Leaves::Facts(facts) = leaves { facts } else { usize::MAX };
    select! {
        biased;
        answered = answer => answered,
        _ = storm.told(until, who) => false,
    }
}

/// Who leaves when, by a seed.
fn plan() -> Vec<Leaves> {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut leaves = || match rng.u32(..10) {
        0..2 => Leaves::Last,
        2..4 => Leaves::Polls(rng.u32(..8)),
        // All of them have queued by the first of these facts.
        _ => Leaves::Facts(CALLS + rng.usize(1..CALLS)),
    };
    (0..CALLS).map(|_| leaves()).collect()
}

/// Drops ten thousand calls at random points: in the line, at the gate, before the head of an answer, in its middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_ten_thousand_dropped_calls_leaves_nothing_behind() {
    let fail = (1..=STALLS as u64).map(|n| Fail { request: n * 100, with: Fault::Stall }).collect();
    let faults = Faults { fail, stall_limit: Duration::from_secs(600), ..Faults::default() };
    let simulator = simulator(Scenario { latency: latency(4, 1), faults, ..Scenario::default() }).await;
    let storm = Arc::new(Storm::new());
    let settings = Settings { capacity: 20_000, ..Settings::default() };
    let queue = Arc::new(TicketQueue::new(&settings, AtTheDoor::Refuse, Arc::new(())));
    let places = Concurrency::Told(PLACES.try_into().expect("64 is not zero"));
    let limits = Limits { concurrency: places, ..Limits::NONE };
    let limiter = Limiter::new("storm", bellwether_limiter::Settings { limits, ..Default::default() });
    let dispatch = Dispatch::builder(provider(&simulator, PLACES as usize))
        .queue(Arc::<TicketQueue>::clone(&queue))
        .limiter(Arc::new(limiter.clone()))
        .observer(Arc::<Storm>::clone(&storm))
        .build();
    let dispatch = Arc::new(dispatch);

    // Nobody is sent before everybody is in the line.
    let mut held = Vec::new();
    for _ in 0..PLACES {
        held.push(limiter.acquire(Demand { requests: 1, input_tokens: 0, output_tokens: 0 }, None).await.unwrap());
    }
    let plan = plan();
    let (all_queued, mut callers) = (storm.told(CALLS, CALLS), JoinSet::new());
    for (who, leaves) in plan.iter().enumerate() {
        callers.spawn(caller(Arc::clone(&dispatch), Arc::clone(&storm), who, *leaves));
    }
    let _ = all_queued.await;
    drop(held);
    let mut answered = 0;
    while callers.len() > STALLS {
        answered += usize::from(callers.join_next().await.expect("some are left").unwrap());
    }
    storm.end();
    answered += callers.join_all().await.into_iter().map(usize::from).sum::<usize>();
    let stats = idle_within_a_second(&simulator).await;
    dispatch.shutdown().await;

    let snapshot = limiter.snapshot();
    assert_eq!((queue.len(), snapshot.in_flight, snapshot.waiting), (0, 0, 0));
    let Told { completed, left_call, left_line } = storm.balance();
    let planned = |leaves: Leaves| plan.iter().filter(|planned| **planned == leaves).count() - STALLS;
    assert!(completed >= answered && answered >= planned(Leaves::Last), "{answered} of {completed}");
    assert!(left_call >= planned(Leaves::Polls(0)) && left_line > 1_000, "{left_call}, {left_line}");
    assert_eq!(stats.injected["stall"], STALLS as u64);
    assert!((STALLS as u64..=left_call as u64).contains(&stats.cancelled), "{} of {left_call}", stats.cancelled);
    assert!(stats.peak_in_flight <= PLACES * 2, "places are a bound: {}", stats.peak_in_flight);
    let closed = Instant::now();
    drop(dispatch);
    simulator.shutdown().await;
    assert!(closed.elapsed() < Duration::from_secs(4), "no connection was left open for the server to wait for");
}
