//! What is wrong with a plan, in sentences that its planner can act on.
//!
//! Everything here takes time that grows no faster than the answer does: an answer may be hostile.

use std::collections::{BTreeSet, HashMap};

use bellwether_core::{TaskId, Usage, Usd};

use super::draft::DraftTask;
use super::{PlanRules, PlannedTask};

/// The longest answer that is read at all.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// The longest objective; every worker and every reviewer of the task pays for it.
const MAX_OBJECTIVE_CHARS: usize = 8_000;
/// The longest criterion, boundary, tag, id or deliverable.
const MAX_ITEM_CHARS: usize = 2_000;
/// The most criteria, boundaries or tags of a task.
const MAX_ITEMS: usize = 32;
/// How much of their words two objectives share if one repeats the other.
const DUPLICATE_SHARE: f64 = 0.9;
/// Objectives of fewer words say too little to be compared.
const DUPLICATE_WORDS: usize = 5;

/// The most problems that are named at once, and the most characters of each.
const MAX_PROBLEMS: usize = 16;
const MAX_PROBLEM_CHARS: usize = 400;

/// The first problems, each of a bearable length: a planner that is asked again pays for the list.
pub(super) fn worst(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    for problem in problems.iter_mut().filter(|problem| problem.chars().count() > MAX_PROBLEM_CHARS) {
        *problem = problem.chars().take(MAX_PROBLEM_CHARS).chain(['…']).collect();
    }
    if more > 0 {
        problems.push(format!("and {more} more of this kind"));
    }
    problems
}

/// Whether an answer is short enough to be read.
pub(super) fn size(answer: &str) -> Result<(), Vec<String>> {
    let bytes = answer.len();
    if bytes <= MAX_ANSWER_BYTES {
        return Ok(());
    }
    Err(vec![format!("the answer has {bytes} bytes; at most {MAX_ANSWER_BYTES} are read: answer more briefly")])
}

