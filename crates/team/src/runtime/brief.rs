//! Who does a job, on which tier, and what is said to them: all of it derived from the state.

use std::borrow::Cow;
use std::sync::Arc;

use bellwether_core::{Message, TaskId, TaskState};

use crate::context;
use crate::history::History;
use crate::message::Job;
use crate::prompt::{self, Form, Input};
use crate::review::Finding;
use crate::role::{Role, RoleKind};
use crate::state::{Attempt, Digest, Draft, Record, State};
use crate::team::Team;

/// A job's role, the tier it is done on, and the conversation.
pub(super) type Brief<'a> = (&'a Arc<Role>, usize, Vec<Message>);

/// The brief of a job, and after it each answer that could not be used. `None` if nobody can do it.
pub(super) fn of<'a>(team: &'a Team, request: &str, state: &State, job: &Job) -> Option<Brief<'a>> {
    let (role, tier, brief) = first(team, request, state, job)?;
    let record = job.task().and_then(|task| state.task(task));
    let window = role.window(tier);
    let mut history = History::new(brief, record.map_or(window, |record| record.squeezed(window)));
    for Attempt { answer, problems } in state.unusable(job) {
        history.push(Message::assistant(answer.as_str()), prompt::unusable(problems));
    }
    Some((role, tier, history.messages()))
}

/// Who does a job; `None` if nobody can.
pub(super) fn doer<'a>(team: &'a Team, state: &State, job: &Job) -> Option<&'a Arc<Role>> {
    let of = |task: &TaskId| team.named(&state.task(task)?.planned.role);
    match job {
        Job::Answer { task, .. } => {
            let to = &state.task(task)?.asked.last()?.question.to;
            // A task is answered for by its role.
            team.named(state.task(&to.as_str().into()).map_or(to, |record| &record.planned.role))
        }
        Job::Check { .. } => None,
        Job::Combine => team.role(RoleKind::Synthesizer),
        Job::Digest { task } | Job::Work { task, .. } => of(task),
        Job::Plan => team.role(RoleKind::Planner),
        Job::Audit { .. } | Job::Review { .. } => team.role(RoleKind::Reviewer),
    }
}

fn first<'a>(team: &'a Team, request: &str, state: &State, job: &Job) -> Option<Brief<'a>> {
    let role = doer(team, state, job)?;
    match job {
        Job::Answer { task, .. } => answer(role, request, state, state.task(task)?),
        Job::Audit { task } => {
            let (record, judge) = (state.task(task)?, role.tiers.len() - 1);
            let ask = |work: &str| prompt::review(role, request, &record.planned, work, &[], &[]);
            Some((role, judge, judging(role.bound(judge), &record.drafts.last()?.text, ask)))
        }
        Job::Check { .. } => None,
        Job::Combine => {
            let parts = inputs(state, state.planned(), role.window(0));
            Some((role, 0, prompt::combine(role, request, state.plan()?, &parts)))
        }
        Job::Digest { task } => {
            let record = state.task(task)?;
            let work = context::excerpt(&record.best()?.text, context::room(role.window(0)));
            Some((role, 0, prompt::digest(role, &record.planned, &work, role.window(0))))
        }
        Job::Plan => {
            let tier = state.plan_tier().min(role.tiers.len() - 1);
            Some((role, tier, prompt::plan(role, request, &team.workers(), &team.settings)))
        }
        Job::Review { task, .. } => {
            let record = state.task(task)?;
            let author = team.named(&record.planned.role).and_then(|worker| worker.tiers.get(record.tier));
            let judges = role.judges_of(author);
            let judge = judges[record.deaf_judges as usize % judges.len()];
            let draft = record.drafts.last()?;
            let advice: Vec<&Finding> =
                draft.checks.iter().flatten().filter(|finding| !finding.pass && !finding.must).collect();
            let open = record.open_issues();
            let ask = |work: &str| prompt::review(role, request, &record.planned, work, &open, &advice);
            let conversation = match record.overflows {
                0 => judging(role.bound(judge), &draft.text, ask),
                // A window may be smaller than we were told, so that whatever was too long becomes shorter.
                overflows => {
                    let room = context::room(record.squeezed(role.window(judge)));
                    ask(&context::excerpt(&draft.text, room.min(draft.text.chars().count() >> overflows)))
                }
            };
            Some((role, judge, conversation))
        }
        Job::Work { task, .. } => {
            let record = state.task(task)?;
            let tier = match (&record.route, record.stints.is_empty()) {
                (Some(route), true) => route.tier,
                _ => record.tier,
            };
            let tier = tier.min(role.tiers.len() - 1);
            Some((role, tier, work_so_far(team, (role, tier), request, state, record)))
        }
    }
}

/// What a judge is asked about a piece of work. Only what its window is known not to hold is cut: a judge has to see all of it.
fn judging(bound: Option<usize>, work: &str, ask: impl Fn(&str) -> Vec<Message>) -> Vec<Message> {
    let whole = ask(work);
    match bound {
        Some(bound) if tokens(&whole) > bound => {
            let room = bound.saturating_mul(context::CHARS_PER_TOKEN);
            ask(&context::excerpt(work, room.saturating_sub(chars(&ask("")) + context::OMISSION)))
        }
        _ => whole,
    }
}

