//! What all requests share, and one request's visit to it.

use std::sync::{Arc, Mutex, MutexGuard};

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
        Self { clock: Clock::start(), desk, scenario }
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
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
        self.end();
    }

    /// Whether there was anything left to end.
    fn end(&mut self) -> bool {
        let Some(ticket) = self.ticket.take() else { return false };
        let arrival = Arrival { demand: self.demand, model: &self.model, role: self.role };
        self.app.desk().leave(arrival, ticket, self.output_tokens, self.app.clock.now());
        true
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.end() {
            self.app.desk().stats.cancelled += 1;
        }
    }
}
