use std::{path::Path, sync::mpsc::Receiver};

use ffapi_domain::media::{Chapter, Container, Plan, VideoCodec};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, Rational, Rescale, codec, format};

use super::{MICROS, progress::ProgressReporter, track::EncodedPacket};
use crate::{MediaError, ffi};

/// The tag of HEVC; Apple's players support no other.
const HVC1: [u8; 4] = *b"hvc1";

/// Writes the output file.
pub(super) struct Mux {
    output: format::context::Output,
    container: Container,
    streams: usize,
}

/// The metadata of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    pub(super) language: Option<String>,
    pub(super) title: Option<String>,
    pub(super) default: bool,
}

pub(super) fn broken(error: ffmpeg::Error) -> MediaError {
    MediaError::new(
        match error {
            ffmpeg::Error::Other { errno: nix::libc::ENOSPC | nix::libc::EFBIG } => {
                ffapi_domain::job::FailureCode::ResourceExhausted
            }
            _ => ffapi_domain::job::FailureCode::Internal,
        },
        format!("the output cannot be written: {error}"),
    )
}

impl Mux {
    pub(super) fn create(path: &Path, plan: &Plan) -> Result<Self, MediaError> {
        let container = plan.container;
        let mut output = format::output_as(path, container.muxer()).map_err(broken)?;
        for (name, value) in &plan.tags {
            output.metadata_mut().set(name, value);
        }
        for (number, Chapter { start, end, title }) in (0..).zip(&plan.chapters) {
            let time = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
            let title = title.as_deref().unwrap_or_default();
            output.add_chapter(number, MICROS, time(*start), time(*end), title).map_err(broken)?;
        }
        Ok(Self { output, container, streams: 0 })
    }

    const fn is_quicktime(&self) -> bool {
        matches!(self.container, Container::Mp4 | Container::Mov)
    }

    pub(super) fn wants_global_header(&self) -> bool {
        self.output.format().flags().contains(format::Flags::GLOBAL_HEADER)
    }

    /// Adds a stream for an opened encoder; returns its index.
    pub(super) fn add(
        &mut self,
        encoder: &codec::Context,
        codec: Option<VideoCodec>,
        time_base: Rational,
        rate: Option<Rational>,
        label: &Label,
    ) -> Result<usize, MediaError> {
        let quicktime = self.is_quicktime();
        let mut stream = self.output.add_stream(codec::Id::None).map_err(broken)?;
        stream.copy_parameters_from_context(encoder);
        if quicktime && codec == Some(VideoCodec::Hevc) {
            ffi::set_codec_tag(&mut stream.parameters_mut(), HVC1);
        }
        stream.set_time_base(time_base);
        if let Some(rate) = rate {
            stream.set_avg_frame_rate(rate);
        }
        self.label(label)
    }

    /// Adds a stream whose packets are copied; returns its index.
    pub(super) fn add_copy(
        &mut self,
        from: &ffmpeg::Stream<'_>,
        label: &Label,
    ) -> Result<usize, MediaError> {
        let quicktime = self.is_quicktime();
        let parameters = ffi::copy_parameters(from).map_err(broken)?;
        let mut stream = self.output.add_stream(codec::Id::None).map_err(broken)?;
        stream.set_parameters(parameters);
        ffi::clear_codec_tag(&mut stream.parameters_mut());
        if quicktime && from.parameters().id() == codec::Id::HEVC {
            ffi::set_codec_tag(&mut stream.parameters_mut(), HVC1);
        }
        stream.set_time_base(from.time_base());
        stream.set_avg_frame_rate(from.avg_frame_rate());
        stream.set_sample_aspect_ratio(from.sample_aspect_ratio());
        ffi::copy_side_data(&mut stream, from).map_err(broken)?;
        self.label(label)
    }

    /// Adds a subtitle stream; returns its index.
    pub(super) fn add_subtitles(
        &mut self,
        id: codec::Id,
        header: &[u8],
        label: &Label,
    ) -> Result<usize, MediaError> {
        let mut stream = self.output.add_stream(codec::Id::None).map_err(broken)?;
        ffi::set_subtitle_parameters(&mut stream.parameters_mut(), id, header);
        stream.set_time_base(Rational(1, 1_000));
        self.label(label)
    }

    fn label(&mut self, label: &Label) -> Result<usize, MediaError> {
        let index = self.streams;
        self.streams = index.saturating_add(1);
        let stream = self.output.stream_mut(index);
        let mut stream = stream.ok_or_else(|| broken(ffmpeg::Error::StreamNotFound))?;
        if let Some(language) = &label.language {
            stream.metadata_mut().set("language", language);
        }
        if let Some(title) = &label.title {
            stream.metadata_mut().set("title", title);
        }
        ffi::set_disposition(&mut stream, label.default);
        Ok(index)
    }

    pub(super) fn write_header(&mut self) -> Result<(), MediaError> {
        let mut options = Dictionary::new();
        match self.container {
            // Players can start before the file is completely downloaded.
            Container::Mp4 | Container::Mov | Container::M4a => {
                options.set("movflags", "+faststart");
            }
            Container::Webp | Container::Gif => options.set("loop", "0"),
            _ => {}
        }
        self.output.write_header_with(options).map_err(broken)?;
        Ok(())
    }

    /// Writes packets until all stages have ended, and reports the progress.
    pub(super) fn run(
        mut self,
        packets: &Receiver<EncodedPacket>,
        counts_frames: bool,
        reporter: &ProgressReporter<'_>,
    ) -> Result<(), MediaError> {
        let bases: Vec<Rational> = self.output.streams().map(|stream| stream.time_base()).collect();
        for EncodedPacket { mut packet, stream, time_base } in packets {
            let to = bases.get(stream).copied().unwrap_or(time_base);
            packet.set_stream(stream);
            let end = packet.pts().unwrap_or(0).saturating_add(packet.duration());
            packet.rescale_ts(time_base, to);
            packet.set_position(-1);
            ffi::write_packet(&mut self.output, &mut packet).map_err(broken)?;
            // Progress is counted by the first stream, which is the video if there is one.
            if stream == 0 {
                if counts_frames {
                    reporter.frame();
                }
                reporter.set_position(u64::try_from(end.rescale(time_base, MICROS)).unwrap_or(0));
            }
        }
        self.output.write_trailer().map_err(broken)?;
        if !self.container.is_images() {
            ffi::close_file(&mut self.output).map_err(broken)?;
        }
        reporter.report();
        Ok(())
    }
}
