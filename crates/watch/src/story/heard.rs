//! What calls did, as it changes a story.
//!
//! One call at a time stands at the gate of a quota; the others wait behind it in the queue. So of the time a call
//! waited, what lies after the admission before it was spent at the gate, and the rest in the queue.

use std::collections::BTreeSet;

use bellwether_core::TaskState;
use serde_json::Value;

use super::rest::dollars;
use super::{Doing, Job, Limit, Money, Part, Span, Story};
use crate::notes::{Heard, Note, Whose};
use crate::text::line;

impl Story {
    pub(super) fn hear(&mut self, seq: u64, body: &Value) {
        self.head.lost += body["lost"].as_u64().unwrap_or_default();
        for note in body["notes"].as_array().into_iter().flatten() {
            // A note of a later version is passed over.
            if let Ok(Note { at, heard }) = serde_json::from_value(note.clone()) {
                let at = if seq <= self.fold.copied { self.of_a_copy(at) } else { at };
                let t = self.time(at);
                self.note(seq, t, heard);
            }
        }
    }

    /// When a note was that was copied from another run, whose clock it goes by: the first one since a process began to
    /// work on it follows the latest event.
    fn of_a_copy(&mut self, at: u64) -> u64 {
        let now = (self.fold.offset + self.head.now).saturating_sub(self.fold.late);
        let shift = *self.fold.shift.get_or_insert_with(|| now.cast_signed() - at.cast_signed());
        at.saturating_add_signed(shift)
    }

    fn note(&mut self, seq: u64, t: u64, heard: Heard) {
        match heard {
            Heard::Abandoned { call } => {
                self.stop_waiting(&call, t);
                self.remark(seq, t, "abandoned", &call, "nobody waits for its answer any more");
            }
            Heard::Admitted { call } => self.admitted(t, &call),
            Heard::Budget { spent, reserved, cap } => {
                let (spent, reserved) = (dollars(spent), Some(dollars(reserved)));
                self.fold.purse = true;
                self.money.push(Money { t, spent, reserved, cap: cap.map(dollars) });
                self.touch(Part::Money, self.money.len() - 1);
            }
            Heard::Completed { call, tokens, took, .. } => {
                let seconds = seconds(took);
                self.say(
                    seq,
                    t,
                    "answered",
                    format!("{}: {tokens} tokens of {} in {seconds}", name(&call), line(&call.model, 60)),
                );
            }
            Heard::Failed { call, kind } => self.remark(seq, t, "failed", &call, &line(&kind, 60)),
            Heard::Hedged { call, end } => self.remark(seq, t, "hedged", &call, &second_try(&end)),
            Heard::Limit { quota, dimension, limit } => {
                let (quota, dimension) = (line(&quota, 60), line(&dimension, 40));
                self.say(seq, t, "limit", format!("{quota}: {dimension} is {limit}"));
                self.limits.push(Limit { t, quota, dimension, limit });
                self.touch(Part::Limits, self.limits.len() - 1);
            }
            Heard::Moved { task, to } => {
                if let Some(n) = self.task(&task) {
                    self.moved(n, t, to);
                }
            }
            Heard::Paused { quota, wait } => self.paused(seq, t, &line(&quota, 60), wait),
            Heard::Queued { call } => {
                self.seat(t, &call);
                self.queued(t, &call);
            }
            Heard::Refused { call, kind } => {
                self.stop_waiting(&call, t);
                self.remark(seq, t, "refused", &call, &line(&kind, 60));
            }
            Heard::Retried { call, kind, delay } => {
                let text = format!("{}; again in {}", line(&kind, 60), seconds(delay));
                self.remark(seq, t, "retried", &call, &text);
                self.wait(t, &call, "retry");
            }
            Heard::Throttled { call, wait } => {
                let pause = wait.map_or_else(|| "a while".to_owned(), seconds);
                self.remark(seq, t, "429", &call, &format!("asked to stay away for {pause}"));
            }
        }
    }

