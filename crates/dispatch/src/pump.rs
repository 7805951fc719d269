//! The one task that takes tickets from the queue and waits at the gates with them: first the key's, then the quota's.

use std::sync::Arc;

use bellwether_core::{RateLimiter, TaskQueue};
use tokio::select;

use crate::key::Key;
use crate::line::{Line, Waiting};
use crate::refusal::NoTurn;
use crate::turn::Turn;

/// Takes tickets one by one, waits with each until the key is asked and there is room in the quota, and hands it to whoever waits for it.
///
/// Ends once the queue was closed and is empty. However it ends, nobody is left waiting.
pub(crate) async fn pump(line: Arc<Line>, queue: Arc<dyn TaskQueue>, key: Arc<Key>, limiter: Arc<dyn RateLimiter>) {
    let line = CloseOnDrop(line);
    while let Some(ticket) = queue.next().await {
        let turn = Turn::of(&ticket, Arc::clone(&queue));
        if let Some(waiting) = line.0.take(ticket.id) {
            admit(&line.0, &key, &*limiter, waiting, turn).await;
        }
    }
}

/// One head at the gates. If it goes away, they are free at once.
async fn admit(line: &Line, key: &Arc<Key>, limiter: &dyn RateLimiter, waiting: Waiting, turn: Turn) {
    let Waiting { demand, until, brief, mut door, .. } = waiting;
    let gate = async {
        let passage = key.admit(until, brief).await?;
        let admitted = limiter.acquire(demand, until.map(tokio::time::Instant::into_std));
        let permit = key.unless_parked(admitted).await?.map_err(NoTurn::Late)?;
        Ok(turn.admitted(passage, permit))
    };
    if door.is_closed() || line.is_closed() {
        return;
    }
    // The gate is asked first: mostly there is room, and then nobody need be listened for.
    let answer = select! {
        biased;
        answer = gate => answer,
        () = door.closed() => return,
        () = line.closed() => return,
    };
    let now = line.moved();
    // Nobody may be there any more; then the turn comes back and is dropped unused.
    let _ = door.send(answer.map(|turn| turn.came(now)));
}

struct CloseOnDrop(Arc<Line>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
