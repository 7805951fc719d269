//! Plans as a numbered or bulleted list.

use super::draft::{Draft, DraftTask};

/// The top-level points of a list; `None` if there are none.
///
/// If any point is numbered, only numbered points are subtasks. Everything below a point belongs to it: nested
/// points, further lines, fenced code with its comments. What stands before the first point and headings after it
/// belong to nothing.
pub(super) fn read(answer: &str) -> Option<Draft> {
    let numbered = points(answer, number);
    let found = if numbered.is_empty() { points(answer, bullet) } else { numbered };
    if found.is_empty() {
        return None;
    }
    Some(Draft { tasks: found, ..Draft::default() })
}

fn points(answer: &str, marker: fn(&str) -> Option<&str>) -> Vec<DraftTask> {
    let mut tasks: Vec<DraftTask> = Vec::new();
    let mut indent_of_points = None;
    let mut fenced = false;
    let mut open = false;
    for line in answer.lines() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        let fence = trimmed.starts_with("```") || trimmed.starts_with("~~~");
        if !fenced && !fence {
            let point = marker(trimmed).filter(|text| !text.is_empty());
            if let Some(text) = point.filter(|_| indent <= *indent_of_points.get_or_insert(indent)) {
                tasks.push(DraftTask { title: plain(text), objective: text.to_owned(), ..DraftTask::default() });
                open = true;
                continue;
            }
            if trimmed.starts_with('#') {
                open = false;
                continue;
            }
        }
        fenced ^= fence;
        if let Some(task) = tasks.last_mut().filter(|_| open)
            && (fenced || fence || !trimmed.is_empty())
        {
            // Prose at the margin after a list is a closing word, not a part of the last point.
            if indent == 0 && !fenced && !fence {
                open = false;
                continue;
            }
            task.objective.push('\n');
            task.objective.push_str(line.trim_end());
        }
    }
    tasks
}

/// The text behind `1.`, `1)` or `1:`.
fn number(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("**");
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == line.len() {
        return None;
    }
    let rest = rest.strip_prefix(['.', ')', ':'])?;
    let text = rest.trim_start_matches("**");
    (text.is_empty() || text.starts_with(char::is_whitespace)).then(|| text.trim())
}

/// The text behind `-`, `*`, `+` or `•`.
fn bullet(line: &str) -> Option<&str> {
    let rest = line.strip_prefix(['-', '*', '+', '•'])?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim())
}

/// A point's title: its emphasised beginning if it has one, else all of it, without emphasis.
fn plain(text: &str) -> String {
    let emphasised = text.strip_prefix("**").and_then(|rest| rest.split_once("**")).map(|(title, _)| title);
    let title = emphasised.unwrap_or(text).replace("**", "").replace('`', "");
    title.trim().trim_end_matches(['.', ':']).to_owned()
}
