//! Opens the filters and the encoder of each stream.

use std::sync::mpsc::SyncSender;

use ffapi_domain::media::{
    AudioPlan, Hdr, MediaFacts, Rendition, Stream, StreamPlan, VideoCodec, VideoPlan,
};
use ffmpeg_the_third::{Rational, encoder::Encoder};

use super::{ladder, shared_filters::SharedFilters};
use crate::{
    MediaError,
    encoders::{
        self, EncoderSettings,
        frame_types::{FrameTypePlan, SourceTypes},
    },
    ffi::{self, HeaderPlacement},
    packaging::{self, Packaged, PackagedKind, SingleFileHead},
    pipeline::{
        context::TaskContext,
        encoded_packet::EncodedPacket,
        filtergraph::{AudioGraph, VideoGraph},
        filtering::Filtering,
        flow::Flow,
        frame_channel::FrameSender,
    },
};

/// A track before its stages are added to the flow.
pub(super) struct EncoderTrack<'env> {
    pub(super) filtering: Filtering<'env>,
    pub(super) encoder: Encoder,
    /// Of the frames' and packets' timestamps.
    pub(super) time_base: Rational,
    pub(super) rate: Option<Rational>,
    pub(super) hevc: bool,
    pub(super) packaged: Packaged,
    /// Sends the packets to a quality meter.
    pub(super) to_meter: Option<SyncSender<EncodedPacket>>,
    /// Receive the same frames as the encoder.
    pub(super) observers: Vec<FrameSender>,
    /// Decides the frame types.
    pub(super) frame_types: FrameTypePlan,
}

/// Opens the tracks of a request.
pub(super) struct TrackOpener<'a> {
    pub(super) context: &'a TaskContext<'a>,
    pub(super) facts: &'a [MediaFacts],
    pub(super) request: &'a Stream,
    pub(super) plan: &'a StreamPlan,
    /// True if the quality of all renditions is measured.
    pub(super) measures_vmaf: bool,
}

impl<'a> TrackOpener<'a> {
    /// The track of a rendition.
    pub(super) fn video<'env>(
        &self,
        flow: &mut Flow<'env>,
        shared: Option<&mut SharedFilters<'_>>,
        rendition: &Rendition,
    ) -> Result<EncoderTrack<'env>, MediaError>
    where
        'a: 'env,
    {
        let video = &rendition.video;
        let scratch = self.context.scratch;
        let mut filtering = if let Some(shared) = shared {
            let (rest, feed) = shared.branch(video);
            let graph = VideoGraph { plan: &rest, planar: shared.is_planar(), scratch };
            flow.filter_feeds(&graph.filtergraph().0, vec![feed], None)?
        } else {
            flow.filter(VideoGraph::of(video, self.facts, scratch).filtergraph(), None)?
        };
        let timing = filtering.output_timing()?;
        let parameters = flow.parameters(video.source)?;
        let mut settings = EncoderSettings::new(timing, video, &parameters, scratch);
        settings.headers = HeaderPlacement::Global;
        settings.forced_keyframes = true;
        let one_thread =
            ladder::is_single_threaded(rendition, &self.plan.renditions) && !self.measures_vmaf;
        settings.threads = if one_thread { 1 } else { self.context.threads };
        let rate = settings.rate;
        let encoder = encoders::open_video(video, settings)?;
        let codecs = packaging::video_codec(video.codec, &ffi::header(&encoder));
        let codecs =
            codecs.ok_or_else(|| MediaError::internal("the encoder", "states no profile"))?;
        let packaged = Packaged {
            folder: rendition.name.clone(),
            codecs,
            segments: vec![],
            head: SingleFileHead::default(),
            format: self.request.segments,
            layout: self.request.layout,
            kind: PackagedKind::Video {
                width: video.width,
                height: video.height,
                rate: video.rate.as_f64(),
                hdr: self.hdr_of(video),
            },
        };
        let hevc = video.codec == VideoCodec::Hevc;
        Ok(EncoderTrack {
            filtering,
            encoder,
            time_base: timing.time_base,
            rate,
            hevc,
            packaged,
            to_meter: None,
            observers: vec![],
            frame_types: FrameTypePlan::new(SourceTypes::of(video, self.facts)),
        })
    }

    /// The HDR format of a rendition; `None` for SDR.
    fn hdr_of(&self, video: &VideoPlan) -> Option<Hdr> {
        let (_, source) = self.facts.get(video.source.input)?.video()?;
        source.color.hdr.filter(|_| !video.tonemapped && video.pixel_format.contains("10"))
    }

    /// The audio track `number`.
    pub(super) fn audio<'env>(
        &self,
        flow: &mut Flow<'env>,
        audio: &AudioPlan,
        number: usize,
    ) -> Result<EncoderTrack<'env>, MediaError>
    where
        'a: 'env,
    {
        let format = encoders::AudioEncoder::of(audio).format;
        let graph = AudioGraph { plan: audio, sample_format: format.name(), gain: None };
        let mut filtering = flow.filter(graph.filtergraph(), None)?;
        let encoder = encoders::open_audio(audio, HeaderPlacement::Global)?;
        filtering.set_frame_size(ffi::frame_size(&encoder));
        let time_base = filtering.output_timing()?.time_base;
        let title = audio.title.as_ref().or(audio.language.as_ref());
        let sanitized = title.map(|title| title.replace(['"', '\n', '\r'], " "));
        let packaged = Packaged {
            folder: audio_folder(number),
            codecs: packaging::aac().to_owned(),
            segments: vec![],
            head: SingleFileHead::default(),
            format: self.request.segments,
            layout: self.request.layout,
            kind: PackagedKind::Audio {
                language: audio.language.clone().filter(|tag| is_language(tag)),
                name: match sanitized {
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
            time_base,
            rate: None,
            hevc: false,
            packaged,
            to_meter: None,
            observers: vec![],
            frame_types: FrameTypePlan::new(SourceTypes::Ignore),
        })
    }
}

/// True if `tag` has the form of a language tag.
fn is_language(tag: &str) -> bool {
    (2..=16).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The folder of the audio track `number`.
pub(super) fn audio_folder(number: usize) -> String {
    format!("audio-{number}")
}
