//! Validation of a child's messages: a child that was taken over may send anything.

use std::collections::BTreeSet;

use ffapi_domain::{
    job::{FailureCode, StreamSummary},
    media::{DryRun, Effort, FactsLimits, JobPlan, MAX_FILES, MediaRequest, Micros},
};
use serde_json::Value;

use super::{ChildMessage, MAX_MESSAGE, Needs, Progress, Report, VerifiedFile};

/// A child sent a message that no intact child sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the media process broke its protocol: {0}")]
pub struct ProtocolViolation(String);

/// Bytes of an error message.
const MAX_ERROR_LENGTH: usize = 2_000;
/// Bytes of a log line.
const MAX_LINE_LENGTH: usize = 4 * 1024;
/// Bytes of a name or a single word.
const MAX_NAME_LENGTH: usize = 128;
/// Outputs of one task that are encoded in parallel, and folders that they are written to.
const MAX_OUTPUTS: usize = 64;
/// Streams of one file.
const MAX_STREAMS: usize = 128;
/// A year of media, in microseconds.
const MAX_CHARGED: Micros = 366 * 24 * 3_600 * 1_000_000;
/// Nesting levels of a result, and values in it: limits that every JSON parser on the way to a
/// client accepts.
const MAX_JSON_DEPTH: usize = 32;
const MAX_JSON_VALUES: usize = 400_000;

/// Bytes of JSON of a plan, and of the result of a job with output files: notes and scores.
const MAX_RESULT: usize = 1024 * 1024;
/// Bytes of JSON of a plan that is kept with its job: lists of chapters make one long.
const MAX_KEPT_PLAN: usize = 64 * 1024;
/// Bytes of JSON of the result of a probe job, which costs nothing: the facts and the notes.
const MAX_PROBE_RESULT: usize = 320 * 1024;

type Checked<T> = Result<T, ProtocolViolation>;

fn violation<T>(what: impl Into<String>) -> Checked<T> {
    Err(ProtocolViolation(what.into()))
}

impl ChildMessage {
    /// The message with every field within its bounds: texts are truncated and made printable,
    /// numbers that no intact child sends are rejected.
    ///
    /// # Errors
    /// When a field has a value that no intact child sends.
    pub fn checked(self) -> Checked<Self> {
        Ok(match self {
            Self::Ready { sandbox } => {
                Self::Ready { sandbox: printable(&sandbox, MAX_NAME_LENGTH) }
            }
            Self::Needs(needs) => Self::Needs(check_needs(needs)?),
            Self::Facts(facts) => Self::Facts(Box::new(facts.within(FactsLimits::OF_UPLOAD))),
            Self::WouldDo(dry_run) => {
                check_plan(&dry_run.plan)?;
                let effort = check_effort(dry_run.effort)?;
                Self::WouldDo(Box::new(DryRun { effort, ..*dry_run }))
            }
            Self::Progress(progress) => Self::Progress(check_progress(progress)?),
            Self::Log { level, line } => {
                let known = ["error", "warning", "info"].into_iter().find(|known| *known == level);
                let level = known.unwrap_or("info").to_owned();
                Self::Log { level, line: printable(&line, MAX_LINE_LENGTH) }
            }
            Self::Done(report) => Self::Done(check_report(report)?),
            Self::Failed { code, .. } if !is_reported(code) => {
                return violation(format!("it reports `{}`", code.as_str()));
            }
            Self::Failed { code, message } => {
                Self::Failed { code, message: printable(&message, MAX_ERROR_LENGTH) }
            }
            // Sent before any input is read, or not used.
            other @ (Self::Capabilities(_) | Self::Working) => other,
        })
    }
}

impl Report {
    /// The plan that was followed, as JSON that every reader accepts; none if it is too large to be kept
    /// with the job.
    pub fn kept_plan(&self) -> Option<Value> {
        let plan = json(serde_json::to_value(self.plan.as_ref()?).ok()?).ok()?;
        check_size("plan", &plan, MAX_KEPT_PLAN).is_ok().then_some(plan)
    }

    /// Checks that the result is not larger than that of any job of this kind, and that the plan is one of
    /// this kind.
    ///
    /// # Errors
    /// When one is not.
    pub fn check_result_of(&self, request: &MediaRequest) -> Checked<()> {
        if self.plan.as_ref().is_some_and(|plan| plan.kind() != request.kind()) {
            return violation("its plan is that of a job of another kind");
        }
        let max = match request {
            MediaRequest::Probe(_) => MAX_PROBE_RESULT,
            // Values of every frame; such a job is charged.
            MediaRequest::Analyze(_) => usize::try_from(MAX_MESSAGE).unwrap_or(usize::MAX),
            MediaRequest::Convert(_) | MediaRequest::Stream(_) | MediaRequest::Thumbnails(_) => {
                MAX_RESULT
            }
        };
        self.result.as_ref().map_or(Ok(()), |result| check_size("result", result, max))
    }
}

