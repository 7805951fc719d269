//! The run's own entries, as they change a story.

use serde_json::Value;

use super::verdicts::print;
use super::{Doing, Job, Part, Round, Span, Story, Task};
use crate::text::line;

impl Story {
    pub(super) fn open(&mut self, seq: u64, wall: u64, body: &Value) {
        self.fold.offset = wall;
        self.head.began = wall;
        self.fold.copied = body["forked"]["at"].as_u64().unwrap_or_default();
        self.head.team = self.keep(text(body, "team"));
        self.head.request = self.keep(text(body, "request"));
        self.fold.threshold = 1.0;
        for (name, value) in body["terms"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            if let Some((role, what)) = name.strip_prefix("role ").and_then(|name| name.rsplit_once(": ")) {
                let (kind, models) = self.fold.roles.entry(role.to_owned()).or_default();
                match what {
                    "kind" => value.clone_into(kind),
                    "models" => *models = value.split(", ").map(str::to_owned).collect(),
                    _ => {}
                }
            }
        }
        // "threshold 0.75, rounds 1"
        let measure: Vec<&str> =
            text(&body["terms"], "review").split([' ', ',']).filter(|word| !word.is_empty()).collect();
        if let ["threshold", threshold, "rounds", rounds, ..] = measure[..] {
            self.fold.threshold = threshold.parse().unwrap_or(1.0);
            self.fold.max_rounds = rounds.parse().unwrap_or(0);
        }
        self.adopt(&body["rules"]);
        let request = line(&self.head.request, 120);
        self.say(seq, 0, "run", format!("team {} begins: {request}", self.head.team));
    }

    /// What is good enough from now on, and what becomes of work that never is.
    pub(super) fn adopt(&mut self, rules: &Value) {
        let review = &rules["review"];
        self.fold.threshold = review["threshold"].as_f64().unwrap_or(self.fold.threshold);
        self.fold.max_rounds = review["max_rounds"].as_u64().unwrap_or(self.fold.max_rounds);
        self.fold.person = review["on_exhausted"].as_str().map_or(self.fold.person, |to| to == "human");
        self.fold.fail_fast = rules["on_failure"].as_str().map_or(self.fold.fail_fast, |then| then == "fail_fast");
        self.fold.checked = rules["checked"].as_bool().unwrap_or(self.fold.checked);
    }

    pub(super) fn resume(&mut self, seq: u64, wall: u64, body: &Value) {
        // The entry says how long the run had been worked on: what lies between is left out.
        let worked = body["at"].as_u64().unwrap_or_default() / 1_000_000;
        self.fold.offset = wall.saturating_sub(worked);
        // What was noted after the last event that it counts came before all that follows.
        self.fold.late = self.head.now.saturating_sub(worked);
        self.fold.purse = false;
        (self.fold.shift, self.head.outcome) = (None, None);
        let t = self.time(wall);
        self.head.doubtful += self.cut_off_all(t);
        self.fold.left = (0..self.tasks.len()).filter(|n| self.tasks[*n].is_over()).collect();
        self.head.stop = None;
        (self.fold.stopped, self.fold.failure) = (false, None);
        self.say(seq, t, "run", "another process goes on with it".to_owned());
    }

