use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
};

use ffapi_domain::media::{
    AudioPlan, Hdr, MediaFacts, Metric, Rendition, SegmentFormat, Stream, StreamPlan, VideoCodec,
    VideoPlan,
};
use ffmpeg_the_third::{Rational, Rescale, encoder::Encoder};
use serde_json::{Map, Value};

use super::{
    ladder,
    shared_filters::SharedFilters,
    stills::{self, Stills},
};
use crate::{
    MediaError,
    engine::{
        MICROS, TaskContext, analyze, convert, encoder,
        filtergraph::{AudioGraph, VideoGraph},
        filtering::Filtering,
        flow::Flow,
        frame_channel::FrameSender,
        frame_format::FrameFormat,
        frame_types::{self, FrameTypePlan},
        package::{self, Cut, Packaged, PackagedKind, Segment, Segmenter},
        progress::ProgressReporter,
        quality_meter::{QualityMeter, Scores},
        track::{EncodedPacket, Track},
    },
    ffi,
    protocol::MadeFile,
};

/// Packets that may wait for a segmenter.
const CODED: usize = 256;
/// The same where a judge looks at them: for each, every judge keeps a picture of the original.
const JUDGED: usize = 4;

/// One stream that was made.
pub(super) struct EncodedOutput {
    pub(super) packaged: Packaged,
    pub(super) whole: PathBuf,
    pub(super) frames: u64,
    /// VMAF of each picture, if that was asked for.
    pub(super) scores: Option<Vec<f64>>,
}

/// A stream on its way through the press.
struct PendingOutput {
    packaged: Packaged,
    whole: PathBuf,
    sent: Arc<AtomicU64>,
    segments: Arc<Mutex<Vec<Segment>>>,
    scores: Option<Scores>,
}

impl PendingOutput {
    /// What has become of it, once the flow has run.
    fn made(self) -> EncodedOutput {
        let segments =
            std::mem::take(&mut *self.segments.lock().unwrap_or_else(PoisonError::into_inner));
        let scores = self.scores.map(|scores| {
            std::mem::take(&mut *scores.lock().unwrap_or_else(PoisonError::into_inner))
        });
        EncodedOutput {
            packaged: Packaged { segments, ..self.packaged },
            whole: self.whole,
            frames: self.sent.load(Ordering::Relaxed),
            scores,
        }
    }
}

pub(super) struct StreamPipeline<'a> {
    pub(super) context: &'a TaskContext<'a>,
    pub(super) facts: &'a [MediaFacts],
    pub(super) request: &'a Stream,
    pub(super) plan: &'a StreamPlan,
    pub(super) root: &'a Path,
    pub(super) key: Option<[u8; 16]>,
}

/// Everything that one pass over the film made.
pub(super) struct StreamOutputs {
    pub(super) streams: Vec<EncodedOutput>,
    /// Poster and sprite.
    pub(super) stills: Vec<MadeFile>,
    /// What was found out of the film itself.
    pub(super) found: Map<String, Value>,
}

impl<'a> StreamPipeline<'a> {
    /// Decodes the film once, for everyone who wants it.
    pub(super) fn run(
        &self,
        stills: &'a Stills<'a>,
        reporter: &ProgressReporter<'a>,
    ) -> Result<StreamOutputs, MediaError> {
        let own = crate::engine::own(self.facts)?;
        let mut flow = self.context.flow(self.facts)?;
        let renditions = &self.plan.renditions;
        let mut trunk = SharedFilters::of(renditions, &mut flow, self.context, self.facts)?;
        let mut tracks = Vec::new();
        for rendition in renditions {
            tracks.push(self.picture(&mut flow, trunk.as_mut(), rendition)?);
        }
        self.share_cadence(&mut tracks);
        let judges = self.judges(&mut tracks)?;
        let heartbeat = self.context.heartbeat;
        if let Some(trunk) = trunk {
            flow.stage(move || trunk.run(heartbeat));
        }
        let mut making = Vec::new();
        for track in tracks {
            let counts = making.is_empty().then_some(reporter);
            making.push(self.track(&mut flow, track, counts, reporter)?);
        }
        for (number, audio) in self.plan.audio.iter().enumerate() {
            let counts = making.is_empty().then_some(reporter);
            let track = self.sound(&mut flow, audio, number)?;
            making.push(self.track(&mut flow, track, counts, reporter)?);
        }
        for (judge, making) in judges.into_iter().zip(&mut making) {
            making.scores = Some(judge.sit(&mut flow, self.context.heartbeat)?);
        }
        let observed = analyze::observe(&mut flow, own, &self.request.metrics, heartbeat, None)?;
        let taken = stills::watch(&mut flow, own, stills, heartbeat)?;
        flow.run(0)?;
        let mut found = Map::new();
        observed.tell(own.duration, &mut found)?;
        let streams = making.into_iter().map(PendingOutput::made).collect();
        let stills = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(StreamOutputs { streams, stills, found })
    }

