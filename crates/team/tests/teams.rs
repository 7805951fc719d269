//! Teams that make no sense are turned away, with the place and the remedy.

use std::sync::Arc;

use bellwether_core::ChatResponse;
use bellwether_provider::Scripted;
use bellwether_team::{CommandCheck, ReviewRules, Role, Settings, Team, TeamError, Tier};

fn tier() -> Tier {
    Tier::new(Arc::new(Scripted::answering(|_, _| Ok(ChatResponse::text("done")))), "model")
}

fn refused(roles: Vec<Role>, settings: Settings) -> TeamError {
    let builder = roles.into_iter().fold(Team::builder("team"), |builder, role| builder.role(role));
    builder.settings(settings).build().expect_err("this team makes no sense")
}

#[test]
fn a_team_that_makes_no_sense_is_turned_away_with_the_reason() {
    let worker = || Role::worker("coder", "You code.", tier());
    let rules = Settings::default();
    let said = |error: TeamError| error.to_string();
    assert_eq!(refused(vec![], rules), TeamError::NoWorker);
    assert_eq!(refused(vec![worker(), worker()], rules), TeamError::SameName { role: "coder".into() });
    assert!(said(refused(vec![Role::worker("coder", " ", tier())], rules)).contains("\"coder\" has no prompt"));
    assert!(said(refused(vec![Role { tiers: vec![], ..worker() }], rules)).contains("name at least one model"));
    let small = Tier { context: Some(8_192), ..tier() };
    let full = |answer| Role { max_output_tokens: Some(answer), tiers: vec![tier(), small.clone()], ..worker() };
    let error = said(refused(vec![full(8_192)], rules));
    assert!(error.contains("may say 8192 tokens") && error.contains("lower max_output_tokens"), "{error}");
    assert!(Team::builder("team").role(full(4_096)).build().is_ok());
    let critics = ["a", "b"].map(|name| Role::reviewer(name, "You review.", tier()));
    assert!(said(refused(critics.into_iter().chain([worker()]).collect(), rules)).contains("\"b\" is a second one"));
    assert_eq!(refused(vec![worker()], Settings { max_attempts: 0, ..rules }), TeamError::NoAttempts);
    let review = |review: ReviewRules| Settings { review, ..rules };
    let said_of = |review| said(refused(vec![worker()], review));
    assert!(said_of(review(ReviewRules { threshold: 1.5, ..rules.review })).contains("between 0 and 1"));
    assert!(said_of(review(ReviewRules { min_gain: 0.0, ..rules.review })).contains("above 0"));
    let check = || Arc::new(CommandCheck::new("tests", "true", []));
    let twice = Team::builder("team").role(worker()).check(check()).check(check()).build();
    assert_eq!(twice.unwrap_err(), TeamError::SameCheck { check: "tests".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn a_worker_alone_is_a_team() {
    let team = Team::builder("solo").role(Role::worker("coder", "You code.", tier())).build().unwrap();
    let report = team.run("build it").await;
    assert_eq!((report.calls, report.tasks.len(), report.degraded), (1, 1, false));
    assert!(report.tasks[0].success);
}
