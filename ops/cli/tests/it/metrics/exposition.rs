//! The text format of Prometheus, as far as a test needs it.

use std::collections::{BTreeMap, BTreeSet};

/// A family of series.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    /// The names of the labels that any of its series has.
    pub(super) labels: BTreeSet<String>,
    /// Labels and value of each series; of histograms, the number of observations.
    pub(super) samples: Vec<(BTreeMap<String, String>, f64)>,
}

impl Family {
    /// The sum of the series that have these labels.
    pub(super) fn value(&self, labels: &[(&str, &str)]) -> f64 {
        let matches = |sample: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| sample.get(*name).is_some_and(|own| own == value))
        };
        self.samples.iter().filter(|(sample, _)| matches(sample)).map(|(_, value)| value).sum()
    }
}

pub(super) fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family = families.entry(name.to_owned()).or_default();
            help.clone_into(&mut family.help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = families.entry(name.to_owned()).or_default();
            kind.clone_into(&mut family.kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let is_histogram =
                |base: &str| families.get(base).is_some_and(|family| family.kind == "histogram");
            let suffixes = ["_bucket", "_sum", "_count"];
            let of_histogram = suffixes.iter().find_map(|suffix| {
                let base = name.strip_suffix(suffix).filter(|base| is_histogram(base))?;
                Some((base, *suffix))
            });
            let (base, suffix) = of_histogram.unwrap_or((name, ""));
            let family = families.get_mut(base).unwrap();
            if matches!(suffix, "" | "_count") {
                let labels = parse(labels.strip_suffix('}').unwrap());
                family.labels.extend(labels.keys().cloned());
                family.samples.push((labels, value.parse().unwrap()));
            }
        }
    }
    families
}

/// Label names and values; none of the values of this service has a comma or a quotation mark.
fn parse(labels: &str) -> BTreeMap<String, String> {
    let pairs = labels.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('"').to_owned())
        })
        .collect()
}
