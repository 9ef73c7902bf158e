use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use ffapi_domain::media::{SegmentFormat, SegmentLayout};
use ffmpeg_the_third::{self as ffmpeg, Dictionary, Packet, Rational, Rescale, codec};

use super::{
    boxes, mux,
    segment::{Segment, SingleFileHead, segment_file},
    sidx,
};
use crate::{
    MediaError,
    ffi::{self, MemoryOutput},
    units::MICROS,
};

/// Where segments end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentBoundaries {
    /// Target duration of a segment, in microseconds.
    pub(crate) interval: i64,
    /// True if segments must begin with a keyframe.
    pub(crate) at_keyframes: bool,
}

/// Splits one stream into segments and writes them to its folder.
pub(crate) struct Segmenter {
    output: MemoryOutput,
    format: SegmentFormat,
    layout: SegmentLayout,
    /// Segments that are expected; their index is stored before them.
    expected_segments: usize,
    head: SingleFileHead,
    /// Size of the single file so far.
    written: u64,
    folder: PathBuf,
    /// All written data in one unencrypted file, for verification; the caller deletes it.
    clear_copy: PathBuf,
    key: Option<[u8; 16]>,
    boundaries: SegmentBoundaries,
    /// Time base of the packets, and of the muxer.
    from: Rational,
    to: Rational,
    /// Duration of a packet that states none, in `from`.
    default_duration: i64,
    header_written: bool,
    /// Start of the open segment, and end of the newest packet, in microseconds.
    start: Option<i64>,
    end: i64,
    pub(crate) segments: Vec<Segment>,
}

/// Added to timestamps in transport streams, in microseconds: they cannot be negative there, but
/// those of the first packets of most codecs are.
const TS_OFFSET: i64 = 1_000_000;

/// How the packets of one encoder become segments.
pub(crate) struct SegmenterSettings {
    /// True for HEVC, which Apple's players accept under the tag `hvc1` only.
    pub(crate) hevc: bool,
    /// Of the packets' timestamps.
    pub(crate) time_base: Rational,
    /// Frames per second; `None` for audio.
    pub(crate) rate: Option<Rational>,
    pub(crate) format: SegmentFormat,
    pub(crate) layout: SegmentLayout,
    /// The number of segments that is expected.
    pub(crate) expected_segments: usize,
    /// Where the segments are written.
    pub(crate) folder: PathBuf,
    /// All segments in one unencrypted file, for verification.
    pub(crate) clear_copy: PathBuf,
    pub(crate) boundaries: SegmentBoundaries,
    /// The AES-128 key of encrypted segments.
    pub(crate) key: Option<[u8; 16]>,
}

impl Segmenter {
    pub(crate) fn create(
        encoder: &codec::Context,
        settings: SegmenterSettings,
    ) -> Result<Self, MediaError> {
        let SegmenterSettings {
            hevc,
            time_base: from,
            rate,
            format,
            layout,
            expected_segments,
            folder,
            clear_copy,
            boundaries,
            key,
        } = settings;
        let muxer = match format {
            SegmentFormat::Fmp4 => "mp4",
            SegmentFormat::Ts => "mpegts",
        };
        let mut output = MemoryOutput::open(muxer).map_err(mux::broken)?;
        {
            let mut stream = output.context.add_stream(codec::Id::None).map_err(mux::broken)?;
            stream.copy_parameters_from_context(encoder);
            if hevc {
                ffi::set_codec_tag(&mut stream.parameters_mut(), *b"hvc1");
            }
            stream.set_time_base(from);
            if let Some(rate) = rate {
                stream.set_avg_frame_rate(rate);
            }
        }
        let mut options = Dictionary::new();
        if format == SegmentFormat::Fmp4 {
            options.set("movflags", "+frag_custom+delay_moov+default_base_moof+skip_sidx");
        }
        output.context.write_header_with(options).map_err(mux::broken)?;
        let to = output.context.stream(0).map_or(from, |stream| stream.time_base());
        Ok(Self {
            output,
            format,
            layout,
            expected_segments,
            head: SingleFileHead::default(),
            written: 0,
            folder,
            clear_copy,
            key,
            boundaries,
            from,
            to,
            default_duration: rate.map_or(0, |rate| 1.rescale(rate.invert(), from)),
            header_written: false,
            start: None,
            end: 0,
            segments: vec![],
        })
    }

