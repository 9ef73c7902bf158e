//! The text format `OpenMetrics`, version 1.0.0. The crate `prometheus` writes only the older one.

use std::fmt::Write;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars, Labels};

pub(super) const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// True if a client that sends this `Accept` header can read the format.
pub(super) fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_format = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
        // A later version is another format.
        is_format && !parts.any(|part| part.starts_with("version=") && !part.ends_with("1.0.0"))
    })
}

pub(super) fn encode(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut text = String::new();
    for family in families {
        // Writing to a string cannot fail.
        let _ = write_family(&mut text, family, exemplars);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    exemplars: &Exemplars,
) -> std::fmt::Result {
    let kind = family.get_field_type();
    let name = match kind {
        MetricType::COUNTER => family.name().strip_suffix("_total").unwrap_or(family.name()),
        _ => family.name(),
    };
    let type_name = match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        // No instrument is exported as any other type.
        _ => return Ok(()),
    };
    writeln!(text, "# TYPE {name} {type_name}")?;
    if let Some(unit) = ["seconds", "bytes", "ratio"].into_iter().find(|unit| has_unit(name, unit))
    {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    writeln!(text, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = labels(metric.get_label());
        match kind {
            MetricType::COUNTER => {
                write_sample(
                    text,
                    &format!("{name}_total"),
                    &labels,
                    metric.get_counter().get_value(),
                )?;
            }
            MetricType::GAUGE => write_sample(text, name, &labels, metric.get_gauge().get_value())?,
            _ => {
                let histogram = metric.get_histogram();
                let separator = if labels.is_empty() { "" } else { "," };
                let examples = exemplars.of(name, &label_map(metric.get_label()));
                let mut examples = examples.into_iter().flatten();
                let bounded = histogram.get_bucket().iter();
                let bounded = bounded.map(|b| (number(b.upper_bound()), b.cumulative_count()));
                let last = ("+Inf".to_owned(), histogram.get_sample_count());
                for (bound, count) in bounded.chain([last]) {
                    write!(text, "{name}_bucket{{{labels}{separator}le=\"{bound}\"}} {count}")?;
                    if let Some(example) = examples.next().flatten() {
                        write_exemplar(text, &example)?;
                    }
                    text.push('\n');
                }
                write_sample(text, &format!("{name}_sum"), &labels, histogram.get_sample_sum())?;
                let braced = braced(&labels);
                writeln!(text, "{name}_count{braced} {}", histogram.get_sample_count())?;
            }
        }
    }
    Ok(())
}

fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

fn write_sample(text: &mut String, name: &str, labels: &str, value: f64) -> std::fmt::Result {
    writeln!(text, "{name}{} {}", braced(labels), number(value))
}

fn write_exemplar(text: &mut String, exemplar: &Exemplar) -> std::fmt::Result {
    let Exemplar { value, trace, span, at } = exemplar;
    let value = number(*value);
    write!(text, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {at:.3}")
}

fn label_map(pairs: &[LabelPair]) -> Labels {
    pairs.iter().map(|pair| (pair.name().to_owned(), pair.value().to_owned())).collect()
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn labels(pairs: &[LabelPair]) -> String {
    let pairs = pairs.iter().map(|pair| format!("{}=\"{}\"", pair.name(), escaped(pair.value())));
    pairs.collect::<Vec<_>>().join(",")
}

/// A number as the format's canonical form: with a decimal point.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() { "NaN".to_owned() } else { format!("{value:?}") }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use prometheus::{Counter, Gauge, Histogram, HistogramOpts, Opts, Registry};

    use super::*;

    #[test]
    fn families_are_written_as_the_format_wants_them() {
        let registry = Registry::new();
        let counter = Opts::new("work_seconds_total", "Work").const_label("kind", "a\"b");
        let counter = Counter::with_opts(counter).unwrap();
        let gauge = Gauge::new("free", "Free").unwrap();
        let buckets = HistogramOpts::new("size_bytes", "Size").buckets(vec![1.0, 2.5]);
        let histogram = Histogram::with_opts(buckets).unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        registry.register(Box::new(gauge)).unwrap();
        registry.register(Box::new(histogram.clone())).unwrap();
        counter.inc_by(1.5);
        histogram.observe(2.0);
        let expected = "\
# TYPE free gauge
# HELP free Free
free 0.0
# TYPE size_bytes histogram
# UNIT size_bytes bytes
# HELP size_bytes Size
size_bytes_bucket{le=\"1.0\"} 0
size_bytes_bucket{le=\"2.5\"} 1
size_bytes_bucket{le=\"+Inf\"} 1
size_bytes_sum 2.0
size_bytes_count 1
# TYPE work_seconds counter
# UNIT work_seconds seconds
# HELP work_seconds Work
work_seconds_total{kind=\"a\\\"b\"} 1.5
# EOF
";
        assert_eq!(encode(&registry.gather(), &Exemplars::default()), expected);
    }

    #[test]
    fn prometheus_is_given_the_format_that_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert!(is_accepted(prometheus));
        assert!(is_accepted("text/plain, application/openmetrics-text"));
        assert!(!is_accepted("application/openmetrics-text; version=2.0.0"));
        assert!(!is_accepted("text/plain; version=0.0.4, */*"));
    }
}
