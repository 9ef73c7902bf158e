use std::{borrow::Cow, fmt};

use serde_json::{Map, Value};
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

/// Names and values.
pub(super) type Fields = Map<String, Value>;

/// One event that is logged.
#[derive(Debug)]
pub(super) struct Record {
    /// RFC 3339, with microseconds.
    pub(super) time: String,
    pub(super) level: Level,
    /// The module that it comes from.
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Fields,
    /// What it is about: the ids of the spans around it that its fields do not have.
    pub(super) ids: Fields,
}

impl Record {
    pub(super) fn of(event: &Event<'_>, time: String, mut ids: Fields) -> Self {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        let mut take_text = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => Some(text),
            other => other.map(|value| value.to_string()),
        };
        let message = take_text("message").unwrap_or_default();
        // Events of the crate `log` have theirs in fields.
        let target = take_text("log.target");
        for name in ["log.module_path", "log.file", "log.line"] {
            fields.remove(name);
        }
        let target = target.unwrap_or_else(|| event.metadata().target().to_owned());
        ids.retain(|name, _| !fields.contains_key(name));
        Self { time, level: *event.metadata().level(), target, message, fields, ids }
    }

    /// As one JSON object.
    pub(super) fn json(self) -> String {
        let Self { time, level, target, message, fields, ids } = self;
        let mut line = Fields::new();
        line.insert("timestamp".to_owned(), Value::String(time));
        line.insert("level".to_owned(), Value::String(level.to_string()));
        line.insert("target".to_owned(), Value::String(target));
        line.insert("message".to_owned(), Value::String(message));
        // A field cannot replace the above.
        for (name, value) in fields.into_iter().chain(ids) {
            line.entry(name).or_insert(value);
        }
        Value::Object(line).to_string()
    }

    /// As text for people. Nothing in a value can look like another line.
    pub(super) fn text(&self) -> String {
        let Self { time, level, target, message, fields, ids } = self;
        let message = quoted(message, Quote::Controls);
        let line = format!("{time} {level:>5} {target}: {message}");
        fields.iter().chain(ids).fold(line, |line, (name, value)| match value {
            Value::String(text) => format!("{line} {name}={}", quoted(text, Quote::Spaces)),
            other => format!("{line} {name}={other}"),
        })
    }
}

/// Which characters a text is quoted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// Those that end a line, or control a terminal.
    Controls,
    /// Also those that end a value.
    Spaces,
}

fn quoted(text: &str, quote: Quote) -> Cow<'_, str> {
    let is_word = quote == Quote::Spaces;
    let must = |c: char| c.is_control() || (is_word && (c.is_whitespace() || c == '"'));
    if text.contains(must) || (is_word && text.is_empty()) {
        Cow::Owned(format!("{text:?}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Collects the fields of an event or span.
pub(super) struct Visitor<'a>(pub(super) &'a mut Fields);

impl Visitor<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Record {
        let fields = [("why", Value::from("two words")), ("level", Value::from("forged"))];
        let ids = [("job", Value::from("job_1")), ("attempt", Value::from(2))];
        let owned = |all: [(&str, Value); 2]| all.map(|(name, value)| (name.to_owned(), value));
        Record {
            time: "1970-01-01T00:00:00.000000Z".to_owned(),
            level: Level::WARN,
            target: "ffapi_workers".to_owned(),
            message: message.to_owned(),
            fields: owned(fields).into_iter().collect(),
            ids: owned(ids).into_iter().collect(),
        }
    }

    #[test]
    fn a_line_has_the_ids_of_what_it_is_about() {
        let json: Value = serde_json::from_str(&record("a failure").json()).unwrap();
        assert_eq!(json["message"], "a failure");
        assert_eq!((&json["job"], &json["attempt"]), (&Value::from("job_1"), &Value::from(2)));
        assert_eq!(json["level"], "WARN", "a field cannot forge it");
        let text = record("a failure").text();
        assert!(text.starts_with("1970-01-01T00:00:00.000000Z  WARN ffapi_workers: a failure"));
        assert!(text.contains("why=\"two words\"") && text.contains("job=job_1"), "{text}");
    }

    #[test]
    fn a_message_is_one_line() {
        let forged = "x\n1970-01-01T00:00:00.000Z ERROR ffapi: forged";
        assert_eq!(record(forged).text().lines().count(), 1);
        assert_eq!(record(forged).json().lines().count(), 1);
    }
}
