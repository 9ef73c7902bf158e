use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use ffapi_domain::media::SegmentFormat;
use ffmpeg_the_third::{self as ffmpeg, Dictionary, Packet, Rational, Rescale, codec};

use super::boxes;
use crate::{
    MediaError,
    engine::{MICROS, mux},
    ffi,
    ffi::MemoryOutput,
};

/// One file of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Segment {
    /// Seconds.
    pub(in crate::engine) duration: f64,
    /// Bytes.
    pub(in crate::engine) size: u64,
    /// Bytes from its beginning to the end of its keyframe, if it begins with one.
    pub(in crate::engine) key: Option<u64>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates are told, not counted"
)]
pub(super) fn rate(bits: u64, seconds: f64) -> u64 {
    (bits as f64 / seconds.max(0.001)).ceil() as u64
}

/// Where one segment ends and the next begins.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Cut {
    /// Microseconds from one to the next.
    pub(in crate::engine) every: i64,
    /// True if a segment can only begin with a keyframe.
    pub(in crate::engine) at_keys: bool,
}

/// Cuts one stream into segments and writes them into its folder.
pub(in crate::engine) struct Segmenter {
    output: MemoryOutput,
    format: SegmentFormat,
    folder: PathBuf,
    /// What was written, in one file in the clear, to be read back; goes at the end.
    whole: PathBuf,
    key: Option<[u8; 16]>,
    cut: Cut,
    from: Rational,
    to: Rational,
    /// How long a packet lasts that does not say it, in `from`.
    usual: i64,
    began: bool,
    /// When the open segment begins, and the newest packet ends, in microseconds.
    start: Option<i64>,
    end: i64,
    pub(in crate::engine) segments: Vec<Segment>,
}

/// Transport streams cannot begin before 0, where the first packets of most codecs do.
const TS_OFFSET: i64 = 1_000_000;

impl Segmenter {
    pub(in crate::engine) fn create(
        encoder: &codec::Context,
        hevc: bool,
        (from, rate): (Rational, Option<Rational>),
        format: SegmentFormat,
        (folder, whole): (&Path, &Path),
        (cut, key): (Cut, Option<[u8; 16]>),
    ) -> Result<Self, MediaError> {
        let muxer = match format {
            SegmentFormat::Fmp4 => "mp4",
            SegmentFormat::Ts => "mpegts",
        };
        let mut output = MemoryOutput::open(muxer).map_err(mux::broken)?;
        {
            let mut stream = output.context.add_stream(codec::Id::None).map_err(mux::broken)?;
            stream.copy_parameters_from_context(encoder);
            if hevc {
                ffi::set_tag(&mut stream.parameters_mut(), *b"hvc1");
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
            folder: folder.to_owned(),
            whole: whole.to_owned(),
            key,
            cut,
            from,
            to,
            usual: rate.map_or(0, |rate| 1.rescale(rate.invert(), from)),
            began: false,
            start: None,
            end: 0,
            segments: vec![],
        })
    }

    /// Takes the next packet; one that begins a new segment ends the one before it.
    pub(in crate::engine) fn take(&mut self, mut packet: Packet) -> Result<(), MediaError> {
        let pts = packet.pts().unwrap_or(0).rescale(self.from, MICROS);
        let next = i64::try_from(self.segments.len()).unwrap_or(i64::MAX).saturating_add(1);
        let due = next.saturating_mul(self.cut.every);
        // A frame more or less is not worth a segment.
        let slack = 1_000;
        let may = !self.cut.at_keys || packet.is_key();
        if self.start.is_some() && may && pts.saturating_add(slack) >= due {
            self.finish_segment(pts)?;
        }
        self.start = self.start.or(Some(pts.max(0)));
        if packet.duration() == 0 {
            packet.set_duration(self.usual);
        }
        let lasts = packet.duration().rescale(self.from, MICROS);
        self.end = self.end.max(pts.saturating_add(lasts));
        packet.rescale_ts(self.from, self.to);
        if self.format == SegmentFormat::Ts {
            let offset = TS_OFFSET.rescale(MICROS, self.to);
            packet.set_pts(packet.pts().map(|pts| pts.saturating_add(offset)));
            packet.set_dts(packet.dts().map(|dts| dts.saturating_add(offset)));
        }
        packet.set_stream(0);
        packet.set_position(-1);
        ffi::write_packet(&mut self.output.context, &mut packet).map_err(mux::broken)
    }

    /// Ends the last segment.
    pub(in crate::engine) fn finish(mut self) -> Result<Vec<Segment>, MediaError> {
        if self.start.is_some() {
            self.finish_segment(self.end)?;
        }
        Ok(self.segments)
    }

    fn finish_segment(&mut self, until: i64) -> Result<(), MediaError> {
        let mut bytes = self.output.take().map_err(mux::broken)?;
        if self.format == SegmentFormat::Fmp4 && !self.began {
            // The muxer gives its header first, and the packets when asked again.
            let (split, found) = boxes::split_at_moov(&bytes);
            if !found {
                return Err(MediaError::internal("the segments", "have no header"));
            }
            let rest = bytes.split_off(split);
            self.write("init.mp4", &bytes, None)?;
            bytes = rest;
            if bytes.is_empty() {
                bytes = self.output.take().map_err(mux::broken)?;
            }
        }
        self.began = true;
        let start = self.start.replace(until).unwrap_or(0);
        let number = self.segments.len();
        let extension = match self.format {
            SegmentFormat::Fmp4 => "m4s",
            SegmentFormat::Ts => "ts",
        };
        let key = match self.format {
            SegmentFormat::Fmp4 if self.cut.at_keys => boxes::first_sample_end(&bytes),
            _ => None,
        };
        let name = format!("{:05}.{extension}", number.saturating_add(1));
        let size = self.write(&name, &bytes, Some(number))?;
        let lasts = u64::try_from(until.saturating_sub(start)).unwrap_or(0);
        let duration = crate::engine::convert::seconds(lasts);
        self.segments.push(Segment { duration, size, key });
        if self.format == SegmentFormat::Ts {
            // Each segment says what is in it.
            self.output.set("mpegts_flags", "+resend_headers").map_err(mux::broken)?;
        }
        Ok(())
    }

    /// Writes a file, encrypted if it is a segment and there is a key; answers its size.
    fn write(&self, name: &str, bytes: &[u8], number: Option<usize>) -> Result<u64, MediaError> {
        let mut whole =
            OpenOptions::new().create(true).append(true).open(&self.whole).map_err(failed)?;
        whole.write_all(bytes).map_err(failed)?;
        let path = self.folder.join(name);
        let (Some(key), Some(number)) = (self.key, number) else {
            fs::write(path, bytes).map_err(failed)?;
            return Ok(bytes.len() as u64);
        };
        // The position in the playlist, as a player assumes it.
        let iv = (number as u128).to_be_bytes();
        let cipher = cbc::Encryptor::<aes::Aes128>::new(&key.into(), &iv.into());
        let hidden = cipher.encrypt_padded_vec::<Pkcs7>(bytes);
        fs::write(path, &hidden).map_err(failed)?;
        Ok(hidden.len() as u64)
    }
}

fn failed(error: std::io::Error) -> MediaError {
    mux::broken(ffmpeg::Error::Other { errno: error.raw_os_error().unwrap_or(nix::libc::EIO) })
}
