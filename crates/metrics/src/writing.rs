//! Prometheus' text format: a line a sample.

use std::fmt::{Display, Write as _};

use metrics::Key;

use crate::names::MetricInfo;

/// Writes what a metric is.
pub(crate) fn head(text: &mut String, info: &MetricInfo) {
    let MetricInfo { name, help, .. } = info;
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", info.kind.as_str());
}

/// The labels of a series, as they stand between braces.
///
/// Not the exporter library's: it takes a backslash in a value for the beginning of an escape, so that different values
/// become one, and the same series comes twice.
pub(crate) fn labels(key: &Key) -> String {
    let mut text = String::new();
    for label in key.labels() {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{}=\"", label.key());
        for c in label.value().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '"' | '\\' => text.extend(['\\', c]),
                _ => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

/// Writes a sample of a metric, or of a part of it.
pub(crate) fn sample(text: &mut String, name: &str, part: &str, labels: &str, value: impl Display) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name}{part} {value}")
    } else {
        writeln!(text, "{name}{part}{{{labels}}} {value}")
    };
}
