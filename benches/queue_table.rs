//! What a task costs in the queue, in time and in memory, beside plain queues, in one run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench queue_table -- --plot docs/queue/cost.svg
//! ```
//!
//! Each figure is the tenth percentile of many short rounds, because the machine is shared, and is taken in a
//! process of its own, because memory that others have used lies scattered. Memory is counted by the allocator.

#![allow(clippy::print_stdout, reason = "a table is what this is for")]

mod queue_contenders;

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use queue_contenders::{
    Channel, Contender, FairFifo, FairFifoByCrate, FairSettled, FairSettledByCrate, Heap, OneQueue,
};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A line of the table: nanoseconds at each size, then bytes for each task at the largest.
struct Row {
    name: &'static str,
    nanos: Vec<f64>,
    bytes: f64,
}

/// Nanoseconds of a turn with so many tasks, over so many rounds, and bytes for each task.
type Measure = fn(usize, usize) -> (f64, f64);

const ROWS: [(&str, Measure); 7] = [
    ("std BinaryHeap, one order", measure::<Heap>),
    ("priority-queue, one order", measure::<OneQueue>),
    ("tokio mpsc, no order", measure::<Channel>),
    ("fair, FIFO flows (Q1)", measure::<FairFifo>),
    ("fair, FIFO flows, on priority-queue", measure::<FairFifoByCrate>),
    ("fair, priority in flows, settled (Q2)", measure::<FairSettled>),
    ("fair, priority in flows, settled, on priority-queue", measure::<FairSettledByCrate>),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1));
    let test = arguments.iter().any(|argument| argument == "--test");
    let rounds = if test { 2 } else { 1_000 };
    if let Some(cell) = after("--cell") {
        let (row, tasks) = cell.split_once(':').expect("a row and a number of tasks");
        let (_, measure) = ROWS[row.parse::<usize>().expect("the number of a row")];
        let (nanos, bytes) = measure(tasks.parse().expect("a number of tasks"), rounds);
        return println!("{nanos} {bytes}");
    }
    let sizes: &[usize] = if test { &[1_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let rows: Vec<Row> = (0..ROWS.len()).map(|row| row_of(row, sizes, test)).collect();
    print(&rows, sizes);
    cancellation(if test { 1_000 } else { 1_000_000 }, rounds);
    if let Some(path) = after("--plot") {
        // Cargo runs benchmarks in their package's folder; the path is one from the root.
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, plot(&rows, sizes)).expect("the plot can be written");
    }
}

/// Measures a row, each size in a process of its own: in one for all, memory would be what others left behind, and a
/// queue of a million tasks would lie scattered over it.
fn row_of(row: usize, sizes: &[usize], test: bool) -> Row {
    let program = std::env::current_exe().expect("this program has a path");
    let mut bytes = 0.0;
    let nanos = sizes.iter().map(|tasks| {
        let mut cell = Command::new(&program);
        cell.args(["--cell", &format!("{row}:{tasks}")]).args(test.then_some("--test"));
        let said = cell.output().expect("this program runs");
        let said = String::from_utf8(said.stdout).expect("figures are text");
        let mut figures = said.split_whitespace().map(|figure| figure.parse().expect("a figure"));
        let nanos = figures.next().expect("the time of a turn");
        bytes = figures.next().expect("the bytes of a task");
        nanos
    });
    let nanos = nanos.collect();
    Row { name: ROWS[row].0, nanos, bytes: bytes - 8.0 }
}

fn measure<C: Contender>(tasks: usize, rounds: usize) -> (f64, f64) {
    let before = ALLOCATOR.current_usage();
    let mut contender = C::filled(tasks, flows(tasks));
    let bytes = (ALLOCATOR.current_usage() - before) as f64 / tasks as f64;
    let mut random = fastrand::Rng::with_seed(11);
    let turns = 500;
    // A queue that has been used for a while, as far as that can be had in the time.
    for _ in 0..tasks.min(200_000) {
        contender.turn(&mut random);
    }
    let nanos = tenth_percentile(rounds, || {
        let from = Instant::now();
        for _ in 0..turns {
            contender.turn(&mut random);
        }
        from.elapsed() / turns
    });
    (nanos, bytes)
}

/// A hundred tasks in each flow, and 10,000 flows at a million.
fn flows(tasks: usize) -> usize {
    (tasks / 100).max(1)
}

