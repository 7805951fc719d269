//! The one task that takes tickets from the queue and waits at the gates with them: first the key's, then the quota's.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::limiter::{Outlook, WaitReason};
use bellwether_core::{Demand, Fact, Permit, RateLimiter, TaskQueue};
use tokio::select;
use tokio::time::Instant;

use crate::clock;
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
    let Waiting { call, demand, lesson, until, brief, mut door } = waiting;
    let gate = async {
        let passage = key.admit(until, brief).await?;
        let demand = lesson.map_or(demand, |lesson| lesson.demand());
        if let Some(Outlook { reason, wait }) = limiter.outlook(demand) {
            key.tell(&Fact::CallWaiting { call, reason, wait });
        }
        let permit = key.unless_parked(room(limiter, demand, until, brief)).await??;
        let turn = turn.admitted(passage, permit);
        // What changed at the same moment is looked at all the same; the permit goes back unused then.
        key.look().map_or(Ok(turn), |parked| Err(NoTurn::Parked(parked)))
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

/// Waits for room in the quota. A call that has somewhere else to go leaves when everybody stays away for long.
async fn room(
    limiter: &dyn RateLimiter,
    demand: Demand,
    until: Option<Instant>,
    brief: bool,
) -> Result<Permit, NoTurn> {
    if brief && let Some(permit) = room_without_detour(limiter, demand, until).await? {
        return Ok(permit);
    }
    limiter.acquire(demand, until.map(Instant::into_std)).await.map_err(NoTurn::Late)
}

/// Waits for room and looks now and then whether everybody stays away for long; `None` if it is something else that
/// takes so long.
async fn room_without_detour(
    limiter: &dyn RateLimiter,
    demand: Demand,
    until: Option<Instant>,
) -> Result<Option<Permit>, NoTurn> {
    loop {
        let looks = clock::after(clock::now(), DETOUR);
        let looks = until.map_or(looks, |until| until.min(looks));
        let refused = match limiter.acquire(demand, Some(looks.into_std())).await {
            Ok(permit) => return Ok(Some(permit)),
            Err(refused) => refused,
        };
        if let Some(wait) = detour(limiter, demand) {
            return Err(NoTurn::Paused(wait));
        }
        if until.is_some_and(|until| until <= looks) {
            return Err(NoTurn::Late(refused));
        }
        if clock::now() < looks {
            return Ok(None);
        }
    }
}

/// How long everybody stays away from a key, if that is so long that a call goes elsewhere where it can.
pub(crate) fn detour(limiter: &dyn RateLimiter, demand: Demand) -> Option<Duration> {
    let outlook = limiter.outlook(demand).filter(|outlook| outlook.reason == WaitReason::Pause)?;
    outlook.wait.filter(|wait| *wait > DETOUR)
}

const DETOUR: Duration = Duration::from_secs(10);

struct CloseOnDrop(Arc<Line>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
