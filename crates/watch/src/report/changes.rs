//! What changed between two rounds of a task's work, by line.

use std::fmt::Write as _;

use crate::text::html as safe;

/// Where a line of two texts is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Row<'a> {
    /// In the later one.
    Added(&'a str),
    /// In both.
    Kept(&'a str),
    /// In the earlier one.
    Removed(&'a str),
}

/// The lines of two texts in order, by their longest common subsequence; `None` where too many differ.
pub(super) fn changes<'a>(before: &'a str, after: &'a str) -> Option<Vec<Row<'a>>> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
    let begin = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let ((kept, a), b) = (a.split_at(begin), &b[begin..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let ((a, rest), b) = (a.split_at(a.len() - end), &b[..b.len() - end]);
    if a.len().max(b.len()) > MOST {
        return None;
    }
    let mut rows: Vec<Row<'a>> = kept.iter().map(|line| Row::Kept(line)).collect();
    rows.extend(differ(a, b));
    rows.extend(rest.iter().map(|line| Row::Kept(line)));
    Some(rows)
}

fn differ<'a>(a: &[&'a str], b: &[&'a str]) -> Vec<Row<'a>> {
    // How many lines the rests from each pair of lines on have in common.
    let wide = b.len() + 1;
    let mut common = vec![0_u16; (a.len() + 1) * wide];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * wide + j] = if a[i] == b[j] {
                common[(i + 1) * wide + j + 1] + 1
            } else {
                common[(i + 1) * wide + j].max(common[i * wide + j + 1])
            };
        }
    }
    let (mut i, mut j, mut rows) = (0, 0, Vec::with_capacity(a.len().max(b.len())));
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            rows.push(Row::Kept(a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || i < a.len() && common[(i + 1) * wide + j] >= common[i * wide + j + 1] {
            rows.push(Row::Removed(a[i]));
            i += 1;
        } else {
            rows.push(Row::Added(b[j]));
            j += 1;
        }
    }
    rows
}

/// As a part of a page: how many lines, and folded up which ones, with a few around each change.
pub(super) fn html(before: &str, after: &str) -> String {
    let Some(rows) = changes(before, after) else {
        return format!("<p class=\"hint\">more than {MOST} lines differ from the round before</p>");
    };
    let count = |which: fn(&Row<'_>) -> bool| rows.iter().filter(|row| which(row)).count();
    let told: Vec<String> = [
        (count(|row| matches!(row, Row::Added(_))), "added"),
        (count(|row| matches!(row, Row::Removed(_))), "removed"),
    ]
    .into_iter()
    .filter(|(many, _)| *many > 0)
    .map(|(many, what)| format!("{many} line{} {what}", if many == 1 { "" } else { "s" }))
    .collect();
    if told.is_empty() {
        return "<p class=\"hint\">nothing changed since the round before</p>".to_owned();
    }
    let mut page = format!("<details><summary>{} since the round before</summary><pre dir=\"auto\">", told.join(", "));
    let near = near(&rows);
    let mut same = 0_usize;
    for (row, near) in rows.iter().zip(near) {
        match row {
            Row::Kept(_) if !near => same += 1,
            row => {
                page.push_str(&skipped(std::mem::take(&mut same)));
                let (tag, sign, line) = match row {
                    Row::Added(line) => ("ins", '+', line),
                    Row::Kept(line) => ("span", ' ', line),
                    Row::Removed(line) => ("del", '−', line),
                };
                let _ = writeln!(page, "<{tag} class=\"row\">{sign} {}</{tag}>", safe(line));
            }
        }
    }
    page.push_str(&skipped(same));
    page.push_str("</pre></details>");
    page
}

/// Which lines lie near a change.
fn near(rows: &[Row<'_>]) -> Vec<bool> {
    let mut near = vec![false; rows.len()];
    for n in (0..rows.len()).filter(|n| !matches!(rows[*n], Row::Kept(_))) {
        near[n.saturating_sub(AROUND)..rows.len().min(n + AROUND + 1)].fill(true);
    }
    near
}

/// What is the same far from any change is only counted.
fn skipped(lines: usize) -> String {
    match lines {
        0 => String::new(),
        1 => "<span class=\"row hint\">⋯ a line the same</span>\n".to_owned(),
        lines => format!("<span class=\"row hint\">⋯ {lines} lines the same</span>\n"),
    }
}

/// How many lines may differ for them to be compared.
const MOST: usize = 2_000;
/// How many lines around a change are shown with it.
const AROUND: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Option<Vec<String>> {
        let told = |row: &Row<'_>| match row {
            Row::Added(line) => format!("+{line}"),
            Row::Kept(line) => format!(" {line}"),
            Row::Removed(line) => format!("−{line}"),
        };
        changes(before, after).map(|rows| rows.iter().map(told).collect())
    }

    #[test]
    fn the_lines_of_two_texts_are_kept_added_or_removed() {
        for (before, after, rows) in [
            ("a\nb\nc", "a\nb\nc", &[" a", " b", " c"][..]),
            ("a\nb\nc", "a\nx\nc", &[" a", "−b", "+x", " c"]),
            ("a\nb\na\nc", "b\na\nc\nc", &["−a", " b", " a", "+c", " c"]),
            ("a", "a\nb\na", &[" a", "+b", "+a"]),
            ("a\nb\na", "a", &[" a", "−b", "−a"]),
            ("", "", &[" "]),
            ("", "a", &["−", "+a"]),
        ] {
            assert_eq!(told(before, after).expect("they are short"), rows, "from {before:?} to {after:?}");
        }
    }

    #[test]
    fn where_very_many_lines_differ_they_are_not_compared() {
        let many = |letter: char, count: usize| (0..count).map(|n| format!("{letter}{n}\n")).collect::<String>();
        assert_eq!(told(&many('a', 1_999), &many('b', 1_999)).map(|rows| rows.len()), Some(2 * 1_999 + 1));
        assert_eq!(told(&many('a', 2_001), "b\n"), None);
        assert!(told(&(many('a', 9_000) + "x"), &(many('a', 9_000) + "y")).is_some(), "what is the same costs nothing");
        assert!(html(&many('a', 2_001), "b\n").contains("more than 2000 lines differ"));
    }

    #[test]
    fn a_change_is_shown_with_a_few_lines_around_it() {
        let lines = |changed: &str| {
            (0..20).map(|n| if n == 10 { format!("{changed}\n") } else { format!("l{n}\n") }).collect::<String>()
        };
        let page = html(&lines("<b>"), &lines("<i>"));
        assert!(page.contains("<summary>1 line added, 1 line removed since the round before</summary>"), "{page}");
        assert!(page.contains("⋯ 7 lines the same") && page.contains("  l7<") && !page.contains(" l6<"), "{page}");
        assert!(page.contains("<del class=\"row\">− &lt;b&gt;</del>\n<ins class=\"row\">+ &lt;i&gt;</ins>"), "{page}");
        assert!(html("a", "a").contains("nothing changed"));
    }
}
