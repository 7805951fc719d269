//! The one task that takes tickets from the queue and waits at the gate with them.

use std::sync::Arc;

use bellwether_core::{RateLimiter, TaskQueue};
use tokio::select;

use crate::line::{Line, Waiting};
use crate::turn::Turn;

/// Takes tickets one by one, waits for room in the quota with each, and hands it to whoever waits for it.
///
/// Ends once the queue was closed and is empty. However it ends, nobody is left waiting.
pub(crate) async fn pump(line: Arc<Line>, queue: Arc<dyn TaskQueue>, limiter: Arc<dyn RateLimiter>) {
    let line = CloseOnDrop(line);
    while let Some(ticket) = queue.next().await {
        let turn = Turn::of(&ticket, Arc::clone(&queue));
        if let Some(waiting) = line.0.take(ticket.id) {
            admit(&line.0, &*limiter, waiting, turn).await;
        }
    }
}

/// One head at the gate. If it goes away, the gate is free at once.
async fn admit(line: &Line, limiter: &dyn RateLimiter, waiting: Waiting, turn: Turn) {
    let Waiting { demand, until, mut door } = waiting;
    let admitted = select! {
        biased;
        () = door.closed() => return,
        () = line.closed() => return,
        admitted = limiter.acquire(demand, until.map(tokio::time::Instant::into_std)) => admitted,
    };
    // Nobody may be there any more; then the turn comes back and is dropped unused.
    let _ = door.send(admitted.map(|permit| turn.admitted(permit)));
}

struct CloseOnDrop(Arc<Line>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
