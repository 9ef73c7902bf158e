use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr,
};

use ffmpeg_the_third::{self as ffmpeg, Packet, Rational, Rescale, ffi, format, media};
use nix::libc;

use super::{io::Io, side_data};
use crate::{
    decoders::DECODERS,
    file::OpenFile,
    stated_size::StatedSize,
    timeline::{MAX_START_DISTANCE, StreamTiming, Timeline},
    units::MICROS,
};

/// An input that reads one open file and cannot open any other.
pub(crate) struct Input {
    /// Dropped first, as declared first: closing it may still read through `io`.
    pub(crate) context: format::context::Input,
    _io: Io,
    /// The rotation and mirroring of an image by its Exif data, which FFmpeg does not read.
    pub(crate) held: (u16, bool),
    /// Whether the file has every byte that its header states; none if it states no size.
    pub(crate) is_whole: Option<bool>,
    /// The size that its header states, if it states one.
    pub(crate) stated_size: Option<StatedSize>,
    /// The first instant of its video and audio, in microseconds: all times count from it.
    origin: i64,
    timeline: Timeline,
}

/// Streams of a file; one with more is rejected.
const MAX_STREAMS: usize = 64;

/// A demuxer that is chosen without probing the content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demuxer {
    /// FFmpeg's name.
    pub(crate) name: &'static CStr,
    /// The codec of its stream, for a demuxer that cannot find it out.
    pub(crate) codec: Option<ffmpeg::codec::Id>,
}

impl Input {
    /// Opens a file with our own reader: without protocols, only as one of `formats`, and denying
    /// demuxers to open any other file. Probes packets for what the header does not state.
    pub(crate) fn open(file: &OpenFile, formats: &str) -> Result<Self, ffmpeg::Error> {
        let mut opened = Self::open_header(file, formats, None)?;
        opened.find_stream_info()?;
        opened.set_timeline();
        Ok(opened)
    }

    /// As [`Self::open`], with a known demuxer.
    pub(crate) fn open_as(file: &OpenFile, demuxer: Demuxer) -> Result<Self, ffmpeg::Error> {
        let name = demuxer.name.to_string_lossy().into_owned();
        let mut opened = Self::open_header(file, &name, Some(demuxer))?;
        opened.find_stream_info()?;
        opened.set_timeline();
        Ok(opened)
    }

    /// Opens a file that was opened before: reads only its header, if that describes every stream.
    pub(crate) fn reopen(file: &OpenFile, formats: &str) -> Result<Self, ffmpeg::Error> {
        let mut opened = Self::open_header(file, formats, None)?;
        if !opened.header_describes_streams() {
            opened.find_stream_info()?;
        }
        Ok(opened)
    }

    /// Reads packets to find what the header does not state about the streams.
    fn find_stream_info(&mut self) -> Result<(), ffmpeg::Error> {
        // SAFETY: the pointer is only used while we borrow the open context mutably.
        let context = unsafe { self.context.as_mut_ptr() };
        // SAFETY: the context is open, and ours alone; null stands for no options.
        let outcome = unsafe { ffi::avformat_find_stream_info(context, ptr::null_mut()) };
        if outcome < 0 {
            return Err(outcome.into());
        }
        self.correct_frame_rates();
        Ok(())
    }

    /// Replaces average frame rates that cannot be: FFmpeg 9.0 states the time base of raw DV as one.
    fn correct_frame_rates(&mut self) {
        const MAX_RATE: f64 = 1_000.0;
        for mut stream in self.context.streams_mut() {
            if f64::from(stream.avg_frame_rate()) > MAX_RATE {
                let base = stream.rate();
                stream.set_avg_frame_rate(base);
            }
        }
    }

    /// True for formats whose header states which streams follow, and how to decode them.
    fn header_describes_streams(&self) -> bool {
        let name = self.context.format().name().to_owned();
        ["mov,", "matroska,"].iter().any(|format| name.starts_with(format))
    }

