//! Calls under a cap: what is sent, what is refused, what is booked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bellwether_budget::{Amount, Budgeted, Caps, Ledger, Refusal, Scope, Till};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ErrorKind, FinishReason, Flow, Message, Price,
    ProviderError, Usage, Usd, test_util,
};
use bellwether_provider::{Reply, Scripted};

fn dollars(amount: f64) -> Usd {
    Usd::from_dollars(amount).expect("not negative")
}

/// A dollar for a million tokens of any kind: a token costs 1,000 billionths.
fn price() -> Price {
    Price { input_per_mtok: dollars(1.0), cached_per_mtok: dollars(1.0), output_per_mtok: dollars(1.0) }
}

fn ask(cap: u32) -> ChatRequest {
    ChatRequest { max_output_tokens: Some(cap), ..ChatRequest::new("model", vec![Message::user("0123456789")]) }
}

fn answering(usage: Usage) -> Arc<Scripted> {
    Arc::new(Scripted::answering(move |_, _| Ok(ChatResponse { usage, ..ChatResponse::text("done") })))
}

fn took(input: u64, output: u64) -> Usage {
    Usage { input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
}

fn budgeted(inner: Arc<Scripted>, caps: Caps) -> Budgeted {
    Budgeted::new(inner, Ledger::new([(Scope::Everything, caps)])).price("model", price())
}

fn spent(budgeted: &Budgeted) -> (Amount, Amount) {
    let account = budgeted.account(&Scope::Everything, &CallContext::default());
    (account.spent, account.reserved)
}

/// Every framework that was looked at noticed its cap after it was broken, by as many calls as ran side by side.
#[tokio::test(start_paused = true)]
async fn sixty_four_calls_at_once_do_not_overshoot_the_cap() {
    let inner = Arc::new(
        Scripted::answering(|_, _| Ok(ChatResponse { usage: took(4, 90), ..ChatResponse::text("done") }))
            .with_delay(Duration::from_secs(1)),
    );
    // The worst case of a call is 126 tokens, so 10 of them fit at once; each takes 94, so 13 fit one after the other.
    let caps = Caps { usd: Some(Usd::from_nanos(1_260_000)), ..Caps::default() };
    let budgeted = Arc::new(budgeted(Arc::clone(&inner), caps));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let budgeted = Arc::clone(&budgeted);
        calls.spawn(async move { budgeted.chat(ask(100), CallContext::default()).await });
    }
    let results = calls.join_all().await;
    let refused = results.iter().filter(|r| matches!(r, Err(error) if error.kind == ErrorKind::BudgetExceeded)).count();
    assert_eq!((results.iter().filter(|r| r.is_ok()).count(), refused), (13, 51));
    assert_eq!((inner.calls().len(), inner.peak_in_flight()), (13, 10), "what is refused is not sent");
    let (spent, reserved) = spent(&budgeted);
    assert_eq!((spent.usd, reserved), (Usd::from_nanos(1_222_000), Amount::default()));
}

#[tokio::test]
async fn what_a_call_did_not_take_is_there_for_the_next() {
    let budgeted = budgeted(answering(took(4, 6)), Caps { tokens: Some(140), ..Caps::default() });
    assert!(budgeted.chat(ask(100), CallContext::default()).await.is_ok());
    assert!(budgeted.stream(ask(100), CallContext::default()).await.unwrap().fold().await.is_ok());
    assert!(
        budgeted.chat(ask(100), CallContext::default()).await.is_err(),
        "20 are spent, and 126 do not fit any more"
    );
    assert!(budgeted.chat(ask(90), CallContext::default()).await.is_ok());
    assert_eq!(
        spent(&budgeted).0,
        Amount { usd: Usd::from_nanos(30_000), tokens: 30, calls: 3, time: spent(&budgeted).0.time }
    );
}