    /// One rendition decides for all what kind each picture is. Not before judges, who need every
    /// original until the last encoder is done with it: what the others hold costs more there than
    /// is saved.
    fn share_cadence(&self, tracks: &mut [EncoderTrack<'_>]) {
        let at_the_same_instants = |pair: &[EncoderTrack<'_>]| matches!(pair, [one, other] if one.outcome.0 == other.outcome.0);
        if self.is_judged() || !tracks.windows(2).all(at_the_same_instants) {
            return;
        }
        let Some(leader) = ladder::leader(&self.plan.renditions) else { return };
        let (before, rest) = tracks.split_at_mut(leader);
        let Some((leader, after)) = rest.split_first_mut() else { return };
        let followers = before.iter_mut().chain(after).map(|track| &mut track.cadence);
        FrameTypePlan::share(&mut leader.cadence, followers);
    }

    fn is_judged(&self) -> bool {
        self.request.metrics.contains(&Metric::Vmaf)
    }

    /// Everything that is known of a film as it goes into its encoder is compared with what comes
    /// out of each, at the size of the largest rendition.
    fn judges(&self, tracks: &mut [EncoderTrack<'_>]) -> Result<Vec<QualityMeter>, MediaError> {
        if !self.is_judged() {
            return Ok(vec![]);
        }
        let shapes: Vec<FrameFormat> = self
            .plan
            .renditions
            .iter()
            .zip(&*tracks)
            .map(|(rendition, track)| {
                let (time_base, aspect, rate) = track.outcome;
                FrameFormat::of_plan(&rendition.video, time_base, aspect, rate)
            })
            .collect::<Result<_, MediaError>>()?;
        let deep = |rendition: &Rendition| rendition.video.pixel_format.contains("10");
        let largest = ladder::largest(&self.plan.renditions);
        let depth = if self.plan.renditions.get(largest).is_some_and(deep) { 10 } else { 8 };
        let Some(original) = shapes.get(largest).cloned() else { return Ok(vec![]) };
        let mut judges = Vec::new();
        let mut given = Vec::new();
        for (track, shape) in tracks.iter_mut().zip(shapes) {
            // The renditions are judged beside each other: each has a core for itself at best.
            let (evidence, judge) =
                QualityMeter::of(&track.encoder, shape, original.clone(), depth, 0);
            given.push(evidence.given);
            track.made = Some(evidence.made);
            judges.push(judge);
        }
        if let Some(largest) = tracks.get_mut(largest) {
            largest.seen_by = given;
        }
        Ok(judges)
    }

    fn picture<'env>(
        &self,
        flow: &mut Flow<'env>,
        trunk: Option<&mut SharedFilters<'_>>,
        rendition: &Rendition,
    ) -> Result<EncoderTrack<'env>, MediaError>
    where
        'a: 'env,
    {
        let video = &rendition.video;
        let scratch = self.context.scratch;
        let mut filtering = if let Some(trunk) = trunk {
            let (rest, feed) = trunk.branch(video);
            let look = VideoGraph { plan: &rest, planar: trunk.is_planar(), scratch };
            flow.filter_feeds(&look.script().0, vec![feed], None)?
        } else {
            let planar = convert::is_planar(self.facts, video);
            flow.filter(VideoGraph { plan: video, planar, scratch }.script(), None)?
        };
        let outcome = filtering.outcome()?;
        let (time_base, aspect, rate) = outcome;
        let parameters = crate::engine::parameters(flow, video.source)?;
        let mut canvas =
            convert::canvas(time_base, aspect, rate, video, &parameters, self.context.scratch);
        canvas.global_header = true;
        canvas.keys_on_demand = true;
        let one_thread =
            ladder::is_of_one_thread(rendition, &self.plan.renditions) && !self.is_judged();
        canvas.threads = if one_thread { 1 } else { self.context.threads };
        let rate = canvas.rate;
        let encoder = encoder::open_picture(video, canvas)?;
        let codecs = package::video_codec(video.codec, &ffi::header(&encoder));
        let codecs = codecs
            .ok_or_else(|| MediaError::internal("the encoder", "does not say its profile"))?;
        let packaged = Packaged {
            folder: rendition.name.clone(),
            codecs,
            segments: vec![],
            extension: self.extension(),
            kind: PackagedKind::Video {
                width: video.width,
                height: video.height,
                rate: video.rate.as_f64(),
                hdr: self.range_of(video),
            },
        };
        let hevc = video.codec == VideoCodec::Hevc;
        Ok(EncoderTrack {
            filtering,
            encoder,
            outcome,
            rate,
            hevc,
            packaged,
            made: None,
            seen_by: vec![],
            cadence: FrameTypePlan::own(frame_types::is_heeded(video, self.facts)),
        })
    }

    /// The high dynamic range that a rendition keeps.
    fn range_of(&self, video: &VideoPlan) -> Option<Hdr> {
        let (_, own) = self.facts.get(video.source.input)?.video()?;
        own.color.hdr.filter(|_| !video.tonemapped && video.pixel_format.contains("10"))
    }

    fn sound<'env>(
        &self,
        flow: &mut Flow<'env>,
        audio: &AudioPlan,
        number: usize,
    ) -> Result<EncoderTrack<'env>, MediaError>
    where
        'a: 'env,
    {
        let kind = encoder::Kind::of(audio);
        let mix = AudioGraph { plan: audio, sample_format: kind.format.name(), gain: None };
        let mut filtering = flow.filter(mix.script(), None)?;
        let encoder = encoder::open_sound(audio, true)?;
        filtering.set_frame_size(ffi::frame_size(&encoder));
        let outcome = filtering.outcome()?;
        let title = audio.title.as_ref().or(audio.language.as_ref());
        let clean = title.map(|title| title.replace(['"', '\n', '\r'], " "));
        let packaged = Packaged {
            folder: audio_folder(number),
            codecs: package::aac().to_owned(),
            segments: vec![],
            extension: self.extension(),
            kind: PackagedKind::Audio {
                language: audio.language.clone().filter(|word| is_language(word)),
                name: match clean {
                    Some(name) if number == 0 => name,
                    Some(name) => format!("{name} ({})", number.saturating_add(1)),
                    None => format!("Audio {}", number.saturating_add(1)),
                },
                channels: audio.channels,
                sample_rate: audio.sample_rate,
            },
        };
        Ok(EncoderTrack {
            filtering,
            encoder,
            outcome,
            rate: None,
            hevc: false,
            packaged,
            made: None,
            seen_by: vec![],
            cadence: FrameTypePlan::own(false),
        })
    }

    const fn extension(&self) -> &'static str {
        match self.request.segments {
            SegmentFormat::Fmp4 => "m4s",
            SegmentFormat::Ts => "ts",
        }
    }

