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