#[tokio::test]
async fn what_nobody_says_is_booked_in_full() {
    let caps = Caps { tokens: Some(10_000), ..Caps::default() };
    let silent = budgeted(answering(Usage::default()), caps);
    silent.chat(ask(100), CallContext::default()).await.unwrap();
    assert_eq!(spent(&silent).0.tokens, 126);
    // A stream that nobody reads to its end.
    drop(silent.stream(ask(100), CallContext::default()).await.unwrap());
    assert_eq!(spent(&silent).0.tokens, 252);

    let failing = |may_have_executed: bool| {
        Arc::new(Scripted::answering(move |_, _| {
            let mut error = ProviderError::new(ErrorKind::Upstream, "it failed");
            error.details.may_have_executed = may_have_executed;
            Err(error)
        }))
    };
    for (may_have_executed, tokens) in [(true, 126), (false, 0)] {
        let budgeted = budgeted(failing(may_have_executed), caps);
        budgeted.chat(ask(100), CallContext::default()).await.unwrap_err();
        assert_eq!((spent(&budgeted).0.tokens, spent(&budgeted).0.calls), (tokens, 1));
    }
}

/// A figure on the way is not what the whole took: some providers say the input at the beginning and the output as it
/// grows. A stream that ended early used to be booked by the last such figure.
#[tokio::test]
async fn a_stream_is_booked_by_what_it_says_only_once_the_model_is_done() {
    let caps = Caps { tokens: Some(10_000), ..Caps::default() };
    let usage = || Ok(ChatEvent::Usage(took(4, 1)));
    let text = || Ok(ChatEvent::Text("half".to_owned()));
    let finished = || Ok(ChatEvent::Finished(FinishReason::Stop));
    let broken = || Err(ProviderError::new(ErrorKind::Truncated, "it broke"));
    let booked = async |events: Vec<Result<ChatEvent, ProviderError>>, read: usize| {
        let inner = Arc::new(Scripted::sequence([Reply::events(events)]));
        let budgeted = budgeted(inner, caps);
        let mut stream = budgeted.stream(ask(100), CallContext::default()).await.unwrap();
        for _ in 0..read {
            let _ = stream.next().await;
        }
        drop(stream);
        let (spent, reserved) = spent(&budgeted);
        assert_eq!(reserved, Amount::default());
        spent.tokens
    };
    assert_eq!(booked(vec![usage(), text()], 3).await, 126, "it ended without the model's being done");
    assert_eq!(booked(vec![usage(), text(), broken()], 3).await, 126, "it broke, and something had come of it");
    assert_eq!(booked(vec![broken()], 1).await, 0, "nothing had come of it");
    assert_eq!(booked(vec![usage(), text(), finished(), usage()], 2).await, 126, "nobody read on");
    assert_eq!(booked(vec![text(), finished(), usage()], 3).await, 5, "everything was said");
    assert_eq!(booked(vec![text(), finished(), usage(), broken()], 4).await, 5, "what breaks then breaks nothing");
    assert_eq!(booked(vec![text(), finished()], 3).await, 126, "nobody said what it took");
}

/// Gateways that know no price of a model say that its answers cost nothing, and a cap in money would never be met.
#[tokio::test]
async fn a_stated_cost_of_zero_is_not_believed_of_tokens_that_have_a_price() {
    let caps = Caps { usd: Some(dollars(1.0)), ..Caps::default() };
    let stated = |nanos| Usage { cost: Some(Usd::from_nanos(nanos)), ..took(4, 6) };
    for (usage, nanos) in [
        (stated(0), 10_000),
        (stated(7), 7),
        (stated(90_000), 90_000),
        (took(4, 6), 10_000),
        (Usage { cost: Some(Usd::default()), ..took(0, 0) }, 0),
    ] {
        let budgeted = budgeted(answering(usage), caps);
        let answer = budgeted.chat(ask(100), CallContext::default()).await.unwrap();
        assert_eq!(spent(&budgeted).0.usd, Usd::from_nanos(nanos), "{usage:?}");
        assert_eq!(answer.usage.cost, Some(Usd::from_nanos(nanos)), "who keeps accounts above comes to the same");
        let streamed = budgeted.stream(ask(100), CallContext::default()).await.unwrap().fold().await.unwrap();
        assert_eq!(streamed.usage.cost, answer.usage.cost);
        assert_eq!(spent(&budgeted).0.usd, Usd::from_nanos(2 * nanos));
    }
    let silent = budgeted(answering(Usage { cost: Some(Usd::default()), ..Usage::default() }), caps);
    silent.chat(ask(100), CallContext::default()).await.unwrap();
    assert_eq!(spent(&silent).0.usd, Usd::from_nanos(126_000), "nobody knows what it cost");
}

