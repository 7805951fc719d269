//! What is wrong, and how to mend it.

use bellwether_provider::{Catalogue, Check, Diagnosis, ErrorKind, Health, Preset, ProviderConfig, doctor};
use serde_json::json;

use crate::server::{Act, Server, plain};

fn models(date: &str) -> Vec<Act> {
    let body = json!({ "data": [{ "id": "sheep-1" }, { "id": "wolf" }] });
    plain("200 OK", &format!("date: {date}\r\n"), &body.to_string())
}

fn answer(text: &str, finish: &str) -> Vec<Act> {
    let body = json!({
        "choices": [{ "message": { "content": text }, "finish_reason": finish }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 2, "cost_usd": 0.001 },
    });
    plain("200 OK", "", &body.to_string())
}

fn state(diagnosis: &Diagnosis, check: Check) -> (Health, String) {
    let finding = diagnosis.findings.iter().find(|finding| finding.check == check).expect("every check is made");
    assert_eq!(finding.remedy.is_some(), matches!(finding.state, Health::Doubtful | Health::Broken), "{finding:?}");
    (finding.state, format!("{} -> {}", finding.says, finding.remedy.clone().unwrap_or_default()))
}

#[tokio::test]
async fn all_is_well() {
    let now = httpdate::fmt_http_date(wall());
    let server = Server::playing_each([models(&now), answer("bell", "stop")]).await;
    let diagnosis = doctor(server.config(), "sheep-1").await;
    assert_eq!((diagnosis.health(), diagnosis.findings.len()), (Health::Fine, 6), "{diagnosis}");
    let shown = diagnosis.to_string();
    assert!(
        shown.contains("2 on offer, sheep-1 among them") && shown.contains("$0.0010 by the provider's word"),
        "{shown}"
    );
    assert_eq!(server.seen()[1].body["max_tokens"], 16);
    assert_eq!(server.seen()[1].body["stream_options"], json!({ "include_usage": true }), "as runs ask");
}

#[tokio::test]
async fn every_trouble_comes_with_its_remedy() {
    let old = "Sun, 22 Nov 2020 19:17:45 GMT";
    let server = Server::playing_each([models(old), answer("", "length")]).await;
    let diagnosis = doctor(server.config(), "sheep-2").await;
    let (health, says) = state(&diagnosis, Check::Models);
    assert!(health == Health::Doubtful && says.contains("such as sheep-1"), "{says}");
    let (health, says) = state(&diagnosis, Check::Clock);
    assert!(
        health == Health::Doubtful && says.contains("ahead of the provider") && says.contains("set the clock"),
        "{says}"
    );
    let (health, says) = state(&diagnosis, Check::Call);
    assert!(health == Health::Doubtful && says.contains("higher cap"), "{says}");

    let refused = plain("401 Unauthorized", "", r#"{"error":{"code":"invalid_api_key"}}"#);
    let diagnosis = doctor(Server::playing(refused).await.config(), "m").await;
    let (health, says) = state(&diagnosis, Check::Models);
    assert!(
        health == Health::Broken && says.contains("refused the key") && says.contains("copy the key again"),
        "{says}"
    );
    assert_eq!(state(&diagnosis, Check::Call).0, Health::Skipped);
    let kinds: Vec<_> = diagnosis.findings.iter().filter_map(|finding| finding.kind).collect();
    assert_eq!(kinds, [ErrorKind::Auth], "a call would fail like that");

    let page = plain("404 Not Found", "", "<html>");
    let diagnosis = doctor(Server::playing(page).await.config(), "m").await;
    assert!(state(&diagnosis, Check::Call).1.contains("usually /v1"));
    assert_eq!(diagnosis.health(), Health::Broken);

    let busy = plain("429 Too Many Requests", "", "{}");
    let diagnosis = doctor(Server::playing_each([models(old), busy]).await.config(), "sheep-1").await;
    assert_eq!(diagnosis.health(), Health::Doubtful, "the settings work: {diagnosis}");

    let unused = plain("400 Bad Request", "", r#"{"error":"unknown parameter: stream_options"}"#);
    let diagnosis = doctor(Server::playing_each([models(old), unused]).await.config(), "m").await;
    let (health, says) = state(&diagnosis, Check::Call);
    assert!(
        health == Health::Broken && says.contains("stream_options") && says.contains("usage of a stream"),
        "{says}"
    );

    let diagnosis = doctor(Server::playing(plain("200 OK", "", "<html>")).await.config(), "m").await;
    assert!(state(&diagnosis, Check::Call).1.contains("usually /v1"), "{diagnosis}");
    assert_eq!(state(&diagnosis, Check::Clock).0, Health::Skipped, "nothing is known of it");

    let server = Server::playing(plain("401 Unauthorized", "", "{}")).await;
    let mut keyless = server.config();
    keyless.key = None;
    let (_, says) = state(&doctor(keyless, "m").await, Check::Models);
    assert!(says.contains("no key was sent") && !says.contains("copy the key"), "{says}");

    let free = json!({ "choices": [{ "message": { "content": "bell" }, "finish_reason": "stop" }] });
    let server = Server::playing_each([models(old), plain("200 OK", "", &free.to_string())]).await;
    let diagnosis = doctor(server.config(), "m").await;
    let (health, says) = state(&diagnosis, Check::Price);
    assert!(health == Health::Doubtful && says.contains("unknown: no price for model m"), "{says}");
    assert!(says.contains("give the model a price"), "{says}");

    let server = Server::playing_each([models(old), plain("200 OK", "", &free.to_string())]).await;
    let priced = ProviderConfig { models: Catalogue::of(Preset::HolySheep), ..server.config() };
    let (_, says) = state(&doctor(priced, "gpt-4.1").await, Check::Price);
    assert!(says.contains("did not say how many tokens") && !says.contains("give the model a price"), "{says}");
}

#[tokio::test]
async fn settings_are_judged_before_anything_is_sent() {
    let diagnosis = doctor(ProviderConfig::new("x", "ftp://files.example"), "m").await;
    let (health, says) = state(&diagnosis, Check::Settings);
    assert!(
        health == Health::Broken && says.contains("base_url") && says.contains("https://api.holysheep.ai/v1"),
        "{says}"
    );
    assert_eq!(state(&diagnosis, Check::Key).0, Health::Doubtful, "nobody knows whether it wants one");
    assert_eq!(state(&diagnosis, Check::Call).0, Health::Skipped);
    let mut config = ProviderConfig::preset(Preset::HolySheep);
    config.timeouts.total = std::time::Duration::ZERO;
    let keyless = doctor(config.clone(), "m").await;
    assert_eq!(state(&keyless, Check::Key).0, Health::Broken, "HolySheep answers nobody without one");
    config.key = Some(bellwether_provider::ApiKey::new("sk-of-somebody-else").unwrap());
    let diagnosis = doctor(config, "m").await;
    let (health, says) = state(&diagnosis, Check::Key);
    assert!(
        health == Health::Doubtful && says.contains("begin with cr_") && says.contains("HOLYSHEEP_API_KEY"),
        "{says}"
    );
    assert_eq!(diagnosis.provider, "holysheep");
}

#[expect(clippy::disallowed_methods, reason = "a server's date is wall time")]
fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
