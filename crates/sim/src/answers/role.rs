//! Who is asked: a planner, a reviewer or a worker.

use super::{Format, Prompt, Role, Speaker};

/// The schema's name decides; else the instructions, their first sentence before the rest; else it is work.
///
/// The first sentence says who somebody is ("You are a senior engineer."), the rest may speak of others ("A critic will
/// read it.").
pub(super) fn asked(prompt: &Prompt) -> Role {
    if let Format::Schema(name) = &prompt.format {
        let name = name.to_lowercase();
        if name.contains("plan") {
            return Role::Plan;
        }
        if name.contains("verdict") || name.contains("review") {
            return Role::Review;
        }
    }
    let system = prompt.said_by(Speaker::System).collect::<Vec<_>>().join("\n").to_lowercase();
    let first_end = system.find(['.', '\n', '!', ';']).unwrap_or(system.len());
    let (first, rest) = system.split_at(first_end);
    named(first).or_else(|| names_worker(first).then_some(Role::Work)).or_else(|| named(rest)).unwrap_or(Role::Work)
}

fn named(text: &str) -> Option<Role> {
    if PLANNER.iter().any(|word| text.contains(word)) {
        Some(Role::Plan)
    } else if REVIEWER.iter().any(|word| text.contains(word)) || reviews(text) {
        Some(Role::Review)
    } else {
        None
    }
}

/// "reviewed" is what happens to a worker's work, so that it does not count.
fn reviews(text: &str) -> bool {
    text.match_indices("review").any(|(at, word)| !text[at + word.len()..].starts_with("ed"))
}

fn names_worker(text: &str) -> bool {
    WORKER.iter().any(|word| text.contains(word))
}

const PLANNER: [&str; 10] = [
    "tech lead",
    "planner",
    "orchestrator",
    "coordinator",
    "zerleg",
    "break down",
    "breaks down",
    "decompose",
    "subtasks",
    "teilaufgaben",
];
const REVIEWER: [&str; 5] = ["critic", "prüf", "validator", "gutachter", "judge"];
const WORKER: [&str; 6] = ["engineer", "developer", "programmer", "coder", "entwickler", "writer"];

#[cfg(test)]
mod tests {
    use super::super::Message;
    use super::*;

    fn asked_by(system: &str) -> Role {
        let message = Message { speaker: Speaker::System, text: system.to_owned() };
        asked(&Prompt { format: Format::Text, messages: vec![message] })
    }

    #[test]
    fn the_first_sentence_says_who_somebody_is() {
        assert_eq!(asked_by("You are a senior engineer. A critic reads it."), Role::Work);
        assert_eq!(asked_by("You are careful. Your work is reviewed."), Role::Work);
        assert_eq!(asked_by("You are careful. Review what you get."), Role::Review);
        assert_eq!(asked_by("Prüfe die Arbeit."), Role::Review);
        assert_eq!(asked_by("You are the orchestrator."), Role::Plan);
        assert_eq!(asked_by(""), Role::Work);
    }

    #[test]
    fn the_name_of_the_schema_counts_before_the_instructions() {
        let message = Message { speaker: Speaker::System, text: "You are a planner.".to_owned() };
        let prompt = Prompt { format: Format::Schema("verdict".to_owned()), messages: vec![message] };
        assert_eq!(asked(&prompt), Role::Review);
    }
}