    /// Writes the next packet; ends the open segment first if the packet begins a new one.
    pub(crate) fn write_packet(&mut self, mut packet: Packet) -> Result<(), MediaError> {
        let pts = packet.pts().unwrap_or(0).rescale(self.from, MICROS);
        let next = i64::try_from(self.segments.len()).unwrap_or(i64::MAX).saturating_add(1);
        let due = next.saturating_mul(self.boundaries.interval);
        // Tolerates rounding of timestamps.
        let tolerance = 1_000;
        let can_split = !self.boundaries.at_keyframes || packet.is_key();
        if self.start.is_some() && can_split && pts.saturating_add(tolerance) >= due {
            self.finish_segment(pts)?;
        }
        self.start = self.start.or(Some(pts.max(0)));
        if packet.duration() == 0 {
            packet.set_duration(self.default_duration);
        }
        let duration = packet.duration().rescale(self.from, MICROS);
        self.end = self.end.max(pts.saturating_add(duration));
        packet.rescale_ts(self.from, self.to);
        if self.format == SegmentFormat::Ts {
            let offset = TS_OFFSET.rescale(MICROS, self.to);
            packet.set_pts(packet.pts().map(|pts| pts.saturating_add(offset)));
            packet.set_dts(packet.dts().map(|dts| dts.saturating_add(offset)));
        }
        packet.set_stream(0);
        packet.set_position(-1);
        let kind = if self.boundaries.at_keyframes { "video" } else { "audio" };
        ffi::write_packet(&mut self.output.context, &mut packet)
            .map_err(|error| mux::rejected(kind, "segments", error))
    }

    /// Ends the last segment.
    pub(crate) fn finish(mut self) -> Result<Segmented, MediaError> {
        if self.start.is_some() {
            self.finish_segment(self.end)?;
        }
        if self.head.index > 0 {
            let space = usize::try_from(self.head.index).unwrap_or(0);
            let index = sidx::filled(&self.segments, space);
            let path = self.folder.join(segment_file(self.format, self.layout, 0));
            let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
            file.write_all_at(&index, self.head.init).map_err(failed)?;
        }
        Ok(Segmented { segments: self.segments, head: self.head })
    }

    fn finish_segment(&mut self, until: i64) -> Result<(), MediaError> {
        let mut bytes = self.output.take().map_err(mux::broken)?;
        if self.format == SegmentFormat::Fmp4 && !self.header_written {
            // The muxer may output its header first, and the packets on the next flush.
            let (split, found) = boxes::split_at_moov(&bytes);
            if !found {
                return Err(MediaError::internal("the segments", "have no `moov` box"));
            }
            let rest = bytes.split_off(split);
            self.write_init(&bytes)?;
            bytes = rest;
            if bytes.is_empty() {
                bytes = self.output.take().map_err(mux::broken)?;
            }
        }
        self.header_written = true;
        let start = self.start.replace(until).unwrap_or(0);
        let number = self.segments.len();
        let keyframe_size = match self.format {
            SegmentFormat::Fmp4 if self.boundaries.at_keyframes => boxes::first_sample_end(&bytes),
            _ => None,
        };
        let offset = self.written;
        let size = self.write_segment(&bytes, number)?;
        let duration = u64::try_from(until.saturating_sub(start)).unwrap_or(0);
        let duration = crate::units::seconds(duration);
        self.segments.push(Segment { duration, size, offset, keyframe_size });
        if self.format == SegmentFormat::Ts {
            // Each segment repeats the program tables, so that it can be played alone.
            self.output.set("mpegts_flags", "+resend_headers").map_err(mux::broken)?;
        }
        Ok(())
    }

    /// Writes the initialization segment, in a single file followed by the space for its index.
    fn write_init(&mut self, bytes: &[u8]) -> Result<(), MediaError> {
        self.copy_clear(bytes)?;
        if self.layout == SegmentLayout::Files {
            return fs::write(self.folder.join("init.mp4"), bytes).map_err(failed);
        }
        let space = sidx::placeholder(sidx::reserved(self.expected_segments));
        self.head = SingleFileHead { init: bytes.len() as u64, index: space.len() as u64 };
        self.append(bytes)?;
        self.append(&space)
    }

    /// Writes a segment, encrypted if there is a key; returns its size in bytes.
    fn write_segment(&mut self, bytes: &[u8], number: usize) -> Result<u64, MediaError> {
        self.copy_clear(bytes)?;
        let encrypted = self.key.map(|key| {
            // The default IV in HLS: the sequence number of the segment.
            let iv = (number as u128).to_be_bytes();
            let cipher = cbc::Encryptor::<aes::Aes128>::new(&key.into(), &iv.into());
            cipher.encrypt_padded_vec::<Pkcs7>(bytes)
        });
        let stored = encrypted.as_deref().unwrap_or(bytes);
        if self.layout == SegmentLayout::SingleFile {
            self.append(stored)?;
        } else {
            let name = segment_file(self.format, self.layout, number);
            fs::write(self.folder.join(name), stored).map_err(failed)?;
        }
        Ok(stored.len() as u64)
    }

    /// Appends to the single file.
    fn append(&mut self, bytes: &[u8]) -> Result<(), MediaError> {
        let path = self.folder.join(segment_file(self.format, self.layout, 0));
        append_to(&path, bytes).map_err(failed)?;
        self.written = self.written.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn copy_clear(&self, bytes: &[u8]) -> Result<(), MediaError> {
        append_to(&self.clear_copy, bytes).map_err(failed)
    }
}

/// What a segmenter has written.
pub(crate) struct Segmented {
    pub(crate) segments: Vec<Segment>,
    pub(crate) head: SingleFileHead,
}

fn append_to(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

fn failed(error: io::Error) -> MediaError {
    mux::broken(ffmpeg::Error::Other { errno: error.raw_os_error().unwrap_or(nix::libc::EIO) })
}
