//! The same calls without Bellwether: bare `reqwest`, and threads that only move bytes.

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use reqwest::Client;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{question, simulated};

/// So many calls, so many a second (as fast as 64 at once go, if that is 0), of so many characters each.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) calls: u32,
    pub(crate) rate: f64,
    pub(crate) length: usize,
}

/// Milliseconds of CPU per call that a floor takes in a process of its own.
pub(crate) fn apart(way: &str, work: Work) -> f64 {
    let own = env::current_exe().expect("this program has a file");
    let (output, stats) = simulated("", |url| {
        let Work { calls, rate, length } = work;
        let words = [CHILD, way, url, &calls.to_string(), &rate.to_string(), &length.to_string()];
        Command::new(own).args(words).stderr(Stdio::inherit()).output().expect("this program starts again")
    });
    assert_eq!(stats.answered.get(&200), Some(&u64::from(work.calls)), "the floor `{way}` makes every call once");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a floor says a number")
}

/// Makes the calls and says what each took.
pub(crate) fn run(way: &str, url: &str, work: Work) {
    let pace = Arc::new(Pace { began: Instant::now(), work, taken: AtomicU32::new(0) });
    // At a slow pace four are under way at a time.
    let loops = if work.rate > 0.0 { 8 } else { 64 };
    if way == "raw" {
        raw(url, &pace, loops)
    } else {
        bare(url, &pace, loops)
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!("{}", micros as f64 / 1e3 / f64::from(work.calls));
}

/// When each call begins.
struct Pace {
    began: Instant,
    work: Work,
    taken: AtomicU32,
}

impl Pace {
    /// What the next call asks, and its moment, until all are taken.
    fn next(&self) -> Option<(Value, Instant)> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let Work { calls, rate, length } = self.work;
        let after = if rate > 0.0 { f64::from(number) / rate } else { 0.0 };
        let moment = self.began + Duration::from_secs_f64(after);
        (number < calls).then(|| (question(number as usize, length), moment))
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread for each connection is what is measured here")]
fn raw(url: &str, pace: &Pace, loops: usize) {
    let host = url.trim_start_matches("http://").trim_end_matches("/v1");
    thread::scope(|threads| {
        for _ in 0..loops {
            threads.spawn(|| {
                let mut stream = TcpStream::connect(host).expect("the simulator listens");
                stream.set_nodelay(true).expect("a socket has this option");
                let mut answer = [0; 16 << 10];
                while let Some((question, moment)) = pace.next() {
                    thread::sleep(moment.saturating_duration_since(Instant::now()));
                    let body = question.to_string();
                    let head = format!(
                        "POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                         content-length: {}\r\n\r\n",
                        body.len()
                    );
                    stream.write_all((head + &body).as_bytes()).expect("the simulator reads");
                    let read = stream.read(&mut answer).expect("the simulator answers");
                    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "the simulator answers well, and at once");
                }
            });
        }
    });
}

fn bare(url: &str, pace: &Arc<Pace>, loops: usize) {
    let provider = Arc::new(ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.expect("the versions are known").with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client can be built");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..loops {
            let (client, pace, url) = (client.clone(), Arc::clone(pace), format!("{url}/chat/completions"));
            tasks.spawn(async move {
                while let Some((question, moment)) = pace.next() {
                    sleep_until(moment).await;
                    let post = client.post(&url).header("content-type", "application/json");
                    let answer = post.body(question.to_string()).send().await.expect("an answer comes");
                    let body = answer.bytes().await.expect("the answer is whole");
                    serde_json::from_slice::<Value>(&body).expect("the answer is JSON");
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no loop falls over");
        }
    });
}

/// Begins the command line of a floor's process.
pub(crate) const CHILD: &str = "as-floor";
