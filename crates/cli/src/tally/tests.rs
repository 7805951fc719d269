use bellwether_core::{Call, CallContext, Demand};

use super::*;

#[test]
fn the_end_says_what_all_calls_failed_of_if_it_is_the_same() {
    let ended = |calls: &[Result<Duration, ErrorKind>]| {
        let tally = Tally::default();
        calls
            .iter()
            .zip(["a", "b"].into_iter().cycle())
            .for_each(|(call, flow)| tally.finished(&flow.into(), Duration::ZERO, *call));
        (tally.exit().0, failed_of_what(&tally.summary(Duration::ZERO)))
    };
    let (ok, connect, busy) = (Ok(Duration::ZERO), Err(ErrorKind::Connect), Err(ErrorKind::Overloaded));
    assert_eq!(ended(&[]), (Exit::Done, String::new()));
    assert_eq!(ended(&[ok, ok]), (Exit::Done, String::new()));
    assert_eq!(ended(&[connect, connect, connect]), (Exit::Unreachable, " (connect 3)".to_owned()));
    assert_eq!(ended(&[connect, busy, connect]), (Exit::Failed, " (connect 2, overloaded 1)".to_owned()));
    let late = Err(ErrorKind::DeadlineExceeded);
    assert_eq!(ended(&[ok, late, late]), (Exit::Deadline, " (deadline_exceeded 2)".to_owned()));
    assert_eq!(ended(&[ok, late, busy]).0, Exit::Partial);
    assert_eq!(ended(&[late, connect, late]).0, Exit::Unreachable, "that is what the others waited for");
    assert_eq!(ended(&[Err(ErrorKind::Timeout(Phase::Connect))]).0, Exit::Unreachable);
    assert_eq!(ended(&[connect, busy, ok]), (Exit::Partial, " (connect 1, overloaded 1)".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_never_reached_is_given_up_and_one_that_came_up_is_not() {
    let call = Arc::new(Call {
        context: CallContext::default(),
        model: "m".into(),
        provider: "p".into(),
        demand: Demand { requests: 1, input_tokens: 1, output_tokens: 1 },
    });
    let failed = Fact::CallFailed { call: Arc::clone(&call), kind: ErrorKind::Connect, took: Duration::ZERO };
    let open = Fact::KeyChanged { provider: "p".into(), state: KeyState::Open, wait: None };
    let answered = Fact::CallThrottled { call, retry_after: None };
    let ends = async |facts: &[&Fact], later: &[&Fact]| {
        let tally = Tally::default();
        facts.iter().for_each(|fact| tally.observe(fact));
        let later = async {
            sleep(GRACE / 2).await;
            later.iter().for_each(|fact| tally.observe(fact));
            sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            _ = tally.nobody_there() => true,
            () = later => false,
        }
    };
    assert!(ends(&[&failed, &open], &[]).await);
    assert!(!ends(&[&failed], &[]).await, "one failure is nothing yet");
    assert!(!ends(&[&answered, &failed, &open], &[]).await, "an outage is waited for");
    assert!(!ends(&[&failed, &open], &[&answered]).await, "it came up");
}

#[tokio::test(start_paused = true)]
async fn a_long_pause_is_told_once() {
    let call = Arc::new(Call {
        context: CallContext::default(),
        model: "m".into(),
        provider: "p".into(),
        demand: Demand { requests: 1, input_tokens: 1, output_tokens: 1 },
    });
    let tally = Tally::default();
    let told = async |asked: &[Option<u64>]| {
        for wait in asked {
            let retry_after = wait.map(Duration::from_secs);
            tally.observe(&Fact::CallThrottled { call: Arc::clone(&call), retry_after });
        }
        tokio::select! {
            biased;
            pause = tally.long_pause() => Some(pause.as_secs()),
            () = sleep(Duration::from_secs(1)) => None,
        }
    };
    assert_eq!(told(&[None, Some(2)]).await, None);
    assert_eq!(told(&[Some(3600), Some(3601), Some(90)]).await, Some(3600));
    assert_eq!(told(&[Some(3600)]).await, None, "it is the same pause");
    assert_eq!(told(&[Some(7200)]).await, Some(7200));
}

#[test]
fn percentiles_are_by_nearest_rank_to_within_a_percent() {
    let mut spread = Spread::default();
    (1..=100).rev().map(Duration::from_secs).for_each(|second| spread.add(second));
    for (found, exact) in spread.percentiles().into_iter().zip([50.0, 95.0, 99.0]) {
        let found = found.expect("there are values");
        assert!((found - exact).abs() <= exact / 100.0, "{found} is not {exact}");
    }
    assert_eq!(Spread::default().percentiles(), [None; 3]);
}

#[test]
fn a_bucket_holds_what_is_near_its_middle() {
    for micros in (0..500).chain((0..58).flat_map(|n| [1 << n, (1 << n) + 1, (1 << n) * 3 / 2])) {
        let middle = Spread::middle(Spread::bucket(Duration::from_micros(micros))).as_micros();
        assert!(middle.abs_diff(u128::from(micros)) <= u128::from(micros / 128), "{middle} is not {micros}");
    }
}
