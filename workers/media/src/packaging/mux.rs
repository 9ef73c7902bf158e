mod edit_list;

use std::{
    path::{Path, PathBuf},
    sync::mpsc::Receiver,
};

use ffapi_domain::media::{Chapter, Container, Micros, Plan, VideoCodec, Window};
use ffmpeg_the_third::{
    self as ffmpeg, Dictionary, Packet, Rational, Rescale, codec, format, media,
};

use crate::{
    MediaError,
    ffi::{self, HeaderPlacement},
    pipeline::{
        encoded_packet::EncodedPacket, packet_span::PacketSpan, progress::ProgressReporter,
    },
    units::MICROS,
};

/// The tag of HEVC; Apple's players support no other.
const HVC1: [u8; 4] = *b"hvc1";

/// Writes the output file.
pub(crate) struct Mux {
    output: format::context::Output,
    container: Container,
    streams: Vec<OutputStream>,
    path: PathBuf,
    /// Where copied packets end, in microseconds, if a part is copied.
    copied_until: Option<Micros>,
}

/// Where the packets of a stream come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PacketSource {
    Encoder,
    /// The input's own packets.
    Copy,
    /// Cues of subtitles; there may be none.
    Cues,
}

/// The state of a stream of the output.
struct OutputStream {
    source: PacketSource,
    /// "audio" or "video", for messages.
    kind: &'static str,
    time_base: Rational,
    /// Decoding time of the newest packet, in `time_base`.
    newest: Option<i64>,
    is_empty: bool,
}

impl OutputStream {
    /// Moves a packet behind the one before it. Timestamps that go back are rejected by muxers, but
    /// small steps back are common in recordings.
    fn keep_order(&mut self, packet: &mut Packet) {
        let Some(dts) = packet.dts() else { return };
        let dts = self.newest.map_or(dts, |newest| dts.max(newest.saturating_add(1)));
        packet.set_dts(Some(dts));
        packet.set_pts(packet.pts().map(|pts| pts.max(dts)));
        self.newest = Some(dts);
    }

    fn failed(&self, container: Container, error: ffmpeg::Error) -> MediaError {
        let (kind, container) = (self.kind, container.as_str());
        match self.source {
            PacketSource::Copy if !is_out_of_space(error) => MediaError::input(format!(
                "the input's {kind} cannot be copied to {container}: {error}; choose a codec instead \
                 of `copy`"
            )),
            PacketSource::Encoder => rejected(kind, container, error),
            PacketSource::Copy | PacketSource::Cues => broken(error),
        }
    }
}

/// The error for an encoded packet that a muxer rejects: its timestamps are from the input.
pub(crate) fn rejected(kind: &str, container: &str, error: ffmpeg::Error) -> MediaError {
    if !matches!(error, ffmpeg::Error::Other { errno: nix::libc::EINVAL | nix::libc::ERANGE }) {
        return broken(error);
    }
    MediaError::input(format!(
        "the timestamps of the input's {kind} do not fit into {container}: {error}; the input is damaged"
    ))
}

/// The metadata of a stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Label {
    pub(crate) language: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) default: bool,
}

const fn is_out_of_space(error: ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno: nix::libc::ENOSPC | nix::libc::EFBIG })
}

pub(crate) fn broken(error: ffmpeg::Error) -> MediaError {
    MediaError::new(
        match error {
            _ if is_out_of_space(error) => ffapi_domain::job::FailureCode::ResourceExhausted,
            _ => ffapi_domain::job::FailureCode::Internal,
        },
        format!("the output cannot be written: {error}"),
    )
}

impl Mux {
    pub(crate) fn create(path: &Path, plan: &Plan) -> Result<Self, MediaError> {
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
        Ok(Self { output, container, streams: vec![], path: path.to_owned(), copied_until: None })
    }

    const fn is_quicktime(&self) -> bool {
        matches!(self.container, Container::Mp4 | Container::Mov)
    }

    /// Where the container needs the headers of its encoders.
    pub(crate) fn header_placement(&self) -> HeaderPlacement {
        if self.output.format().flags().contains(format::Flags::GLOBAL_HEADER) {
            HeaderPlacement::Global
        } else {
            HeaderPlacement::InPackets
        }
    }

    /// Adds a stream for an opened encoder; returns its index.
    pub(crate) fn add(
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
        self.label(label, PacketSource::Encoder)
    }

    /// Adds a stream of which a part of the packets is copied; returns its index.
    pub(crate) fn add_copy(
        &mut self,
        from: &ffmpeg::Stream<'_>,
        keep: Window,
        label: &Label,
    ) -> Result<usize, MediaError> {
        let kept = keep.end.map(|end| end.saturating_sub(keep.start));
        self.copied_until = self.copied_until.max(kept);
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
        self.label(label, PacketSource::Copy)
    }

