//! The tables in `docs/` name only tests that exist.

use std::path::Path;

/// Each table, and how many rows it has.
const TABLES: [(&str, usize); 2] = [("DEFECTS.md", 36), ("COMPLAINTS.md", 25)];

#[test]
fn every_test_that_a_table_names_exists() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, rows) in TABLES {
        let text = std::fs::read_to_string(docs.join(name)).expect("the table is there");
        let numbered = |line: &&str| line.trim_start_matches("| ").starts_with(|c: char| c.is_ascii_digit());
        let table: Vec<&str> = text.lines().filter(numbered).collect();
        assert_eq!(table.len(), rows, "{name}");
        for row in table {
            let links: Vec<&str> = row.split("[`").skip(1).collect();
            assert!(!links.is_empty(), "{name}: no test keeps this away: {row}");
            for link in links {
                let (test, rest) = link.split_once("`](").expect("a link names a test");
                let (path, _) = rest.split_once(')').expect("and says where it is");
                let source = std::fs::read_to_string(docs.join(path)).unwrap_or_default();
                assert!(source.contains(&format!("fn {test}(")), "{name}: {test} is not in {path}");
            }
        }
    }
}
