//! Pieces of work: a short explanation and some code, and what became of a reviewer's issues.

use std::fmt::Write;

use super::{MARK, Prompt, Speaker, code, subject};

pub(super) fn write(prompt: &Prompt) -> String {
    let issues = issues(prompt);
    let title = subject::task(prompt, !issues.is_empty());
    let language = code::Language::of(prompt);
    let sample = code::sample(&title, language);
    let mut text = format!("{TITLE}{title}\n\n{}\n\n", sample.explanation);
    if !issues.is_empty() {
        let _infallible = writeln!(text, "{REVISED} is addressed.");
        for issue in &issues {
            let _infallible = writeln!(text, "- addressed: {issue}");
        }
        text.push('\n');
    }
    let _infallible = writeln!(text, "```{}\n{}\n```\n", language.name(), sample.code.trim());
    text.push_str(
        "The caller decides how often and how long; nothing here waits without a bound or hides a failure.\n\n",
    );
    text + MARK
}

/// The title of the simulated work that `text` contains.
pub(super) fn title_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(TITLE)?;
    // It may be quoted inside of JSON, where a line ends with a backslash.
    rest.split(['\n', '\\', '"']).next()
}

/// Whether `text` contains simulated work that has been revised.
pub(super) fn is_revision(text: &str) -> bool {
    text.contains(REVISED) || text.lines().any(|line| line.trim_start().starts_with(REVISION))
}

/// The issues that the latest message asks to address: the points below a line such as "Address these issues:", or the
/// `fix` entries of a verdict in JSON. None if it does not ask for a revision.
fn issues(prompt: &Prompt) -> Vec<String> {
    let Some(latest) = prompt.said_by(Speaker::User).next_back() else { return Vec::new() };
    let mut lines = latest.lines().map(str::trim);
    let asks = |line: &&str| {
        let lower = line.to_lowercase();
        line.ends_with(':') && !line.starts_with(REVISION) && ASKING.iter().any(|word| lower.contains(word))
    };
    let points: Vec<String> = match lines.find(|line| asks(line)) {
        Some(_) => lines.skip_while(|line| line.is_empty()).map_while(point).collect(),
        None => Vec::new(),
    };
    let points = if points.is_empty() { fixes(latest) } else { points };
    points.into_iter().take(MOST_ISSUES).collect()
}

fn point(line: &str) -> Option<String> {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked =
        if digits.len() < line.len() { digits.strip_prefix(['.', ')']) } else { line.strip_prefix(['-', '*', '•']) };
    marked.map(|text| subject::clip(text, LONGEST_ISSUE))
}

/// The `fix` entries of a verdict that is quoted as JSON.
fn fixes(text: &str) -> Vec<String> {
    let quoted = text.split("\"fix\":").skip(1);
    let read = quoted.filter_map(|rest| serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok());
    read.map(|fix| subject::clip(&fix, LONGEST_ISSUE)).collect()
}

const ASKING: [&str; 8] =
    ["issues", "revise", "feedback", "review comments", "findings", "mängel", "überarbeit", "beanstand"];
const LONGEST_ISSUE: usize = 160;
const MOST_ISSUES: usize = 16;
const REVISED: &str = "Revision: every point that came back";
const REVISION: &str = "Revision:";
const TITLE: &str = "Implementation of: ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{Format, Message};

    fn issues_in(text: &str) -> Vec<String> {
        let message = Message { speaker: Speaker::User, text: text.to_owned() };
        issues(&Prompt { format: Format::Text, messages: vec![message] })
    }

    #[test]
    fn issues_are_the_points_below_the_line_that_asks() {
        assert_eq!(issues_in("Address these issues:\n- one\n2. two\n\nAnswer"), ["one", "two"]);
        assert_eq!(issues_in("Bitte überarbeiten:\n\n* eins"), ["eins"]);
        assert_eq!(issues_in("{\"issues\":[{\"fix\": \"one \\\"x\\\"\"},{\"fix\":\"two\"}]}"), ["one \"x\"", "two"]);
    }

    #[test]
    fn a_request_about_issues_is_not_a_revision() {
        assert_eq!(issues_in("Build an issue tracker that lists issues.\n- fast"), Vec::<String>::new());
        assert_eq!(issues_in("The work is judged by:\n- speed"), Vec::<String>::new());
    }
}