/// Whether there are tasks, few enough of them, each of a bearable size.
pub(super) fn limits(tasks: &[DraftTask], max_tasks: usize) -> Result<(), Vec<String>> {
    if tasks.is_empty() {
        return Err(vec!["the plan has no tasks".to_owned()]);
    }
    if tasks.len() > max_tasks {
        return Err(vec![format!("the plan has {} tasks; at most {max_tasks} are allowed", tasks.len())]);
    }
    let mut problems = Vec::new();
    for (n, task) in tasks.iter().enumerate() {
        let longest = task.objective.chars().count().max(task.title.chars().count());
        if longest > MAX_OBJECTIVE_CHARS {
            problems.push(format!(
                "the objective of task {} has {longest} characters; at most {MAX_OBJECTIVE_CHARS} are allowed",
                n + 1
            ));
        }
        let lists = [&task.acceptance, &task.boundaries, &task.tags];
        let items = lists.iter().map(|list| list.len()).max().unwrap_or_default();
        if items > MAX_ITEMS {
            problems.push(format!(
                "task {} has {items} criteria, boundaries or tags; at most {MAX_ITEMS} are allowed",
                n + 1
            ));
        }
        let needs = task.depends_on.len().max(task.wants.len());
        if needs > max_tasks {
            problems.push(format!("task {} depends on {needs} tasks; there are {}", n + 1, tasks.len()));
        }
        let texts = lists.into_iter().chain([&task.depends_on, &task.wants]).flatten();
        let texts = texts.chain([&task.deliverable]).chain(&task.id).chain(&task.role);
        if texts.map(|text| text.chars().count()).any(|chars| chars > MAX_ITEM_CHARS) {
            problems.push(format!("a text of task {} has more than {MAX_ITEM_CHARS} characters", n + 1));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What is wrong with the order of tasks: a cycle, or too many in a row.
pub(super) fn shape(tasks: &[PlannedTask], names: &[String], max_depth: usize) -> Option<String> {
    match levels(tasks) {
        Err(stuck) => {
            let cycle: Vec<&str> = cycle(tasks, &stuck).into_iter().map(|n| names[n].as_str()).collect();
            Some(format!("the dependencies form a cycle: {}", cycle.join(" -> ")))
        }
        Ok(levels) => {
            let depth = levels.iter().max().map_or(0, |level| level + 1);
            (depth > max_depth).then(|| {
                format!("{depth} tasks wait for each other in a row; at most {max_depth} may: join some or let them run side by side")
            })
        }
    }
}

/// How many tasks stand in a row; `None` if they stand in a circle.
pub(super) fn depth(tasks: &[PlannedTask]) -> Option<usize> {
    let levels = levels(tasks).ok()?;
    Some(levels.into_iter().max().map_or(0, |level| level + 1))
}

/// How many tasks stand before each one at most (Kahn 1962), or the tasks that wait for each other for ever.
fn levels(tasks: &[PlannedTask]) -> Result<Vec<usize>, Vec<usize>> {
    let needs = needs(tasks);
    let mut left: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut followers = vec![Vec::new(); tasks.len()];
    for (n, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|needed| followers[*needed].push(n));
    }
    let mut levels = vec![0; tasks.len()];
    let mut ready: Vec<usize> = (0..tasks.len()).filter(|n| left[*n] == 0).collect();
    let mut done = 0;
    while let Some(n) = ready.pop() {
        done += 1;
        for &follower in &followers[n] {
            levels[follower] = levels[follower].max(levels[n] + 1);
            left[follower] -= 1;
            if left[follower] == 0 {
                ready.push(follower);
            }
        }
    }
    if done == tasks.len() { Ok(levels) } else { Err((0..tasks.len()).filter(|n| left[*n] > 0).collect()) }
}

/// The places of the tasks that each task waits for.
fn needs(tasks: &[PlannedTask]) -> Vec<Vec<usize>> {
    let places: HashMap<&TaskId, usize> = tasks.iter().enumerate().map(|(n, task)| (&task.id, n)).collect();
    let of = |task: &PlannedTask| {
        task.depends_on.iter().chain(&task.wants).filter_map(|id| places.get(id).copied()).collect()
    };
    tasks.iter().map(of).collect()
}

/// One circle among tasks that wait for each other; it begins and ends with the same one.
fn cycle(tasks: &[PlannedTask], stuck: &[usize]) -> Vec<usize> {
    let needs = needs(tasks);
    let mut seen = Vec::new();
    let Some(mut at) = stuck.first().copied() else { return seen };
    let waits: BTreeSet<usize> = stuck.iter().copied().collect();
    // Every task that is stuck waits for another one that is, so this walk comes round.
    while !seen.contains(&at) {
        seen.push(at);
        match needs[at].iter().find(|needed| waits.contains(needed)) {
            Some(needed) => at = *needed,
            None => return seen,
        }
    }
    let start = seen.iter().position(|n| *n == at).unwrap_or_default();
    seen.drain(..start);
    seen.push(at);
    seen
}

/// The objectives that say the same in almost the same words.
///
/// Two sets of words that share nine tenths share one of the few rarest words of each, so only tasks that do are
/// compared (prefix filtering, Chaudhuri, Ganti and Kaushik 2006).
pub(super) fn duplicates(tasks: &[PlannedTask], names: &[String]) -> Vec<String> {
    let words: Vec<BTreeSet<String>> = tasks.iter().map(|task| words(&task.objective)).collect();
    let mut frequency: HashMap<&str, usize> = HashMap::new();
    words.iter().flatten().for_each(|word| *frequency.entry(word).or_default() += 1);
    let mut sharing: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut problems = Vec::new();
    for (n, own) in words.iter().enumerate().filter(|(_, own)| own.len() >= DUPLICATE_WORDS) {
        let mut rarest: Vec<&str> = own.iter().map(String::as_str).collect();
        rarest.sort_by_key(|word| (frequency[word], *word));
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few hundred words"
        )]
        let prefix = own.len() - (own.len() as f64 * DUPLICATE_SHARE).ceil() as usize + 1;
        let mut others: Vec<usize> = Vec::new();
        for word in rarest.into_iter().take(prefix) {
            let known = sharing.entry(word).or_default();
            others.extend(known.iter());
            known.push(n);
        }
        others.sort_unstable();
        others.dedup();
        if let Some(other) = others.into_iter().find(|other| alike(&words[*other], own)) {
            problems.push(format!(
                "tasks {:?} and {:?} have almost the same objective: join them, or say what only one of them does",
                names[other], names[n]
            ));
        }
    }
    problems
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn alike(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    let shared = a.intersection(b).count();
    let all = a.len() + b.len() - shared;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred words")]
    let share = shared as f64 / all as f64;
    share >= DUPLICATE_SHARE
}

/// Whether what the run may still take covers the least that the plan will: one call for each task, and the output that
/// its planner expects, at the role's lowest price.
pub(super) fn means(tasks: &[PlannedTask], rules: &PlanRules) -> Result<(), Vec<String>> {
    let expected = |task: &PlannedTask| task.est_output_tokens.unwrap_or_default();
    let tokens = tasks.iter().map(expected).fold(0, u64::saturating_add);
    let cost = |task: &PlannedTask| {
        let usage = Usage { input_tokens: Some(0), output_tokens: Some(expected(task)), ..Usage::default() };
        rules.prices.get(&task.role).and_then(|price| price.of(&usage)).map_or(0, Usd::as_nanos)
    };
    let cost = Usd::from_nanos(tasks.iter().map(cost).fold(0, u64::saturating_add));
    let calls = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
    let mut problems = Vec::new();
    let mut over = |what: String, most: String| {
        problems.push(format!("the plan takes at least {what}, and {most} are left: plan fewer or smaller tasks"));
    };
    if let Some(most) = rules.means.calls.filter(|most| calls > *most) {
        over(format!("{calls} calls"), most.to_string());
    }
    if let Some(most) = rules.means.tokens.filter(|most| tokens > *most) {
        over(format!("{tokens} tokens"), most.to_string());
    }
    if let Some(most) = rules.means.usd.filter(|most| cost > *most) {
        over(cost.to_string(), most.to_string());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
