//! The chain of tasks that decides how long a run takes (critical path; Kelley and Walker 1959).

use std::collections::HashMap;

use super::Task;

/// The ids along the longest chain of tasks that need each other, the first one first.
///
/// A task at rest weighs what it took. One that is not weighs what it has taken so far, or what its complexity promises
/// at the pace of those at rest, whichever is more.
pub(super) fn critical(tasks: &[Task], now: u64) -> Vec<String> {
    let pace = pace(tasks, now);
    let at: HashMap<&str, usize> = tasks.iter().enumerate().map(|(n, task)| (task.id.as_str(), n)).collect();
    // Length of the longest chain that ends with a task, and the task before it there.
    let mut longest: Vec<Option<(u64, Option<usize>)>> = vec![None; tasks.len()];
    // A plan has no cycles; one that had would be left alone after as many rounds as there are tasks.
    for _ in 0..tasks.len() {
        let mut settled = true;
        for n in 0..tasks.len() {
            if longest[n].is_some() {
                continue;
            }
            let needs: Vec<usize> = tasks[n].needs.iter().filter_map(|id| at.get(id.as_str()).copied()).collect();
            if needs.iter().any(|need| longest[*need].is_none()) {
                settled = false;
                continue;
            }
            let before = needs.into_iter().max_by_key(|need| longest[*need].map(|(length, _)| length));
            let length = before.and_then(|need| longest[need]).map_or(0, |(length, _)| length);
            longest[n] = Some((length + weight(&tasks[n], now, pace), before));
        }
        if settled {
            break;
        }
    }
    let mut next =
        (0..tasks.len()).filter(|n| longest[*n].is_some()).max_by_key(|n| longest[*n].map(|(length, _)| length));
    let mut chain = Vec::new();
    while let Some(n) = next {
        chain.push(tasks[n].id.clone());
        next = longest[n].and_then(|(_, before)| before);
    }
    chain.reverse();
    chain
}

/// Milliseconds for each step of complexity, of tasks at rest.
fn pace(tasks: &[Task], now: u64) -> u64 {
    let over = tasks.iter().filter(|task| task.is_over());
    let (time, steps) = over
        .filter_map(|task| Some((task.taken(now)?, task.complexity.max(1))))
        .fold((0, 0), |(time, steps), (taken, step)| (time + taken, steps + step));
    time.checked_div(steps).map_or(1_000, |pace: u64| pace.max(1))
}

fn weight(task: &Task, now: u64, pace: u64) -> u64 {
    let taken = task.taken(now);
    match taken {
        Some(taken) if task.is_over() => taken,
        None if task.is_over() => 0,
        taken => taken.unwrap_or(0).max(task.complexity.max(1) * pace),
    }
}
