//! What requests are usually made of.

use super::subject::clip;

/// One task of a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Idea {
    pub(super) acceptance: Vec<String>,
    pub(super) complexity: u8,
    pub(super) objective: String,
    pub(super) title: String,
}

/// `count` distinct tasks. The tests come last, because they need the rest.
pub(super) fn pick(request: &str, count: usize) -> Vec<Idea> {
    if count <= 1 {
        return vec![whole(request)];
    }
    let lower = request.to_lowercase();
    let kind = if lower.contains("http") || lower.contains("retry") { &CLIENT } else { &GENERAL };
    let [leading @ .., tests] = kind;
    let refinements = TWISTS.iter().flat_map(|twist| ASPECTS.iter().map(|aspect| twist.of(aspect)));
    let before = leading.iter().map(Sketch::idea).chain(refinements).take(count - 1);
    before.chain([tests.idea()]).collect()
}

/// The title of the simulated plan's task that `text` quotes, by its title or by its objective.
pub(in crate::answers) fn canonical_title(text: &str) -> Option<&'static str> {
    let mut sketches = CLIENT.iter().chain(&GENERAL);
    sketches.find(|sketch| text.contains(sketch.title) || text.contains(sketch.objective)).map(|sketch| sketch.title)
}

fn whole(request: &str) -> Idea {
    Idea {
        acceptance: vec!["it does what was asked for".to_owned(), "its failures are told to the caller".to_owned()],
        complexity: 3,
        objective: format!("Do all of it in one piece: {request}"),
        title: format!("Implement {}", clip(request, 60)),
    }
}