/// After a resume nobody knows which provider was asked: it used to be free unless it was the first one of the team.
#[test]
fn the_worst_case_of_a_call_in_doubt_is_that_of_the_dearest_provider() {
    let ledger = Ledger::new([(Scope::Everything, Caps::default())]);
    let first = Budgeted::new(answering(Usage::default()), ledger).price("model", price());
    let dear = Price { output_per_mtok: dollars(3.0), ..price() };
    let second = first.sharing(answering(Usage::default())).price("other", price()).price("model", dear);
    let worst = |budgeted: &Budgeted, model| budgeted.worst_of(model, (1, 10), Some(100), Duration::ZERO).usd;
    assert_eq!(worst(&first, "other"), Usd::from_nanos(126_000));
    assert_eq!(worst(&first, "model"), Usd::from_nanos(326_000));
    assert_eq!(worst(&second, "model"), worst(&first, "model"));
    assert_eq!(worst(&first, "nobody's"), Usd::default());
    let endless = Price { output_per_mtok: Usd::from_nanos(u64::MAX), ..price() };
    let third = first.sharing(answering(Usage::default())).price("model", endless);
    let most = third.worst_of("model", (1, 10), Some(u32::MAX), Duration::ZERO).usd;
    assert_eq!(most, Usd::from_nanos(u64::MAX), "more than can be counted is not nothing");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_nothing_reserved() {
    let inner =
        Arc::new(Scripted::answering(|_, _| Ok(ChatResponse::text("late"))).with_delay(Duration::from_secs(60)));
    let budgeted = budgeted(inner, Caps { tokens: Some(10_000), ..Caps::default() });
    let gone = tokio::time::timeout(Duration::from_secs(1), budgeted.chat(ask(100), CallContext::default())).await;
    assert!(gone.is_err());
    let (spent, reserved) = spent(&budgeted);
    assert_eq!((spent.tokens, reserved), (126, Amount::default()), "it may be billed in full");
}

#[tokio::test]
async fn a_call_without_a_worst_case_is_refused_with_the_remedy() {
    let budgeted = budgeted(answering(took(1, 1)), Caps { usd: Some(dollars(1.0)), ..Caps::default() });
    let endless = ChatRequest { max_output_tokens: None, ..ask(1) };
    let error = budgeted.chat(endless, CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("set max_output_tokens"), "{error}");
    let unknown = ChatRequest { model: "other".into(), ..ask(1) };
    let error = budgeted.chat(unknown, CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("give it a price"), "{error}");
    assert_eq!(error.kind.retry(), bellwether_core::Retry::Never);
}

#[tokio::test]
async fn within_its_caps_it_is_a_provider_like_any_other() {
    // Only a cap on calls needs no cap on the output.
    let inner = Arc::new(Scripted::answering(|_, _| Ok(ChatResponse::text("something"))));
    let caps = Caps { calls: Some(10), ..Caps::default() };
    test_util::provider(&budgeted(inner, caps), "model").await;
}

/// Time is reserved as long as a call may take, and given back as soon as it took less.
#[tokio::test(start_paused = true)]
async fn time_is_capped_before_it_is_spent() {
    let inner = Arc::new(Scripted::answering(|_, _| Ok(ChatResponse::text("done"))).with_delay(Duration::from_secs(3)));
    let budgeted = budgeted(inner, Caps { time: Some(Duration::from_secs(20)), ..Caps::default() });
    let patient = || CallContext { timeout: Some(Duration::from_secs(10)), ..CallContext::default() };
    for _ in 0..4 {
        assert!(budgeted.chat(ask(1), patient()).await.is_ok());
    }
    let error = budgeted.chat(ask(1), patient()).await.unwrap_err();
    assert!(error.message.contains("of 20s, 12s are spent and 0ns reserved; it may take 10s"), "{error}");
    assert_eq!(error.details.code.as_deref(), Some("everything"));
    let error = budgeted.chat(ask(1), CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("no timeout"), "{error}");
}

/// A call that failed took the time that it took, whatever else it may have taken; and none took more than it may.
#[tokio::test(start_paused = true)]
async fn time_is_booked_as_it_passed_also_of_what_failed_or_was_left() {
    let patient = || CallContext { timeout: Some(Duration::from_secs(10)), ..CallContext::default() };
    let caps = Caps { time: Some(Duration::from_secs(100)), ..Caps::default() };
    let slow = |may_have_executed: bool, seconds| {
        let failing = Scripted::answering(move |_, _| {
            let mut error = ProviderError::new(ErrorKind::Upstream, "it failed");
            error.details.may_have_executed = may_have_executed;
            Err(error)
        });
        budgeted(Arc::new(failing.with_delay(Duration::from_secs(seconds))), caps)
    };
    for (may_have_executed, seconds, booked) in [(true, 3, 3), (false, 3, 3), (true, 30, 10)] {
        let budgeted = slow(may_have_executed, seconds);
        budgeted.chat(ask(1), patient()).await.unwrap_err();
        assert_eq!(spent(&budgeted).0.time, Duration::from_secs(booked), "{may_have_executed} {seconds}");
    }
    let left = slow(true, 30);
    let gone = tokio::time::timeout(Duration::from_secs(4), left.chat(ask(1), patient())).await;
    assert!(gone.is_err());
    assert_eq!(spent(&left).0.time, Duration::from_secs(4));
}

#[tokio::test]
async fn tokens_alone_need_a_cap_on_the_output_and_several_answers_are_reserved_for() {
    let budgeted = budgeted(answering(took(1, 1)), Caps { tokens: Some(400), ..Caps::default() });
    let endless = ChatRequest { max_output_tokens: None, ..ask(1) };
    let error = budgeted.chat(endless, CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("set max_output_tokens"), "{error}");
    let mut several = ask(100);
    several.extra.insert("n".to_owned(), 4.into());
    let error = budgeted.chat(several.clone(), CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("it may take 428"), "{error}");
    several.extra.insert("n".to_owned(), 3.into());
    assert!(budgeted.chat(several, CallContext::default()).await.is_ok());
}

/// A plan of one task gives back what was held back for a whole, and a call may be waiting for just that.
#[tokio::test(start_paused = true)]
async fn what_is_lifted_lets_those_in_who_wait() {
    let inner =
        Arc::new(Scripted::answering(|_, _| Ok(ChatResponse::text("late"))).with_delay(Duration::from_secs(60)));
    let tokens = |tokens| Caps { tokens: Some(tokens), ..Caps::default() };
    let held_back = || Scope::AllBut("combine".into());
    let ledger = Ledger::new([(Scope::Everything, tokens(1_000)), (held_back(), tokens(200))]);
    let provider = Arc::<Scripted>::clone(&inner) as Arc<dyn ChatProvider>;
    let budgeted = Arc::new(Budgeted::new(provider, ledger));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let budgeted = Arc::clone(&budgeted);
        calls.spawn(async move { budgeted.chat(ask(100), CallContext::default()).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(inner.calls().len(), 1, "the second one waits for what the first one leaves");
    budgeted.lift(&held_back());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(inner.calls().len(), 2);
    assert!(calls.join_all().await.iter().all(Result::is_ok));
}

/// A till that has money for anything.
#[derive(Debug)]
struct Mint;

#[async_trait]
impl Till for Mint {
    fn caps(&self) -> Caps {
        Caps { usd: Some(dollars(1.0)), ..Caps::default() }
    }

    async fn reserve(&self, _: u64, _: &CallContext, _: Amount) -> Result<(), Refusal> {
        Ok(())
    }

    fn settle(&self, _: u64, _: Amount) {}
}

#[tokio::test]
async fn a_till_asks_for_prices_as_a_cap_does() {
    let provider = answering(took(1, 1));
    let budgeted = Budgeted::new(provider, Ledger::default()).till(Arc::new(Mint));
    let error = budgeted.chat(ask(1), CallContext::default()).await.unwrap_err();
    assert!(error.message.contains("give it a price"), "{error}");
}

/// A till that has room for a number of calls.
#[derive(Debug)]
struct Drawer(Mutex<(u64, Vec<(u64, Amount)>)>);

#[async_trait]
impl Till for Drawer {
    fn caps(&self) -> Caps {
        Caps { calls: Some(1), ..Caps::default() }
    }

    async fn reserve(&self, _: u64, _: &CallContext, _: Amount) -> Result<(), Refusal> {
        let mut room = self.0.lock().expect("no test panics while it holds this");
        room.0 =
            room.0.checked_sub(1).ok_or_else(|| Refusal { scope: "tenant_day", message: "it is empty".to_owned() })?;
        Ok(())
    }

    fn settle(&self, number: u64, took: Amount) {
        self.0.lock().expect("no test panics while it holds this").1.push((number, took));
    }
}

#[tokio::test]
async fn a_call_needs_room_in_the_till_as_well_and_what_was_refused_there_took_nothing() {
    let till = Arc::new(Drawer(Mutex::new((1, Vec::new()))));
    let budgeted = budgeted(answering(took(4, 6)), Caps::default()).till(Arc::<Drawer>::clone(&till) as Arc<dyn Till>);
    assert!(budgeted.chat(ask(100), CallContext::default()).await.is_ok());
    let error = budgeted.chat(ask(100), CallContext::default()).await.unwrap_err();
    assert_eq!((error.details.code.as_deref(), &*error.message), (Some("tenant_day"), "it is empty"));
    let settled = till.0.lock().unwrap().1.clone();
    assert_eq!((settled.len(), settled[0].1.tokens, settled[1].1), (2, 10, Amount::default()));
    assert_eq!(spent(&budgeted).0.calls, 1, "neither is it booked here");
}

/// What is held back for one phase is refused to all others, and there for it, also after a resume.
#[tokio::test]
async fn what_is_held_back_is_for_one_phase() {
    let all =
        Caps { tokens: Some(1_000), calls: Some(5), time: Some(Duration::from_secs(100)), usd: Some(dollars(1.0)) };
    let most = all.holding_back(0.08);
    assert_eq!((most.tokens, most.calls, most.usd), (Some(920), Some(4), Some(dollars(0.92))));
    assert_eq!(most.time, Some(Duration::from_secs(92)));
    assert_eq!(Caps::default().holding_back(0.08), Caps::default());
    assert_eq!(all.holding_back(0.0), all);
    assert_eq!(all.holding_back(0.001).calls, Some(4), "half a call is none");
    assert_eq!(all.holding_back(f64::NAN), all);

    // The editor does both: what is held back is for its phase, not for it.
    let of = |phase| CallContext { phase, ..CallContext::new(Flow::new("team", "r1", "editor")) };
    let mut ledger = Ledger::new([(Scope::Everything, all), (Scope::AllBut("combine".into()), most)]);
    let tokens = |tokens| Amount { tokens, calls: 1, ..Amount::default() };
    ledger.book(&of("answer"), tokens(900));
    let exceeded = ledger.reserve(&of("answer"), tokens(50)).expect_err("it is held back");
    assert_eq!(exceeded.scope.as_str(), "everything", "the run is near its cap");
    assert!(exceeded.to_string().contains("all calls but those of phase combine"), "{exceeded}");
    let held = ledger.reserve(&of("combine"), tokens(100)).expect("it is there");
    ledger.settle(held, tokens(60));
    assert!(ledger.reserve(&of("combine"), tokens(50)).is_err(), "not more than there is");
    assert!(ledger.reserve(&of("answer"), tokens(20)).is_ok(), "what the phase takes is not counted to the others");
    ledger.lift(&Scope::AllBut("combine".into()));
    assert!(ledger.reserve(&of("answer"), tokens(20)).is_ok(), "what is held back no longer is there for everybody");
}
