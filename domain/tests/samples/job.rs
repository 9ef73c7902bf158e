use std::collections::BTreeMap;

use ffapi_domain::{
    Personal,
    dispatch::{BlockReason, Waited},
    job::{
        DeletedOutput, Failure, FailureCode, JobEvent, JobSpec, Membership, OutputFile, PresetRef,
        Priority, StreamSummary,
    },
    location::Location,
    media::{
        AudioCodec, Container, Convert, Effort, Fallback, Hardware, MediaRequest, Operation,
        Overwrite, Pool, Preset, Probe, Scale, ScaleMode, Spent, Transcode, Trim, VideoCodec,
    },
};

use super::{
    Samples,
    media::convert,
    plan::plan,
    values::{at, batch, callback, job, lease, location, personal, text},
};

impl Samples for JobEvent {
    fn after(event: Option<&Self>) -> Option<Self> {
        Some(match event {
            None => Self::Submitted { spec: Box::new(spec(MediaRequest::Convert(convert()))) },
            Some(Self::Submitted { .. }) => Self::AttemptStarted {
                attempt: 1,
                worker: text("w"),
                pool: text("vaapi"),
                device: Some(text("/dev/dri/renderD128")),
                waited: Some(Waited { since: at(5), why: BlockReason::KeyCap { most: 2 } }),
            },
            Some(Self::AttemptStarted { .. }) => {
                Self::AttemptFailed { attempt: 1, failure: failure(), retry_at: Some(at(9)) }
            }
            Some(Self::AttemptFailed { .. }) => {
                Self::AttemptAbandoned { attempt: 1, reason: text("gone"), handed_back: true }
            }
            Some(Self::AttemptAbandoned { .. }) => Self::CancelRequested { attempt: 1 },
            Some(Self::CancelRequested { .. }) => Self::Cancelled {},
            Some(Self::Cancelled {}) => Self::OutputsSealed {
                attempt: 1,
                outputs: vec![output(Some(2), Some(48_000))],
                result: Some(Personal::Clear([("loudness", -23.5)].into_iter().collect())),
                spent: Some(spent()),
                plan: Some(Personal::Clear(serde_json::to_value(plan()).unwrap())),
            },
            Some(Self::OutputsSealed { .. }) => Self::Completed { attempt: 1 },
            Some(Self::Completed { .. }) => {
                Self::Failed { failure: failure(), dead_lettered: true }
            }
            Some(Self::Failed { .. }) => Self::Retried { next_attempt: 2, lease: Some(lease(9)) },
            Some(Self::Retried { .. }) => Self::OutputsExpired {},
            Some(Self::OutputsExpired {}) => Self::OutputsDeleted {
                only: Some(DeletedOutput {
                    name: personal("out.mp4"),
                    location: personal("local://out.mp4"),
                }),
            },
            Some(Self::OutputsDeleted { .. }) => Self::PriorityChanged { priority: Priority::Low },
            Some(Self::PriorityChanged { .. }) => return None,
        })
    }

    fn sparse() -> Vec<Self> {
        vec![
            Self::Submitted { spec: Box::new(sparse_spec()) },
            Self::AttemptStarted {
                attempt: 1,
                worker: text("w"),
                pool: text("cpu"),
                device: None,
                waited: None,
            },
            Self::AttemptAbandoned { attempt: 1, reason: text("gone"), handed_back: false },
            Self::OutputsSealed {
                attempt: 1,
                outputs: vec![output(None, None)],
                result: None,
                spent: None,
                plan: None,
            },
            Self::Retried { next_attempt: 2, lease: None },
            Self::OutputsDeleted { only: None },
            Self::Submitted { spec: Box::new(spec_that_reads_an_output()) },
        ]
    }
}

/// A job with a value in every field.
pub(super) fn spec(request: MediaRequest) -> JobSpec {
    JobSpec {
        request,
        priority: Priority::High,
        metadata: metadata(),
        not_before: Some(at(5)),
        hardware: Some(Hardware { prefer: Pool::Vaapi, fallback: Fallback::Fail }),
        batch: Some(Membership { id: batch(3), index: 1, max_parallel: 5 }),
        max_attempts: Some(4),
        callback: Some(callback("job.completed")),
        rerun_of: Some(job(6)),
        preset: Some(PresetRef { name: text("p"), version: 3, global: true }),
        lease: Some(lease(9)),
        keep: Some(86_400),
    }
}

fn spec_that_reads_an_output() -> JobSpec {
    let output = Location::JobOutput { job: job(2), name: text("v0/a.mp4") };
    JobSpec::of(MediaRequest::Probe(Probe { input: Personal::Clear(output) }))
}

fn sparse_spec() -> JobSpec {
    let operations = vec![
        Operation::Trim(Trim { start: 1_000_000, end: Some(2_000_000) }),
        Operation::Scale(Scale { width: Some(640), height: None, mode: ScaleMode::Fit }),
        Operation::Transcode(Transcode {
            video_codec: Some(VideoCodec::H264),
            audio_codec: Some(AudioCodec::Aac),
            crf: Some(23),
            preset: Some(Preset::Medium),
            container: Some(Container::Mp4),
            ..Transcode::default()
        }),
    ];
    let request = MediaRequest::Convert(Convert {
        input: Personal::Erased,
        output: location("out.mp4"),
        operations,
        overwrite: Overwrite::Fail,
    });
    JobSpec {
        priority: Priority::High,
        metadata: metadata(),
        not_before: Some(at(5)),
        ..JobSpec::of(request)
    }
}

fn metadata() -> Personal<BTreeMap<String, String>> {
    Personal::Clear([(text("a"), text("b"))].into())
}

fn failure() -> Failure {
    Failure { code: FailureCode::MediaCrashed, message: personal("why") }
}

fn output(channels: Option<u32>, sample_rate: Option<u32>) -> OutputFile {
    OutputFile {
        name: personal("out.mp4"),
        location: personal("local://out.mp4"),
        size: 7,
        sha256: text("00"),
        duration: Some(1.5),
        streams: vec![StreamSummary {
            kind: text("video"),
            codec: text("h264"),
            width: Some(640),
            height: Some(360),
            fps: Some(25.0),
            channels,
            sample_rate,
        }],
    }
}

fn spent() -> Spent {
    let effort =
        Effort { class: text("h264-medium"), amount: 1.5, usual: 0.5, bits: 56.0, charged: 9 };
    Spent { effort, seconds: 2.5, bytes: 7, cpu_seconds: Some(4.5) }
}
