//! What a model says, made safe to show.

/// A text without characters that could act on whoever shows it: control characters, which include the beginning of
/// every escape sequence, and characters that turn the direction of writing. Line breaks and tabs stay.
#[must_use]
pub fn plain(text: &str) -> String {
    let harmless = |c: &char| match *c {
        '\n' | '\t' => true,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        c => !c.is_control(),
    };
    text.chars().filter(harmless).collect()
}

/// The first line of a text, safe to show, cut to so many characters.
#[must_use]
pub fn line(text: &str, most: usize) -> String {
    let text = plain(text);
    cut(text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default(), most)
}

/// A text cut to so many characters; the cut is marked.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A text as it stands in HTML, between tags and in quoted attributes alike.
#[must_use]
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A text as Markdown shows it word for word: every character that could mean something is escaped.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut begun = false;
    let text = plain(text);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => safe.push(' '),
            // Entities, because a backslash before a character of HTML does not reach every reader.
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // So do names that begin so.
            '.' if safe.len() >= 3 && safe.as_bytes()[safe.len() - 3..].eq_ignore_ascii_case(b"www") => {
                safe.push_str("\\.")
            }
            '.' | ',' | ';' | '?' | '%' | '\'' | '"' | '/' => safe.push(c),
            // They mean something at the beginning of a line, or after a bracket, which is escaped.
            '(' | ')' | '+' | '-' | '=' if begun => safe.push(c),
            // Addresses become links by themselves.
            ':' if chars.peek() != Some(&'/') => safe.push(c),
            c if c.is_ascii_punctuation() => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
        begun |= c.is_alphanumeric();
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_sequence_survives() {
        let hostile = "a\u{1b}]52;c;eA==\u{7}b\u{9b}31mc\u{202e}d\u{61c}\r\n\te\u{8}\0";
        assert_eq!(plain(hostile), "a]52;c;eA==b31mcd\n\te");
    }

    #[test]
    fn html_is_shown_and_not_obeyed() {
        assert_eq!(html("<img src=x onerror='a(\"&\")'>"), "&lt;img src=x onerror=&#39;a(&quot;&amp;&quot;)&#39;&gt;");
    }

    #[test]
    fn markdown_is_shown_and_not_obeyed() {
        assert_eq!(markdown("![x](http://evil/?q=1)"), "\\!\\[x\\](http\\://evil/?q=1)");
        assert_eq!(markdown("- claude-opus-4-5 (1)"), "\\- claude-opus-4-5 (1)", "what means nothing stays readable");
        assert_eq!(markdown("at 127.0.0.1:9: no"), "at 127.0.0.1:9: no");
        assert_eq!(
            markdown("see WWW.evil.example"),
            "see WWW\\.evil.example",
            "a name that would become a link by itself"
        );
        assert_eq!(markdown(" ===\n---"), " \\=\\=\\= \\-\\-\\-");
        assert_eq!(markdown("<b>|`\n# h"), "&lt;b&gt;\\|\\` \\# h");
    }

    #[test]
    fn a_cut_is_marked_and_counts_characters() {
        assert_eq!((cut("äöü", 3), cut("äöü", 2)), ("äöü".to_owned(), "ä…".to_owned()));
        assert_eq!(line("\n  one\ntwo", 10), "one");
    }
}
