//! `bellwether batch` and `bellwether load` against a simulated limit: the whole table of `docs/BATCH.md` in one run.
//!
//! ```sh
//! cargo build --release -p bellwether
//! cargo bench -p bellwether-benches --bench batch_rows
//! cargo bench -p bellwether-benches --bench batch_rows -- known floor
//! ```
//!
//! The program under test is a process of its own and counts its own CPU time and memory; the simulator runs here.
//! Three flows of weight 1, 2 and 4 have as many lines each, the lightest first in the file. *Share* is what was answered,
//! of what a perfect client gets: the burst and the rate, over the time that was taken; *wall* is that time over the time of
//! a perfect client. *Jain* is the index of the
//! weighted shares up to where the first flow has 95 % of its answers. The floors do the same calls at the same pace in
//! processes of their own, too: bare `reqwest`, and threads that write and read bytes on their `TcpStream`s and understand
//! nothing of what they read. A run takes six minutes; words choose rows.

#![allow(clippy::print_stdout, reason = "a table is what this is for")]

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bellwether_sim::{Scenario, Simulator, Stats};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// From a second on, so many a second.
type Rates = &'static [(f64, f64)];

#[path = "batch_rows/floor.rs"]
mod floor;

use floor::Work;

/// One row of the table of batches.
struct Row {
    name: &'static str,
    scenario: &'static str,
    /// How many lines each flow has.
    lines: usize,
    /// Characters of a question.
    length: usize,
    told: &'static [&'static str],
    /// What a perfect client gets at once, and how much from which second on.
    burst: f64,
    rates: Rates,
    /// Whether tokens are what is limited.
    tokens: bool,
}

const HIDDEN: Rates = &[(0.0, 80.0), (20.0, 30.0), (40.0, 120.0)];

const ROWS: [Row; 5] = [
    Row {
        name: "known: 100 requests/s, told",
        scenario: "[[limits]]\nrpm = 6000\nburst = 100\n[rejections]\nheaders = false",
        lines: 1_000,
        length: 16,
        told: &["--rpm", "6000"],
        burst: 100.0,
        rates: &[(0.0, 100.0)],
        tokens: false,
    },
    Row {
        name: "free: nothing holds the calls back",
        scenario: "",
        lines: 1_000,
        length: 16,
        told: &[],
        burst: f64::INFINITY,
        rates: &[],
        tokens: false,
    },
    Row {
        name: "headers: 600k tokens/min, in the headers only",
        scenario: "[[limits]]\ntpm = 600000\nburst_tokens = 10000",
        lines: 500,
        length: 1_080,
        told: &[],
        burst: 10_000.0,
        rates: &[(0.0, 10_000.0)],
        tokens: true,
    },
    Row {
        name: "hidden: 80, 30, 120 requests/s for 20 s each",
        scenario: "[[limits]]\nrpm = 4800\nburst = 80\n[[limits]]\nat = \"20s\"\nrpm = 1800\nburst = 30\n\
                   [[limits]]\nat = \"40s\"\nrpm = 7200\nburst = 120\n[rejections]\nheaders = false",
        lines: 1_000,
        length: 16,
        told: &[],
        burst: 80.0,
        rates: HIDDEN,
        tokens: false,
    },
    Row {
        name: "charged: the same, refused calls are charged",
        scenario: "[[limits]]\nrpm = 4800\nburst = 80\n[[limits]]\nat = \"20s\"\nrpm = 1800\nburst = 30\n\
                   [[limits]]\nat = \"40s\"\nrpm = 7200\nburst = 120\n[rejections]\nheaders = false\ncharged = true",
        lines: 1_000,
        length: 16,
        told: &[],
        burst: 80.0,
        rates: HIDDEN,
        tokens: false,
    },
];

/// The pace and the size of the calls of three rows, without what they are for.
const FLOORS: [(&str, Work); 3] = [
    ("known: 100 calls a second", Work { calls: 1_000, rate: 100.0, length: 16 }),
    ("free: nothing holds the calls back", Work { calls: 3_000, rate: 0.0, length: 16 }),
    ("headers: 31 calls a second, longer ones", Work { calls: 500, rate: 31.0, length: 1_080 }),
];

