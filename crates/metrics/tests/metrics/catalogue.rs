//! The table of metrics and the text agree, and both keep Prometheus' rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_core::{Call, Class, ErrorKind, Fact, RunId, RunOutcome};
use bellwether_metrics::{Exporter, MetricKind, MetricsObserver, Observer, Unit, catalogue};

use crate::story::{self, call, text_after};
use crate::text::Text;

#[test]
fn everything_exported_is_in_the_catalogue_and_the_other_way_round() {
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    exporter.record(|| story::everything().iter().for_each(|fact| observer.observe(fact)));
    story::standing(&exporter);
    let text = Text::read(&exporter.render());
    let listed: BTreeSet<_> = catalogue().iter().map(|info| info.name).collect();
    let exported: BTreeSet<_> = text.kinds.keys().map(String::as_str).collect();
    assert_eq!(exported, listed, "the story has every kind of fact in it");
    for info in catalogue() {
        assert_eq!(text.kinds[info.name], info.kind.as_str(), "{}", info.name);
        assert_eq!(text.help[info.name], info.help, "{}", info.name);
    }
    for sample in &text.samples {
        let (family, part) = sample.family(&text.kinds);
        let info = catalogue().iter().find(|info| info.name == family).expect("it is listed");
        let labels: Vec<_> =
            sample.labels.keys().map(String::as_str).filter(|key| part.is_empty() || *key != "le").collect();
        assert_eq!(labels, info.labels, "{}", sample.name);
    }
}

/// The rules `promtool check metrics` has for names, help texts and units.
#[test]
fn names_keep_the_rules_of_prometheus() {
    let foreign_units = ["milliseconds", "ms", "minutes", "hours", "percent", "kilobytes", "megabytes", "nanoseconds"];
    let names: Vec<_> = catalogue().iter().map(|info| info.name).collect();
    assert!(names.is_sorted() && names.len() == names.iter().collect::<BTreeSet<_>>().len(), "by name, each once");
    for info in catalogue() {
        let name = info.name;
        assert!(name.starts_with("bellwether_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), info.kind == MetricKind::Counter, "{name}: counters and only they");
        for part in ["_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(part), "{name}: this belongs to histograms");
        }
        assert!(!name.contains(info.kind.as_str()), "{name}: a name does not say its kind");
        assert!(!name.split('_').any(|word| foreign_units.contains(&word)), "{name}: base units only");
        assert_eq!(name.contains("seconds"), info.unit == Some(Unit::Seconds), "{name}: unit and name agree");
        assert!(info.help.ends_with('.') && !info.help.contains('\n'), "{name}: help is a sentence");
        for label in info.labels {
            assert!(label.chars().all(|c| c.is_ascii_lowercase()), "{name}: {label}");
            assert!(!["le", "quantile"].contains(label) && info.labels.is_sorted(), "{name}: {label}");
        }
        if let MetricKind::Histogram(bounds) = info.kind {
            assert!(bounds.is_sorted_by(|a, b| a < b) && bounds.len() <= 15, "{name}: {bounds:?}");
        }
    }
}

#[test]
fn no_id_and_no_text_becomes_a_label() {
    let text = text_after(&story::everything());
    assert!(!text.contains("secret"), "{text}");
}

fn named(n: usize) -> Fact {
    let plain = call("m", Class::Standard);
    let mut context = plain.context.clone();
    context.flow.role = format!("role-{n}").into();
    context.flow.team = format!("team-{n}").into();
    let (model, provider) = (format!("model-{n}").into(), format!("provider-{n}").into());
    Fact::CallFailed {
        call: Arc::new(Call { context, model, provider, demand: plain.demand }),
        kind: ErrorKind::Upstream,
        took: std::time::Duration::ZERO,
    }
}

#[test]
fn however_many_names_come_along_the_series_are_bounded() {
    let run = |n: usize| Fact::RunFinished {
        run: RunId::from("r"),
        team: format!("team-{n}").into(),
        outcome: RunOutcome::Succeeded,
        took: std::time::Duration::ZERO,
    };
    let facts: Vec<_> = (0..1_000).flat_map(|n| [named(n), run(n)]).collect();
    let text = Text::read(&text_after(&facts));
    for (name, label) in [
        ("bellwether_calls_total", "model"),
        ("bellwether_calls_total", "provider"),
        ("bellwether_calls_total", "role"),
        ("bellwether_runs_total", "team"),
    ] {
        let values = text.label_values(name, label);
        assert_eq!(values.len(), 101, "{name} {label}");
        assert!(values.contains("other") && values.contains(format!("{label}-99").as_str()));
    }
    let other = [("model", "other"), ("outcome", "upstream"), ("provider", "other"), ("role", "other")];
    assert_eq!(text.value("bellwether_calls_total", &other), Some(900.0), "what is not named is still counted");
}

/// The exporter's library takes a backslash for the beginning of an escape: of the first four names it made two.
#[test]
fn names_with_quotes_backslashes_and_line_ends_stay_one_label_each_and_differ() {
    let names = [
        (r#"a"b"#, r#"a\"b"#),
        (r#"a\"b"#, r#"a\\\"b"#),
        (r"a\b", r"a\\b"),
        (r"a\\b", r"a\\\\b"),
        ("a\\\nb", r"a\\\nb"),
        (r"a\nb", r"a\\nb"),
        ("a\"} 1\nbellwether_forged_total 7", r#"a\"} 1\nbellwether_forged_total 7"#),
        ("\\", r"\\"),
        ("黑羊,\r\t{}", "黑羊,\r\t{}"),
        ("", ""),
    ];
    let of = |name: &str| {
        let mut call = (*call("m", Class::Standard)).clone();
        call.model = name.into();
        let kind = ErrorKind::Upstream;
        Fact::CallFailed { call: Arc::new(call), kind, took: std::time::Duration::ZERO }
    };
    let text = text_after(&names.map(|(name, _)| of(name)));
    for (name, written) in names {
        let line = format!("bellwether_wasted_tokens_total{{model=\"{written}\",reason=\"failed\"}} 600");
        assert_eq!(text.split('\n').filter(|have| **have == line).count(), 1, "{name:?} in {text}");
    }
    assert!(!text.lines().any(|line| line.starts_with("bellwether_forged_total")), "{text}");
}

#[test]
fn ten_thousand_runs_make_no_more_than_five_hundred_series() {
    let (exporter, observer) = (Exporter::local(), MetricsObserver::new());
    exporter.record(|| {
        for n in 0..10_000_u32 {
            let run = RunId::from(format!("run-{n}"));
            // Everything that can happen, again and again; most of the time, a call and what becomes of it.
            let facts = if n % 200 == 0 { story::everything() } else { story::hard_call() };
            for fact in facts {
                observer.observe(&story::of_run(fact, &run));
            }
        }
    });
    story::standing(&exporter);
    let series = Text::read(&exporter.render()).samples.len();
    assert!(series <= 500, "{series} series");
}
