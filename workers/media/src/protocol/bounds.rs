//! What a worker believes of its child: whoever took a child over may say anything.

use std::collections::BTreeSet;

use ffapi_domain::{
    job::StreamSummary,
    media::{Effort, MAX_FILES, Micros},
};
use serde_json::Value;

use super::{ChildMessage, MadeFile, Needs, Progress, Report};

/// A child said what no child of ours says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the media process broke its protocol: {0}")]
pub struct Unbelievable(String);

/// Characters of a message for a person.
const MESSAGE: usize = 2_000;
/// Bytes of a line of the log.
const LINE: usize = 4 * 1024;
/// Bytes of a name or a single word.
const WORD: usize = 128;
/// Outputs of one task that are encoded side by side, and folders that they are written to.
const BRANCHES: usize = 64;
/// Streams of one file.
const STREAMS: usize = 128;
/// A year of media.
const LONGEST: Micros = 366 * 24 * 3_600 * 1_000_000;
/// Levels of a result, and values in it: what every JSON reader on the way to a user takes.
const DEPTH: usize = 32;
const VALUES: usize = 400_000;

type Checked<T> = Result<T, Unbelievable>;

fn broken<T>(what: impl Into<String>) -> Checked<T> {
    Err(Unbelievable(what.into()))
}

impl ChildMessage {
    /// The message with every field within its bounds: texts are cut and made printable, numbers that
    /// no honest child says are refused.
    ///
    /// # Errors
    /// When it holds what no child of ours says.
    pub fn checked(self) -> Checked<Self> {
        Ok(match self {
            Self::Ready { sandbox } => Self::Ready { sandbox: text(&sandbox, WORD) },
            Self::Needs(needs) => Self::Needs(check_needs(needs)?),
            Self::WouldDo(value) => Self::WouldDo(json(value)?),
            Self::Progress(progress) => Self::Progress(check_progress(progress)?),
            Self::Log { level, line } => {
                let known = ["error", "warning", "info"].into_iter().find(|known| *known == level);
                let level = known.unwrap_or("info").to_owned();
                Self::Log { level, line: text(&line, LINE) }
            }
            Self::Done(report) => Self::Done(check_report(report)?),
            Self::Failed { code, message } => {
                Self::Failed { code, message: text(&message, MESSAGE) }
            }
            // Read before any input is, or passed on as JSON and checked then.
            other @ (Self::Facts(_)
            | Self::Capabilities(_)
            | Self::Planned(_)
            | Self::PlannedStream(_)
            | Self::Working) => other,
        })
    }
}

/// The text with spaces in the place of control characters, at most so many bytes of it.
fn text(text: &str, bytes: usize) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len().saturating_add(character.len_utf8()) > bytes {
            break;
        }
        kept.push(character);
    }
    kept
}

/// True of a name that can only be one entry of one folder, and no hidden one.
pub(super) fn is_segment(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= WORD && !name.starts_with('.') && !name.is_empty() && name.bytes().all(allowed)
}

/// A made file's name: one segment, or one in a folder of the plan's.
fn is_made(name: &str) -> bool {
    match name.split_once('/') {
        Some((folder, file)) => is_segment(folder) && is_segment(file),
        None => is_segment(name),
    }
}

fn check_needs(needs: Needs) -> Checked<Needs> {
    if needs.charged > LONGEST {
        return broken(format!("it charges {} µs", needs.charged));
    }
    if needs.folders.len() > BRANCHES || !needs.folders.iter().all(|folder| is_segment(folder)) {
        return broken("it needs folders that no plan has");
    }
    Ok(needs)
}

/// A number within what can be shown; rates and times are never negative.
fn number(value: f64, what: &str) -> Checked<f64> {
    let known = (0.0..=1e12).contains(&value);
    if known { Ok(value) } else { broken(format!("its {what} is {value}")) }
}

fn check_progress(progress: Progress) -> Checked<Progress> {
    if progress.outputs.len() > BRANCHES {
        return broken("it reports on more outputs than a plan has");
    }
    let outputs = progress.outputs.iter().map(|(name, done)| (text(name, WORD), *done));
    Ok(Progress {
        stage: text(&progress.stage, WORD),
        fps: number(progress.fps, "frame rate")?,
        speed: number(progress.speed, "speed")?,
        outputs: outputs.collect(),
        ..progress
    })
}

fn check_report(report: Report) -> Checked<Report> {
    let count = report.files.len();
    if count as u64 > MAX_FILES.saturating_add(BRANCHES as u64) {
        return broken(format!("it made {count} files"));
    }
    let mut names = BTreeSet::new();
    for file in &report.files {
        if !is_made(&file.name) || !names.insert(&file.name) {
            return broken("a file that it made has a name that no plan has");
        }
    }
    let files = report.files.iter().map(|file| check_file(file.clone()));
    Ok(Report {
        files: files.collect::<Checked<_>>()?,
        result: report.result.map(json).transpose()?,
        effort: check_effort(report.effort)?,
        frames: report.frames,
    })
}

fn check_file(file: MadeFile) -> Checked<MadeFile> {
    if file.streams.len() > STREAMS {
        return broken("a file that it made has more streams than there are");
    }
    let duration = file.duration.map(|seconds| number(seconds, "duration")).transpose()?;
    let streams = file.streams.into_iter().map(|stream| {
        Ok(StreamSummary {
            kind: text(&stream.kind, WORD),
            codec: text(&stream.codec, WORD),
            fps: stream.fps.map(|fps| number(fps, "frame rate")).transpose()?,
            ..stream
        })
    });
    Ok(MadeFile { name: file.name, duration, streams: streams.collect::<Checked<_>>()? })
}