    fn paused(&mut self, seq: u64, t: u64, quota: &str, wait: u64) {
        let until = t.saturating_add(wait);
        self.fold.paused.insert(quota.to_owned(), until);
        let text = format!("{quota}: everybody stays away for {}", seconds(wait));
        self.mark(t, "paused", quota, text.clone());
        if let Some(mark) = self.marks.last_mut() {
            mark.until = Some(until);
        }
        self.say(seq, t, "paused", text);
        self.gate(quota, t);
    }

    /// Where a task is. What a verdict was taken to mean gives way to it; else only the end is news, and that a task was
    /// taken up again, for the rest is what events say.
    fn moved(&mut self, n: usize, t: u64, to: TaskState) {
        let presumed =
            self.tasks[n].states.last().is_some_and(|(since, _)| *since <= t) && self.fold.presumed.remove(&n);
        if presumed && self.tasks[n].state() != to.as_str() {
            self.tasks[n].states.pop();
            self.move_to(n, t, to.as_str());
        } else if to.is_final() || self.fold.left.contains(&n) {
            self.move_to(n, t, to.as_str());
        }
    }

    /// Puts a job into the lane of the agent that has it, now that this is known. Whoever was taken to be there gets
    /// the other lane until as much is known of it; whoever is known to have been there is done with it.
    fn seat(&mut self, t: u64, call: &Whose) {
        let job = Job::of(call);
        let Some(doing) = self.fold.jobs.get_mut(&job).filter(|_| call.agent > 0) else { return };
        let taken = doing.lane;
        doing.seated = true;
        let agent = format!("{}#{}", line(&call.role, 60), call.agent);
        if !self.head.lanes.contains(&agent) && self.is_alone(&job, taken) {
            // The lane was made for this job: else it would be one of an agent that never did anything.
            self.head.lanes[taken] = agent;
            return;
        }
        let lane = self.lane_named(&agent);
        if lane == taken {
            return;
        }
        if self.fold.busy.get(&taken) == Some(&job) {
            self.fold.busy.remove(&taken);
        }
        match self.fold.busy.get(&lane).cloned() {
            Some(other) if self.fold.jobs.get(&other).is_some_and(|doing| doing.seated) => self.leave(&other, t),
            Some(other) => self.change_lane(&other, lane, taken),
            None => {}
        }
        self.change_lane(&job, taken, lane);
    }

    /// Whether nothing else is in a lane.
    fn is_alone(&self, job: &Job, lane: usize) -> bool {
        self.spans.iter().filter(|span| span.lane == lane).all(|span| job.is_of(span))
    }

    fn change_lane(&mut self, job: &Job, from: usize, to: usize) {
        let idle = self.fold.idle.get(&to).copied().unwrap_or_default();
        let Some(doing) = self.fold.jobs.get_mut(job) else { return };
        doing.lane = to;
        // What it waited for before it began is the span before it; what was tried before that is another agent's.
        let first = doing.span;
        let before = first.checked_sub(1).filter(|n| self.spans[*n].why.as_deref() == Some("dependency"));
        for n in before.unwrap_or(first)..self.spans.len() {
            let span = &mut self.spans[n];
            if span.lane != from || !job.is_of(span) {
                continue;
            }
            span.lane = to;
            // Who was at something else until then did not have it yet.
            span.from = span.from.max(idle).min(span.to.unwrap_or(u64::MAX));
            self.touch(Part::Spans, n);
        }
        self.fold.busy.insert(to, job.clone());
    }

    fn remark(&mut self, seq: u64, t: u64, what: &str, call: &Whose, text: &str) {
        let text = format!("{}: {text}", name(call));
        self.mark(t, what, &call.provider, text.clone());
        self.say(seq, t, what, text);
    }

    fn queued(&mut self, t: u64, call: &Whose) {
        let paused = self.fold.paused.get(&*call.provider).is_some_and(|until| *until > t);
        self.wait(t, call, if paused { "quota" } else { "queue" });
    }