const WEIGHTS: [(&str, u32); 3] = [("light", 1), ("middle", 2), ("heavy", 4)];
const LATENCY: &str = "[latency]\nfirst_token = \"40ms\"\njitter = 0.0\nper_token = \"0s\"\n";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [child, way, url, calls, rate, length] = words.as_slice()
        && child == floor::CHILD
    {
        let calls = calls.parse().expect("a number of calls");
        let (rate, length) = (rate.parse().expect("a rate"), length.parse().expect("a length"));
        return floor::run(way, url, Work { calls, rate, length });
    }
    if words.iter().any(|word| word == "--test") {
        return check();
    }
    let Some(program) = program() else {
        println!("there is no `bellwether` beside this benchmark; make it: cargo build --release -p bellwether");
        return;
    };
    let names: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let chosen = |name: &str| names.is_empty() || names.iter().any(|word| name.contains(word.as_str()));
    println!(
        "| limit | share | wall | 429s | Jain index | failed | CPU per call | RSS |\n|---|---|---|---|---|---|---|---|"
    );
    for row in ROWS.iter().filter(|row| chosen(row.name)) {
        batch(&program, row);
    }
    if chosen("floor") {
        println!("\n| CPU per call | raw streams | bare reqwest |\n|---|---|---|");
        for (name, work) in FLOORS {
            let [raw, bare] = ["raw", "reqwest"].map(|way| floor::apart(way, work));
            println!("| {name} | {raw:.3} ms | {bare:.3} ms |");
        }
    }
    if chosen("storm") {
        println!(
            "\n| storm | answered | share | greedy / light | Jain index | failed | 429s | light p95 | CPU | RSS |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
        storm(&program, "told", &["--rpm", "180"]);
        storm(&program, "named by refusals only", &[]);
    }
}

/// The program, where cargo puts it: above this benchmark.
fn program() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let program = own.parent()?.parent()?.join(format!("bellwether{}", env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

/// Lets `client` ask a simulator that lives as long as it does.
fn simulated<T>(scenario: &str, client: impl FnOnce(&str) -> T) -> (T, Stats) {
    let runtime = Runtime::new().expect("a runtime can be made");
    let scenario = Scenario::parse(&format!("{LATENCY}{scenario}")).expect("the scenario makes sense");
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let simulator = runtime.block_on(Simulator::start(scenario, here)).expect("a port is free");
    let answer = client(&simulator.base_url());
    let stats = simulator.stats();
    runtime.block_on(simulator.shutdown());
    (answer, stats)
}

/// Runs the program and reads its summary.
fn summary(program: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output().expect("the program starts");
    serde_json::from_slice(&output.stdout).expect("the last thing it says is its summary")
}

fn batch(program: &Path, row: &Row) {
    let folder = TempDir::new().expect("there is room for a file");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (input, output) = (path("input.jsonl"), path("output.jsonl"));
    fs::write(&input, lines(row)).expect("the lines can be written");
    let (summary, stats) = simulated(row.scenario, |url| {
        let asked = ["batch", &input, "-o", &output, "--base-url", url, "--json"];
        summary(program, &[&asked, row.told].concat())
    });
    let number = |name: &str| summary[name].as_f64().unwrap_or_default();
    let calls = number("ok") + number("failed");
    let had = if row.tokens { (stats.input_tokens + stats.output_tokens) as f64 } else { number("ok") };
    let share = had / perfect(row.burst, row.rates, number("wall_s"));
    let wall = number("wall_s") / shortest(row.burst, row.rates, had);
    let answered = fs::read_to_string(&output).expect("the results were written");
    let flows = answered.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("a result is JSON");
        line["bellwether"]["flow"].as_str().expect("a result names its flow").to_owned()
    });
    println!(
        "| {}, {calls} calls{} | {} | {} | {} | {:.3} | {} | {:.3} ms | {} kB |",
        row.name,
        if row.tokens { format!(" of {:.0} tokens", had / calls) } else { String::new() },
        if row.burst.is_finite() { format!("{share:.3}") } else { format!("{:.0}/s", calls / number("wall_s")) },
        if row.burst.is_finite() { format!("{wall:.3}") } else { String::new() },
        stats.throttled,
        jain(&backlogged(flows, row.lines)),
        summary["failed"],
        number("cpu_s") / calls * 1e3,
        summary["peak_rss_kb"],
    );
}

