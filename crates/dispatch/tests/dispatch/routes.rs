//! Several keys for one model: whoever cannot be served by one moves on to the next, in order.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_core::test_util::Recorder;
use bellwether_core::{Fact, Observer};
use bellwether_dispatch::{ChatProvider, Dispatch, ErrorKind, Parked, PermitPool, Retry, Routes};
use bellwether_limiter::{Limit, Limiter, Limits, Rate, Settings};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::play::{Ends, Play, Scene, error, ms, named, request, throttle, until};

struct Keys {
    plays: Vec<Arc<Play>>,
    routes: Arc<Routes>,
    facts: Arc<Recorder>,
}

/// A key with one place for each list of scenes, all for the model `m`.
fn keys<const N: usize>(scenes: [Vec<Scene>; N]) -> Keys {
    let facts = Arc::new(Recorder::default());
    let plays: Vec<_> = scenes.into_iter().map(Play::of).collect();
    let key = |play: &Arc<Play>| {
        let provider = Arc::<Play>::clone(play);
        let pool = Arc::new(PermitPool::new(NonZeroUsize::MIN));
        (Arc::new(Dispatch::builder(provider).limiter(pool).seed(7).build()), "m")
    };
    let routes = Routes::new("both", Arc::<Recorder>::clone(&facts) as Arc<dyn Observer>);
    let routes = Arc::new(routes.route("m", plays.iter().map(key)));
    Keys { plays, routes, facts }
}

impl Keys {
    fn rerouted(&self) -> Vec<ErrorKind> {
        let kind = |fact: &Fact| match fact {
            Fact::CallRerouted { kind, .. } => Some(*kind),
            _ => None,
        };
        self.facts.facts().iter().filter_map(kind).collect()
    }

    fn sent(&self) -> Vec<usize> {
        self.plays.iter().map(|play| play.arrivals().len()).collect()
    }
}