fn check_effort(effort: Effort) -> Checked<Effort> {
    if effort.charged > LONGEST {
        return broken(format!("it charges {} µs", effort.charged));
    }
    Ok(Effort {
        class: text(&effort.class, WORD),
        amount: number(effort.amount, "amount of work")?,
        usual: number(effort.usual, "usual time")?,
        bits: effort.bits.clamp(0.0, 1e18),
        charged: effort.charged,
    })
}

/// JSON that every reader and database on the way to a user takes: not too deep, not too much of it,
/// without NUL.
///
/// # Errors
/// When it is deeper or longer than anything that is found out about media.
pub fn json(mut value: Value) -> Checked<Value> {
    let mut left = VALUES;
    clean(&mut value, DEPTH, &mut left)?;
    Ok(value)
}

fn clean(value: &mut Value, depth: usize, left: &mut usize) -> Checked<()> {
    let (Some(depth), Some(rest)) = (depth.checked_sub(1), left.checked_sub(1)) else {
        return broken("its result is deeper or longer than any");
    };
    *left = rest;
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(values) => {
            values.iter_mut().try_for_each(|value| clean(value, depth, left))?;
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                return broken("a field of its result has a name that no field has");
            }
            fields.values_mut().try_for_each(|value| clean(value, depth, left))?;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn report(names: &[&str]) -> ChildMessage {
        let file = |name: &&str| MadeFile::named((*name).to_owned(), Some(1.0));
        ChildMessage::Done(Report {
            files: names.iter().map(file).collect(),
            result: None,
            frames: 1,
            effort: Effort::default(),
        })
    }

    #[test]
    fn names_are_entries_of_the_slot_and_nothing_else() {
        for honest in ["output.mp4", "output-000001.png", "720p/00001.m4s", "audio-0/init.mp4"] {
            assert_eq!(report(&[honest]).checked(), Ok(report(&[honest])));
        }
        let long = "x".repeat(300);
        for name in [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "..",
            ".",
            "",
            "a/",
            "/",
            "a//b",
            "a/b/c",
            ".scratch/x",
            "a/.x",
            "a\0b",
            "a\nb",
            "a\\b",
            "é",
            &long,
        ] {
            assert!(report(&[name]).checked().is_err(), "{name:?}");
        }
        assert!(report(&["a.mp4", "a.mp4"]).checked().is_err(), "one name for two files");
    }

    #[test]
    fn numbers_that_no_work_has_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 8e11 * 1e3] {
            let progress = |fps, speed| {
                let outputs = BTreeMap::new();
                let stage = "encoding".to_owned();
                Progress { stage, done: 0, total: None, frames: 0, fps, speed, outputs }
            };
            assert!(ChildMessage::Progress(progress(bad, 1.0)).checked().is_err(), "{bad}");
            assert!(ChildMessage::Progress(progress(1.0, bad)).checked().is_err(), "{bad}");
            let effort = Effort { amount: bad, ..Effort::default() };
            let report = Report { files: vec![], result: None, frames: 0, effort };
            assert!(ChildMessage::Done(report).checked().is_err(), "{bad}");
            let file = MadeFile::named("a".to_owned(), Some(bad));
            let effort = Effort::default();
            let report = Report { files: vec![file], result: None, frames: 0, effort };
            assert!(ChildMessage::Done(report).checked().is_err(), "{bad}");
        }
        let needs = |charged| ChildMessage::Needs(Needs { charged, folders: vec![] });
        assert!(needs(LONGEST).checked().is_ok());
        assert!(needs(LONGEST + 1).checked().is_err());
    }

    #[test]
    fn folders_are_as_many_and_as_named_as_those_of_a_plan() {
        let needs =
            |folders: Vec<String>| ChildMessage::Needs(Needs { charged: 1, folders }).checked();
        assert!(needs(vec!["720p".to_owned(), "audio-0".to_owned()]).is_ok());
        for folder in ["..", ".scratch", "a/b", "/tmp", ""] {
            assert!(needs(vec![folder.to_owned()]).is_err(), "{folder}");
        }
        assert!(needs(vec!["a".to_owned(); BRANCHES + 1]).is_err());
    }

    #[test]
    fn texts_are_cut_and_printable() {
        let line = format!("a\0b\u{1b}[31m{}", "é".repeat(LINE));
        let Ok(ChildMessage::Log { level, line }) =
            (ChildMessage::Log { level: "root".to_owned(), line }).checked()
        else {
            panic!("a log line is always taken")
        };
        assert_eq!(level, "info");
        assert!(line.starts_with("a b [31mé") && line.len() <= LINE, "{}", line.len());
    }

    #[test]
    fn results_fit_every_reader() {
        let result = json(json!({"tags": {"title": "a\0b"}, "n": [1, 2.5, null]})).unwrap();
        assert_eq!(result, json!({"tags": {"title": "a\u{fffd}b"}, "n": [1, 2.5, null]}));
        let deep = (0..DEPTH).fold(Value::Null, |inner, _| json!([inner]));
        assert!(json(deep).is_err());
        assert!(json(json!(vec![0; VALUES])).is_err());
        assert!(json(json!({"a\0": 1})).is_err());
    }
}