fn check_size(what: &str, value: &Value, max: usize) -> Checked<()> {
    let size = value.to_string().len();
    if size <= max { Ok(()) } else { violation(format!("its {what} has {size} bytes")) }
}

/// True for the failures that an intact child reports. All others are the worker's, and some of them give a
/// job many more attempts.
const fn is_reported(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::Internal
            | FailureCode::InvalidInput
            | FailureCode::Unsupported
            | FailureCode::ResourceExhausted
            | FailureCode::VerificationFailed
    )
}

/// The text with spaces instead of control characters, truncated to `max` bytes.
fn printable(text: &str, max: usize) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len().saturating_add(character.len_utf8()) > max {
            break;
        }
        kept.push(character);
    }
    kept
}

/// True if the name is a single path segment of safe characters, and not hidden.
pub(super) fn is_segment(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= MAX_NAME_LENGTH
        && !name.starts_with('.')
        && !name.is_empty()
        && name.bytes().all(allowed)
}

/// True for the path of an output: one segment, or a folder of the plan and one segment.
fn is_output_path(name: &str) -> bool {
    match name.split_once('/') {
        Some((folder, file)) => is_segment(folder) && is_segment(file),
        None => is_segment(name),
    }
}

fn check_needs(needs: Needs) -> Checked<Needs> {
    if needs.charged > MAX_CHARGED {
        return violation(format!("it charges {} µs", needs.charged));
    }
    if needs.folders.len() > MAX_OUTPUTS || !needs.folders.iter().all(|folder| is_segment(folder)) {
        return violation("it requests folders that no plan has");
    }
    Ok(needs)
}

/// A rate or time that is finite, not negative and not absurdly large.
fn number(value: f64, what: &str) -> Checked<f64> {
    let valid = (0.0..=1e12).contains(&value);
    if valid { Ok(value) } else { violation(format!("its {what} is {value}")) }
}

fn check_progress(progress: Progress) -> Checked<Progress> {
    if progress.outputs.len() > MAX_OUTPUTS {
        return violation("it reports on more outputs than a plan has");
    }
    let outputs =
        progress.outputs.iter().map(|(name, done)| (printable(name, MAX_NAME_LENGTH), *done));
    Ok(Progress {
        stage: printable(&progress.stage, MAX_NAME_LENGTH),
        fps: number(progress.fps, "frame rate")?,
        speed: number(progress.speed, "speed")?,
        outputs: outputs.collect(),
        ..progress
    })
}

fn check_report(report: Report) -> Checked<Report> {
    let count = report.files.len();
    if count as u64 > MAX_FILES.saturating_add(MAX_OUTPUTS as u64) {
        return violation(format!("it reports {count} files"));
    }
    let mut names = BTreeSet::new();
    for file in &report.files {
        if !is_output_path(&file.name) || !names.insert(&file.name) {
            return violation("a file that it reports has a name that no plan has");
        }
    }
    let files = report.files.iter().map(|file| check_file(file.clone()));
    Ok(Report {
        files: files.collect::<Checked<_>>()?,
        result: report.result.map(json).transpose()?,
        effort: check_effort(report.effort)?,
        frames: report.frames,
        plan: report.plan,
    })
}

/// Checks that every reader accepts a plan, and that none of the engine is larger.
fn check_plan(plan: &JobPlan) -> Checked<()> {
    check_size("plan", &json(serde_json::to_value(plan).unwrap_or_default())?, MAX_RESULT)
}

fn check_file(file: VerifiedFile) -> Checked<VerifiedFile> {
    if file.streams.len() > MAX_STREAMS {
        return violation("a file that it reports has too many streams");
    }
    let duration = file.duration.map(|seconds| number(seconds, "duration")).transpose()?;
    let streams = file.streams.into_iter().map(|stream| {
        Ok(StreamSummary {
            kind: printable(&stream.kind, MAX_NAME_LENGTH),
            codec: printable(&stream.codec, MAX_NAME_LENGTH),
            fps: stream.fps.map(|fps| number(fps, "frame rate")).transpose()?,
            ..stream
        })
    });
    Ok(VerifiedFile { name: file.name, duration, streams: streams.collect::<Checked<_>>()? })
}

fn check_effort(effort: Effort) -> Checked<Effort> {
    if effort.charged > MAX_CHARGED {
        return violation(format!("it charges {} µs", effort.charged));
    }
    Ok(Effort {
        class: printable(&effort.class, MAX_NAME_LENGTH),
        amount: number(effort.amount, "amount of work")?,
        usual: number(effort.usual, "usual time")?,
        bits: effort.bits.clamp(0.0, 1e18),
        charged: effort.charged,
    })
}

