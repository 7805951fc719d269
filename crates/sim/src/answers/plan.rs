//! Plans: so many distinct tasks, drawn from what such a request is usually made of.

mod ideas;

use std::fmt::Write;

use serde_json::{Map, Value, json};

use self::ideas::Idea;
pub(super) use self::ideas::canonical_title;
use super::{MARK, Prompt, Speaker, subject};
use crate::scenario::{Answers, PlanForm};

pub(super) fn write(prompt: &Prompt, forms: &Answers) -> String {
    let request = subject::request(prompt);
    let ideas = ideas::pick(&request, forms.plan_tasks.clamp(1, 64));
    let as_json = || json_plan(&request, &ideas, &roles(prompt), forms.dependencies);
    match forms.plan {
        PlanForm::Auto if prompt.wants_json() => as_json(),
        PlanForm::Auto | PlanForm::List => list(&request, &ideas),
        PlanForm::Fenced => format!("Sure, here is the plan:\n\n```json\n{}\n```\n\nGood luck!\n\n{MARK}", as_json()),
        PlanForm::Garbage => GARBAGE.to_owned(),
        PlanForm::GarbageOnce if !prompt.messages.iter().any(|message| message.text.contains(GARBAGE_SIGN)) => {
            GARBAGE.to_owned()
        }
        PlanForm::GarbageOnce if prompt.wants_json() => as_json(),
        PlanForm::GarbageOnce => list(&request, &ideas),
        PlanForm::Json => as_json(),
    }
}

fn json_plan(request: &str, ideas: &[Idea], roles: &[String], dependencies: bool) -> String {
    let last = ideas.len() - 1;
    let tasks = ideas.iter().enumerate().map(|(index, idea)| {
        let depends_on: &[&str] = if dependencies && index == last && last >= 2 { &["t1"] } else { &[] };
        let mut task = Map::new();
        task.insert("id".to_owned(), json!(format!("t{}", index + 1)));
        task.insert("title".to_owned(), json!(idea.title));
        task.insert("objective".to_owned(), json!(idea.objective));
        task.insert("acceptance".to_owned(), json!(idea.acceptance));
        if let Some(role) = role_for(&idea.title, roles) {
            task.insert("role".to_owned(), json!(role));
        }
        task.insert("depends_on".to_owned(), json!(depends_on));
        task.insert("complexity".to_owned(), json!(idea.complexity));
        Value::Object(task)
    });
    let tasks: Vec<Value> = tasks.collect();
    let summary = format!("A plan in {} parts for: {request}", ideas.len());
    json!({ "summary": summary, "tasks": tasks, "simulated": true }).to_string()
}

fn list(request: &str, ideas: &[Idea]) -> String {
    let mut text = format!("Here is a plan in {} parts for: {request}\n\n", ideas.len());
    for (index, idea) in ideas.iter().enumerate() {
        writeln!(text, "{}. {}: {}", index + 1, idea.title, idea.objective).expect("writing to a string does not fail");
    }
    text + "\n" + MARK
}

/// The roles that a prompt offers: `one of ["coder", "tester"]`, or a line `Roles: coder, tester`.
fn roles(prompt: &Prompt) -> Vec<String> {
    let texts = prompt.said_by(Speaker::User).chain(prompt.said_by(Speaker::System));
    texts
        .map(|text| quoted_roles(text).unwrap_or_else(|| listed_roles(text)))
        .find(|roles| !roles.is_empty())
        .unwrap_or_default()
}

fn quoted_roles(text: &str) -> Option<Vec<String>> {
    let after = &text[text.find("\"role\"")?..];
    let inside = after.split_once("one of [")?.1.split_once(']')?.0;
    Some(
        inside
            .split(',')
            .map(|role| role.trim().trim_matches('"').to_owned())
            .filter(|role| !role.is_empty())
            .collect(),
    )
}

fn listed_roles(text: &str) -> Vec<String> {
    let mut lines = text.lines().map(str::trim);
    let is_heading = |line: &&str| {
        let (label, _) = line.split_once(':').unwrap_or(("", ""));
        ["roles", "available roles", "rollen"].contains(&label.to_lowercase().trim_start_matches(['#', ' ']))
    };
    let Some((_, rest)) = lines.find(|line| is_heading(line)).and_then(|line| line.split_once(':')) else {
        return Vec::new();
    };
    let name = |text: &str| -> String {
        let start = text.trim_start_matches(|c: char| !c.is_alphanumeric());
        start.chars().take_while(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
    };
    let names: Vec<String> = if rest.trim().is_empty() {
        lines.take_while(|line| line.starts_with(['-', '*'])).map(name).collect()
    } else {
        rest.split(',').map(name).collect()
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Tests go to a tester, the rest to whoever writes code; the first role offered if no name tells.
fn role_for<'a>(title: &str, roles: &'a [String]) -> Option<&'a str> {
    let wanted: &[&str] = if title.to_lowercase().contains("test") { &["test", "qa"] } else { &[] };
    let makers = ["cod", "engineer", "develop", "work", "implement", "program"];
    let named = |parts: &[&str]| roles.iter().find(|role| parts.iter().any(|part| role.to_lowercase().contains(part)));
    named(wanted).or_else(|| named(&makers)).or_else(|| roles.first()).map(String::as_str)
}

const GARBAGE_SIGN: &str = "I would rather talk about the weather";
const GARBAGE: &str =
    "I would rather talk about the weather { \"tasks\": [ and so on and so forth.\n\n(simulated answer)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_that_a_prompt_offers_are_used() {
        let quoted = "{\"id\": \"a\", \"role\": one of [\"coder\", \"tester\"], \"x\": 1}";
        assert_eq!(quoted_roles(quoted), Some(vec!["coder".to_owned(), "tester".to_owned()]));
        assert_eq!(listed_roles("x\nRoles: coder (writes), tester"), ["coder", "tester"]);
        assert_eq!(listed_roles("## Available roles:\n- coder: writes\n- tester\n\nend"), ["coder", "tester"]);
        assert_eq!(listed_roles("no such line"), Vec::<String>::new());
        let roles = ["tester".to_owned(), "coder".to_owned()];
        assert_eq!(role_for("Write the tests", &roles), Some("tester"));
        assert_eq!(role_for("Define the interface", &roles), Some("coder"));
        assert_eq!(role_for("Define the interface", &[]), None);
    }
}
