//! What a task costs in the queue, in time and in memory, beside plain queues, in one run.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench queue_table -- --plot docs/queue/cost.svg
//! ```
//!
//! Each figure is the tenth percentile of many short rounds, because the machine is shared. Memory is counted by the
//! allocator.

#![allow(clippy::print_stdout, reason = "a table is what this is for")]

mod queue_contenders;

use std::fmt::Write as _;
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

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let test = arguments.iter().any(|argument| argument == "--test");
    let sizes: &[usize] = if test { &[1_000] } else { &[1_000, 10_000, 100_000, 1_000_000] };
    let rounds = if test { 2 } else { 1_000 };
    let rows = [
        row::<Heap>("std BinaryHeap, one order", sizes, rounds),
        row::<OneQueue>("priority-queue, one order", sizes, rounds),
        row::<Channel>("tokio mpsc, no order", sizes, rounds),
        row::<FairFifo>("fair, FIFO flows (Q1)", sizes, rounds),
        row::<FairFifoByCrate>("fair, FIFO flows, on priority-queue", sizes, rounds),
        row::<FairSettled>("fair, priority in flows, settled (Q2)", sizes, rounds),
        row::<FairSettledByCrate>("fair, priority in flows, settled, on priority-queue", sizes, rounds),
    ];
    print(&rows, sizes);
    cancellation(if test { 1_000 } else { 1_000_000 }, rounds);
    if let Some(at) = arguments.iter().position(|argument| argument == "--plot") {
        // Cargo runs benchmarks in their package's folder; the path is one from the root.
        let path = format!("{}/../{}", env!("CARGO_MANIFEST_DIR"), arguments[at + 1]);
        std::fs::write(path, plot(&rows, sizes)).expect("the plot can be written");
    }
}

fn row<C: Contender>(name: &'static str, sizes: &[usize], rounds: usize) -> Row {
    let mut bytes = 0.0;
    let nanos = sizes.iter().map(|tasks| {
        let before = ALLOCATOR.current_usage();
        let mut contender = C::filled(*tasks, flows(*tasks));
        bytes = (ALLOCATOR.current_usage() - before) as f64 / *tasks as f64;
        let mut random = fastrand::Rng::with_seed(11);
        let turns = 500;
        // A queue that has been used for a while, as far as that can be had in the time.
        for _ in 0..(*tasks).min(200_000) {
            contender.turn(&mut random);
        }
        tenth_percentile(rounds, || {
            let from = Instant::now();
            for _ in 0..turns {
                contender.turn(&mut random);
            }
            from.elapsed() / turns
        })
    });
    let nanos = nanos.collect();
    Row { name, nanos, bytes: bytes - 8.0 }
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
