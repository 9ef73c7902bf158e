//! Filter chains in FFmpeg's own syntax: made of our names, our paths and numbers only.

use ffapi_domain::media::{Micros, Source, Window};

mod picture;
mod sound;

pub(super) use self::{
    picture::{VideoGraph, cue_file, motion_file, text_file, tonemap, turned},
    sound::{AudioGraph, Gain},
};

/// A graph's text, and the streams that it is fed, in the order of its `in0`, `in1`, ….
#[derive(Debug, Default)]
pub(super) struct Script {
    parts: Vec<String>,
    /// What each input of the graph is fed.
    pub(super) feeds: Vec<Fed>,
    labels: usize,
}

/// What an input of a graph is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// A stream of an input.
    Stream(Source),
    /// The palette that a pass before found.
    Palette,
}

impl Script {
    /// Names a new input of the graph.
    fn feed(&mut self, fed: Fed) -> String {
        let label = format!("[in{}]", self.feeds.len());
        self.feeds.push(fed);
        label
    }

    fn label(&mut self) -> String {
        self.labels = self.labels.saturating_add(1);
        format!("[m{}]", self.labels)
    }

    /// Adds a chain from `from`; answers the name of what comes out.
    fn chain(&mut self, from: &str, filters: &[String], empty: &str) -> String {
        let to = self.label();
        let filters = if filters.is_empty() { empty.to_owned() } else { filters.join(",") };
        self.parts.push(format!("{from}{filters}{to}"));
        to
    }

    /// The whole text; what comes out of `from` is the graph's output.
    pub(super) fn end(mut self, from: &str, filters: &[String]) -> (String, Vec<Fed>) {
        self.parts.push(format!("{from}{}[out]", filters.join(",")));
        (self.parts.join(";"), self.feeds)
    }
}

/// Seconds, exactly.
pub(super) fn seconds(micros: Micros) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn window(window: Window) -> String {
    let start = format!("start={}", seconds(window.start));
    window.end.map_or(start.clone(), |end| format!("{start}:end={}", seconds(end)))
}

/// The option that lets a filter act for a while only.
fn during(window: Option<Window>) -> String {
    let Some(Window { start, end }) = window else { return String::new() };
    let start = seconds(start);
    let until = end.map_or(String::new(), |end| format!("*lt(t,{})", seconds(end)));
    format!(":enable='gte(t,{start}){until}'")
}

/// A graph input's name, without the brackets.
pub(super) fn input_name(number: usize) -> String {
    format!("in{number}")
}
