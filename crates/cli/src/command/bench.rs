//! `bellwether bench`: the same calls one after the other, side by side, and side by side under a limit, against a
//! simulator in the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{CallContext, ChatProvider, ChatRequest, Flow, Message, Observer, TaskId};
use bellwether_sim::{Latency, Limit, Scenario, Simulator};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{Bench, Endpoint};
use crate::endpoint::{self, Way};
use crate::exit::{Exit, Failure};
use crate::tally::Tally;
use crate::terminal::{note, out};

/// How the calls are made.
struct Course {
    name: &'static str,
    side_by_side: NonZeroUsize,
    rpm: Option<NonZeroU32>,
}

pub(crate) async fn run(args: Bench) -> Result<Exit, Failure> {
    let courses = [
        Course { name: "sequential", side_by_side: NonZeroUsize::MIN, rpm: None },
        Course { name: "concurrent", side_by_side: args.concurrency, rpm: None },
        Course { name: "limited", side_by_side: args.concurrency, rpm: Some(args.rpm) },
    ];
    let mut rows = Vec::new();
    for course in courses {
        if !args.json {
            note(&format!("{} calls, {}", args.calls, course.name));
        }
        rows.push(course.measure(&args).await?);
    }
    let slowest = rows[0]["wall_s"].as_f64().unwrap_or_default();
    for row in &mut rows {
        row["speed_up"] = json!(row["wall_s"].as_f64().map(|wall| slowest / wall));
    }
    let failed = rows.iter().any(|row| row["failed"] != 0);
    out(&if args.json { format!("{}\n", json!({ "calls": args.calls, "courses": rows })) } else { table(&rows) });
    Ok(if failed { Exit::Partial } else { Exit::Done })
}

impl Course {
    /// Makes the calls against a simulator of its own.
    async fn measure(&self, args: &Bench) -> Result<Value, Failure> {
        let simulator = Simulator::start(self.scenario(args), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .map_err(|error| Failure::io("the simulator cannot listen on this machine", &error))?;
        let tally = Arc::new(Tally::default());
        let observer: Arc<dyn Observer> = Arc::<Tally>::clone(&tally) as Arc<dyn Observer>;
        let endpoint = Endpoint {
            base_url: Some(simulator.base_url()),
            api_key_env: None,
            allow_insecure: false,
            rpm: self.rpm.map(|rpm| u64::from(rpm.get())),
            tpm: None,
            max_in_flight: self.side_by_side,
            hedge: None,
        };
        let dispatch = endpoint::connect(&endpoint, Way::Streaming, &observer)?;
        let request = ChatRequest {
            max_output_tokens: Some(64),
            ..ChatRequest::new("sim-small", vec![Message::user("Say something short.")])
        };
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for call in 0..args.calls {
            let call: Arc<str> = call.to_string().into();
            let (dispatch, tally, request) = (Arc::clone(&dispatch), Arc::clone(&tally), request.clone());
            let flow = Flow::new("bench", self.name, "call");
            calls.spawn(async move {
                let run = Arc::clone(&flow.run);
                let asked = Instant::now();
                let task = Some(TaskId::from(Arc::clone(&call)));
                let answer =
                    dispatch.chat(request, CallContext { phase: "bench", task, ..CallContext::new(flow) }).await;
                let took = asked.elapsed();
                let waited = tally.take_turns(&call).waited(took);
                tally.finished(&run, waited, answer.map(|_| took).map_err(|error| error.kind));
            });
        }
        while calls.join_next().await.is_some() {}
        let wall = began.elapsed();
        dispatch.shutdown().await;
        let sent = simulator.stats();
        simulator.shutdown().await;
        let summary = tally.summary(wall);
        Ok(json!({
            "course": self.name,
            "side_by_side": self.side_by_side,
            "rpm": self.rpm,
            "ok": summary["ok"],
            "failed": summary["failed"],
            "wall_s": wall.as_secs_f64(),
            "calls_per_s": f64::from(args.calls) / wall.as_secs_f64(),
            "upstream_429": sent.throttled,
            "peak_in_flight": sent.peak_in_flight,
            "wait_s": summary["flows"][self.name]["wait_s"],
        }))
    }

    /// A healthy provider; under a limit, one second of it may come at once.
    fn scenario(&self, args: &Bench) -> Scenario {
        let limit = |rpm: NonZeroU32| Limit {
            rpm: Some(rpm),
            burst: NonZeroU32::new(rpm.get().div_ceil(60)),
            ..Limit::default()
        };
        let latency = Latency { first_token: args.first_token, per_token: Duration::ZERO, ..Latency::default() };
        Scenario { seed: args.seed, latency, limits: self.rpm.map(limit).into_iter().collect(), ..Scenario::default() }
    }
}

fn table(rows: &[Value]) -> String {
    let mut table = format!(
        "{:<12} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
        "Course", "Side by side", "Answered", "Time", "Calls/s", "Speed-up", "Wait p95", "429s"
    );
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    for row in rows {
        table.push_str(&format!(
            "{:<12} {:>12} {:>9} {:>8.2}s {:>9.1} {:>8.1}x {:>8.2}s {:>6}\n",
            row["course"].as_str().unwrap_or_default(),
            row["side_by_side"].to_string(),
            row["ok"].to_string(),
            number(&row["wall_s"]),
            number(&row["calls_per_s"]),
            number(&row["speed_up"]),
            number(&row["wait_s"]["p95"]),
            row["upstream_429"].to_string(),
        ));
    }
    table
}
