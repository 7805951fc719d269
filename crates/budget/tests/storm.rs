//! Many calls at once, as they come: some slow, some silent, some broken, some left in the middle.

use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Account, Amount, Budgeted, Caps, Ledger, Scope};
use bellwether_core::{
    CallContext, ChatEvent, ChatProvider, ChatRequest, ChatResponse, ErrorKind, FinishReason, Flow, Message, Price,
    ProviderError, Usage, Usd,
};
use bellwether_provider::{Reply, Scripted};
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What a provider makes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered { output: u32 },
    Broken,
    Cut,
    Refused,
    Silent,
    Zero,
}

#[derive(Clone, Debug)]
struct Step {
    begins: u64,
    cap: u32,
    fate: Fate,
    left_after: Option<u64>,
    role: u8,
    streams: bool,
    takes: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fate = prop_oneof![
        4 => (0u32..=100).prop_map(|output| Fate::Answered { output }),
        1 => Just(Fate::Broken),
        1 => Just(Fate::Cut),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Silent),
        1 => Just(Fate::Zero),
    ];
    let step = (0u64..40, 100u32..300, fate, prop::option::of(0u64..30), 0u8..2, any::<bool>(), 0u64..20).prop_map(
        |(begins, cap, fate, left_after, role, streams, takes)| Step {
            begins,
            cap,
            fate,
            left_after,
            role,
            streams,
            takes,
        },
    );
    prop::collection::vec(step, 1..60)
}

/// What comes of the calls, in the order in which they are sent: no honest provider takes more than any of them may.
fn reply(Step { fate, takes, .. }: &Step) -> Reply {
    let usage = |output| Usage { input_tokens: Some(4), output_tokens: Some(output), ..Usage::default() };
    let finished = || Ok(ChatEvent::Finished(FinishReason::Stop));
    let text = || Ok(ChatEvent::Text("some".to_owned()));
    let error = |may_have_executed| {
        let mut error = ProviderError::new(ErrorKind::Upstream, "it failed");
        error.details.may_have_executed = may_have_executed;
        error
    };
    let reply = match *fate {
        Fate::Answered { output } => {
            let usage = usage(u64::from(output));
            Reply::from(ChatResponse { usage, ..ChatResponse::text("done") })
        }
        Fate::Broken => Reply::events([text(), Ok(ChatEvent::Usage(usage(1))), Err(error(true))]),
        Fate::Cut => Reply::from(Err(error(true))),
        Fate::Refused => Reply::from(Err(error(false))),
        Fate::Silent => Reply::events([text(), finished()]),
        Fate::Zero => {
            let usage = Usage { cost: Some(Usd::default()), ..usage(1) };
            Reply::events([text(), Ok(ChatEvent::Usage(usage)), finished()])
        }
    };
    reply.after(Duration::from_secs(*takes))
}

/// The least that has to be booked of a call that came to this: a token costs 1,000 billionths.
fn least(Step { fate, .. }: &Step) -> u64 {
    match *fate {
        Fate::Answered { output } => 4 + u64::from(output),
        // Nobody knows; so much it may have been at the least of all caps.
        Fate::Broken | Fate::Cut | Fate::Silent => 126,
        Fate::Refused => 0,
        Fate::Zero => 5,
    }
}

fn ask(cap: u32) -> ChatRequest {
    ChatRequest { max_output_tokens: Some(cap), ..ChatRequest::new("model", vec![Message::user("0123456789")]) }
}

fn context(role: u8) -> CallContext {
    let timeout = Some(Duration::from_secs(60));
    CallContext { timeout, ..CallContext::new(Flow::new("team", "run", format!("role{role}"))) }
}

async fn call(budgeted: Arc<Budgeted>, step: Step) {
    sleep(Duration::from_secs(step.begins)).await;
    let asked = async {
        let (request, context) = (ask(step.cap), context(step.role));
        if step.streams {
            let mut events = budgeted.stream(request, context).await?;
            while let Some(event) = events.next().await {
                event?;
            }
            Ok(())
        } else {
            budgeted.chat(request, context).await.map(|_| ())
        }
    };
    // What comes of it is the ledger's matter.
    let _: Result<Result<(), ProviderError>, _> = match step.left_after {
        Some(seconds) => timeout(Duration::from_secs(seconds), asked).await,
        None => Ok(asked.await),
    };
}

fn room(Account { spent, reserved }: Account, caps: &Caps) -> bool {
    spent.plus(reserved).above(caps).is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// At every second no cap is broken; at the end nothing is reserved, everybody has come to an end, and exactly what
    /// was sent was booked.
    #[test]
    fn no_cap_is_broken_whatever_becomes_of_calls(
        steps in steps(), usd in 0u64..2_000_000, tokens in 0u64..2_000, calls in 0u64..40, seconds in 0u64..1_000,
    ) {
        let everything = Caps {
            usd: Some(Usd::from_nanos(usd)),
            tokens: Some(tokens),
            calls: Some(calls),
            time: Some(Duration::from_secs(seconds)),
        };
        let each = Caps { tokens: Some(tokens / 2 + 100), ..Caps::default() };
        let dollar = Usd::from_nanos(1_000_000_000);
        let price = Price { input_per_mtok: dollar, cached_per_mtok: dollar, output_per_mtok: dollar };
        let inner = Arc::new(Scripted::sequence(steps.iter().map(reply)));
        let ledger = Ledger::new([(Scope::Everything, everything), (Scope::EachRole, each)]);
        let provider = Arc::<Scripted>::clone(&inner) as Arc<dyn ChatProvider>;
        let budgeted = Arc::new(Budgeted::new(provider, ledger).price("model", price));
        let account = |scope: Scope, role| budgeted.account(&scope, &context(role));
        Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
            let mut under_way = JoinSet::new();
            for step in steps.clone() {
                under_way.spawn(call(Arc::clone(&budgeted), step));
            }
            for second in 0..4_000 {
                prop_assert!(room(account(Scope::Everything, 0), &everything), "{second}");
                prop_assert!((0..2).all(|role| room(account(Scope::EachRole, role), &each)), "{second}");
                while under_way.try_join_next().is_some() {}
                if under_way.is_empty() {
                    break;
                }
                sleep(Duration::from_secs(1)).await;
            }
            prop_assert!(under_way.is_empty(), "somebody waits for ever");
            Ok(())
        })?;
        let all = account(Scope::Everything, 0);
        prop_assert_eq!(all.reserved, Amount::default());
        let roles = account(Scope::EachRole, 0).spent.plus(account(Scope::EachRole, 1).spent);
        prop_assert_eq!(all.spent, roles);
        let sent = inner.calls().len();
        prop_assert_eq!(all.spent.calls, sent as u64, "what was not sent was not booked");
        let least: u64 = steps.iter().take(sent).map(least).sum();
        prop_assert!(all.spent.tokens >= least && all.spent.usd.as_nanos() >= 1_000 * least, "{:?} {least}", all.spent);
    }
}
