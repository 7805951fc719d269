//! Reads Prometheus' text format, as strictly as the tests need it.

use std::collections::{BTreeMap, BTreeSet};

/// Labels and their values.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// What a text says.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) help: BTreeMap<String, String>,
    pub(crate) kinds: BTreeMap<String, String>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

impl Text {
    pub(crate) fn read(text: &str) -> Self {
        let mut read = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let about = |rest: &str| {
                let (name, what) = rest.split_once(' ').expect("a comment names a metric");
                (name.to_owned(), what.to_owned())
            };
            if let Some(rest) = line.strip_prefix("# HELP ") {
                read.help.extend([about(rest)]);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                read.kinds.extend([about(rest)]);
            } else {
                read.samples.push(Sample::read(line));
            }
        }
        read
    }

    /// The value of the series with exactly these labels.
    pub(crate) fn value(&self, name: &str, labels: Labels<'_>) -> Option<f64> {
        let wanted: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.samples.iter().find(|sample| sample.name == name && sample.labels == wanted).map(|sample| sample.value)
    }

    /// All values that a label of a metric has.
    pub(crate) fn label_values(&self, name: &str, label: &str) -> BTreeSet<&str> {
        let of_metric = self.samples.iter().filter(|sample| sample.name == name);
        of_metric.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }
}

impl Sample {
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels are closed")),
            None => (series, ""),
        };
        // No value in these tests has a comma or a quote in it.
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').expect("a label has a value");
            (key.to_owned(), value.trim_matches('"').to_owned())
        });
        Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().expect("a value is a number") }
    }

    /// The metric it belongs to, and what of a histogram it is.
    pub(crate) fn family<'a>(&'a self, kinds: &BTreeMap<String, String>) -> (&'a str, &'a str) {
        for part in ["_bucket", "_count", "_sum"] {
            if let Some(family) = self.name.strip_suffix(part)
                && kinds.get(family).is_some_and(|kind| kind == "histogram")
            {
                return (family, part);
            }
        }
        (&self.name, "")
    }
}