fn storm(program: &Path, name: &str, told: &[&str]) {
    let limit = "[[limits]]\nrpm = 180\nburst = 6\n[rejections]\nheaders = false";
    let (summary, stats) = simulated(limit, |url| {
        let flows = "greedy:weight=1,loops=20;light:weight=1,loops=2";
        let asked =
            ["load", "--base-url", url, "--model", "sim-small", "--duration", "40s", "--flows", flows, "--json"];
        summary(program, &[&asked, told].concat())
    });
    let number = |name: &str| summary[name].as_f64().unwrap_or_default();
    let of = |flow: &str| summary["flows"][flow]["ok"].as_f64().unwrap_or_default();
    let (ok, wall) = (number("ok"), number("wall_s"));
    println!(
        "| {name} | {ok} in {wall:.0} s | {:.3} | {} / {} | {:.3} | {} | {} | {:.2} s | {:.3} ms | {} kB |",
        ok / perfect(6.0, &[(0.0, 3.0)], wall),
        of("greedy"),
        of("light"),
        // What was under way at the end is finished without the other flow.
        jain(&[of("greedy") - 20.0, of("light") - 2.0]),
        summary["failed"],
        stats.throttled,
        summary["flows"]["light"]["latency_s"]["p95"].as_f64().unwrap_or_default(),
        number("cpu_s") / ok * 1e3,
        summary["peak_rss_kb"],
    );
}

/// The lines of a batch, flow by flow.
fn lines(row: &Row) -> String {
    let mut lines = String::new();
    for (flow, weight) in WEIGHTS {
        for number in 0..row.lines {
            let id = format!("{flow}-{number}");
            let line = json!({ "custom_id": id, "method": "POST", "url": "/v1/chat/completions", "flow": flow,
                "weight": weight, "body": question(number, row.length) });
            writeln!(lines, "{line}").expect("a text can be written to");
        }
    }
    lines
}

fn question(number: usize, length: usize) -> Value {
    let content = format!("{number:<length$}.");
    json!({ "model": "sim-small", "messages": [{ "role": "user", "content": content }], "max_tokens": 50 })
}

/// How long a perfect client takes for so much.
fn shortest(burst: f64, rates: &[(f64, f64)], had: f64) -> f64 {
    let ends = rates.iter().skip(1).map(|(from, _)| *from).chain([f64::INFINITY]);
    let mut left = had - burst;
    for ((from, rate), end) in rates.iter().zip(ends) {
        if left <= rate * (end - from) {
            return from + left.max(0.0) / rate;
        }
        left -= rate * (end - from);
    }
    f64::INFINITY
}

/// What a client gets that knows everything: the burst, and each rate for as long as it holds.
fn perfect(burst: f64, rates: &[(f64, f64)], seconds: f64) -> f64 {
    let ends = rates.iter().skip(1).map(|(from, _)| *from).chain([f64::INFINITY]);
    burst + rates.iter().zip(ends).map(|((from, rate), end)| rate * (end.min(seconds) - from).max(0.0)).sum::<f64>()
}

/// Answers by weight, up to where a flow has nearly all of its `lines` and may soon have none waiting.
fn backlogged(flows: impl Iterator<Item = String>, lines: usize) -> Vec<f64> {
    let mut counts = BTreeMap::new();
    for flow in flows {
        let count = counts.entry(flow).or_insert(0_usize);
        *count += 1;
        if *count * 20 >= lines * 19 {
            break;
        }
    }
    WEIGHTS.map(|(flow, weight)| counts.get(flow).copied().unwrap_or(0) as f64 / f64::from(weight)).to_vec()
}

/// Jain's index: 1 if all shares are equal, 1/n if one has everything.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    sum * sum / (shares.len() as f64 * squares)
}

/// What can be checked in a moment: the formulas, and that the floors do what they say.
fn check() {
    assert!((perfect(10.0, HIDDEN, 50.0) - 3_410.0).abs() < 1e-9, "a perfect client changes its rate with the limit");
    assert!((jain(&[2.0, 2.0, 2.0]) - 1.0).abs() < 1e-9, "equal shares are fair");
    assert!((jain(&[3.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9, "one who has everything is not");
    let turns = (0..700).map(|turn| WEIGHTS[[2, 2, 1, 2, 0, 2, 1][turn % 7]].0.to_owned());
    assert!(jain(&backlogged(turns, 200)) > 0.999, "turns by weight are fair");
    for row in &ROWS {
        assert_eq!(lines(row).lines().count(), 3 * row.lines, "each flow has as many lines");
    }
    for (way, rate) in [("raw", 200.0), ("raw", 0.0), ("reqwest", 200.0), ("reqwest", 0.0)] {
        let cost = floor::apart(way, Work { calls: 100, rate, length: 16 });
        assert!(cost > 0.0, "no call of `{way}` is for nothing");
    }
}
