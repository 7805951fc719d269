//! Scenario files, right and wrong.

use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_sim::{Algorithm, Burst, Fail, Fault, Faults, Latency, Limit, PlanForm, RetryAfter, Scenario};

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(Scenario::parse(""), Ok(Scenario::default()));
}

#[test]
fn the_documented_example_means_what_its_comments_say() {
    let scenario = Scenario::parse(include_str!("../scenario.toml")).unwrap();
    let seconds = Duration::from_secs;
    let first = Limit {
        algorithm: Algorithm::TokenBucket,
        at: Duration::ZERO,
        burst: NonZeroU32::new(100),
        burst_tokens: NonZeroU32::new(80_000),
        concurrency: NonZeroU32::new(50),
        rpm: NonZeroU32::new(600),
        tpm: NonZeroU32::new(400_000),
        window: seconds(60),
    };
    let second =
        Limit { at: seconds(10), rpm: NonZeroU32::new(300), tpm: NonZeroU32::new(200_000), ..Limit::default() };
    let bursts = vec![
        Burst::Requests { after: 20, count: 5, retry_after: Some(seconds(2)) },
        Burst::Time { at: seconds(30), lasting: seconds(3), retry_after: None },
    ];
    let fail = vec![Fail { request: 3, with: Fault::Reset }];
    let models = Scenario::default().models.into_iter().take(1).collect();
    let faults = Faults { error_503: 0.2, fail, ..Faults::default() };
    let expected = Scenario { bursts, faults, limits: vec![first, second], models, ..Scenario::default() };
    assert_eq!(scenario, expected);
}

#[test]
fn values_have_units_and_names() {
    let text = "api_key = 'k'\nlatency.first_token = '1.5s'\nrejections.retry_after = 'milliseconds'\n\
                answers.plan = 'garbage_once'\n[[limits]]\nalgorithm = 'fixed_window'\nwindow = '10s'\nrpm = 5";
    let scenario = Scenario::parse(text).unwrap();
    assert_eq!(scenario.latency, Latency { first_token: Duration::from_millis(1_500), ..Latency::default() });
    assert_eq!(scenario.rejections.retry_after, RetryAfter::Milliseconds);
    assert_eq!(scenario.answers.plan, PlanForm::GarbageOnce);
    assert_eq!(scenario.limits[0].algorithm, Algorithm::FixedWindow);
    assert!(scenario.api_key.as_ref().unwrap().matches("k"));
    assert!(!format!("{scenario:?}").contains("\"k\""));
}

#[test]
fn an_error_says_its_line_and_what_to_do() {
    let wrong = [
        ("seed = 1\nspeed = 2", 2, "speed"),
        ("[latency]\n\nfirst_token = '5 parsecs'", 3, "\"250ms\", \"2s\" or \"1m 30s\""),
        ("[latency]\njitter = 1.5", 2, "1.5 is not from 0 to 1"),
        ("[latency]\njitter = nan", 2, "not from 0 to 1"),
        ("[answers]\nplan_tasks = 65", 2, "65 is not from 1 to 64"),
        ("[answers]\nplan = 'poem'", 2, "garbage_once"),
        ("[[limits]]\nrpm = 0", 2, "nonzero"),
        ("[[limits]]\nwindow = '0s'", 2, "longer than nothing"),
        ("[[limits]]\nburst = 3\nrpm = 5\n[[limits]]\nalgorithm = 'fixed_window'\nburst = 3", 4, "only a token bucket"),
        ("seed = 1\nlimits = [{ burst = 3 }]", 2, "without `rpm`"),
        ("[[limits]]\nrpm = 1\nburst_tokens = 3", 1, "without `tpm`"),
        ("api_key = ' a '", 1, "visible characters"),
        ("api_key = ''", 1, "visible characters"),
        ("[[models]]\nid = ''", 2, "1 to 256 bytes"),
        ("[[models]]\nid = 'a'\ncontext = 0", 3, "0 is not from 1"),
        ("[[models]]\nid = 'a'\n[[models]]\nid = 'a'", 3, "a model twice"),
        ("[[bursts]]\nafter = 1\ncount = 0", 1, "at least 1"),
        ("[[bursts]]\nat = '1s'\nfor = '0s'", 1, "longer than nothing"),
        ("[[faults.fail]]\nrequest = 0\nwith = 'reset'", 2, "numbered from 1"),
        (
            "[[faults.fail]]\nrequest = 1\nwith = 'reset'\n[[faults.fail]]\nrequest = 1\nwith = 'stall'",
            4,
            "a request twice",
        ),
        ("[rejections]\nstatus = 200", 2, "200 is not from 400 to 599"),
        ("\n[faults]\nerror_503 = 0.6\nreset = 0.6", 2, "more than 1"),
        ("seed = 1\n[[bursts]]\nafter = 1\nfor = '1s'", 2, "either `after` and `count` or `at` and `for`"),
        ("[[faults.fail]]\nrequest = 1\nwith = 'fire'", 3, "error_503"),
        ("seed = ", 1, ""),
    ];
    for (text, line, told) in wrong {
        let error = Scenario::parse(text).unwrap_err();
        let message = error.to_string();
        assert_eq!(error.line(), Some(line), "{message}");
        assert!(message.contains(told) && message.starts_with(&format!("line {line}: ")), "{message}");
        assert!(message.ends_with("correct it, or delete it to get the default"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn what_was_changed_after_it_was_read_is_looked_at_again() {
    let mut scenario = Scenario::parse("[faults]\nerror_500 = 0.5").unwrap();
    assert_eq!(scenario.check(), Ok(()));
    scenario.faults.reset = 0.6;
    let error = scenario.check().unwrap_err();
    assert!(error.line().is_none() && error.to_string().contains("add up to more than 1"), "{error}");
}
