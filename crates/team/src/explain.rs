//! Why a task went as it did: which tier it started on and why, what it waited for, why its work went back.

mod standing;

use std::fmt;
use std::time::Duration;

use bellwether_core::journal::Entry;
use bellwether_core::{TaskId, Timestamp};
use bellwether_router::Route;
use serde::Serialize;

use crate::log;
use crate::message::Job;
use crate::plan::PlannedTask;
use crate::runtime::ResumeError;
use crate::state::Event;
use crate::verdict::Verdict;

/// Why a task went as it did, read off what its run remembers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The task.
    pub task: TaskId,
    /// A few words.
    pub title: String,
    /// The role that works on it.
    pub role: String,
    /// How hard the planner found it, from 1 to 5.
    pub complexity: u8,
    /// How its first tier was chosen; `None` if it never began.
    pub route: Option<Route>,
    /// The tasks that it needed.
    pub needed: Vec<TaskId>,
    /// From the plan until what it needed was there, in milliseconds; `None` if that never was, or nobody knows.
    pub waited_for_needs_ms: Option<u64>,
    /// From then until an agent began, in milliseconds; `None` if none did.
    pub waited_for_agent_ms: Option<u64>,
    /// How it stands, and why if that is nothing that happened to itself; `None` if nobody knows.
    pub standing: Option<String>,
    /// What happened to it, in order.
    pub steps: Vec<Step>,
}

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// When: milliseconds since the run began, without the time in which no process worked on it.
    pub at_ms: u64,
    /// What.
    pub what: String,
}

impl Explanation {
    /// Explains a task of a run whose journal has these entries; `Err` with the tasks that there are if it has no such
    /// task.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] if the entries are not understood.
    pub fn of(entries: Vec<Entry>, task: &str) -> Result<Result<Self, Vec<TaskId>>, ResumeError> {
        let rules = entries.first().cloned().map(log::Opening::read).transpose()?.and_then(|opening| opening.rules);
        let events = log::read_all(entries)?;
        let planned = events.iter().rev().find_map(|(at, event)| match event {
            Event::Planned { plan, .. } => Some((*at, plan)),
            _ => None,
        });
        let Some((planned_at, plan)) = planned else { return Ok(Err(Vec::new())) };
        // What the plan had, and what was asked for later.
        let spawned = events.iter().filter_map(|(at, event)| match event {
            Event::Spawned { tasks, .. } => Some((*at, tasks)),
            _ => None,
        });
        let all = || std::iter::once((planned_at, &plan.tasks)).chain(spawned.clone());
        let mut all = all().flat_map(|(at, tasks)| tasks.iter().map(move |planned| (at, planned)));
        match all.clone().find(|(_, planned)| planned.id.as_str() == task) {
            Some((at, planned)) => {
                let standing = standing::of(rules, &events, &planned.id);
                Ok(Ok(Self { standing, ..Self::tell(planned, at, &events) }))
            }
            None => Ok(Err(all.by_ref().map(|(_, planned)| planned.id.clone()).collect())),
        }
    }

    fn tell(planned: &PlannedTask, planned_at: Timestamp, events: &[(Timestamp, Event)]) -> Self {
        let needed: Vec<TaskId> = planned.depends_on.iter().chain(&planned.wants).cloned().collect();
        let began = events.iter().find_map(|(at, event)| match event {
            Event::Began { job, .. } if job.task() == Some(&planned.id) => Some(*at),
            _ => None,
        });
        // What it needed came to rest with the last thing that happened to it before this task began.
        let last = |id: &TaskId| {
            let until = began.unwrap_or(Timestamp::from_nanos(u64::MAX));
            events.iter().filter(|(at, event)| *at <= until && about(event) == Some(id)).map(|(at, _)| *at).max()
        };
        let ready = needed.iter().filter_map(last).max().unwrap_or(planned_at).max(planned_at);
        let route = events.iter().find_map(|(_, event)| match event {
            Event::Routed { task, route } if *task == planned.id => Some((**route).clone()),
            _ => None,
        });
        let steps = events.iter().filter_map(|(at, event)| {
            let concerns = match event {
                Event::Retried { tasks } => tasks.contains(&planned.id),
                event => about(event) == Some(&planned.id),
            };
            let what = concerns.then(|| what(event)).flatten()?;
            Some(Step { at_ms: millis(at.since(Timestamp::ZERO)), what })
        });
        Self {
            task: planned.id.clone(),
            title: planned.title.to_string(),
            role: planned.role.to_string(),
            complexity: planned.complexity,
            route,
            needed,
            waited_for_needs_ms: began.map(|_| millis(ready.since(planned_at))),
            waited_for_agent_ms: began.map(|began| millis(began.since(ready))),
            standing: None,
            steps: steps.collect(),
        }
    }
}

/// The task that an event is about.
fn about(event: &Event) -> Option<&TaskId> {
    match event {
        Event::Began { job, .. }
        | Event::CalledOff { job, .. }
        | Event::Dropped { job }
        | Event::Failed { job, .. }
        | Event::Unusable { job, .. } => job.task(),
        Event::Answered { task, .. }
        | Event::Asked { task, .. }
        | Event::Audited { task, .. }
        | Event::Checked { task, .. }
        | Event::Joined { task, .. }
        | Event::Judged { task, .. }
        | Event::Produced { task, .. }
        | Event::Routed { task, .. }
        | Event::Ruled { task, .. }
        | Event::Spawned { task, .. } => Some(task),
        Event::Undelivered { letter } => letter.task.as_ref(),
        _ => None,
    }
}

