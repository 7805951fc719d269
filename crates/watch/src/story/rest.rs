//! Jobs that come to rest, and what they took.

use serde_json::{Value, json};

use super::{Cost, Job, Money, Part, Share, Story};

impl Story {
    /// The job of a phase that is under way for a task.
    pub(super) fn under_way(&self, phase: &str, task: &str) -> Option<Job> {
        self.fold.under_way.iter().find(|job| job.phase == phase && job.task.as_deref() == Some(task)).cloned()
    }

    /// A job came to its end, and this is what it took.
    pub(super) fn settle(&mut self, job: &Job, t: u64, spent: &Value) {
        self.rest(job, t);
        let (role, model) = match self.fold.jobs.get(job) {
            Some(doing) => (doing.role.clone(), doing.model.clone()),
            None => (job.phase.clone(), String::new()),
        };
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        let (usage, busy) = (&spent["usage"], &spent["busy"]);
        let (calls, retries) = (count(&spent["calls"]), count(&spent["retries"]));
        let (input, output) = (count(&usage["input_tokens"]), count(&usage["output_tokens"]));
        let usd = dollars(count(&usage["cost"]));
        let at = self.costs.iter().position(|cost| cost.role == role && cost.model == model).unwrap_or_else(|| {
            self.costs.push(Cost { role: role.clone(), model, ..Cost::default() });
            self.costs.len() - 1
        });
        self.touch(Part::Costs, at);
        let cost = &mut self.costs[at];
        cost.calls += calls;
        cost.retries += retries;
        cost.input += input;
        cost.output += output;
        cost.cached += count(&usage["cached_tokens"]);
        cost.usd += usd;
        cost.unpriced += count(&spent["unpriced"]);
        cost.busy += count(&busy["secs"]) * 1_000 + count(&busy["nanos"]) / 1_000_000;
        if let Some(n) = job.task.as_deref().and_then(|id| self.task(id)) {
            let task = &mut self.tasks[n];
            (task.calls, task.retries) = (task.calls + calls, task.retries + retries);
            (task.tokens, task.usd) = (task.tokens + input + output, task.usd + usd);
        }
        let last = self.money.last();
        let spent = last.map_or(0.0, |money| money.spent);
        if usd > 0.0 && !self.fold.purse {
            self.money.push(Money { t, spent: spent + usd, reserved: None, cap: None });
            self.touch(Part::Money, self.money.len() - 1);
        }
        if input + output > 0 {
            self.share(job, t, &role, input + output);
        }
    }

    /// A role has had so many tokens more, and they were due to those who waited for them.
    fn share(&mut self, job: &Job, t: u64, role: &str, tokens: u64) {
        let turns = self.fold.jobs.get_mut(job).map(|doing| std::mem::take(&mut doing.turns)).unwrap_or_default();
        let all: f64 = turns.values().sum();
        let mut parts: Vec<(String, f64)> = turns.into_iter().map(|(role, part)| (role, part / all)).collect();
        if parts.is_empty() {
            parts.push((role.to_owned(), 1.0));
        } else if !parts.iter().any(|(other, _)| other == role) {
            parts.push((role.to_owned(), 0.0));
        }
        for (flow, part) in parts {
            let more = if flow == role { tokens } else { 0 };
            let before = self.shares.iter().rev().find(|share| share.flow == flow).map_or(0, |share| share.tokens);
            let due = self.fold.due.entry(flow.clone()).or_default();
            *due += part * float(tokens);
            self.shares.push(Share { t, flow, tokens: before + more, due: *due });
            self.touch(Part::Shares, self.shares.len() - 1);
        }
    }

    /// The last that is known of the money: what was spent since a budget was heard of, and nothing is reserved any more.
    pub(super) fn close_the_till(&mut self, t: u64) {
        let known: f64 = self.costs.iter().map(|cost| cost.usd).sum();
        let Some(last) = self.money.last() else { return };
        let spent = last.spent.max(known);
        if spent > last.spent + 1e-9 || last.reserved.is_some_and(|reserved| reserved > 0.0) {
            self.money.push(Money { t, spent, reserved: last.reserved.map(|_| 0.0), cap: last.cap });
            self.touch(Part::Money, self.money.len() - 1);
        }
    }

    /// A job is under way no longer.
    pub(super) fn rest(&mut self, job: &Job, t: u64) {
        self.fold.under_way.retain(|other| other != job);
        self.leave(job, t);
    }

    /// An agent does nothing more about a job.
    pub(super) fn leave(&mut self, job: &Job, t: u64) {
        let Some(doing) = self.fold.jobs.get_mut(job) else { return };
        let (lane, span, waits) = (doing.lane, doing.span, doing.waits.take());
        if let Some(waits) = waits {
            self.end_span(waits, t);
        }
        self.end_span(span, t);
        if self.fold.busy.get(&lane) == Some(job) {
            self.fold.busy.remove(&lane);
            self.fold.idle.insert(lane, t);
        }
    }

    /// A job was cut off. Whether its call is billed nobody knows; checks make none.
    pub(super) fn cut_off(&mut self, job: &Job, t: u64) {
        match job.phase.as_str() {
            "check" => self.rest(job, t),
            _ => self.settle(job, t, &json!({ "calls": 1, "unpriced": 1 })),
        }
    }

    /// Every job was cut off; how many of them had a call under way.
    pub(super) fn cut_off_all(&mut self, t: u64) -> u64 {
        let jobs = self.fold.under_way.clone();
        jobs.iter().for_each(|job| self.cut_off(job, t));
        jobs.iter().filter(|job| job.phase != "check").count() as u64
    }

    pub(super) fn rest_all(&mut self, t: u64) {
        self.fold.under_way.clone().iter().for_each(|job| self.rest(job, t));
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown, never reckoned with")]
pub(super) fn dollars(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "shown, never reckoned with")]
const fn float(tokens: u64) -> f64 {
    tokens as f64
}