#[derive(Debug)]
struct Sketch {
    title: &'static str,
    objective: &'static str,
    acceptance: [&'static str; 2],
    complexity: u8,
}

impl Sketch {
    fn idea(&self) -> Idea {
        Idea {
            acceptance: self.acceptance.map(str::to_owned).to_vec(),
            complexity: self.complexity,
            objective: self.objective.to_owned(),
            title: self.title.to_owned(),
        }
    }
}

const CLIENT: [Sketch; 5] = [
    Sketch {
        title: "Define the interface and the error types",
        objective: "Specify the public functions of the client, its request and response types, and one error type that tells which failures are worth another attempt.",
        acceptance: ["every failure has its own variant", "the error says whether to try again"],
        complexity: 2,
    },
    Sketch {
        title: "Send requests with timeouts",
        objective: "Carry out a single call: connect, write, read the answer, each with its own time limit, and leave no socket open when the caller gives up.",
        acceptance: ["connect, first byte and total have separate limits", "a dropped call closes its connection"],
        complexity: 3,
    },
    Sketch {
        title: "Retry with full jitter and Retry-After",
        objective: "Repeat calls that failed for a passing reason, after a random pause below a growing bound, never earlier than the server's Retry-After, and never beyond the deadline.",
        acceptance: ["the pause is drawn between zero and the bound", "a Retry-After is a floor for the pause"],
        complexity: 4,
    },
    Sketch {
        title: "Connection pool and configuration",
        objective: "Keep idle connections per host for reuse, bound their number and age, and collect all settings with their defaults in one structure.",
        acceptance: ["idle connections are reused and expire", "every setting has a finite default"],
        complexity: 3,
    },
    Sketch {
        title: "Write the tests",
        objective: "Prove the behaviour against a local server: success, exhausted attempts, an honoured Retry-After, a deadline that cuts in, all without real waiting.",
        acceptance: ["no test sleeps for real", "each promise of the interface has a test"],
        complexity: 3,
    },
];

const GENERAL: [Sketch; 5] = [
    Sketch {
        title: "Settle the interface and the data model",
        objective: "Write down what goes in, what comes out, which types carry it, and which failures a caller can tell apart.",
        acceptance: ["inputs and outputs have types", "failures can be told apart"],
        complexity: 2,
    },
    Sketch {
        title: "Implement the core behaviour",
        objective: "Build the main path of the request end to end, with the simplest structure that fulfils the interface.",
        acceptance: ["the main path works end to end", "no setting is hard-coded"],
        complexity: 4,
    },
    Sketch {
        title: "Handle failures and edge cases",
        objective: "Go through empty, huge and malformed inputs and failing neighbours, and give each a defined outcome.",
        acceptance: ["no input leads to a crash", "every failure is reported once"],
        complexity: 3,
    },
    Sketch {
        title: "Configuration and defaults",
        objective: "Collect every adjustable value in one place, give it a finite default, and reject nonsense at start-up.",
        acceptance: ["every value has a default", "a wrong value is named in the message"],
        complexity: 2,
    },
    Sketch {
        title: "Cover the behaviour with tests",
        objective: "Check the promises of the interface one by one, the rare paths included, fast enough to run on every change.",
        acceptance: ["each promise has a test", "the whole suite runs within seconds"],
        complexity: 3,
    },
];

/// One way to look at an aspect again, once the leading tasks are used up.
#[derive(Debug)]
struct Twist {
    verb: &'static str,
    objective: &'static str,
    acceptance: &'static str,
    complexity: u8,
}

impl Twist {
    fn of(&self, aspect: &(&str, &str)) -> Idea {
        let (name, detail) = aspect;
        Idea {
            acceptance: vec![format!("{}: {name}", self.acceptance), format!("the result shows that {detail}")],
            complexity: self.complexity,
            objective: format!("{} {name}: {detail}.", self.objective),
            title: format!("{} {name}", self.verb),
        }
    }
}

const TWISTS: [Twist; 4] = [
    Twist { verb: "Work out", objective: "Design and build", acceptance: "it is in place", complexity: 3 },
    Twist {
        verb: "Document",
        objective: "Explain to a newcomer, with an example that runs,",
        acceptance: "a newcomer can follow",
        complexity: 1,
    },
    Twist {
        verb: "Measure",
        objective: "Benchmark before and after, and write down the figures for",
        acceptance: "there are figures",
        complexity: 2,
    },
    Twist {
        verb: "Attack",
        objective: "Try to break, as a hostile user would, and report every way that worked against",
        acceptance: "every finding can be repeated",
        complexity: 4,
    },
];

const ASPECTS: [(&str, &str); 16] = [
    ("cancellation", "dropping a call frees everything it held"),
    ("logging", "each event is told once, without secrets"),
    ("metrics", "rates, errors and durations can be scraped"),
    ("the command line", "options, exit codes and help agree"),
    ("configuration files", "unknown keys are refused with their line"),
    ("input validation", "malformed bytes never reach the core"),
    ("concurrency", "parallel callers neither block nor starve one another"),
    ("resource limits", "memory, sockets and queues have an upper bound"),
    ("secrets", "keys stay out of logs, dumps and messages"),
    ("start-up and shutdown", "work under way is finished or handed back"),
    ("error messages", "each says what happened and what to do"),
    ("compatibility", "older callers keep working"),
    ("throughput", "the hot path allocates nothing"),
    ("persistence", "a crash loses no confirmed record"),
    ("packaging", "a release installs with one command"),
    ("observability", "one identifier follows a request everywhere"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn any_number_of_tasks_is_distinct_in_title_and_objective() {
        for request in ["Implement an async HTTP client", "Bake a cake"] {
            for count in 1..=64 {
                let ideas = pick(request, count);
                assert_eq!(ideas.len(), count);
                assert_eq!(ideas.iter().map(|idea| &idea.title).collect::<HashSet<_>>().len(), count);
                assert_eq!(ideas.iter().map(|idea| &idea.objective).collect::<HashSet<_>>().len(), count);
            }
        }
    }

    #[test]
    fn a_quoted_objective_leads_back_to_its_title() {
        let [first, ..] = &CLIENT;
        assert_eq!(canonical_title(&format!("1. {}", first.objective)), Some(first.title));
        assert_eq!(canonical_title("Bake a cake"), None);
    }
}
