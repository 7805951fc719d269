//! Whatever the provider does and whoever goes away: every call ends exactly once, and nothing is left behind.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_dispatch::{ChatProvider, Class, ErrorKind, Fact, ProviderError, Retry};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::play::{Ends, Scene, Stage, call, ms, named, request};

fn failure() -> impl Strategy<Value = ProviderError> {
    let kind = prop_oneof![
        1 => Just(ErrorKind::Auth),
        1 => Just(ErrorKind::Connect),
        1 => Just(ErrorKind::Overloaded),
        4 => Just(ErrorKind::RateLimited),
        1 => Just(ErrorKind::Timeout(Phase::Idle)),
        1 => Just(ErrorKind::Truncated),
    ];
    let hint = prop_oneof![
        3 => Just(None),
        2 => (0u64..3_000).prop_map(|after| Some(Retry::After(ms(after)))),
        1 => Just(Some(Retry::Now)),
        1 => Just(Some(Retry::Never)),
    ];
    (kind, hint).prop_map(|(kind, hint)| {
        let error = ProviderError::new(kind, "as the law wants it");
        match hint {
            Some(hint) => error.with_retry(hint),
            None => error,
        }
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let ends = prop_oneof![
        1 => (0u64..2_000).prop_map(|later| Ends::Answers(ms(later))),
        1 => Just(Ends::Babbles),
        4 => failure().prop_map(Ends::Fails),
        1 => failure().prop_map(Ends::FailsAfterHead),
        1 => failure().prop_map(Ends::FailsAfterText),
        1 => Just(Ends::Stops),
    ];
    (0u64..500, ends).prop_map(|(head, ends)| Scene::after(head, ends))
}

/// Somebody who calls.
#[derive(Clone, Debug)]
struct Caller {
    comes: Duration,
    class: Class,
    whole: bool,
    /// How long until it goes away.
    leaves: Option<Duration>,
    deadline: Option<Duration>,
    timeout: Option<Duration>,
}

fn caller() -> impl Strategy<Value = Caller> {
    let class = prop_oneof![Just(Class::Interactive), Just(Class::Standard), Just(Class::Batch)];
    let soon = || (0u64..8_000).prop_map(ms);
    let maybe = || prop::option::of(soon());
    (soon(), class, any::<bool>(), maybe(), maybe(), maybe()).prop_map(
        |(comes, class, whole, leaves, deadline, timeout)| Caller { comes, class, whole, leaves, deadline, timeout },
    )
}

/// `None` if the caller went away.
type Said = Option<Result<(), ErrorKind>>;

async fn calls(stage: &Stage, callers: Vec<Caller>) -> Vec<(usize, Said)> {
    let mut all = JoinSet::new();
    for (n, caller) in callers.into_iter().enumerate() {
        let dispatch = Arc::clone(&stage.dispatch);
        all.spawn(async move {
            sleep(caller.comes).await;
            let mut context = named(n.to_string());
            context.class = caller.class;
            context.timeout = caller.timeout;
            context.deadline = caller.deadline.map(|later| (Instant::now() + later).into_std());
            let answer = async {
                match caller.whole {
                    true => dispatch.chat(request(), context).await,
                    false => dispatch.stream(request(), context).await?.fold().await,
                }
            };
            let answer = timeout(caller.leaves.unwrap_or(Duration::from_secs(100_000)), answer).await;
            (n, answer.ok().map(|answer| answer.map(drop).map_err(|error| error.kind)))
        });
    }
    all.join_all().await
}

/// The last fact of a call agrees with what its caller was told.
fn agrees(last: &Fact, said: &Said) -> bool {
    match (last, said) {
        (Fact::CallCompleted { .. }, Some(Ok(()))) | (Fact::CallAbandoned { .. }, None) => true,
        (Fact::CallRefused { kind, .. }, Some(Err(told))) => kind == told,
        (Fact::CallFailed { kind, .. }, Some(Err(told))) => kind == told || *told == ErrorKind::DeadlineExceeded,
        _ => false,
    }
}

async fn law(places: usize, capacity: usize, scenes: Vec<Scene>, callers: Vec<Caller>) {
    let stage = Stage::with(places, capacity, scenes, |builder| builder);
    let said = calls(&stage, callers).await;
    stage.assert_swept().await;
    let facts = stage.facts.facts();
    for (n, said) in said {
        let name = n.to_string();
        let own =
            facts.iter().filter(|fact| call(fact).is_some_and(|call| call.context.task == Some(name.as_str().into())));
        let own: Vec<_> = own.collect();
        let Some(last) = own.last() else {
            // Left before it was polled for the first time.
            assert_eq!(said, None);
            continue;
        };
        assert!(agrees(last, &said), "the caller was told {said:?}, but everybody else {last:?}");
        let failed = own.iter().filter(|fact| matches!(fact, Fact::CallFailed { .. })).count();
        assert!(failed <= 4, "tries are bounded");
        let attempts = own.iter().filter(|fact| matches!(fact, Fact::CallQueued { .. }));
        assert!(
            attempts.zip(0..).all(|(fact, n)| call(fact).is_some_and(|call| call.context.attempt == n)),
            "attempts are counted"
        );
    }
    let mut in_flight = 0i32;
    for fact in &facts {
        in_flight += match fact {
            Fact::CallAdmitted { .. } => 1,
            Fact::CallCompleted { .. } | Fact::CallFailed { .. } | Fact::CallThrottled { .. } => -1,
            Fact::CallAbandoned { admitted: true, .. } => -1,
            _ => 0,
        };
        assert!(in_flight >= 0 && in_flight <= i32::try_from(places).expect("few"), "places are a bound");
    }
    stage.dispatch.shutdown().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_call_ends_exactly_once_and_leaves_nothing_behind(
        places in 1usize..4,
        capacity in 1usize..10,
        scenes in prop::collection::vec(scene(), 0..30),
        callers in prop::collection::vec(caller(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime starts").block_on(law(places, capacity, scenes, callers));
    }
}
