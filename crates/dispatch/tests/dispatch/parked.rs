//! A key that is refused is asked no more: everybody is told at once, one call finds out later, or a person mends it.

use std::sync::{Arc, OnceLock, Weak};

use bellwether_core::test_util::Recorder;
use bellwether_core::{KeyState, Observer};
use bellwether_dispatch::{ChatProvider, Dispatch, DispatchBuilder, ErrorKind, Fact, Parked, ProviderError, Retry};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::play::{Ends, Scene, Stage, error, ms, named, request};

fn broke(after: Option<Retry>) -> Scene {
    let error = error(ErrorKind::QuotaExhausted);
    Scene::after(
        100,
        Ends::Fails(match after {
            Some(retry) => error.with_retry(retry),
            None => error,
        }),
    )
}

fn states(facts: &Recorder) -> Vec<KeyState> {
    let state = |fact: &Fact| match fact {
        Fact::KeyChanged { state, .. } => Some(*state),
        _ => None,
    };
    facts.facts().iter().filter_map(state).collect()
}

fn wait(error: &ProviderError) -> Option<u64> {
    Parked::of(error).expect("the key is parked").wait.map(|wait| wait.as_secs())
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_on_a_key_without_money_is_told_at_once_and_pays_nothing() {
    let stage = Stage::new(1, [broke(None)]);
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let dispatch = Arc::clone(&stage.dispatch);
        calls.spawn(async move { dispatch.chat(request(), named(n.to_string())).await.unwrap_err() });
    }
    let errors = calls.join_all().await;
    assert_eq!(stage.play.elapsed(), 100, "they hear of it when the first does");
    assert_eq!(stage.play.arrivals(), [0], "and none of them was sent");
    assert!(errors.iter().all(|error| error.kind == ErrorKind::QuotaExhausted));
    assert_eq!(errors.iter().filter(|error| Parked::of(error).is_some()).count(), 19);
    let late = stage.dispatch.chat(request(), named("late")).await.unwrap_err();
    assert_eq!((wait(&late), stage.play.elapsed()), (Some(60), 100), "nor are those who come later");
    assert!(matches!(late.retry, Retry::After(wait) if wait == ms(60_000)), "{late:?}");
    assert!(late.to_string().contains("parked for another"), "{late}");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn when_the_time_is_up_one_call_finds_out_for_all() {
    let named_time = broke(Some(Retry::After(ms(7_000))));
    let stage = Stage::new(4, [named_time, broke(None)]);
    stage.dispatch.chat(request(), named("first")).await.unwrap_err();
    sleep(ms(7_000)).await;
    let (a, b) = tokio::join!(stage.dispatch.chat(request(), named("a")), stage.dispatch.chat(request(), named("b")));
    assert_eq!(stage.play.arrivals(), [0, 7_100], "one probe, though there are four places");
    assert!(Parked::of(&a.unwrap_err()).is_none(), "it was the one that found out");
    assert_eq!(wait(&b.unwrap_err()), Some(60));
    sleep(ms(60_000)).await;
    let (a, b) = tokio::join!(stage.dispatch.chat(request(), named("c")), stage.dispatch.chat(request(), named("d")));
    a.unwrap();
    b.unwrap();
    assert_eq!(stage.play.arrivals().len(), 4, "the probe was answered, and the other went on");
    use KeyState::{Closed, HalfOpen, Parked as P};
    assert_eq!(states(&stage.facts), [P, HalfOpen, P, HalfOpen, Closed]);
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_waits_for_a_person() {
    let refused = Scene::after(0, Ends::Fails(error(ErrorKind::Auth)));
    let stage = Stage::new(1, [refused]);
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    let parked = stage.dispatch.chat(request(), named("b")).await.unwrap_err();
    assert_eq!((parked.kind, parked.retry, wait(&parked)), (ErrorKind::Auth, Retry::Never, None));
    stage.dispatch.reopen();
    stage.dispatch.chat(request(), named("c")).await.unwrap();
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_caller_goes_away_leaves_the_probing_to_the_next() {
    let stage = Stage::new(2, [broke(None)]);
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    sleep(ms(60_000)).await;
    let gone = tokio::time::timeout(ms(50), stage.dispatch.chat(request(), named("b"))).await;
    assert!(gone.is_err());
    stage.dispatch.chat(request(), named("c")).await.unwrap();
    assert_eq!(states(&stage.facts).last(), Some(&KeyState::Closed));
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_probe_takes_its_place_when_its_caller_goes_away() {
    let stage = Stage::new(2, [broke(None)]);
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    sleep(ms(60_000)).await;
    let waits = async {
        sleep(ms(1)).await;
        stage.dispatch.chat(request(), named("c")).await.unwrap();
    };
    let leaves = tokio::time::timeout(ms(50), stage.dispatch.chat(request(), named("b")));
    let (gone, ()) = tokio::join!(leaves, waits);
    assert!(gone.is_err());
    assert_eq!(stage.play.arrivals(), [0, 60_100, 60_150], "and not a moment later");
    stage.assert_swept().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_refused_for_itself_shows_that_the_key_is_well_and_one_that_fails_does_not() {
    for (kind, last) in [(ErrorKind::InvalidRequest, KeyState::Closed), (ErrorKind::Upstream, KeyState::HalfOpen)] {
        let probe = Scene::after(0, Ends::Fails(error(kind).with_retry(Retry::Never)));
        let stage = Stage::new(1, [broke(None), probe]);
        stage.dispatch.chat(request(), named("a")).await.unwrap_err();
        sleep(ms(60_000)).await;
        assert_eq!(stage.dispatch.chat(request(), named("b")).await.unwrap_err().kind, kind);
        assert_eq!(states(&stage.facts).last(), Some(&last), "{kind:?}");
        stage.assert_swept().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_answered_whole_opens_the_key_too() {
    let stage = Stage::with(1, 9, [broke(None)], DispatchBuilder::unary);
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    sleep(ms(60_000)).await;
    stage.dispatch.chat(request(), named("b")).await.unwrap();
    assert_eq!(states(&stage.facts).last(), Some(&KeyState::Closed));
    stage.assert_swept().await;
}

/// Opens a key again as soon as it hears that it is parked.
#[derive(Debug, Default)]
struct Reopens(OnceLock<Weak<Dispatch>>);

impl Observer for Reopens {
    fn observe(&self, fact: &Fact) {
        if matches!(fact, Fact::KeyChanged { state: KeyState::Parked, .. }) {
            self.0.get().and_then(Weak::upgrade).expect("it lives").reopen();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_key_is_told_in_order_even_to_those_who_hear_it_after_somebody_who_changes_it() {
    let (reopens, heard) = (Arc::new(Reopens::default()), Arc::new(Recorder::default()));
    let observers: Vec<Arc<dyn Observer>> = vec![Arc::<Reopens>::clone(&reopens), Arc::<Recorder>::clone(&heard)];
    let stage = Stage::with(1, 9, [broke(None)], |builder| builder.observer(Arc::new(observers)));
    reopens.0.set(Arc::downgrade(&stage.dispatch)).unwrap();
    stage.dispatch.chat(request(), named("a")).await.unwrap_err();
    assert_eq!(states(&heard), [KeyState::Parked, KeyState::Closed]);
    stage.dispatch.chat(request(), named("b")).await.expect("it was opened again");
    stage.assert_swept().await;
}
