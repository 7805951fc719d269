//! What all requests share, and one request's visit to it.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::desk::{Arrival, Desk};
use crate::quota::{Demand, Ticket};
use crate::scenario::Scenario;
use crate::stats::Stats;

/// The scenario and the desk behind one server.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) clock: Clock,
    desk: Mutex<Desk>,
    changed: Notify,
    pub(crate) scenario: Scenario,
}

/// A request that was let in. However it ends, dropping this gives its slot back.
#[derive(Debug)]
pub(crate) struct Visit {
    app: Arc<App>,
    demand: Demand,
    model: String,
    output_tokens: u64,
    role: &'static str,
    /// Gone as soon as it is settled.
    ticket: Option<Ticket>,
}

impl App {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let desk = Mutex::new(Desk::new(&scenario));
        Self { clock: Clock::start(), desk, changed: Notify::new(), scenario }
    }

    /// Does something at the desk, and tells those who wait for that.
    pub(crate) fn at_the_desk<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        let done = act(&mut self.desk());
        self.changed.notify_waiters();
        done
    }

    /// Waits until the numbers are as `wanted`.
    pub(crate) async fn until(&self, mut wanted: impl FnMut(&Stats) -> bool) -> Stats {
        loop {
            // Made before the look, so that it hears of what happens after it.
            let changed = self.changed.notified();
            let stats = self.stats();
            if wanted(&stats) {
                return stats;
            }
            changed.await;
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nothing panics while it holds the desk")
    }

    pub(crate) fn stats(&self) -> Stats {
        let uptime_ms = self.clock.now().as_nanos() / 1_000_000;
        Stats { uptime_ms, ..self.desk().stats.clone() }
    }
}

impl Visit {
    pub(crate) fn new(app: &Arc<App>, arrival: Arrival<'_>, ticket: Ticket) -> Self {
        Self {
            app: Arc::clone(app),
            demand: arrival.demand,
            model: arrival.model.to_owned(),
            output_tokens: 0,
            role: arrival.role,
            ticket: Some(ticket),
        }
    }

    /// Notes how many output tokens are out by now.
    pub(crate) fn produced(&mut self, output_tokens: u64) {
        self.output_tokens = output_tokens;
    }

    pub(crate) fn finish(mut self) {
        self.end(false);
    }

    fn end(&mut self, cancelled: bool) {
        let Some(ticket) = self.ticket.take() else { return };
        let arrival = Arrival { demand: self.demand, model: &self.model, role: self.role };
        let now = self.app.clock.now();
        // In one step: whoever sees that a request is gone sees, too, how it went.
        self.app.at_the_desk(|desk| {
            desk.leave(arrival, ticket, self.output_tokens, now);
            desk.stats.cancelled += u64::from(cancelled);
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.end(true);
    }
}
