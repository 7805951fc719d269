//! Q1 to Q3 under criterion: what a task costs at a million waiting tasks, beside plain queues.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench queue_ops
//! cargo bench -p bellwether-benches --bench queue_ops -- settled$      # one by itself
//! ```
//!
//! `queue_table` has the whole table, memory and the plot.

mod queue_contenders;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use queue_contenders::{
    Channel, Contender, FairFifo, FairFifoByCrate, FairSettled, FairSettledByCrate, Heap, OneQueue,
};

/// A million, or a thousand when nothing is measured.
fn tasks() -> usize {
    if std::env::args().any(|argument| argument == "--test") { 1_000 } else { 1_000_000 }
}

fn turn<C: Contender>(c: &mut Criterion, name: &str) {
    let mut random = fastrand::Rng::with_seed(11);
    let mut contender = None;
    c.benchmark_group("turn").bench_function(name, |b| {
        // Only if it is asked for: by itself a queue lies in memory that nobody has used before.
        let contender = contender.get_or_insert_with(|| C::filled(tasks(), tasks() / 100));
        b.iter(|| contender.turn(&mut random));
    });
}

fn turns(c: &mut Criterion) {
    turn::<Heap>(c, "binary_heap");
    turn::<OneQueue>(c, "priority_queue");
    turn::<Channel>(c, "tokio_mpsc");
    turn::<FairFifo>(c, "fair_fifo");
    turn::<FairFifoByCrate>(c, "fair_fifo_on_priority_queue");
    turn::<FairSettled>(c, "fair_priority_settled");
    turn::<FairSettledByCrate>(c, "fair_priority_settled_on_priority_queue");
}

fn cancel(c: &mut Criterion) {
    let mut random = fastrand::Rng::with_seed(3);
    let fair = std::cell::RefCell::new(FairFifo::filled(0, tasks() / 100));
    let mut ids: Vec<_> = (0..tasks()).map(|_| fair.borrow_mut().push(&mut random)).collect();
    c.benchmark_group("cancel").bench_function("fair_fifo", |b| {
        b.iter_batched(
            || {
                ids.push(fair.borrow_mut().push(&mut random));
                let at = random.usize(..ids.len());
                ids.swap_remove(at)
            },
            |id| black_box(fair.borrow_mut().scheduler.cancel(id)),
            BatchSize::NumIterations(500),
        );
    });
}

criterion_group!(benches, turns, cancel);
criterion_main!(benches);