fn tenth_percentile(rounds: usize, mut round: impl FnMut() -> Duration) -> f64 {
    let mut took: Vec<Duration> = (0..rounds).map(|_| round()).collect();
    took.sort_unstable();
    took[rounds / 10].as_nanos() as f64
}

/// Q3: cancelling random tasks among many, and the plain heap cannot do it at all.
fn cancellation(tasks: usize, rounds: usize) {
    let mut fair = FairFifo::filled(0, flows(tasks));
    let mut random = fastrand::Rng::with_seed(3);
    let mut ids: Vec<_> = (0..tasks).map(|_| fair.push(&mut random)).collect();
    let batch = (tasks / 2_500).max(1);
    let nanos = tenth_percentile(rounds, || {
        let victims: Vec<_> = (0..batch).map(|_| ids.swap_remove(random.usize(..ids.len()))).collect();
        let from = Instant::now();
        for id in &victims {
            std::hint::black_box(fair.scheduler.cancel(*id));
        }
        let took = from.elapsed();
        ids.extend((0..batch).map(|_| fair.push(&mut random)));
        took / batch as u32
    });
    println!("fair, cancel a random one of {tasks} tasks (Q3): {nanos:.0} ns");

    let mut queue: priority_queue::PriorityQueue<u64, u64> =
        (0..tasks as u64).map(|task| (task, random.u64(..))).collect();
    let mut next = tasks as u64;
    let mut ids: Vec<u64> = (0..tasks as u64).collect();
    let nanos = tenth_percentile(rounds, || {
        let victims: Vec<_> = (0..batch).map(|_| ids.swap_remove(random.usize(..ids.len()))).collect();
        let from = Instant::now();
        for id in &victims {
            std::hint::black_box(queue.remove(id));
        }
        let took = from.elapsed();
        for _ in 0..batch {
            queue.push(next, random.u64(..));
            ids.push(next);
            next += 1;
        }
        took / batch as u32
    });
    println!("priority-queue, remove a random one of {tasks}: {nanos:.0} ns");
}

fn print(rows: &[Row], sizes: &[usize]) {
    let mut head = format!("| {:<52} |", "one task comes, one is taken; ns");
    for size in sizes {
        let _ = write!(head, " {size:>9} |");
    }
    println!("{head} bytes per task beside its 8 |");
    println!("|{}", "---|".repeat(sizes.len() + 2));
    for row in rows {
        let mut line = format!("| {:<52} |", row.name);
        for nanos in &row.nanos {
            let _ = write!(line, " {nanos:>9.0} |");
        }
        println!("{line} {:.1} |", row.bytes);
    }
}

/// Cost for each operation over the number of tasks, both on logarithmic axes.
fn plot(rows: &[Row], sizes: &[usize]) -> String {
    let colours = ["#888888", "#bb5566", "#004488", "#228833", "#aacc99", "#ee7733", "#f5c9a8"];
    let x = |size: usize| 70.0 + ((size as f64).log10() - 3.0) / 3.0 * 400.0;
    let y = |nanos: f64| 330.0 - (nanos.max(10.0).log10() - 1.0) / 2.5 * 300.0;
    let mut svg = String::from(concat!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 390" font-family="sans-serif" font-size="12">"#,
        r#"<rect width="860" height="390" fill="white"/>"#,
    ));
    for nanos in [10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0] {
        let at = y(nanos);
        let _ = write!(
            svg,
            r##"<path d="M70 {at:.0}H470" stroke="#dddddd"/><text x="62" y="{:.0}" text-anchor="end">{nanos} ns</text>"##,
            at + 4.0
        );
    }
    for size in sizes {
        let _ = write!(svg, r#"<text x="{:.0}" y="350" text-anchor="middle">{size}</text>"#, x(*size));
    }
    svg.push_str(r#"<text x="270" y="375" text-anchor="middle">tasks waiting; one comes, one is taken</text>"#);
    for (index, (row, colour)) in rows.iter().zip(colours).enumerate() {
        let mut line = String::new();
        for (size, nanos) in sizes.iter().zip(&row.nanos) {
            let _ = write!(line, "{}{:.1} {:.1}", if line.is_empty() { 'M' } else { 'L' }, x(*size), y(*nanos));
        }
        let key = 40 + 24 * index;
        let _ = write!(
            svg,
            r#"<path d="{line}" fill="none" stroke="{colour}" stroke-width="2"/><path d="M500 {key}h24" stroke="{colour}" stroke-width="2"/><text x="530" y="{}">{}</text>"#,
            key + 4,
            row.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}