    pub(super) fn event(&mut self, seq: u64, wall: u64, kind: &str, body: &Value) {
        let t = self.time(wall);
        let event = &body["event"];
        match kind {
            "began" => self.began(seq, t, event),
            "adopted" | "answered" | "asked" | "audited" | "called_off" | "checked" | "combined" | "decided"
            | "digested" | "economised" | "joined" | "retried" | "routed" | "ruled" | "stalled" | "undelivered" => {
                self.aside(seq, t, kind, event);
            }
            "dropped" => {
                let job = job(&event["job"]);
                self.cut_off(&job, t);
                self.say(seq, t, kind, format!("{}: stopped in the middle", job.name()));
            }
            "failed" => self.failed(seq, t, event),
            "judged" => self.judged(seq, t, event),
            "planned" => self.planned(seq, t, event),
            "produced" => self.produced(seq, t, event),
            "spawned" => self.spawned(seq, t, event),
            "stopped" => self.stopped(seq, t, event),
            "unusable" => {
                let job = job(&event["job"]);
                self.settle(&job, t, &event["spent"]);
                let problems: Vec<&str> =
                    event["attempt"]["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let problems = self.keep(&problems.join("; "));
                self.say(seq, t, kind, format!("{}: no usable answer: {problems}", job.name()));
            }
            // A later version, or another part of the house: what it means is not known, that it happened is.
            kind => {
                let said = self.keep(&event.to_string());
                self.say(seq, t, kind, line(&said, 400));
            }
        }
    }

    fn began(&mut self, seq: u64, t: u64, event: &Value) {
        let job = job(&event["job"]);
        let of_kind = |kind: &str| {
            let named = self.fold.roles.iter().find(|(_, (of, _))| of == kind);
            named.map_or_else(|| kind.to_owned(), |(name, _)| name.clone())
        };
        let n = job.task.as_deref().and_then(|id| self.tasks.iter().position(|task| task.id == id));
        let role = match (job.phase.as_str(), n) {
            ("plan", _) => of_kind("planner"),
            ("audit" | "review", _) => of_kind("reviewer"),
            ("combine", _) => of_kind("synthesizer"),
            ("check", _) => "checks".to_owned(),
            (_, Some(n)) => self.tasks[n].role.clone(),
            (phase, None) => phase.to_owned(),
        };
        let tier = usize::try_from(event["tier"].as_u64().unwrap_or_default()).unwrap_or(usize::MAX);
        let models = self.fold.roles.get(&role).map(|(_, models)| models);
        let model = models.and_then(|models| models.get(tier)).cloned().unwrap_or_default();
        let lane = self.lane(&role);
        if let Some(n) = n {
            if job.phase == "work" && job.round == 0 {
                self.depended(lane, n, t);
            }
            match job.phase.as_str() {
                "review" => self.move_to(n, t, "in_review"),
                "work" => {
                    self.move_to(n, t, "running");
                    self.tasks[n].model.clone_from(&model);
                }
                _ => {}
            }
        }
        let (what, task, round) = (job.phase.clone(), job.task.clone(), job.round);
        let span = self.begin_span(Span { lane, from: t, to: None, what, task, round, why: None });
        let again =
            if job.round > 0 && job.phase != "answer" { format!(" (revision {})", job.round) } else { String::new() };
        self.say(seq, t, "began", format!("{}{again} by {role}", job.name()));
        self.fold.busy.insert(lane, job.clone());
        self.fold.under_way.retain(|other| *other != job);
        self.fold.under_way.push(job.clone());
        self.fold.jobs.insert(job, Doing { lane, span, role, model, ..Doing::default() });
    }

    /// An agent that was idle while its task's needs were not met waited for them.
    fn depended(&mut self, lane: usize, n: usize, t: u64) {
        let task = &self.tasks[n];
        let over = |id: &String| self.tasks.iter().find(|task| task.id == *id).and_then(|task| task.states.last());
        let Some(met) = task.needs.iter().filter_map(over).map(|(t, _)| *t).max() else { return };
        let planned = task.states.first().map_or(0, |(t, _)| *t);
        let from = self.fold.idle.get(&lane).copied().unwrap_or(planned).max(planned);
        if met > from {
            let (what, task) = ("work".to_owned(), Some(task.id.clone()));
            let why = Some("dependency".to_owned());
            self.begin_span(Span { lane, from, to: Some(met.min(t)), what, task, round: 0, why });
        }
    }

    fn planned(&mut self, seq: u64, t: u64, event: &Value) {
        self.settle(&Job { phase: "plan".to_owned(), task: None, round: 0 }, t, &event["spent"]);
        let plan = &event["plan"];
        self.head.summary = self.keep(text(plan, "summary"));
        self.head.degraded = plan["degraded"].as_bool().unwrap_or_default();
        self.enlist(t, &plan["tasks"]);
        let how = if self.head.degraded { ", because no plan could be read" } else { "" };
        self.say(seq, t, "planned", format!("{} tasks{how}", self.tasks.len()));
    }

    /// Tasks that are new.
    pub(super) fn enlist(&mut self, t: u64, tasks: &Value) {
        for planned in tasks.as_array().into_iter().flatten() {
            let id = line(text(planned, "id"), 60);
            let task = Task {
                title: line(text(planned, "title"), 200),
                objective: self.keep(text(planned, "objective")),
                role: line(text(planned, "role"), 60),
                needs: planned["depends_on"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .map(|id| line(id, 60))
                    .collect(),
                complexity: planned["complexity"].as_u64().unwrap_or(1),
                states: vec![(t, "pending".to_owned())],
                id,
                ..Task::default()
            };
            match self.task(&task.id) {
                Some(n) => self.tasks[n] = Task { states: self.tasks[n].states.clone(), ..task },
                None => {
                    self.tasks.push(task);
                    self.touch(Part::Tasks, self.tasks.len() - 1);
                }
            }
        }
    }

    fn produced(&mut self, seq: u64, t: u64, event: &Value) {
        let id = text(event, "task").to_owned();
        let mut model = String::new();
        if let Some(job) = self.under_way("work", &id) {
            model = self.fold.jobs.get(&job).map(|doing| doing.model.clone()).unwrap_or_default();
            self.settle(&job, t, &event["spent"]);
        }
        let work = self.keep(text(event, "text"));
        let Some(n) = self.task(&id) else { return };
        let said = format!("{id}: {} characters of work", text(event, "text").chars().count());
        let before = self.tasks[n].rounds.iter().rev().find(|round| !round.model.is_empty());
        if before.is_some_and(|before| before.model == model) {
            model.clear();
        }
        let print = print(text(event, "text"));
        self.tasks[n].rounds.push(Round { drafted: t, text: work, model, print, ..Round::default() });
        self.handed_in(n, t);
        self.say(seq, t, "produced", said);
    }

    fn failed(&mut self, seq: u64, t: u64, event: &Value) {
        let job = job(&event["job"]);
        self.settle(&job, t, &event["spent"]);
        let message = self.keep(text(&event["failure"], "message"));
        let kind = text(&event["failure"], "kind");
        self.say(seq, t, "failed", format!("{}: {}: {message}", job.name(), line(kind, 40)));
        self.fold.failure = Some(message.clone());
        if !matches!(job.phase.as_str(), "check" | "review" | "work") {
            return;
        }
        let Some(n) = job.task.as_deref().and_then(|id| self.task(id)) else { return };
        self.tasks[n].failure = Some(message);
        self.move_to(
            n,
            t,
            match (job.phase.as_str(), self.tasks[n].rounds.is_empty()) {
                ("check" | "review", _) => "unreviewed",
                (_, true) => "failed",
                (_, false) => "rejected",
            },
        );
        if job.phase == "review" {
            // Unless another judge is to look at it.
            self.fold.presumed.insert(n);
        }
        self.skip_dependents(t);
    }

    /// What needs work that will never be there is skipped, and what needs that in turn.
    pub(super) fn skip_dependents(&mut self, t: u64) {
        let lost = |story: &Self, id: &String| {
            let needed = story.tasks.iter().find(|task| task.id == *id);
            needed.is_some_and(|task| matches!(task.state(), "failed" | "skipped" | "cancelled"))
        };
        while let Some(n) = (0..self.tasks.len()).find(|n| {
            let task = &self.tasks[*n];
            task.state() == "pending" && task.needs.iter().any(|id| lost(self, id))
        }) {
            self.move_to(n, t, "skipped");
        }
    }
}

impl Job {
    /// As the log names it.
    pub(super) fn name(&self) -> String {
        match &self.task {
            Some(task) => format!("{task} {}", self.phase),
            None => self.phase.clone(),
        }
    }
}

/// `"plan"`, or `{"work": {"task": "t1", "round": 0}}`.
pub(super) fn job(value: &Value) -> Job {
    if let Some((phase, of)) = value.as_object().and_then(|fields| fields.iter().next()) {
        let task = of["task"].as_str().map(|task| line(task, 60));
        // Of an answer the number of its question.
        let round = of["round"].as_u64().or_else(|| of["question"].as_u64()).unwrap_or_default();
        return Job { phase: line(phase, 40), task, round };
    }
    Job { phase: line(value.as_str().unwrap_or("job"), 40), task: None, round: 0 }
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
