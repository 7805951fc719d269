//! Writing for people: colour on a terminal only, and never a control sequence that a model wrote.

use std::io::{self, IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Style};

/// Writes to standard output. A reader that has gone away is no failure.
pub(crate) fn out(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
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

/// Cuts a text to a width, marking the cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Whether standard output may be coloured.
pub(crate) fn colourful() -> bool {
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
    use super::plain;

    #[test]
    fn no_escape_sequence_survives() {
        let hostile = "a\u{1b}]52;c;eA==\u{7}b\u{9b}31mc\u{202e}d\r\ne\u{8}";
        assert_eq!(plain(hostile, false), "a]52;c;eA==b31mcde");
        assert_eq!(plain("a\r\n\tb", true), "a\n\tb");
    }
}