/// JSON that every parser and database on the way to a client accepts: limited in depth and number
/// of values, without NUL.
///
/// # Errors
/// When it is deeper or has more values than any result of the engine.
pub fn json(mut value: Value) -> Checked<Value> {
    let mut remaining = MAX_JSON_VALUES;
    clean(&mut value, MAX_JSON_DEPTH, &mut remaining)?;
    Ok(value)
}

fn clean(value: &mut Value, depth: usize, remaining: &mut usize) -> Checked<()> {
    let (Some(depth), Some(rest)) = (depth.checked_sub(1), remaining.checked_sub(1)) else {
        return violation("its result is too deep or has too many values");
    };
    *remaining = rest;
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(values) => {
            values.iter_mut().try_for_each(|value| clean(value, depth, remaining))?;
        }
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                return violation("its result has a field name with NUL");
            }
            fields.values_mut().try_for_each(|value| clean(value, depth, remaining))?;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ffapi_domain::{
        Personal,
        media::{Capabilities, Convert, MediaFacts, Overwrite, Pool, Probe},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_with_a_meaning_for_the_decoder_is_rejected_before_it_is_decoded() {
        let text = "[".repeat(100) + &"]".repeat(100);
        let result = Some(json!({ "$serde_json::private::RawValue": text }));
        let effort = Effort::default();
        let message =
            ChildMessage::Done(Report { files: vec![], result, frames: 0, effort, plan: None });
        let bytes = rmp_serde::to_vec_named(&message).unwrap();
        assert!(crate::protocol::decode_from_child(&bytes).is_err());
    }

    fn report(names: &[&str]) -> ChildMessage {
        let file = |name: &&str| VerifiedFile::named((*name).to_owned(), Some(1.0));
        ChildMessage::Done(Report {
            files: names.iter().map(file).collect(),
            result: None,
            frames: 1,
            effort: Effort::default(),
            plan: None,
        })
    }

    #[test]
    fn only_output_paths_within_the_slot_are_accepted() {
        for name in ["output.mp4", "output-000001.png", "720p/00001.m4s", "audio-0/init.mp4"] {
            assert_eq!(report(&[name]).checked(), Ok(report(&[name])));
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
        assert!(report(&["a.mp4", "a.mp4"]).checked().is_err(), "duplicate name");
    }

    #[test]
    fn invalid_numbers_are_rejected() {
        for bad in [f64::NAN, f64::INFINITY, -1.0, 8e11 * 1e3] {
            let progress = |fps, speed| {
                let outputs = BTreeMap::new();
                let stage = "encoding".to_owned();
                Progress { stage, done: 0, total: None, frames: 0, fps, speed, outputs }
            };
            assert!(ChildMessage::Progress(progress(bad, 1.0)).checked().is_err(), "{bad}");
            assert!(ChildMessage::Progress(progress(1.0, bad)).checked().is_err(), "{bad}");
            let effort = Effort { amount: bad, ..Effort::default() };
            let report = Report { files: vec![], result: None, frames: 0, effort, plan: None };
            assert!(ChildMessage::Done(report).checked().is_err(), "{bad}");
            let file = VerifiedFile::named("a".to_owned(), Some(bad));
            let effort = Effort::default();
            let report = Report { files: vec![file], result: None, frames: 0, effort, plan: None };
            assert!(ChildMessage::Done(report).checked().is_err(), "{bad}");
        }
        let needs = |charged| ChildMessage::Needs(Needs { charged, bytes: 0, folders: vec![] });
        assert!(needs(MAX_CHARGED).checked().is_ok());
        assert!(needs(MAX_CHARGED + 1).checked().is_err());
    }

    #[test]
    fn number_and_names_of_folders_are_checked() {
        let needs = |folders: Vec<String>| {
            ChildMessage::Needs(Needs { charged: 1, bytes: 0, folders }).checked()
        };
        assert!(needs(vec!["720p".to_owned(), "audio-0".to_owned()]).is_ok());
        for folder in ["..", ".scratch", "a/b", "/tmp", ""] {
            assert!(needs(vec![folder.to_owned()]).is_err(), "{folder}");
        }
        assert!(needs(vec!["a".to_owned(); MAX_OUTPUTS + 1]).is_err());
    }

    #[test]
    fn texts_are_truncated_and_made_printable() {
        let line = format!("a\0b\u{1b}[31m{}", "é".repeat(MAX_LINE_LENGTH));
        let Ok(ChildMessage::Log { level, line }) =
            (ChildMessage::Log { level: "root".to_owned(), line }).checked()
        else {
            panic!("a log line is always accepted")
        };
        assert_eq!(level, "info");
        assert!(line.starts_with("a b [31mé") && line.len() <= MAX_LINE_LENGTH, "{}", line.len());
    }

    #[test]
    fn only_failures_that_an_intact_child_reports_are_accepted() {
        let failed = |code| ChildMessage::Failed { code, message: "why".to_owned() }.checked();
        for code in [
            FailureCode::Internal,
            FailureCode::InvalidInput,
            FailureCode::Unsupported,
            FailureCode::ResourceExhausted,
            FailureCode::VerificationFailed,
        ] {
            assert!(failed(code).is_ok(), "{code:?}");
        }
        for code in [
            FailureCode::InputNotFound,
            FailureCode::InputForbidden,
            FailureCode::InputUnreachable,
            FailureCode::InputJobFailed,
            FailureCode::InputTooLarge,
            FailureCode::QuotaExceeded,
            FailureCode::StorageFull,
            FailureCode::OutputExists,
            FailureCode::OutputForbidden,
            FailureCode::OutputUrlExpired,
            FailureCode::OutputUnreachable,
            FailureCode::MediaCrashed,
            FailureCode::MediaStalled,
            FailureCode::ScratchFull,
            FailureCode::TimeLimitExceeded,
            FailureCode::StorageUnavailable,
            FailureCode::WorkerLost,
        ] {
            assert!(failed(code).is_err(), "{code:?}");
        }
    }

    #[test]
    fn facts_are_cut_to_their_limits() {
        let tags = (0..1_000).map(|n| (n.to_string(), "x".repeat(4_000)));
        let facts = MediaFacts { tags: tags.collect(), ..MediaFacts::default() };
        let Ok(ChildMessage::Facts(facts)) = ChildMessage::Facts(Box::new(facts)).checked() else {
            panic!("facts are always accepted")
        };
        let size = facts.shown().to_string().len();
        assert!(!facts.tags.is_empty() && size <= 64 * 1024, "{size}");
    }

    #[test]
    fn the_size_of_a_result_is_limited_by_the_kind_of_job() {
        let of = |bytes: usize| {
            let result = Some(Value::String("x".repeat(bytes)));
            Report { files: vec![], result, frames: 0, effort: Effort::default(), plan: None }
        };
        let probe = MediaRequest::Probe(Probe { input: Personal::Erased });
        assert!(of(MAX_PROBE_RESULT - 2).check_result_of(&probe).is_ok());
        assert!(of(MAX_PROBE_RESULT).check_result_of(&probe).is_err());
    }

    /// The plan of a conversion with a tag of so many bytes.
    fn plan_with_tag(bytes: usize) -> JobPlan {
        let request = Convert {
            input: Personal::Erased,
            output: Personal::Clear("local://a.mp4".parse().unwrap()),
            operations: vec![],
            overwrite: Overwrite::Fail,
        };
        let mut plan =
            ffapi_domain::media::plan(&request, None, &Capabilities::everything()).unwrap();
        plan.tags.insert("title".to_owned(), "x".repeat(bytes));
        JobPlan::Convert(Box::new(plan))
    }

    #[test]
    fn the_size_of_a_plan_is_limited() {
        let dry_run = |bytes| {
            let (plan, effort) = (plan_with_tag(bytes), Effort::default());
            let dry_run = DryRun { plan, passes: None, pool: Pool::Cpu, effort };
            ChildMessage::WouldDo(Box::new(dry_run)).checked()
        };
        assert!(dry_run(MAX_RESULT / 2).is_ok() && dry_run(MAX_RESULT).is_err());
        let kept = |bytes| {
            let (plan, effort) = (Some(plan_with_tag(bytes)), Effort::default());
            Report { files: vec![], result: None, frames: 0, effort, plan }.kept_plan()
        };
        assert!(kept(MAX_KEPT_PLAN / 2).is_some() && kept(MAX_KEPT_PLAN).is_none());
    }

    #[test]
    fn the_plan_of_another_kind_of_job_is_rejected() {
        let (plan, effort) = (Some(plan_with_tag(1)), Effort::default());
        let report = Report { files: vec![], result: None, frames: 0, effort, plan };
        let probe = MediaRequest::Probe(Probe { input: Personal::Erased });
        assert!(report.check_result_of(&probe).is_err());
    }

    #[test]
    fn results_are_limited_to_what_every_json_parser_accepts() {
        let result = json(json!({"tags": {"title": "a\0b"}, "n": [1, 2.5, null]})).unwrap();
        assert_eq!(result, json!({"tags": {"title": "a\u{fffd}b"}, "n": [1, 2.5, null]}));
        let deep = (0..MAX_JSON_DEPTH).fold(Value::Null, |inner, _| json!([inner]));
        assert!(json(deep).is_err());
        assert!(json(json!(vec![0; MAX_JSON_VALUES])).is_err());
        assert!(json(json!({"a\0": 1})).is_err());
    }
}
