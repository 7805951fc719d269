//! Three offices share one printer. One of them sends a novel.
//!
//! No LLM in it: the queue shares whatever is scarce, here pages. Jobs are charged what they expect to need and settled
//! at what they needed.
//!
//! ```sh
//! cargo run -p bellwether-examples --example fair_queue
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_queue::{Ask, FairQueue, Settings};
use tokio::time::{Instant, sleep, timeout};

struct Job {
    office: &'static str,
    title: String,
    pages: u64,
    since: Instant,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // Two bands: a person waits at the printer, or nobody does. The lower one is sure of a fifth of all pages.
    let queue = FairQueue::new(&Settings { floors: vec![0, 200], ..Settings::default() });
    // Legal pays for two parts of the printer, the others for one.
    queue.set_weight(&["legal"], 2.try_into().expect("two is not zero"));

    for chapter in 1..=30 {
        push(&queue, 1, "novelists", format!("chapter {chapter}"), 20).await;
    }
    for contract in 1..=10 {
        push(&queue, 1, "legal", format!("contract {contract}"), 20).await;
    }
    push(&queue, 1, "reception", "menu".to_owned(), 1).await;
    push(&queue, 0, "reception", "visitor's badge".to_owned(), 1).await;

    // Somebody thinks better of it: dropping the place takes the job out of the line.
    let job = Job { office: "legal", title: "love letter".to_owned(), pages: 3, since: Instant::now() };
    drop(queue.push(1, &["legal", "private"], Ask::of(3), job).await);
    queue.close();

    let mut printed = BTreeMap::<&str, u64>::new();
    while let Some(grant) = queue.next().await {
        // One sheet in ten jams and is printed again; it is a fast printer.
        let pages = grant.pages + grant.pages / 10;
        sleep(Duration::from_micros(200 * pages)).await;
        let job = grant.settle(pages);
        *printed.entry(job.office).or_default() += pages;
        let waited = job.since.elapsed().as_millis();
        println!("{waited:>4} ms  {:<10} {:<16} so far {printed:?}", job.office, job.title);
    }
    assert!(timeout(Duration::ZERO, queue.next()).await.is_ok_and(|end| end.is_none()));
}

async fn push(queue: &FairQueue<Job>, band: usize, office: &'static str, title: String, pages: u64) {
    let job = Job { office, title, pages, since: Instant::now() };
    let place = queue.push(band, &[office, "all"], Ask::of(pages), job).await;
    place.map_err(|refused| refused.reason).expect("there is room").keep();
}