/// What is told to whoever answers a task's open question: who answers for a task has its work in view.
fn answer<'a>(role: &'a Arc<Role>, request: &str, state: &State, asker: &Record) -> Option<Brief<'a>> {
    let question = &asker.asked.last()?.question;
    let asked = state.task(&question.to.as_str().into());
    let tier = asked.map_or(0, |record| record.tier).min(role.tiers.len() - 1);
    let room = context::room(role.window(tier));
    let own = asked.map(|record| {
        let work = record.best().map(|draft| context::excerpt(&draft.text, room));
        (&record.planned, work)
    });
    Some((role, tier, prompt::answer(role, request, &asker.planned, &question.text, own)))
}

/// The conversation of a task, shorter each time that it was too long.
fn work_so_far(
    team: &Team,
    (role, tier): (&Role, usize),
    request: &str,
    state: &State,
    record: &Record,
) -> Vec<Message> {
    let window = role.window(tier);
    let whole = conversation(team, (role, window), request, state, record);
    // A window may be smaller than we were told: what is halved is what was too long.
    match record.squeezed(window.min(tokens(&whole))) {
        less if less < window && record.is_squeezed() => conversation(team, (role, less), request, state, record),
        _ => whole,
    }
}

fn tokens(messages: &[Message]) -> usize {
    chars(messages).div_ceil(context::CHARS_PER_TOKEN)
}

fn chars(messages: &[Message]) -> usize {
    messages.iter().map(Message::chars).sum()
}

/// What fits into a window of so many tokens: a task's brief, then each draft with what the reviewer said of it.
fn conversation(
    team: &Team,
    (role, window): (&Role, usize),
    request: &str,
    state: &State,
    record: &Record,
) -> Vec<Message> {
    let Some(plan) = state.plan() else { return Vec::new() };
    let needed = record.planned.depends_on.iter().chain(&record.planned.wants).filter_map(|id| state.task(id));
    let spawned = record.spawned().iter().map(|n| &state.tasks()[*n]).filter(|task| !task.dismissed);
    let inputs = inputs(state, needed.chain(spawned), window);
    let room = if role.may_spawn { state.room_to_spawn(&record.planned.id).ok() } else { None };
    let mut offers = room.map_or_else(String::new, |room| prompt::spawn(room, &team.workers(), &team.settings.spawn));
    if role.may_ask {
        let left = state.questions_left(record);
        let others = state.tasks().iter().filter(|other| state.may_be_asked(record, other).is_ok());
        let others: Vec<&str> = others.map(|other| other.planned.id.as_str()).take(prompt::MAX_LISTED).collect();
        let roles: Vec<&str> = team.roles().map(|role| &*role.name).collect();
        offers.push_str(&prompt::ask(left, &others, &roles));
    }
    let asked: String = record.asked.iter().map(prompt::asked).collect();
    let brief = prompt::work(role, request, plan, &record.planned, &inputs, (&asked, &offers));
    let mut history = History::new(brief, window);
    let (below, here) = record.drafts.split_at(record.below.min(record.drafts.len()));
    // Who takes over from a lower tier sees the best of what was done there, and none of the way to it.
    let best = record.best().filter(|best| below.contains(best));
    for draft in best.into_iter().chain(here) {
        if let Some(verdict) = &draft.verdict {
            let said = Message::assistant(draft.text.as_str());
            history.push(said, prompt::revise(verdict, draft.note.as_deref()));
        }
    }
    history.messages()
}

/// What tasks made, for somebody who needs it: in full, as a digest or as an excerpt, as far as a window has room.
fn inputs<'a>(state: &State, needed: impl Iterator<Item = &'a Record>, window: usize) -> Vec<Input<'a>> {
    let needed: Vec<&Record> = needed.collect();
    let lengths: Vec<usize> = needed.iter().map(|record| record.length()).collect();
    let shares = context::shares(&lengths, window);
    needed.into_iter().zip(shares).map(|(record, share)| input(state, record, share)).collect()
}

/// A task's work for somebody who has so much room for it, or why there is none.
fn input<'a>(state: &State, record: &'a Record, room: usize) -> Input<'a> {
    let missing = || match (&record.failure, record.state) {
        (Some(failure), _) => failure.message.clone(),
        (None, TaskState::Skipped) => state.why_skipped(record),
        (None, state) => format!("it was {}", state.as_str()),
    };
    let shown = |draft: &'a Draft| match &draft.digest {
        _ if draft.text.len() <= room => (Form::Full, Cow::Borrowed(draft.text.as_str())),
        Some(Digest::Text(digest)) => (Form::Digest, Cow::Owned(context::excerpt(digest, room))),
        Some(Digest::Nobody) | None => (Form::Excerpt, Cow::Owned(context::excerpt(&draft.text, room))),
    };
    let work = record.best().map(shown).ok_or_else(missing);
    Input { task: &record.planned, state: record.state, work }
}