    /// Adds a subtitle stream; returns its index.
    pub(crate) fn add_subtitles(
        &mut self,
        id: codec::Id,
        header: &[u8],
        label: &Label,
    ) -> Result<usize, MediaError> {
        let mut stream = self.output.add_stream(codec::Id::None).map_err(broken)?;
        ffi::set_subtitle_parameters(&mut stream.parameters_mut(), id, header);
        stream.set_time_base(Rational(1, 1_000));
        self.label(label, PacketSource::Cues)
    }

    fn label(&mut self, label: &Label, source: PacketSource) -> Result<usize, MediaError> {
        let index = self.streams.len();
        let stream = self.output.stream_mut(index);
        let mut stream = stream.ok_or_else(|| broken(ffmpeg::Error::StreamNotFound))?;
        if let Some(language) = &label.language {
            stream.metadata_mut().set("language", language);
        }
        if let Some(title) = &label.title {
            stream.metadata_mut().set("title", title);
        }
        ffi::set_disposition(&mut stream, label.default);
        let kind = match stream.parameters().medium() {
            media::Type::Audio => "audio",
            _ => "video",
        };
        let time_base = stream.time_base();
        self.streams.push(OutputStream { source, kind, time_base, newest: None, is_empty: true });
        Ok(index)
    }

    pub(crate) fn write_header(&mut self) -> Result<(), MediaError> {
        let mut options = Dictionary::new();
        match self.container {
            // Players can start before the file is completely downloaded.
            Container::Mp4 | Container::Mov | Container::M4a => {
                options.set("movflags", "+faststart");
                // FLAC in MP4 is specified, and played; FFmpeg calls it experimental.
                options.set("strict", "experimental");
            }
            Container::Webp | Container::Gif => options.set("loop", "0"),
            _ => {}
        }
        let written = self.output.write_header_with(options);
        written.map_err(|error| self.header_failed(error))?;
        for (stream, written) in self.streams.iter_mut().zip(self.output.streams()) {
            stream.time_base = written.time_base();
        }
        Ok(())
    }

    /// The error for a header that cannot be written: most often a codec that is copied does not fit.
    fn header_failed(&self, error: ffmpeg::Error) -> MediaError {
        let copied = self.streams.iter().find(|stream| stream.source == PacketSource::Copy);
        copied.map_or_else(|| broken(error), |stream| stream.failed(self.container, error))
    }

    /// Writes packets until all stages have ended, and reports the progress. Returns the time that
    /// the packets cover.
    ///
    /// # Errors
    /// `invalid_input` if a video or audio stream has no packets, or copied ones do not fit.
    pub(crate) fn run(
        mut self,
        packets: &Receiver<EncodedPacket>,
        counts_frames: bool,
        reporter: &ProgressReporter<'_>,
    ) -> Result<PacketSpan, MediaError> {
        let mut span = PacketSpan::default();
        for EncodedPacket { mut packet, stream: index, time_base } in packets {
            let Some(stream) = self.streams.get_mut(index) else { continue };
            packet.set_stream(index);
            let end = packet.pts().unwrap_or(0).saturating_add(packet.duration());
            packet.rescale_ts(time_base, stream.time_base);
            if stream.source == PacketSource::Copy {
                stream.keep_order(&mut packet);
            }
            packet.set_position(-1);
            span.include(&packet, stream.time_base);
            stream.is_empty = false;
            let written = ffi::write_packet(&mut self.output, &mut packet);
            written.map_err(|error| stream.failed(self.container, error))?;
            // Progress is counted by the first stream, which is the video if there is one.
            if index == 0 {
                if counts_frames {
                    reporter.frame();
                }
                reporter.set_position(u64::try_from(end.rescale(time_base, MICROS)).unwrap_or(0));
            }
        }
        let mut required = self.streams.iter().filter(|stream| stream.source != PacketSource::Cues);
        if let Some(empty) = required.find(|stream| stream.is_empty) {
            return Err(MediaError::nothing_left(empty.kind));
        }
        self.output.write_trailer().map_err(broken)?;
        if !self.container.is_images() {
            ffi::close_file(&mut self.output).map_err(broken)?;
        }
        if let Some(end) = self.copied_until.filter(|_| self.container.has_edit_list()) {
            let limited = edit_list::limit(&self.path, end);
            limited.map_err(|error| MediaError::internal("the output's edit list", error))?;
        }
        reporter.report();
        Ok(span)
    }
}