fn broke() -> Scene {
    Scene::after(100, Ends::Fails(error(ErrorKind::QuotaExhausted)))
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_on_a_key_that_is_parked_moves_on_to_the_next() {
    let keys = keys([vec![broke()], vec![]]);
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let routes = Arc::clone(&keys.routes);
        calls.spawn(async move { routes.chat(request(), named(n.to_string())).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok), "all ten are answered");
    assert_eq!(keys.sent(), [1, 10], "and only the first one was sent to the dry account");
    assert_eq!(keys.rerouted(), [ErrorKind::QuotaExhausted; 10]);
    let stream = keys.routes.stream(request(), named("late")).await.unwrap();
    assert_eq!(stream.fold().await.unwrap().text, "Hello there");
    assert_eq!(keys.sent(), [1, 11]);
}

#[tokio::test(start_paused = true)]
async fn the_order_is_kept_and_a_key_that_is_well_is_not_left() {
    let keys = keys([vec![], vec![], vec![]]);
    for n in 0..3 {
        keys.routes.chat(request(), named(n.to_string())).await.unwrap();
    }
    assert_eq!((keys.sent(), keys.rerouted().len()), (vec![3, 0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_not_waited_out_where_there_is_another_key() {
    let long = Scene::after(0, Ends::Fails(throttle(Some(ms(60_000)))));
    let keys = keys([vec![long], vec![]]);
    keys.routes.chat(request(), named("a")).await.unwrap();
    assert_eq!((keys.plays[0].elapsed(), keys.sent()), (200, vec![1, 1]));
    assert_eq!(keys.rerouted(), [ErrorKind::RateLimited]);
}

#[tokio::test(start_paused = true)]
async fn nor_by_those_who_were_in_the_line_when_it_began() {
    let long = Scene::after(100, Ends::Fails(throttle(Some(ms(60_000)))));
    let keys = keys([vec![long], vec![]]);
    let mut calls = JoinSet::new();
    for n in 0..10 {
        let routes = Arc::clone(&keys.routes);
        calls.spawn(async move { routes.chat(request(), named(n.to_string())).await });
    }
    assert!(calls.join_all().await.iter().all(Result::is_ok));
    assert_eq!((keys.plays[0].elapsed(), keys.sent()), (2_100, vec![1, 10]));
    assert_eq!(keys.rerouted(), [ErrorKind::RateLimited; 10]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_somebody_else_finds_out_where_there_is_another_key() {
    let keys = keys([vec![broke(), Scene::after(30_000, Ends::Answers(ms(0)))], vec![]]);
    keys.routes.chat(request(), named("a")).await.unwrap();
    sleep(ms(60_000)).await;
    let start = keys.plays[0].elapsed();
    let mut calls = JoinSet::new();
    for n in 0..4 {
        let routes = Arc::clone(&keys.routes);
        calls.spawn(async move { routes.chat(request(), named(n.to_string())).await.unwrap() });
    }
    for _ in 0..3 {
        calls.join_next().await.unwrap().unwrap();
    }
    assert_eq!((keys.plays[0].elapsed() - start, keys.sent()), (600, vec![2, 4]), "one finds out, the others go on");
    calls.join_next().await.unwrap().unwrap();
    assert_eq!(keys.plays[0].elapsed() - start, 30_000);
}

#[tokio::test(start_paused = true)]
async fn where_all_others_are_parked_it_goes_back_and_waits() {
    let long = Scene::after(0, Ends::Fails(throttle(Some(ms(60_000)))));
    let keys = keys([vec![long], vec![broke()]]);
    keys.routes.chat(request(), named("a")).await.unwrap();
    assert_eq!(keys.sent(), [2, 1]);
    assert!(keys.plays[0].elapsed() >= 60_000);
    assert_eq!(keys.rerouted(), [ErrorKind::RateLimited, ErrorKind::QuotaExhausted]);
}

#[tokio::test(start_paused = true)]
async fn when_every_key_is_parked_the_call_is_told_so_at_once() {
    let keys = keys([vec![broke()], vec![broke()]]);
    keys.routes.chat(request(), named("a")).await.unwrap_err();
    let error = keys.routes.chat(request(), named("b")).await.unwrap_err();
    assert!(Parked::of(&error).is_some());
    assert_eq!((keys.sent(), keys.plays[0].elapsed()), (vec![1, 1], 200));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_itself_or_too_late_or_half_said_is_not_asked_elsewhere() {
    for kind in [ErrorKind::InvalidRequest, ErrorKind::ContextLength, ErrorKind::ContentFiltered] {
        let keys = keys([vec![Scene::after(0, Ends::Fails(error(kind).with_retry(Retry::Never)))], vec![]]);
        assert_eq!(keys.routes.chat(request(), named("a")).await.unwrap_err().kind, kind);
        assert_eq!(keys.sent(), [1, 0]);
    }
    let late = keys([vec![Scene::after(9_000, Ends::Answers(ms(0)))], vec![]]);
    let error_kind = late.routes.chat(request(), until("a", 500)).await.unwrap_err().kind;
    assert_eq!((error_kind, late.sent()), (ErrorKind::DeadlineExceeded, vec![1, 0]));
    let half = keys([vec![Scene::after(0, Ends::FailsAfterText(error(ErrorKind::Upstream)))], vec![]]);
    let stream = half.routes.stream(request(), named("a")).await.unwrap();
    assert!(stream.fold().await.unwrap_err().details.emitted_output);
    assert_eq!(half.sent(), [1, 0], "a part of the answer was handed on");
}

#[tokio::test(start_paused = true)]
async fn a_model_without_a_key_is_named() {
    let keys = keys([vec![]]);
    let mut other = request();
    other.model = "n".into();
    let error = keys.routes.chat(other, named("a")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.to_string().contains("known are m"), "{error}");
    assert_eq!(keys.routes.models().await.unwrap(), ["m"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_merely_busy_is_waited_for_although_there_is_another() {
    let keys = keys([vec![Scene::after(30_000, Ends::Answers(ms(0)))], vec![]]);
    let first = keys.routes.chat(request(), named("first"));
    let second = async {
        sleep(ms(1)).await;
        keys.routes.chat(request(), named("second")).await
    };
    let hasty = async {
        sleep(ms(2)).await;
        let error = keys.routes.chat(request(), until("hasty", 25_000)).await.unwrap_err();
        assert_eq!((error.kind, keys.plays[0].elapsed()), (ErrorKind::DeadlineExceeded, 25_002));
    };
    let (first, second, ()) = tokio::join!(first, second, hasty);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((keys.plays[0].arrivals(), keys.sent()), (vec![0, 30_000], vec![2, 0]));
    assert_eq!(keys.rerouted(), []);
}

/// A limiter that knows says at once that there is no room within the ten seconds after which it is looked again.
#[tokio::test(start_paused = true)]
async fn nor_is_a_key_left_whose_limit_lets_the_call_in_much_later() {
    let (main, backup) = (Play::of([]), Play::of([]));
    let limits = Limits { requests: Limit::told(Rate::per_minute(1)), ..Limits::NONE };
    let limiter = Limiter::new("main", Settings { limits, ..Settings::default() });
    let dispatch = Dispatch::builder(Arc::<Play>::clone(&main)).limiter(Arc::new(limiter)).build();
    let other = Dispatch::builder(Arc::<Play>::clone(&backup)).build();
    let routes = Routes::new("both", Arc::new(())).route("m", [dispatch, other].map(|key| (Arc::new(key), "m")));
    for name in ["first", "second"] {
        routes.chat(request(), named(name)).await.unwrap();
    }
    assert!((58_000..=60_100).contains(&main.arrivals()[1]), "{:?}", main.arrivals());
    let error = routes.chat(request(), until("hasty", 15_000)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    assert_eq!((main.arrivals().len(), backup.arrivals().len()), (2, 0));
}
