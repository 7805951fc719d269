//! Who does a job, on which tier, and what is said to them: all of it derived from the state.

use std::sync::Arc;

use bellwether_core::Message;

use crate::history::History;
use crate::message::Job;
use crate::prompt::{self, Input};
use crate::review::Finding;
use crate::role::{Role, RoleKind};
use crate::state::{Attempt, Record, State};
use crate::team::Team;

/// A job's role, the tier it is done on, and the conversation.
pub(super) type Brief<'a> = (&'a Arc<Role>, usize, Vec<Message>);

/// The brief of a job, and after it each answer that could not be used. `None` if nobody can do it.
pub(super) fn of<'a>(team: &'a Team, request: &str, state: &State, job: &Job) -> Option<Brief<'a>> {
    let (role, tier, brief) = first(team, request, state, job)?;
    let mut history = History::new(brief, role.window(tier));
    for Attempt { answer, problems } in state.unusable(job) {
        history.push(Message::assistant(answer.as_str()), prompt::unusable(problems));
    }
    Some((role, tier, history.messages()))
}

fn first<'a>(team: &'a Team, request: &str, state: &State, job: &Job) -> Option<Brief<'a>> {
    match job {
        Job::Check { .. } => None,
        Job::Plan => {
            let role = team.role(RoleKind::Planner)?;
            let tier = state.plan_tier().min(role.tiers.len() - 1);
            Some((role, tier, prompt::plan(role, request, &team.workers(), &team.settings)))
        }
        Job::Review { task, .. } => {
            let role = team.role(RoleKind::Reviewer)?;
            let record = state.task(task)?;
            let author = team.named(&record.planned.role).and_then(|worker| worker.tiers.get(record.tier));
            let judges = role.judges_of(author);
            let judge = judges[record.deaf_judges as usize % judges.len()];
            let draft = record.drafts.last()?;
            let advice: Vec<&Finding> =
                draft.checks.iter().flatten().filter(|finding| !finding.pass && !finding.must).collect();
            let open = record.open_issues();
            Some((role, judge, prompt::review(role, request, &record.planned, &draft.text, &open, &advice)))
        }
        Job::Work { task, .. } => {
            let record = state.task(task)?;
            let role = team.named(&record.planned.role)?;
            let tier = match (&record.route, record.stints.is_empty()) {
                (Some(route), true) => route.tier,
                _ => record.tier,
            };
            let tier = tier.min(role.tiers.len() - 1);
            Some((role, tier, work_so_far((role, tier), request, state, record)))
        }
    }
}

/// The conversation of a task: its brief, then each draft with what the reviewer said of it.
fn work_so_far((role, tier): (&Role, usize), request: &str, state: &State, record: &Record) -> Vec<Message> {
    let Some(plan) = state.plan() else { return Vec::new() };
    let needed = record.planned.depends_on.iter().filter_map(|id| state.task(id));
    let inputs: Vec<Input<'_>> = needed
        .map(|needed| Input { task: &needed.planned, work: needed.best().map(|draft| draft.text.as_str()) })
        .collect();
    let brief = prompt::work(role, request, plan, &record.planned, &inputs);
    let mut history = History::new(brief, role.window(tier));
    let (below, here) = record.drafts.split_at(record.below.min(record.drafts.len()));
    // Who takes over from a lower tier sees the best of what was done there, and none of the way to it.
    let best = record.best().filter(|best| below.contains(best));
    for draft in best.into_iter().chain(here) {
        if let Some(verdict) = &draft.verdict {
            let said = Message::assistant(draft.text.as_str());
            history.push(said, prompt::revise(&verdict.open_issues(), &verdict.summary));
        }
    }
    history.messages()
}