    fn open_header(
        file: &OpenFile,
        formats: &str,
        demuxer: Option<Demuxer>,
    ) -> Result<Self, ffmpeg::Error> {
        let io = Io::new(file)?;
        // SAFETY: allocation only; a null result is checked below.
        let mut context = unsafe { ffi::avformat_alloc_context() };
        if context.is_null() {
            return Err(ffmpeg::Error::Other { errno: libc::ENOMEM });
        }
        // SAFETY: `context` is valid and not yet opened; FFmpeg uses a `pb` that is set, and does
        // not free it.
        unsafe { (*context).pb = io.context };
        // SAFETY: as above; the callback has the type that FFmpeg declares.
        unsafe { (*context).io_open = Some(refuse_open) };
        let mut format = ptr::null();
        if let Some(Demuxer { name, codec }) = demuxer {
            // SAFETY: the name is a C string; the result is static.
            format = unsafe { ffi::av_find_input_format(name.as_ptr()) };
            // SAFETY: as above.
            unsafe { (*context).video_codec_id = codec.unwrap_or(ffmpeg::codec::Id::None).into() };
        }
        let mut options = ffmpeg::Dictionary::new();
        options.set("format_whitelist", formats);
        options.set("codec_whitelist", DECODERS);
        options.set("protocol_whitelist", "none");
        // Matroska's demuxer stops at the limit instead of failing.
        options.set("max_streams", MAX_STREAMS.saturating_add(1).to_string());
        // The first packets of a stream may come late.
        options.set("probesize", "33554432");
        options.set("analyzeduration", "30000000");
        let mut raw = options.into_raw();
        let name = CString::default();
        // SAFETY: all pointers are valid; on failure FFmpeg frees `context` but not `pb`.
        let outcome = unsafe {
            ffi::avformat_open_input(&raw mut context, name.as_ptr(), format, &raw mut raw)
        };
        // SAFETY: the remaining options are ours to free; null is allowed.
        unsafe { ffi::av_dict_free(&raw mut raw) };
        if outcome < 0 {
            return Err(outcome.into());
        }
        // SAFETY: opened above and owned by this value alone; `Input` closes it on drop.
        let input = unsafe { format::context::Input::wrap(context) };
        if input.streams().len() > MAX_STREAMS {
            return Err(ffmpeg::Error::Other { errno: libc::EINVAL });
        }
        Ok(Self {
            context: input,
            _io: io,
            held: (0, false),
            is_whole: None,
            stated_size: None,
            origin: 0,
            timeline: Timeline::default(),
        })
    }

    /// Finds the first instant, and corrects the timestamps of packets from now on.
    fn set_timeline(&mut self) {
        let timings: Vec<StreamTiming> =
            self.context.streams().map(|stream| timing(&stream)).collect();
        let is_video = |index: usize| {
            let stream = self.context.stream(index);
            stream.is_some_and(|stream| stream.parameters().medium() == media::Type::Video)
        };
        let starts = || {
            let used = timings.iter().enumerate().filter(|(_, timing)| timing.is_continuous);
            used.filter_map(|(index, timing)| Some((index, timing.start?)))
        };
        let may_restart = self.context.format().flags().contains(format::Flags::TS_DISCONT);
        let main = starts().find(|(index, _)| is_video(*index)).or_else(|| starts().next());
        let main = main.map_or(0, |(_, start)| start);
        let has_clock = |start: i64| {
            !may_restart || start.saturating_sub(main).saturating_abs() <= MAX_START_DISTANCE
        };
        let first = starts().map(|(_, start)| start).filter(|start| has_clock(*start)).min();
        self.origin = first.unwrap_or(0);
        self.timeline = Timeline::new(&timings, self.origin, may_restart);
    }

