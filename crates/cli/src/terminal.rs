//! Writing for people: colour on a terminal only, and never a control sequence that a model wrote.

use std::io::{self, IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Style};
use console::{Term, measure_text_width, truncate_str};

/// What standard output can show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    /// Whether it may be coloured.
    pub(crate) colour: bool,
    /// How many columns it has; `None` if nothing is too wide for it, as in a file.
    pub(crate) columns: Option<usize>,
}

impl Paper {
    /// Standard output as it is now.
    pub(crate) fn of_output() -> Self {
        let columns = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)).filter(|n| *n > 0);
        Self { colour: colourful(), columns: columns.filter(|_| io::stdout().is_terminal()) }
    }
}

/// Writes to standard output. A reader that has gone away is no failure.
pub(crate) fn out(text: &str) {
    let _ = offer(text);
}

/// Writes to standard output, and says if nobody reads it any more.
pub(crate) fn offer(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what to do about what went wrong, as a failure does.
pub(crate) fn advise(remedy: Option<&str>) {
    if let Some(remedy) = remedy {
        note(&format!("  try: {remedy}"));
    }
}

/// A model's text made safe to show: control characters, which include every escape sequence's beginning, and
/// characters that turn the direction of writing are left out. With `lines`, line breaks and tabs stay.
pub(crate) fn plain(text: &str, lines: bool) -> String {
    let harmless = |c: &char| match *c {
        '\n' | '\t' => lines,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(harmless).collect()
}

/// Cuts a text to so many columns, marking the cut.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    truncate_str(text, columns, "…").into_owned()
}

/// A line broken between words so that no part takes more than `columns`; all but the first are indented. A word that is
/// longer than that is left whole: whoever copies it wants it so.
pub(crate) fn wrap(line: &str, columns: usize, indent: usize) -> String {
    let (mut text, mut used, mut room) = (String::new(), 0, columns);
    for (n, word) in line.split(' ').enumerate() {
        let long = measure_text_width(word);
        if used + usize::from(n > 0) + long > room && used > 0 {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            (used, room) = (0, columns.saturating_sub(indent));
        } else if n > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += long;
    }
    text
}

/// Whether standard output may be coloured.
fn colourful() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// `text` in a colour, if `on`.
pub(crate) fn paint(text: &str, colour: AnsiColor, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::{cut, plain, wrap};

    #[test]
    fn a_line_is_broken_between_words_and_nothing_is_lost() {
        let line = "Run:       01a22b70-6359-72df (a team)";
        assert_eq!(wrap(line, 80, 4), line);
        assert_eq!(wrap(line, 28, 4), "Run:\n    01a22b70-6359-72df (a\n    team)");
        assert_eq!(wrap("非常に 非常に", 8, 2), "非常に\n  非常に", "characters can take two columns");
        assert_eq!(wrap("a-long-word b", 5, 1), "a-long-word\n b");
    }

    #[test]
    fn a_cut_counts_columns() {
        assert_eq!((cut("äöü", 3), cut("äöü", 2)), ("äöü".to_owned(), "ä…".to_owned()));
        assert_eq!(cut("非常に", 5), "非常…");
    }

    #[test]
    fn no_escape_sequence_survives() {
        let hostile = "a\u{1b}]52;c;eA==\u{7}b\u{9b}31mc\u{202e}d\r\ne\u{8}";
        assert_eq!(plain(hostile, false), "a]52;c;eA==b31mcde");
        assert_eq!(plain("a\r\n\tb", true), "a\n\tb");
    }
}
