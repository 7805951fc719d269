//! A cap holds at every moment, whatever calls do.

use std::time::Duration;

use bellwether_budget::{Account, Amount, Caps, Ledger, Limit, Scope};
use bellwether_core::{CallContext, Flow, Usd};
use proptest::prelude::*;

const SCOPES: [Scope; 5] = [Scope::Everything, Scope::EachRun, Scope::EachTask, Scope::EachRole, Scope::EachTenant];

#[derive(Clone, Debug)]
enum Step {
    Reserve { run: u8, task: u8, role: u8, worst: u64 },
    Settle { which: usize, share: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reserve = (0u8..2, 0u8..3, 0u8..2, 0u64..400).prop_map(|(run, task, role, worst)| Step::Reserve {
        run,
        task,
        role,
        worst,
    });
    let settle = (any::<usize>(), 0u64..=100).prop_map(|(which, share)| Step::Settle { which, share });
    prop::collection::vec(prop_oneof![3 => reserve, 2 => settle], 0..200)
}

fn context(run: u8, task: u8, role: u8) -> CallContext {
    CallContext {
        run: Some(format!("r{run}").into()),
        task: Some(format!("t{task}").into()),
        ..CallContext::new(Flow::new("team", format!("r{run}"), format!("role{role}")))
    }
}

fn amount(size: u64) -> Amount {
    Amount { usd: Usd::from_nanos(size * 3), tokens: size, calls: 1, time: Duration::from_secs(size) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Spent and reserved together never exceed a cap, at any event; what is refused would have; a refusal changes
    /// nothing; and at the end nothing is reserved any more.
    #[test]
    fn spent_and_reserved_stay_below_every_cap(
        caps in prop::collection::vec((0u64..3_000, 0u64..1_000, 0u64..30, 0u64..1_000), 5),
        steps in steps(),
    ) {
        let caps: Vec<(Scope, Caps)> = SCOPES.into_iter().zip(caps).map(|(scope, (usd, tokens, calls, time))| {
            (scope, Caps { usd: Some(Usd::from_nanos(usd)), tokens: Some(tokens), calls: Some(calls), time: Some(Duration::from_secs(time)) })
        }).collect();
        let mut ledger = Ledger::new(caps.clone());
        let mut open = Vec::new();
        let everybody: Vec<CallContext> =
            (0..12).map(|n: u8| context(n % 2, n / 2 % 3, n / 6)).collect();
        for step in steps {
            match step {
                Step::Reserve { run, task, role, worst } => {
                    let (context, worst) = (context(run, task, role), amount(worst));
                    let before: Vec<Account> = caps.iter().map(|(scope, _)| ledger.account(scope, &context)).collect();
                    match ledger.reserve(&context, worst) {
                        Ok(reservation) => open.push((reservation, worst)),
                        Err(exceeded) => {
                            let after: Vec<Account> = caps.iter().map(|(scope, _)| ledger.account(scope, &context)).collect();
                            prop_assert_eq!(before, after);
                            let Account { spent, reserved } = exceeded.account;
                            let above = match exceeded.limit {
                                Limit::Usd => spent.usd.as_nanos() + reserved.usd.as_nanos() + worst.usd.as_nanos()
                                    > exceeded.caps.usd.unwrap().as_nanos(),
                                Limit::Tokens => spent.tokens + reserved.tokens + worst.tokens > exceeded.caps.tokens.unwrap(),
                                Limit::Calls => spent.calls + reserved.calls + 1 > exceeded.caps.calls.unwrap(),
                                Limit::Time => spent.time + reserved.time + worst.time > exceeded.caps.time.unwrap(),
                            };
                            prop_assert!(above);
                        }
                    }
                }
                Step::Settle { which, share } => if !open.is_empty() {
                    let (reservation, worst) = open.swap_remove(which % open.len());
                    ledger.settle(reservation, amount(worst.tokens * share / 100));
                },
            }
            for context in &everybody {
                for (scope, caps) in &caps {
                    let Account { spent, reserved } = ledger.account(scope, context);
                    prop_assert!(spent.usd.as_nanos() + reserved.usd.as_nanos() <= caps.usd.unwrap().as_nanos());
                    prop_assert!(spent.tokens + reserved.tokens <= caps.tokens.unwrap());
                    prop_assert!(spent.calls + reserved.calls <= caps.calls.unwrap());
                    prop_assert!(spent.time + reserved.time <= caps.time.unwrap());
                }
            }
        }
        for (reservation, _) in open {
            ledger.settle(reservation, Amount::default());
        }
        for context in &everybody {
            for (scope, _) in &caps {
                prop_assert_eq!(ledger.account(scope, context).reserved, Amount::default());
            }
        }
    }
}

#[test]
fn what_was_spent_before_counts_and_a_run_that_ended_is_forgotten() {
    let (run, other) = (context(0, 0, 0), context(1, 0, 0));
    let mut ledger = Ledger::new([
        (Scope::EachRun, Caps { calls: Some(3), ..Caps::default() }),
        (Scope::EachTask, Caps { tokens: Some(100), ..Caps::default() }),
    ]);
    ledger.book(&run, Amount { calls: 3, ..Amount::default() });
    let exceeded = ledger.reserve(&run, amount(1)).unwrap_err();
    assert_eq!(
        exceeded.to_string(),
        "the budget for a run does not cover the call: of 3 calls, 3 are made and 0 under way"
    );
    let reservation = ledger.reserve(&other, amount(1)).unwrap();
    ledger.settle(reservation, amount(1));
    ledger.book(&run, amount(90));
    assert!(ledger.account(&Scope::EachTask, &run).spent.tokens > 0);
    ledger.forget_run(run.run.as_ref().unwrap());
    assert_eq!(ledger.account(&Scope::EachTask, &run), Account::default());
    assert_eq!(ledger.account(&Scope::EachTask, &other).spent.tokens, 1);
    assert_eq!(ledger.account(&Scope::EachRun, &run), Account::default());
    assert_eq!(ledger.account(&Scope::EachRun, &other).spent.calls, 1);
}

#[test]
fn a_cap_for_one_role_does_not_concern_the_others() {
    let mut ledger = Ledger::new([(Scope::Role("role0".into()), Caps { calls: Some(0), ..Caps::default() })]);
    assert!(ledger.reserve(&context(0, 0, 0), amount(1)).is_err());
    let reservation = ledger.reserve(&context(0, 0, 1), amount(1)).unwrap();
    ledger.settle(reservation, amount(1));
}

#[test]
fn what_a_task_asked_for_spends_what_the_task_has() {
    let of = |task: &str| CallContext { task: Some(task.into()), ..context(0, 0, 0) };
    let mut ledger = Ledger::new([(Scope::EachTask, Caps { calls: Some(2), ..Caps::default() })]);
    let one = Amount { calls: 1, ..Amount::default() };
    for task in ["t1", "t1.2.1"] {
        let reservation = ledger.reserve(&of(task), one).unwrap();
        ledger.settle(reservation, one);
    }
    assert!(ledger.reserve(&of("t1.1"), one).is_err(), "t1 has no third call, whoever makes it");
    assert!(ledger.reserve(&of("t11"), one).is_ok());
}

/// An absurd figure of a provider must not turn over and leave room.
#[test]
fn what_is_more_than_can_be_counted_leaves_no_room() {
    let most = Amount { usd: Usd::from_nanos(u64::MAX), tokens: u64::MAX, calls: u64::MAX, time: Duration::MAX };
    let caps = Caps {
        usd: Some(Usd::from_nanos(u64::MAX - 1)),
        tokens: Some(u64::MAX - 1),
        calls: Some(u64::MAX - 1),
        time: Some(Duration::from_secs(u64::MAX)),
    };
    let run = context(0, 0, 0);
    for cap in [
        Caps { usd: caps.usd, ..Caps::default() },
        Caps { tokens: caps.tokens, ..Caps::default() },
        Caps { calls: caps.calls, ..Caps::default() },
        Caps { time: caps.time, ..Caps::default() },
    ] {
        let mut ledger = Ledger::new([(Scope::Everything, cap)]);
        let reservation = ledger.reserve(&run, amount(1)).unwrap();
        ledger.settle(reservation, most);
        ledger.book(&run, most);
        assert!(ledger.reserve(&run, amount(1)).is_err(), "{cap:?}");
        assert_eq!(ledger.account(&Scope::Everything, &run).spent, most);
    }
}

#[test]
fn a_cap_of_zero_lets_nothing_through_that_takes_any_of_it() {
    let zero = Caps { usd: Some(Usd::default()), tokens: Some(0), calls: Some(0), time: Some(Duration::ZERO) };
    let none = Amount::default();
    for (limit, amount) in [
        (Limit::Usd, Amount { usd: Usd::from_nanos(1), ..none }),
        (Limit::Tokens, Amount { tokens: 1, ..none }),
        (Limit::Calls, Amount { calls: 1, ..none }),
        (Limit::Time, Amount { time: Duration::from_nanos(1), ..none }),
    ] {
        let mut ledger = Ledger::new([(Scope::Everything, zero)]);
        let exceeded = ledger.reserve(&context(0, 0, 0), amount).unwrap_err();
        assert_eq!((exceeded.limit, exceeded.may_fit_later()), (limit, false));
        let free = ledger.reserve(&context(0, 0, 0), none).unwrap();
        ledger.settle(free, none);
    }
}