    /// The next packet of any stream, on the timeline; none at the end.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet>, ffmpeg::Error> {
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) => {
                    self.timeline.place(&mut packet);
                    return Ok(Some(packet));
                }
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(ffmpeg::Error::Other { errno: libc::EAGAIN }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The first instant of its video and audio, in microseconds; all times count from it.
    pub(crate) const fn origin(&self) -> i64 {
        self.origin
    }

    /// Leaves the timestamps of packets as they are: those of an output are verified.
    pub(crate) fn keep_timestamps(&mut self) {
        self.timeline = Timeline::default();
    }

    /// The time base of each stream, and the duration of a packet that states none, in microseconds.
    pub(crate) fn timings(&self) -> impl Iterator<Item = (Rational, i64)> {
        self.context.streams().map(|stream| {
            let timing = timing(&stream);
            (timing.base, timing.packet)
        })
    }

    /// The identifier of the program that a stream belongs to; none in formats without programs.
    pub(crate) fn program(&self, stream: usize) -> Option<u32> {
        let stream = c_int::try_from(stream).ok()?;
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        let context = context.cast_mut();
        // SAFETY: the context is open; the call only reads it.
        let program = unsafe { ffi::av_find_program_from_stream(context, ptr::null_mut(), stream) };
        // SAFETY: a pointer that is not null belongs to the open context.
        let program = unsafe { program.as_ref() }?;
        u32::try_from(program.id).ok()
    }

    /// The aspect ratio of a stream's pixels by the container or, if it states none, by the codec.
    pub(crate) fn pixel_aspect(&self, stream: &ffmpeg::Stream<'_>) -> Rational {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: as above; the stream belongs to that context.
        let stream = unsafe { stream.as_ptr() };
        let (context, stream) = (context.cast_mut(), stream.cast_mut());
        // SAFETY: the stream belongs to the open context; the call only reads both.
        unsafe { ffi::av_guess_sample_aspect_ratio(context, stream, ptr::null_mut()) }.into()
    }

    /// True if the packets so far were of several recordings.
    pub(crate) const fn joins(&self) -> bool {
        self.timeline.joins()
    }

    /// When a stream starts, in microseconds from `origin`; none if its first packet is unknown.
    pub(crate) fn start_of(&self, stream: &ffmpeg::Stream<'_>) -> Option<i64> {
        let shift = self.timeline.shift(stream.index()).saturating_sub(self.origin);
        timing(stream).start.map(|start| start.saturating_add(shift))
    }

    /// The indices of its videos, without cover images.
    pub(crate) fn videos(&self) -> Vec<usize> {
        let videos = self.context.streams().filter(|stream| {
            stream.parameters().medium() == media::Type::Video && timing(stream).is_continuous
        });
        videos.map(|stream| stream.index()).collect()
    }

    /// Continues at the last point before `to` (microseconds) from which decoding can start.
    pub(crate) fn seek(&mut self, to: i64) -> Result<(), ffmpeg::Error> {
        self.timeline.reset();
        self.context.seek(to, ..=to)
    }

    /// The container's duration in microseconds; none if it is not stated. FFmpeg's estimate from
    /// file size and initial bit rate does not count.
    pub(crate) fn duration(&self) -> Option<i64> {
        let (duration, method) = self.duration_and_method();
        let estimated = method == ffi::AVDurationEstimationMethod::BITRATE;
        Some(duration).filter(|duration| *duration > 0 && !estimated)
    }

    /// The duration that the header states, in microseconds: not the distance of the first and last
    /// timestamps, which a file that is cut off has too.
    pub(crate) fn header_duration(&self) -> Option<i64> {
        let (duration, method) = self.duration_and_method();
        let stated = method == ffi::AVDurationEstimationMethod::STREAM;
        Some(duration).filter(|duration| *duration > 0 && stated)
    }

    fn duration_and_method(&self) -> (i64, ffi::AVDurationEstimationMethod) {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        let context = unsafe { &*context };
        (context.duration, context.duration_estimation_method)
    }

    /// The duration of a stream in its time base, if the container states it for each stream. For
    /// streams of other containers FFmpeg fills in the duration of the container, or an estimate by
    /// the last timestamps that it finds.
    pub(crate) fn stated_duration(&self, stream: &ffmpeg::Stream<'_>) -> Option<i64> {
        const UNSTATED: [&str; 5] = ["asf", "flv", "matroska,webm", "mpeg", "mpegts"];
        let states = !UNSTATED.contains(&self.context.format().name()) && self.duration().is_some();
        Some(stream.duration()).filter(|duration| states && *duration > 0)
    }

    /// The decoding time of the last packet of a stream, in its time base, by the index of the
    /// container; none without one.
    pub(crate) fn index_end(stream: &ffmpeg::Stream<'_>) -> Option<i64> {
        // SAFETY: the stream belongs to an open context that we borrow; it is only read.
        let stream = unsafe { stream.as_ptr() };
        // SAFETY: as above.
        let entries = unsafe { ffi::avformat_index_get_entries_count(stream) };
        let stream = stream.cast_mut();
        // SAFETY: as above; the entry belongs to the stream, and null stands for none.
        let last = unsafe { ffi::avformat_index_get_entry(stream, entries.saturating_sub(1)) };
        // SAFETY: a pointer that is not null is valid until the context reads or closes.
        unsafe { last.as_ref() }.map(|entry| entry.timestamp)
    }

    /// True for MP4 and `QuickTime`.
    pub(crate) fn is_quicktime(&self) -> bool {
        self.context.format().name().starts_with("mov,")
    }

    /// Reads the file from its start again.
    pub(crate) fn rewind(&mut self) -> Result<(), ffmpeg::Error> {
        self.timeline.reset();
        // SAFETY: the pointer is only used while we are borrowed.
        let context = unsafe { self.context.as_mut_ptr() };
        // SAFETY: the context is open as long as we are, and the call keeps no pointer.
        let code = unsafe { ffi::av_seek_frame(context, -1, 0, ffi::AVSEEK_FLAG_BYTE) };
        if code >= 0 {
            return Ok(());
        }
        self.context.seek(self.origin, ..=self.origin)
    }

    /// Makes the demuxer drop the packets of a stream that is not used.
    pub(crate) fn discard(&mut self, stream: usize) {
        if let Some(mut stream) = self.context.stream_mut(stream) {
            // SAFETY: the stream belongs to an open context that we borrow mutably.
            let stream = unsafe { stream.as_mut_ptr() };
            // SAFETY: writes a plain field of it.
            unsafe { (*stream).discard = ffi::AVDiscard::ALL };
        }
    }

    /// A stream's side data of one kind; none if it has none.
    pub(crate) fn side_data(
        &self,
        stream: usize,
        kind: ffi::AVPacketSideDataType,
    ) -> Option<Vec<u8>> {
        side_data::of_kind(&self.context.stream(stream)?, kind)
    }

    /// How a player rotates a stream, clockwise by 0, 90, 180 or 270 degrees, and whether it then
    /// mirrors it from left to right.
    pub(crate) fn rotation(&self, stream: usize) -> (u16, bool) {
        let matrix = self.side_data(stream, ffi::AVPacketSideDataType::DISPLAYMATRIX);
        let number = |bytes: &[u8]| Some(i32::from_ne_bytes(bytes.try_into().ok()?));
        let matrix: Vec<i32> =
            matrix.iter().flat_map(|matrix| matrix.chunks_exact(4)).filter_map(number).collect();
        let Ok(mut matrix) = <[i32; 9]>::try_from(matrix) else { return self.held };
        let [a, b, _, c, d, ..] = matrix.map(i64::from);
        let mirrored = a.saturating_mul(d) < b.saturating_mul(c);
        if mirrored {
            // Without the mirroring, it is a rotation.
            // SAFETY: the matrix has nine numbers and is ours alone.
            unsafe { ffi::av_display_matrix_flip(matrix.as_mut_ptr(), 1, 0) };
        }
        // SAFETY: the matrix has nine numbers.
        let degrees = unsafe { ffi::av_display_rotation_get(matrix.as_ptr()) };
        if !degrees.is_finite() {
            return (0, mirrored);
        }
        // FFmpeg's angle is counterclockwise.
        let quarter = (-degrees / 90.0).round().rem_euclid(4.0);
        let rotation = [0, 90, 180, 270]
            .into_iter()
            .zip([0.0, 1.0, 2.0, 3.0])
            .fold(0, |found, (angle, n)| if (quarter - n).abs() < 0.5 { angle } else { found });
        (rotation, mirrored)
    }

    /// The overall bit rate in bits per second; none if it is unknown.
    pub(crate) fn bitrate(&self) -> Option<u64> {
        // SAFETY: the pointer is only read while we are borrowed.
        let context = unsafe { self.context.as_ptr() };
        // SAFETY: the context is open as long as we are.
        u64::try_from(unsafe { (*context).bit_rate }).ok().filter(|rate| *rate > 0)
    }
}

unsafe extern "C" fn refuse_open(
    _: *mut ffi::AVFormatContext,
    _: *mut *mut ffi::AVIOContext,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::AVDictionary,
) -> c_int {
    ffi::AVERROR(libc::EPERM)
}

/// How a stream is timed, by its headers and the packets that were probed.
fn timing(stream: &ffmpeg::Stream<'_>) -> StreamTiming {
    let base = stream.time_base();
    let start = Some(stream.start_time()).filter(|start| *start != ffi::AV_NOPTS_VALUE);
    let parameters = stream.parameters();
    let medium = parameters.medium();
    let is_cover = stream.disposition().contains(format::stream::Disposition::ATTACHED_PIC);
    let rate = stream.avg_frame_rate();
    let has_rate = medium == media::Type::Video && rate.numerator() > 0 && rate.denominator() > 0;
    StreamTiming {
        base,
        start: start.map(|start| start.rescale(base, MICROS)),
        is_continuous: match medium {
            media::Type::Video => parameters.width() > 0 && !is_cover,
            media::Type::Audio => parameters.ch_layout().channels() > 0,
            _ => false,
        },
        packet: if has_rate { 1.rescale(rate.invert(), MICROS) } else { 0 },
    }
}
