//! What `docs/METRICS.md` says is what is exported.

use std::fmt::Write as _;

use bellwether_metrics::{MetricInfo, catalogue};

/// The row of a metric in the documentation's table.
fn row(info: &MetricInfo) -> String {
    let labels: Vec<String> = info.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}` | {} | {} | {} |", info.name, info.kind.as_str(), labels.join(", "), info.help)
}

#[test]
fn the_documentation_lists_every_metric_and_no_other() {
    let documented = include_str!("../../../docs/METRICS.md");
    let rows: Vec<&str> = documented.lines().filter(|line| line.starts_with("| `bellwether_")).collect();
    let wanted: Vec<String> = catalogue().iter().map(row).collect();
    let mut table = String::new();
    for row in &wanted {
        let _ = writeln!(table, "{row}");
    }
    assert_eq!(rows, wanted, "docs/METRICS.md should have these rows:\n{table}");
}

/// The names of metrics in a text, without what a histogram appends to them.
fn named(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let parts = ["_bucket", "_sum", "_count"];
    let family = |name: &'static MetricInfo, word: &str| {
        word == name.name || parts.iter().any(|part| word.strip_suffix(part) == Some(name.name))
    };
    words
        .filter(|word| word.starts_with("bellwether_"))
        .map(|word| catalogue().iter().find(|info| family(info, word)).map_or(word, |info| info.name))
        .collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let dashboard = include_str!("../../../docs/observability/dashboard.json");
    let alerts = include_str!("../../../docs/observability/alerts.yml");
    for (what, text) in [("the dashboard", dashboard), ("an alert", alerts)] {
        let names = named(text);
        assert!(names.len() > 8, "{what} names metrics");
        for name in names {
            assert!(catalogue().iter().any(|info| info.name == name), "{what} names {name}, which is not exported");
        }
    }
    let tests = include_str!("../../../docs/observability/alerts_test.yml");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}")), "{alert} is tried by a test");
    }
}