    /// Puts a track and its segmenter into the flow.
    fn track<'env>(
        &self,
        flow: &mut Flow<'env>,
        track: EncoderTrack<'env>,
        counts: Option<&'env ProgressReporter<'a>>,
        reporter: &ProgressReporter<'_>,
    ) -> Result<PendingOutput, MediaError>
    where
        'a: 'env,
    {
        let EncoderTrack {
            filtering,
            encoder,
            outcome,
            rate,
            hevc,
            packaged,
            made,
            seen_by,
            cadence,
        } = track;
        let (time_base, ..) = outcome;
        let picture = packaged.is_video();
        let every = i64::try_from(self.plan.segment).unwrap_or(i64::MAX);
        let whole = self.context.scratch.join(format!("{}.whole", packaged.folder));
        let mut segmenter = Segmenter::create(
            &encoder,
            hevc,
            (time_base, rate),
            self.request.segments,
            (&self.root.join(&packaged.folder), &whole),
            (Cut { every, at_keys: picture }, self.key),
        )?;
        let (coded, packets) = sync_channel(if made.is_some() { JUDGED } else { CODED });
        let sent = Arc::new(AtomicU64::new(0));
        let segments = Arc::new(Mutex::new(vec![]));
        let track = Track {
            filtering,
            encoder,
            time_base,
            stream: 0,
            coded: Some(coded),
            picture,
            limit: None,
            until: None,
            keys_every: picture.then_some(every),
            sent: Arc::clone(&sent),
            seen_by,
            cadence,
        };
        let heartbeat = self.context.heartbeat;
        flow.stage(move || track.run(heartbeat, counts).map(|_| ()));
        let done = Arc::clone(&segments);
        let reached = reporter.output(&packaged.folder);
        flow.stage(move || {
            for coded in packets {
                if let Some(reporter) = counts.filter(|_| picture) {
                    reporter.frame();
                }
                let at = coded.packet.pts().unwrap_or(0).rescale(time_base, MICROS);
                reached.fetch_max(u64::try_from(at).unwrap_or(0), Ordering::Relaxed);
                if let Some(judge) = &made {
                    let EncodedPacket { packet, stream, time_base } = &coded;
                    let packet = packet.clone();
                    // A judge who is gone has said why.
                    let _ = judge.send(EncodedPacket {
                        packet,
                        stream: *stream,
                        time_base: *time_base,
                    });
                }
                segmenter.take(coded.packet)?;
            }
            drop(made);
            *done.lock().unwrap_or_else(PoisonError::into_inner) = segmenter.finish()?;
            Ok(())
        });
        Ok(PendingOutput { packaged, whole, sent, segments, scores: None })
    }
}

/// What a track is made of.
struct EncoderTrack<'env> {
    filtering: Filtering<'env>,
    encoder: Encoder,
    /// Time base, pixel shape and rate of what comes out of the filters.
    outcome: (Rational, Rational, Rational),
    rate: Option<Rational>,
    hevc: bool,
    packaged: Packaged,
    /// For whoever looks at what is made.
    made: Option<SyncSender<EncodedPacket>>,
    /// For those who look at what the encoder is given.
    seen_by: Vec<FrameSender>,
    /// Who decides what kind each picture is.
    cadence: FrameTypePlan,
}

fn is_language(word: &str) -> bool {
    (2..=16).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The folder of the n-th audio track.
pub(super) fn audio_folder(number: usize) -> String {
    format!("audio-{number}")
}
