//! The files of a batch: which are read and written, and which are left alone.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::batches::{batch, lines, results};
use crate::process::{Folder, Simulator, Underway, bellwether, said};

/// Each was cut off as if a crash had left it: a file of somebody's, on one line.
#[test]
fn what_is_no_result_is_left_alone() {
    let folder = Folder::new("batch-precious").with("in.jsonl", &lines(3));
    let simulator = Simulator::start(&folder, &[]);
    let theirs = [
        "{\"precious\":\"data\"}",
        "notes",
        "{\"custom_id\":\"id-1\",\"body\":{}}",
        "{\"custom_id\":\"of-another-batch\",\"response\":null}\n",
        "{\"custom_id\":\"of-another-batch\",\"response\":null}\n{\"custom_id\":\"torn",
    ];
    for text in theirs {
        std::fs::write(folder.join("out.jsonl"), text).expect("the folder is ours");
        let ran = said(batch(&folder, &simulator).arg("--resume"));
        assert!(matches!(ran.code, Some(2 | 74)), "{text}: {}", ran.stderr);
        assert_eq!(std::fs::read_to_string(folder.join("out.jsonl")).unwrap(), text);
    }
    assert_eq!(simulator.stats()["requests"], 0);
}

/// An editor took the last line break; a disk that lost its power left a stretch of nothing.
#[test]
fn a_result_that_is_whole_is_kept_and_what_is_torn_is_asked_again() {
    let folder = Folder::new("batch-torn").with("in.jsonl", &lines(4));
    let simulator = Simulator::start(&folder, &[]);
    assert_eq!(said(&mut batch(&folder, &simulator)).code, Some(0));
    let path = folder.join("out.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let third: String = whole.lines().take(3).flat_map(|line| [line, "\n"]).collect();
    for (left, asked) in [
        (whole.trim_end().to_owned(), 0),
        (third.trim_end().to_owned(), 1),
        (whole.replace('\n', "\r\n"), 0),
        (format!("{third}\n"), 1),
        (format!("{third}{}", "\0".repeat(500)), 1),
        (whole[..whole.len() - 40].to_owned(), 1),
        (String::new(), 4),
    ] {
        std::fs::write(&path, &left).unwrap();
        let ran = said(batch(&folder, &simulator).arg("--resume"));
        assert_eq!((ran.code, ran.json()["ok"].as_u64()), (Some(0), Some(asked)), "{left}: {}", ran.stderr);
        let kept = std::fs::read_to_string(&path).unwrap();
        let kept = kept.lines().filter(|line| !line.trim().is_empty());
        let ids: HashSet<_> =
            kept.map(|line| serde_json::from_str::<Value>(line).unwrap()["custom_id"].clone()).collect();
        assert_eq!(ids.len(), 4, "{left}");
    }
}

/// A pipe was read to its end and then could not be read again; standard output was read for results without an end.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = Folder::new("batch-pipe").with("in.jsonl", &lines(3)).with("results", "");
    let refused = |input: &str, output: &str, resume: bool| {
        let mut command = bellwether(&folder);
        command.args(["batch", input, "-o", output, "--base-url", "http://127.0.0.1:9/v1"]);
        command.args(resume.then_some("--resume")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let ran = said(&mut command);
        assert!(matches!(ran.code, Some(2 | 74)) && ran.stderr.contains("no regular file"), "{input}: {}", ran.stderr);
    };
    refused("/dev/stdin", "out.jsonl", false);
    refused(".", "out.jsonl", false);
    refused("in.jsonl", "/dev/stdout", true);
    refused("in.jsonl", "/dev/null", false);
    assert!(!folder.join("out.jsonl").exists());
}

/// Two of them wrote over each other's lines.
#[test]
fn two_processes_never_write_into_one_file() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 3, with = \"stall\" }]\n";
    let folder = Folder::new("batch-two").with("in.jsonl", &lines(5)).with("stall.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "stall.toml"]);
    let first = Underway::start(batch(&folder, &simulator).args(["--max-in-flight", "1"]));
    while simulator.stats()["requests"] != 3 {
        std::thread::yield_now();
    }
    let second = said(batch(&folder, &simulator).arg("--resume"));
    assert!(second.code == Some(74) && second.stderr.contains("another process writes it"), "{}", second.stderr);
    assert_eq!(simulator.stats()["requests"], 3);
    first.kill();
    let third = said(batch(&folder, &simulator).arg("--resume"));
    assert_eq!((third.code, results(&folder).len()), (Some(0), 5), "{}", third.stderr);
}

/// An id became a header, which holds no control characters; and who had answered one batch could answer another out of
/// its memory.
#[test]
fn a_line_is_answered_whatever_its_id_is_made_of() {
    let ids = ["überschrift", "a\nb", "", "tab\tquote\"", "\u{0}", "😀", " blank ", &"long".repeat(5_000)];
    let line = |id: &&str| {
        let body = json!({ "model": "sim-small", "messages": [{ "role": "user", "content": "Hi" }] });
        format!("{}\n", json!({ "custom_id": id, "body": body }))
    };
    let folder = Folder::new("batch-ids").with("in.jsonl", &ids.iter().map(line).collect::<String>());
    let simulator = Simulator::start(&folder, &[]);
    let ran = said(&mut batch(&folder, &simulator));
    assert_eq!((ran.code, ran.json()["ok"].as_u64()), (Some(0), Some(8)), "{}", ran.stderr);
    let results = results(&folder);
    assert!(ids.iter().all(|id| results[*id]["response"]["status_code"] == 200));
}

/// A line was put before the others: each number stood for another line then, and one was never answered.
#[test]
fn lines_without_an_id_have_to_stay_where_they_are() {
    let line = |text: &str| {
        format!(
            "{}\n",
            json!({ "model": "sim-small", "messages": [{ "role": "user", "content": text }], "max_tokens": 3 })
        )
    };
    let folder = Folder::new("batch-moved").with("in.jsonl", &(line("a") + &line("b")));
    let simulator = Simulator::start(&folder, &[]);
    assert_eq!(said(&mut batch(&folder, &simulator)).code, Some(0));
    let folder = folder.with("in.jsonl", &(line("new") + &line("a") + &line("b")));
    let moved = said(batch(&folder, &simulator).arg("--resume"));
    assert!(moved.code == Some(2) && moved.stderr.contains("in.jsonl:1: it is not the line"), "{}", moved.stderr);
    let folder = folder.with("in.jsonl", &(line("a") + &line("b") + &line("new")).replace('\n', "\r\n"));
    let added = said(batch(&folder, &simulator).arg("--resume"));
    assert_eq!((added.code, added.json()["ok"].as_u64(), results(&folder).len()), (Some(0), Some(1), 3));
}

/// Answers everything with this status, and hears with which idempotency keys it is asked for what.
fn recorder(status: &'static str, calls: usize) -> (String, JoinHandle<Vec<(String, Value)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("it has an address"));
    let hear = move |stream: TcpStream| {
        let mut request = BufReader::new(stream);
        let (mut key, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            request.read_line(&mut line).expect("a head is text");
            match line.trim_end().split_once(": ") {
                Some(("idempotency-key", value)) => value.clone_into(&mut key),
                Some(("content-length", value)) => length = value.parse().expect("a length is a number"),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut asked = vec![0; length];
        request.read_exact(&mut asked).expect("the body is whole");
        let body = r#"{"choices":[{"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}]}"#;
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        request.get_mut().write_all(format!("{head}{body}").as_bytes()).expect("it listens");
        (key, serde_json::from_slice(&asked).expect("a body is JSON"))
    };
    let heard = move || listener.incoming().take(calls).map(|stream| hear(stream.expect("it connects"))).collect();
    (url, std::thread::spawn(heard))
}

/// The id alone was the key, so that a provider with a memory could answer one batch with the answers of another.
#[test]
fn a_call_has_a_key_of_its_own_and_keeps_it_over_a_resume() {
    let folder = Folder::new("batch-keys").with("in.jsonl", &lines(2));
    let keys = |status: &'static str, output: &str, resume: bool| {
        // A refused key is asked for one line only.
        let (url, heard) = recorder(status, if status == "200 OK" { 2 } else { 1 });
        let mut command = bellwether(&folder);
        command.args(["batch", "in.jsonl", "-o", output, "--base-url", &url, "--max-in-flight", "1", "--rpm", "60000"]);
        let ran = said(command.args(resume.then_some("--resume")));
        assert_eq!(ran.code, Some(if status == "200 OK" { 0 } else { 77 }), "{}", ran.stderr);
        heard.join().expect("nothing went wrong").into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    let refused = keys("401 Unauthorized", "one.jsonl", false);
    let resumed = keys("200 OK", "one.jsonl", true);
    let other = keys("200 OK", "other.jsonl", false);
    assert_eq!(refused[0], resumed[0]);
    let all: HashSet<_> = resumed.iter().chain(&other).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.iter().all(|key| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit())), "{all:?}");
}

/// The cap came under its older name, which reasoning models refuse.
#[test]
fn a_request_reaches_the_provider_as_it_was_written() {
    let text = json!({ "type": "text", "text": "Hi", "cache_control": { "type": "ephemeral" } });
    let tool = json!({ "type": "function", "function": { "name": "f", "strict": true, "parameters": {} } });
    let body = json!({
        "model": "of-tomorrow", "messages": [{ "role": "user", "content": [text] }], "tools": [tool], "n": 1,
        "tool_choice": "required", "max_completion_tokens": 9, "temperature": 0.5, "seed": -5, "reasoning_effort": "low",
    });
    let folder = Folder::new("batch-as-written").with("in.jsonl", &format!("{}\n", json!({ "body": body })));
    let (url, heard) = recorder("200 OK", 1);
    let ran = said(bellwether(&folder).args(["batch", "in.jsonl", "-o", "out.jsonl", "--base-url", &url]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(heard.join().expect("nothing went wrong")[0].1, body);
}

/// What was in flight was lost, and paid again by the resume.
#[test]
fn a_batch_that_is_stopped_writes_what_was_in_flight() {
    let folder = Folder::new("batch-stopped").with("in.jsonl", &lines(500));
    let simulator = Simulator::plain(&folder, &["--first-token", "100ms", "--per-token", "0ms"]);
    let mut stopped = Underway::start(batch(&folder, &simulator).args(["--max-in-flight", "8"]));
    while simulator.stats()["in_flight"] != 8 {
        std::thread::yield_now();
    }
    stopped.interrupt();
    stopped.until("finishing the calls in flight");
    let stopped = stopped.end();
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    let written = results(&folder).len();
    assert!((8..500).contains(&written), "{written}");
    assert_eq!(simulator.stats()["requests"], written);
    assert_eq!(stopped.json()["ok"], written);
}

/// One call is silent for ten minutes, and somebody does not want to wait for it.
#[test]
fn a_batch_that_is_stopped_twice_ends_at_once() {
    let scenario = "[faults]\nstall_limit = \"10m\"\nfail = [{ request = 3, with = \"stall\" }]\n";
    let folder = Folder::new("batch-stopped-twice").with("in.jsonl", &lines(9)).with("stall.toml", scenario);
    let simulator = Simulator::start(&folder, &["--scenario", "stall.toml"]);
    let mut stopped = Underway::start(batch(&folder, &simulator).args(["--max-in-flight", "1"]));
    while simulator.stats()["requests"] != 3 {
        std::thread::yield_now();
    }
    stopped.interrupt();
    stopped.until("finishing the calls in flight");
    stopped.interrupt();
    let stopped = stopped.end();
    assert_eq!((stopped.code, results(&folder).len()), (Some(130), 2), "{}", stopped.stderr);
    assert_eq!(stopped.json()["ok"], 2);
}

/// The account runs dry after 20 answers: those that are under way are kept, and the summary is one object with the reason.
#[test]
fn a_batch_whose_account_runs_dry_keeps_what_was_in_flight_and_goes_on_later() {
    let scenario = "bursts = [{ after = 20, count = 1000 }]\n\
                    [rejections]\nstatus = 402\ncode = \"insufficient_quota\"\nretry_after = \"none\"\n";
    let folder = Folder::new("batch-dry").with("in.jsonl", &lines(60)).with("dry.toml", scenario);
    let dry = Simulator::start(&folder, &["--scenario", "dry.toml"]);
    let ran = said(batch(&folder, &dry).args(["--max-in-flight", "8"]));
    assert_eq!(ran.code, Some(75), "{}", ran.stderr);
    let summary = ran.json();
    assert_eq!((&summary["error"]["exit_code"], &summary["failed"]), (&Value::from(75), &Value::from(0)), "{summary}");
    assert_eq!((summary["ok"].as_u64(), results(&folder).len()), (Some(20), 20), "{summary}");
    let paid = Simulator::start(&folder, &[]);
    let ran = said(batch(&folder, &paid).arg("--resume"));
    assert_eq!((ran.code, results(&folder).len()), (Some(0), 60), "{}", ran.stderr);
    assert_eq!(paid.stats()["requests"], 40);
}