    /// A call began to wait for something; what it waited for before is over.
    fn wait(&mut self, t: u64, call: &Whose, why: &str) {
        self.stop_waiting(call, t);
        let job = Job::of(call);
        let Some(lane) = self.fold.jobs.get(&job).map(|doing| doing.lane) else { return };
        let (what, task, round) = (job.phase.clone(), job.task.clone(), job.round);
        let span = self.begin_span(Span { lane, from: t, to: None, what, task, round, why: Some(why.to_owned()) });
        if let Some(doing) = self.fold.jobs.get_mut(&job) {
            doing.waits = Some(span);
            // Who was asked is not always of the role that works on the task.
            doing.role = line(&call.role, 60);
            doing.model = line(&call.model, 60);
            doing.provider = line(&call.provider, 60);
        }
    }

    fn stop_waiting(&mut self, call: &Whose, t: u64) {
        let waits = self.fold.jobs.get_mut(&Job::of(call)).and_then(|doing| doing.waits.take());
        if let Some(waits) = waits {
            self.end_span(waits, t);
        }
    }

    /// Whoever waits in the queue of a quota that pauses waits for the quota from now on.
    fn gate(&mut self, quota: &str, t: u64) {
        let at_gate =
            |(job, doing): (&Job, &Doing)| Some((job.clone(), doing.waits.filter(|_| doing.provider == quota)?));
        let mut waiting: Vec<(Job, usize)> = self.fold.jobs.iter().filter_map(at_gate).collect();
        // In the order in which they began to wait, so that a run is told in the same way each time.
        waiting.sort_unstable_by_key(|(_, span)| *span);
        for (job, span) in waiting {
            if self.spans[span].why.as_deref() != Some("queue") {
                continue;
            }
            self.end_span(span, t);
            let next = Span { from: t, to: None, why: Some("quota".to_owned()), ..self.spans[span].clone() };
            let next = self.begin_span(next);
            if let Some(doing) = self.fold.jobs.get_mut(&job) {
                doing.waits = Some(next);
            }
        }
    }

    fn admitted(&mut self, t: u64, call: &Whose) {
        self.take_turn(call);
        let before = self.fold.admitted.insert(call.provider.to_string(), t).unwrap_or_default();
        let Some(waits) = self.fold.jobs.get_mut(&Job::of(call)).and_then(|doing| doing.waits.take()) else { return };
        self.end_span(waits, t);
        let span = &self.spans[waits];
        if span.why.as_deref() != Some("queue") {
            return;
        }
        let reached = before.clamp(span.from, t);
        let gate = Span { from: reached, to: Some(t), why: Some("quota".to_owned()), ..span.clone() };
        self.spans[waits].to = Some(reached);
        if gate.from < t {
            self.begin_span(gate);
        }
    }
}

impl Story {
    /// A turn belongs to all roles alike that wait for the quota, whoever of them has it.
    fn take_turn(&mut self, call: &Whose) {
        let waits = |doing: &&Doing| {
            let why = doing.waits.and_then(|span| self.spans[span].why.as_deref());
            *doing.provider == *call.provider && matches!(why, Some("queue" | "quota"))
        };
        let doing = self.fold.under_way.iter().filter_map(|job| self.fold.jobs.get(job));
        let roles: BTreeSet<String> = doing.filter(waits).map(|doing| doing.role.clone()).collect();
        if let Some(doing) = self.fold.jobs.get_mut(&Job::of(call)) {
            for role in &roles {
                *doing.turns.entry(role.clone()).or_default() += 1.0 / float(roles.len());
            }
        }
    }
}

impl Job {
    fn of(call: &Whose) -> Self {
        Self { phase: call.phase.clone(), task: call.task.clone(), round: u64::from(call.round) }
    }

    fn is_of(&self, span: &Span) -> bool {
        span.what == self.phase && span.task == self.task && span.round == self.round
    }
}

fn name(call: &Whose) -> String {
    match &call.task {
        Some(task) => format!("{} {}", line(task, 60), line(&call.phase, 40)),
        None => line(&call.phase, 40),
    }
}

fn second_try(end: &str) -> String {
    format!("took long and was sent twice; the second try {}", line(end, 20))
}

#[expect(clippy::cast_precision_loss, reason = "there are few roles")]
const fn float(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "shown, never reckoned with")]
fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1e3)
}
