//! Filter graphs in FFmpeg's syntax: composed only of our own names, our own paths, and numbers.

use ffapi_domain::media::{Micros, Source, Window};

mod audio;
mod video;

pub(crate) use self::{
    audio::{AudioGraph, Gain},
    video::{VideoGraph, cue_file, motion_file, rotation_filters, text_file, tonemap},
};

/// Builds the description of a graph, and the list of its inputs in the order `in0`, `in1`, ….
#[derive(Debug, Default)]
pub(crate) struct GraphBuilder {
    parts: Vec<String>,
    /// The source of each input of the graph.
    pub(crate) inputs: Vec<GraphInput>,
    labels: usize,
}

/// The source of an input of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphInput {
    /// A stream of an input file.
    Stream(Source),
    /// The palette that an earlier pass generated.
    Palette,
}

impl GraphBuilder {
    /// Adds an input of the graph; returns its label.
    fn add_input(&mut self, input: GraphInput) -> String {
        let label = format!("[in{}]", self.inputs.len());
        self.inputs.push(input);
        label
    }

    fn label(&mut self) -> String {
        self.labels = self.labels.saturating_add(1);
        format!("[m{}]", self.labels)
    }

    /// Adds a chain of filters to `from`, or the filter `empty` if there are none; returns the
    /// label of its output.
    fn chain(&mut self, from: &str, filters: &[String], empty: &str) -> String {
        let to = self.label();
        let filters = if filters.is_empty() { empty.to_owned() } else { filters.join(",") };
        self.parts.push(format!("{from}{filters}{to}"));
        to
    }

    /// The complete description; `from` through `filters` is the output of the graph.
    pub(crate) fn finish(mut self, from: &str, filters: &[String]) -> (String, Vec<GraphInput>) {
        self.parts.push(format!("{from}{}[out]", filters.join(",")));
        (self.parts.join(";"), self.inputs)
    }
}

/// Microseconds as seconds, exactly.
pub(crate) fn seconds(micros: Micros) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn window(window: Window) -> String {
    let start = format!("start={}", seconds(window.start));
    window.end.map_or(start.clone(), |end| format!("{start}:end={}", seconds(end)))
}

/// The option that enables a filter only during a window.
fn during(window: Option<Window>) -> String {
    let Some(Window { start, end }) = window else { return String::new() };
    let start = seconds(start);
    let until = end.map_or(String::new(), |end| format!("*lt(t,{})", seconds(end)));
    format!(":enable='gte(t,{start}){until}'")
}

/// The name of a graph input, without brackets.
pub(crate) fn input_name(number: usize) -> String {
    format!("in{number}")
}
