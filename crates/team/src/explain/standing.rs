//! How a task stands, and if it is nothing that happened to itself, why.

use bellwether_core::{TaskId, TaskState, Timestamp};

use crate::runtime::TaskRuling;
use crate::state::{Event, Record, Rules, State};

/// How a task stands after these events, in a few words; `None` if nobody knows what its run kept to.
pub(super) fn of(rules: Option<Rules>, events: &[(Timestamp, Event)], task: &TaskId) -> Option<String> {
    let mut state = State::new(rules?);
    for (at, event) in events {
        state.apply(event.clone(), *at);
    }
    let record = state.task(task)?;
    let name = record.state.as_str().replace('_', " ");
    Some(match why(&state, record) {
        Some(why) => format!("{name}: {why}"),
        None => name,
    })
}

fn why(state: &State, record: &Record) -> Option<String> {
    let planned = &record.planned;
    match record.state {
        TaskState::Blocked => Some("a person has to say what becomes of its work".to_owned()),
        TaskState::Cancelled if record.dismissed => Some("nobody needs it any more".to_owned()),
        TaskState::Cancelled => Some("the run was stopped before there was any work".to_owned()),
        TaskState::Pending => {
            let awaited = planned.depends_on.iter().chain(&planned.wants);
            let awaited = awaited.filter(|id| state.task(id).is_some_and(|needed| !needed.state.is_final()));
            let awaited: Vec<&str> = awaited.map(TaskId::as_str).collect();
            (!awaited.is_empty()).then(|| format!("it waits for {}", awaited.join(", ")))
        }
        TaskState::Skipped => Some(state.why_skipped(record)),
        _ => record.failure.as_ref().map(|failure| failure.message.clone()),
    }
}

/// What a person said, in a line.
pub(super) fn ruled(ruling: &TaskRuling) -> String {
    match ruling {
        TaskRuling::Accept => "a person accepts the best of it".to_owned(),
        TaskRuling::Again { note } => format!("a person asks for another round: {note}"),
        TaskRuling::Fail { reason } => format!("a person turns it down: {reason}"),
    }
}
