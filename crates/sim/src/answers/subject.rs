//! What a conversation is about: the task in its own words.

use super::plan::canonical_title;
use super::{Prompt, Speaker};

/// What the request as a whole asks for.
pub(super) fn request(prompt: &Prompt) -> String {
    let users: Vec<&str> = prompt.said_by(Speaker::User).collect();
    let found = users.iter().find_map(|text| tagged(text).or_else(|| labelled(text, &WHOLE)));
    found.or_else(|| users.first().and_then(|text| first_line(text))).map_or_else(nameless, |line| clip(&line, LONGEST))
}

/// The title of the piece of work that is asked for. A title of a simulated plan is recognised in any wrapping.
pub(super) fn task(prompt: &Prompt, is_revision: bool) -> String {
    let users: Vec<&str> = prompt.said_by(Speaker::User).collect();
    let found = users.iter().rev().find_map(|text| labelled(text, &PART).or_else(|| labelled(text, &WHOLE)));
    let plain = if is_revision { users.first() } else { users.last() };
    let line = found.or_else(|| plain.and_then(|text| first_line(text))).unwrap_or_else(nameless);
    canonical_title(&line).map_or_else(|| clip(&line, LONGEST), str::to_owned)
}

/// The start of a text in one line, cut between characters.
pub(super) fn clip(text: &str, longest: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(longest) {
        line.truncate(at);
        line.push('…');
    }
    line
}

/// The first line between `<request>` and its end.
fn tagged(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !TAGS.iter().any(|tag| line.trim_start().starts_with(tag)));
    let opening = lines.next()?;
    let inside = opening.split_once('>').map_or("", |(_, rest)| rest).split("</").next().unwrap_or("").trim();
    if !inside.is_empty() && !inside.starts_with('(') {
        return Some(inside.to_owned());
    }
    lines.map(str::trim).find(|line| !line.is_empty()).filter(|line| !line.starts_with("</")).map(str::to_owned)
}

/// What stands behind `Task:`, `## Goal` and the like, on the same line or on the next one.
fn labelled(text: &str, labels: &[&str]) -> Option<String> {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let bare = line.trim_start_matches(|c: char| !c.is_alphanumeric());
        let Some(label) = labels.iter().find(|label| starts_with(bare, label)) else { continue };
        let rest = &bare[label.len()..];
        let rest = match rest.split_once(':') {
            // Between label and colon there may be an identifier, as in "Your task t1: ...".
            Some((between, rest)) if between.chars().count() <= 12 => rest,
            None if rest.trim_matches(|c: char| !c.is_alphanumeric()).is_empty() => "",
            _ => continue,
        };
        let rest = rest.trim_matches(|c: char| c.is_whitespace() || c == '*');
        if !rest.is_empty() {
            return Some(rest.to_owned());
        }
        if let Some(next) = lines.by_ref().map(str::trim).find(|line| !line.is_empty()) {
            return Some(next.to_owned());
        }
    }
    None
}

/// The first line that says something, without an order such as "Analyze and break down:" before it.
fn first_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric))?;
    let line = match line.split_once(':') {
        Some((order, rest)) if order.split_whitespace().count() <= 5 && !rest.trim().is_empty() => rest,
        _ => line,
    };
    Some(line.trim_start_matches(|c: char| !c.is_alphanumeric()).to_owned())
}

fn starts_with(text: &str, label: &str) -> bool {
    let head = text.get(..label.len()).is_some_and(|head| head.eq_ignore_ascii_case(label));
    head && !text[label.len()..].starts_with(char::is_alphanumeric)
}

fn nameless() -> String {
    "the request".to_owned()
}

const LONGEST: usize = 160;
const TAGS: [&str; 4] = ["<request", "<goal", "<task", "<objective"];
const PART: [&str; 5] = ["your task", "its task", "title", "subtask", "objective"];
const WHOLE: [&str; 7] = ["goal", "request", "task", "auftrag", "aufgabe", "ziel", "thema"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_may_stand_before_its_text_or_above_it() {
        assert_eq!(labelled("Hello\n**Task:** Build it", &WHOLE), Some("Build it".to_owned()));
        assert_eq!(labelled("## Goal\n\nBuild it\nnow", &WHOLE), Some("Build it".to_owned()));
        assert_eq!(labelled("Your task t1: Build it", &PART), Some("Build it".to_owned()));
        assert_eq!(labelled("Tasks are many: yes", &WHOLE), None);
        assert_eq!(labelled("", &WHOLE), None);
    }

    #[test]
    fn an_order_before_the_request_is_left_out() {
        assert_eq!(first_line("\nAnalyze and break down: Build it"), Some("Build it".to_owned()));
        assert_eq!(first_line("Implement: 1. Build it"), Some("1. Build it".to_owned()));
        assert_eq!(first_line("Build it"), Some("Build it".to_owned()));
        assert_eq!(first_line(" \n"), None);
    }

    #[test]
    fn a_tag_holds_the_request() {
        assert_eq!(tagged("Do:\n<request> (data)\nBuild it\n</request>"), Some("Build it".to_owned()));
        assert_eq!(tagged("<goal>Build it</goal>"), Some("Build it".to_owned()));
        assert_eq!(tagged("none"), None);
    }
}
