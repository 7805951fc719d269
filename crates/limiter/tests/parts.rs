//! The estimator, the registry and the tower layer.

use std::sync::Arc;

use bellwether_core::{ChatRequest, Message};
use bellwether_limiter::{Estimator, Registry, Settings, Usage};

fn asks(text: &str) -> ChatRequest {
    ChatRequest::new("m", vec![Message::user(text)])
}

fn took(input: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
}

#[test]
fn a_cap_is_reserved_as_it_is_and_none_is_put_in() {
    let estimator = Estimator::default();
    let mut request = asks("hello");
    request.max_output_tokens = Some(7);
    assert_eq!(estimator.demand(&request, "coder").output_tokens, 7);
    estimator.learn(&request, "coder", &took(5, 7));
    assert_eq!(request.max_output_tokens, Some(7));
    assert_eq!(estimator.demand(&asks("hello"), "coder").output_tokens, 1_024, "one call is no pattern");
}

#[test]
fn roles_and_models_are_told_apart_and_a_new_role_takes_after_its_model() {
    let estimator = Estimator::default();
    for _ in 0..30 {
        estimator.learn(&asks("x"), "planner", &took(5, 4_000));
        estimator.learn(&asks("x"), "critic", &took(5, 100));
    }
    let of = |role| estimator.demand(&asks("x"), role).output_tokens;
    assert!((4_000..=4_400).contains(&of("planner")));
    assert!((100..=110).contains(&of("critic")));
    assert!(of("new") >= 4_000, "nine of ten of all roles");
    let other = ChatRequest::new("other", vec![Message::user("x")]);
    assert_eq!(estimator.demand(&other, "critic").output_tokens, 1_024);
}

#[test]
fn usage_that_was_not_sent_is_not_learnt() {
    let estimator = Estimator::default();
    let before = estimator.demand(&asks(&"x".repeat(4_000)), "coder");
    for _ in 0..50 {
        estimator.learn(&asks(&"x".repeat(4_000)), "coder", &Usage::default());
    }
    assert_eq!(estimator.demand(&asks(&"x".repeat(4_000)), "coder"), before);
}

#[test]
fn the_first_answer_shows_how_many_characters_a_token_has_and_later_ones_make_it_exact() {
    let estimator = Estimator::default();
    let request = asks(&"x".repeat(3_984));
    let input = || estimator.demand(&request, "coder").input_tokens;
    assert_eq!(input(), 1_000);
    estimator.learn(&request, "coder", &took(4_000, 5));
    assert_eq!(input(), 4_000);
    estimator.learn(&request, "coder", &took(2_000, 5));
    assert_eq!(input(), 3_000, "the middle of both");
    (0..98).for_each(|_| estimator.learn(&request, "coder", &took(2_000, 5)));
    assert!((2_000..=2_001).contains(&input()), "what is long ago counts no more");
}

#[test]
fn an_answer_that_was_cut_off_says_nothing_of_those_that_are_not() {
    let estimator = Estimator::default();
    let capped = ChatRequest { max_output_tokens: Some(50), ..asks("x") };
    for _ in 0..50 {
        estimator.learn(&capped, "coder", &took(5, 50));
    }
    assert_eq!(estimator.demand(&asks("x"), "coder").output_tokens, 1_024);
    for _ in 0..50 {
        estimator.learn(&capped, "coder", &took(5, 40));
    }
    assert!((40..=44).contains(&estimator.demand(&asks("x"), "coder").output_tokens), "these ended by themselves");
}

#[cfg(feature = "tiktoken")]
#[test]
fn tiktoken_counts_what_openai_counts() {
    let estimator = Estimator::with_tiktoken();
    let demand = estimator.demand(&asks("The bellwether is the sheep that leads the flock."), "coder");
    assert!((12..=20).contains(&demand.input_tokens), "{demand:?}");
}

#[test]
fn a_key_has_one_limiter_however_many_ask_for_it_at_once() {
    let registry = Arc::new(Registry::default());
    let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..50 {
                    registry.get(&format!("key {key}"), || {
                        made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        Settings::default()
                    });
                }
            });
        }
    });
    assert_eq!(registry.len(), 50);
    assert_eq!(registry.all().len(), 50);
    assert!(registry.remove("key 7").is_some() && registry.find("key 7").is_none());
}

#[cfg(feature = "tower")]
mod layer {
    use std::num::NonZeroU32;

    use bellwether_limiter::{Concurrency, Demand, LimitError, LimitLayer, Limiter, Limits, Outcome, Settings};
    use tower::{Layer, ServiceExt, service_fn};

    #[tokio::test(start_paused = true)]
    async fn a_service_is_called_by_no_more_than_there_are_places_and_every_place_comes_back() {
        let limits = Limits { concurrency: Concurrency::Told(NonZeroU32::new(2).unwrap()), ..Limits::NONE };
        let limiter = Limiter::new("key", Settings { limits, ..Settings::default() });
        let seen = limiter.clone();
        let service = service_fn(move |fails: bool| {
            let seen = seen.clone();
            async move {
                assert!(seen.snapshot().in_flight <= 2);
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                if fails { Err("it failed") } else { Ok(()) }
            }
        });
        let one = |_: &bool| Demand { requests: 1, input_tokens: 0, output_tokens: 0 };
        let service = LimitLayer::new(limiter.clone(), one, |_: &Result<(), &str>| Outcome::Abandoned).layer(service);
        let mut tasks = tokio::task::JoinSet::new();
        for call in 0..10 {
            tasks.spawn(service.clone().oneshot(call % 3 == 0));
        }
        let answers = tasks.join_all().await;
        assert_eq!(answers.iter().filter(|answer| matches!(answer, Err(LimitError::Service(_)))).count(), 4);
        assert_eq!(limiter.snapshot().in_flight, 0);
    }
}