/// An event in a line.
fn what(event: &Event) -> Option<String> {
    let name = |job: &Job| if job.phase() == "work" { "working" } else { job.phase() };
    Some(match event {
        Event::Answered { text, .. } => format!("the answer: {text}"),
        Event::Asked { question, .. } => format!("asked {}: {}", question.to, question.text),
        Event::Audited { verdict, .. } => {
            let decision = format!("{:?}", verdict.decision).to_lowercase();
            format!("audited: a second judge says {decision}, score {:.2}", verdict.score)
        }
        Event::Began { job: job @ Job::Work { round, .. }, tier } if *round > 0 => {
            format!("{} on tier {tier}, round {round}", name(job))
        }
        Event::Began { job, tier } => format!("{} on tier {tier}", name(job)),
        Event::CalledOff { job, .. } => format!("{} was called off: nobody needs it any more", name(job)),
        Event::Checked { findings, .. } => {
            let failed: Vec<String> =
                findings.iter().filter(|finding| !finding.pass).map(|f| f.id.to_string()).collect();
            if failed.is_empty() { "checks passed".to_owned() } else { format!("checks failed: {}", failed.join(", ")) }
        }
        Event::Dropped { job } => format!("{} was cut short", name(job)),
        Event::Failed { job, failure, .. } => format!("{} came to nothing: {}", name(job), failure.message),
        Event::Joined { met, dismissed, .. } => joined(*met, dismissed),
        Event::Judged { verdict, .. } => judged(verdict),
        Event::Produced { text, .. } => format!("handed in {} characters", text.chars().count()),
        Event::Retried { .. } => "somebody wants it tried again".to_owned(),
        Event::Ruled { ruling, .. } => standing::ruled(ruling),
        Event::Spawned { tasks, join, .. } => {
            format!(
                "asked for {} further tasks and needs {join}: {}",
                tasks.len(),
                list(tasks.iter().map(|task| &task.id))
            )
        }
        Event::Undelivered { letter } => {
            format!("a message ({}) to {} reached nobody: {}", letter.what, letter.to, letter.reason)
        }
        Event::Unusable { job, attempt, .. } => {
            format!("the answer was of no use for {}: {}", job.phase(), attempt.problems.join("; "))
        }
        _ => return None,
    })
}

fn joined(met: bool, dismissed: &[TaskId]) -> String {
    let met = if met { "goes on with what it asked for" } else { "what it asked for came to nothing" };
    if dismissed.is_empty() { met.to_owned() } else { format!("{met}; called off: {}", list(dismissed.iter())) }
}

fn list<'a>(ids: impl Iterator<Item = &'a TaskId>) -> String {
    ids.map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}

fn judged(verdict: &Verdict) -> String {
    let decision = format!("{:?}", verdict.decision).to_lowercase();
    let mut said = format!("the reviewer says {decision}, score {:.2}", verdict.score);
    if !verdict.summary.is_empty() {
        said.push_str(&format!(": {}", verdict.summary));
    }
    let unmet = verdict.wanting().into_iter().filter(|wanting| !verdict.issues.contains(wanting));
    for issue in verdict.issues.iter().cloned().chain(unmet) {
        said.push_str(&format!("\n            [{}] {}", issue.severity, issue.fix));
    }
    said
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} (role {}, complexity {} of 5)", self.task, self.title, self.role, self.complexity)?;
        match &self.route {
            None => writeln!(f, "\nIt was not routed: it never began.")?,
            Some(route) => {
                writeln!(f, "\nIt started on {} ({}): {}", route.name, route.mode, route.why)?;
                for (n, weighed) in route.weighed.iter().enumerate() {
                    writeln!(
                        f,
                        "  tier {n}  {:<24} accepted {:5.1} % ({:.0} seen), reckoned {:.2}, ${:.4}, value {:.2}{}",
                        weighed.model,
                        weighed.mean * 100.0,
                        weighed.seen,
                        weighed.sample,
                        weighed.cost,
                        weighed.value,
                        weighed.ruled_out.as_ref().map_or_else(String::new, |why| format!("; ruled out: {why}")),
                    )?;
                }
            }
        }
        if let Some(standing) = &self.standing {
            writeln!(f, "\nIts state is {standing}.")?;
        }
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        if let (Some(needs), Some(agent)) = (self.waited_for_needs_ms, self.waited_for_agent_ms) {
            let needed: Vec<&str> = self.needed.iter().map(TaskId::as_str).collect();
            let for_needs = match &needed[..] {
                [] => String::new(),
                needed => format!("{:.1}s for {}, then ", seconds(needs), needed.join(", ")),
            };
            writeln!(f, "\nIt waited {for_needs}{:.1}s for an agent.", seconds(agent))?;
        }
        writeln!(f)?;
        for step in &self.steps {
            writeln!(f, "{:9.1}s  {}", seconds(step.at_ms), step.what)?;
        }
        Ok(())
    }
}
