//! The limiter and three other ways beside it, against a simulated provider in virtual time, with fixed seeds.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench limiter_scenarios
//! ```
//!
//! Prints the table of `docs/LIMITER.md`, and fails if ours falls out of its envelope.

#[path = "../crates/limiter/tests/scenarios/rivals.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod rivals;
#[path = "../crates/limiter/tests/scenarios/suite.rs"]
mod suite;
#[path = "../crates/limiter/tests/scenarios/world.rs"]
mod world;

use suite::{Row, Scenario};
use world::Client;

/// How a scenario's client is made.
type Make = fn(&Scenario, u64) -> Box<dyn Client>;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() {
    let seeds = if std::env::args().any(|arg| arg == "--test") { 1 } else { 10 };
    let clients: [(&str, Make); 4] = [
        ("ours", Scenario::ours),
        ("backoff", Scenario::backoff),
        ("Netflix AIMD", Scenario::netflix),
        ("paced CUBIC", Scenario::cubic),
    ];
    println!("| scenario | client | goodput, mean | worst | 429s | seconds to converge | Jain |");
    println!("|---|---|---|---|---|---|---|");
    for scenario in suite::all() {
        for (name, make) in clients {
            let row = scenario.run(seeds, make);
            print(&scenario, name, &row);
            if name == "ours" {
                check(&scenario, &row);
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print(scenario: &Scenario, client: &str, row: &Row) {
    let converged = row.converged.iter().map(|seconds| seconds.map_or("never".to_owned(), |s| format!("{s:.1}")));
    let converged = converged.collect::<Vec<_>>().join(" / ");
    let Row { goodput, worst, refused, jain, .. } = row;
    let jain = if scenario.processes > 1 { format!("{jain:.3}") } else { String::new() };
    println!(
        "| {} | {client} | {goodput:.3} | {worst:.3} | {:.2} % | {converged} | {jain} |",
        scenario.name,
        100.0 * refused
    );
}

/// The envelope in which ours has to stay (R13): what was measured, with a fifth of slack.
fn check(scenario: &Scenario, row: &Row) {
    let (goodput, refused) = match scenario.name {
        name if name.starts_with("told") => (0.995, 0.0),
        name if name.starts_with("A3 headers, steady") => (0.995, 0.002),
        name if name.starts_with("A3") => (0.99, 0.002),
        name if name.starts_with("A4") => (0.99, 0.03),
        name if name.starts_with("A1") => (0.97, 0.015),
        name if name.starts_with("A2") => (0.94, 0.025),
        name if name.starts_with("tokens") => (0.95, 0.03),
        name if name.starts_with("refusals name") => (0.91, 0.02),
        name if name.starts_with("Retry") => (0.94, 0.015),
        name if name.starts_with("all are refused") => (0.82, 0.03),
        _ => (0.85, 0.12),
    };
    assert!(row.goodput >= goodput, "{}: goodput {}", scenario.name, row.goodput);
    assert!(row.refused <= refused, "{}: refused {}", scenario.name, row.refused);
    let known = scenario.name.starts_with("told") || scenario.name.starts_with("A3 headers, steady");
    assert!(!known || row.late == 0, "{}: {} refused in steady state", scenario.name, row.late);
}
