//! Timed text: read from any subtitle format, written in those that outputs use.

use std::fmt::Write as _;

use ffapi_domain::media::{CueSource, Micros, Role, TimeEdit};
use ffmpeg_the_third::{self as ffmpeg, Packet, Rescale, Subtitle, codec};

use crate::{MediaError, ffi, ffi::Input};

/// The cues of one subtitle stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cues {
    /// The ASS header with its styles, as the decoder returned it.
    header: Vec<u8>,
    list: Vec<Cue>,
}

/// One subtitle event.
#[derive(Debug, Clone)]
pub(crate) struct Cue {
    pub(crate) start: Micros,
    pub(crate) end: Micros,
    /// FFmpeg's event line: read order, layer, style, name, margins, effect, text with ASS tags.
    line: String,
}

/// Height of the frame, and size of the font in it, that FFmpeg declares for plain subtitles.
const DEFAULT_SCRIPT_HEIGHT: u32 = 288;
const DEFAULT_FONT_SIZE: u32 = 16;
/// The least size of the font in pixels.
const MIN_LETTER_HEIGHT: u32 = 14;

/// The most cues of one stream; more than any real subtitle file has.
const MAX_CUES: usize = 100_000;

impl Cues {
    /// Reads a stream to its end, and applies the edits of the video to its times.
    pub(crate) fn read(mut input: Input, source: &CueSource) -> Result<Self, MediaError> {
        let broken = |error: ffmpeg::Error| {
            MediaError::input(format!("the subtitles cannot be read: {error}"))
        };
        let index = usize::try_from(source.stream).unwrap_or(usize::MAX);
        let stream = input.context.stream(index);
        let stream = stream.ok_or_else(|| broken(ffmpeg::Error::StreamNotFound))?;
        let time_base = stream.time_base();
        let parameters = ffi::copy_parameters(&stream).map_err(broken)?;
        let mut context = codec::Context::from_parameters(parameters).map_err(broken)?;
        ffi::prepare_decoder(&mut context, time_base, 1).map_err(broken)?;
        let mut decoder = context.decoder().subtitle().map_err(broken)?;
        let origin = if source.input == 0 { input.origin() } else { 0 };
        let mut cues = Self { header: ffi::subtitle_header(&decoder), list: vec![] };
        while let Some(packet) = input.packet().map_err(broken)? {
            if packet.stream() != index {
                continue;
            }
            let mut subtitle = Subtitle::new();
            if !decoder.decode(&packet, &mut subtitle).map_err(broken)? {
                continue;
            }
            let micros = |time: i64| time.rescale(time_base, ffmpeg::rescale::TIME_BASE);
            let start = micros(packet.pts().unwrap_or(0)).saturating_sub(origin);
            let duration = match packet.duration() {
                0 => i64::from(subtitle.end()).saturating_mul(1_000),
                duration => micros(duration),
            };
            let span = (
                u64::try_from(start).unwrap_or(0),
                u64::try_from(start.saturating_add(duration)).unwrap_or(0),
            );
            cues.push(&subtitle, span, &source.edits)?;
        }
        if cues.list.is_empty() && source.edits.is_empty() {
            return Err(MediaError::input("the subtitles contain no text"));
        }
        cues.list.sort_by_key(|cue| cue.start);
        Ok(cues)
    }

    fn push(
        &mut self,
        subtitle: &Subtitle,
        span: (Micros, Micros),
        edits: &[TimeEdit],
    ) -> Result<(), MediaError> {
        let edited = edits.iter().try_fold(span, |span, edit| edit.apply(span));
        let Some((start, end)) = edited.filter(|(start, end)| end > start) else { return Ok(()) };
        for rect in subtitle.rects() {
            let Some(line) = rect.ass() else { continue };
            if self.list.len() >= MAX_CUES {
                let detail = format!("the subtitles have more than {MAX_CUES} cues");
                return Err(MediaError::input(detail));
            }
            self.list.push(Cue { start, end, line: line.to_owned() });
        }
        Ok(())
    }

    /// The cues that start before `end` (microseconds; none means all), cut off there.
    pub(crate) fn until(mut self, end: Option<u64>) -> Self {
        let end = end.unwrap_or(u64::MAX);
        self.list.retain(|cue| cue.start < end);
        for cue in &mut self.list {
            cue.end = cue.end.min(end);
        }
        self
    }

    /// The text of an ASS file for frames of this height in pixels. Subtitles without styles of their
    /// own stay legible in small frames.
    pub(crate) fn to_ass(&self, height: u32) -> String {
        let header = String::from_utf8_lossy(&self.header);
        let mut file = header.trim_end_matches('\0').to_owned();
        let size = MIN_LETTER_HEIGHT.saturating_mul(DEFAULT_SCRIPT_HEIGHT).div_ceil(height.max(1));
        if size > DEFAULT_FONT_SIZE && file.contains(&format!("PlayResY: {DEFAULT_SCRIPT_HEIGHT}"))
        {
            let style = |size: u32| format!("Style: Default,Arial,{size},");
            file = file.replace(&style(DEFAULT_FONT_SIZE), &style(size));
        }
        if !file.contains("[Events]") {
            file.push_str("\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n");
        }
        if !file.ends_with('\n') {
            file.push('\n');
        }
        for cue in &self.list {
            let mut fields = cue.line.splitn(3, ',');
            let (_, layer, rest) = (fields.next(), fields.next(), fields.next());
            let (Some(layer), Some(rest)) = (layer, rest) else { continue };
            let times = (centiseconds(cue.start), centiseconds(cue.end));
            let _ = writeln!(file, "Dialogue: {layer},{},{},{rest}", times.0, times.1);
        }
        file
    }

    /// The text of a `WebVTT` file.
    pub(crate) fn to_webvtt(&self) -> String {
        let mut file = String::from("WEBVTT\n");
        for cue in &self.list {
            let (start, end) = (milliseconds(cue.start), milliseconds(cue.end));
            let _ = write!(file, "\n{start} --> {end}\n{}\n", cue.html());
        }
        file
    }

    /// Packets for a codec, each with its start and duration in milliseconds.
    pub(crate) fn packets(&self, codec: codec::Id) -> Vec<(Packet, i64, i64)> {
        let milli = |micros: u64| i64::try_from(micros / 1_000).unwrap_or(i64::MAX);
        let numbered = (0_u32..).zip(&self.list);
        let packet = |(number, cue): (u32, &Cue)| {
            let data = match codec {
                codec::Id::MOV_TEXT => {
                    let text = cue.plain();
                    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                    let text = text.as_bytes().get(..usize::from(length)).unwrap_or_default();
                    [&length.to_be_bytes(), text].concat()
                }
                codec::Id::WEBVTT => cue.html().into_bytes(),
                _ => {
                    let rest = cue.line.split_once(',').map_or("", |(_, rest)| rest);
                    format!("{number},{rest}").into_bytes()
                }
            };
            let (start, end) = (milli(cue.start), milli(cue.end));
            (Packet::copy(&data), start, end.saturating_sub(start).max(1))
        };
        numbered.map(packet).collect()
    }

    /// The extradata of a subtitle stream of a codec.
    pub(crate) fn header(&self, codec: codec::Id) -> Vec<u8> {
        match codec {
            codec::Id::MOV_TEXT => TX3G.to_vec(),
            codec::Id::WEBVTT => vec![],
            _ => self.header.clone(),
        }
    }
}

/// The sample description of plain timed text: bottom centre, white, one serif font.
const TX3G: [u8; 48] = [
    0, 0, 0, 0, 1, 0xff, 0, 0, 0, 0, // flags, justification, background
    0, 0, 0, 0, 0, 0, 0, 0, // box
    0, 0, 0, 0, 0, 1, 0, 0x12, 0xff, 0xff, 0xff, 0xff, // style
    0, 0, 0, 18, b'f', b't', b'a', b'b', 0, 1, 0, 1, 5, b'S', b'e', b'r', b'i', b'f', // fonts
];

impl Cue {
    /// The text with ASS tags: the ninth field of the event line.
    fn tagged_text(&self) -> &str {
        self.line.splitn(9, ',').nth(8).unwrap_or_default()
    }

    /// The text without any tags.
    fn plain(&self) -> String {
        self.rendered(|_| "")
    }

    /// The text with the tags that `WebVTT` supports.
    fn html(&self) -> String {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
        let text = escape(self.tagged_text());
        let cue = Self { line: format!(",,,,,,,,{text}"), ..self.clone() };
        let rendered = cue.rendered(|tag| match tag {
            "\\i1" => "<i>",
            "\\i0" => "</i>",
            "\\b1" => "<b>",
            "\\b0" => "</b>",
            "\\u1" => "<u>",
            "\\u0" => "</u>",
            _ => "",
        });
        // An empty line would end the cue, and an arrow would start another.
        let lines = rendered.lines().filter(|line| !line.trim().is_empty());
        lines.collect::<Vec<_>>().join("\n").replace("-->", "--&gt;")
    }

    /// The text with line breaks, and with every group of ASS tags replaced by `replace`.
    fn rendered(&self, replace: impl Fn(&str) -> &'static str) -> String {
        let mut out = String::new();
        let text = self.tagged_text().replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ");
        let mut rest = text.as_str();
        while let Some((before, inside)) = rest.split_once('{') {
            out.push_str(before);
            let Some((tags, after)) = inside.split_once('}') else {
                rest = inside;
                break;
            };
            out.push_str(replace(tags));
            rest = after;
        }
        out.push_str(rest);
        out.replace('\r', "")
    }
}

fn clock(micros: Micros) -> (u64, u64, u64) {
    let seconds = micros / 1_000_000;
    (seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn centiseconds(micros: Micros) -> String {
    let (hours, minutes, seconds) = clock(micros);
    format!("{hours}:{minutes:02}:{seconds:02}.{:02}", micros / 10_000 % 100)
}

fn milliseconds(micros: Micros) -> String {
    let (hours, minutes, seconds) = clock(micros);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", micros / 1_000 % 1_000)
}

/// The role that a cue source's file is opened with.
pub(crate) const fn role(source: &CueSource) -> Role {
    if source.input == 0 { Role::Media } else { Role::Subtitle }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(text: &str) -> Cue {
        Cue { start: 1_500_000, end: 3_661_250_000, line: format!("0,0,Default,,0,0,0,,{text}") }
    }

    #[test]
    fn plain_subtitles_are_larger_in_small_frames() {
        let header = b"PlayResY: 288\nStyle: Default,Arial,16,x\n".to_vec();
        let cues = Cues { header, list: vec![] };
        assert!(cues.to_ass(720).contains("Arial,16,"));
        assert!(cues.to_ass(120).contains("Arial,34,"));
    }

    #[test]
    fn ass_tags_are_translated_for_each_format() {
        let cue = cue("{\\i1}Hi{\\i0}, {\\an8}you & <me>\\Nthere");
        assert_eq!(cue.plain(), "Hi, you & <me>\nthere");
        assert_eq!(cue.html(), "<i>Hi</i>, you &amp; &lt;me>\nthere");
    }

    #[test]
    fn text_cannot_end_a_cue_or_start_another() {
        assert_eq!(cue("a\\N\\N00:00 --> 00:01\\Nb").html(), "a\n00:00 --&gt; 00:01\nb");
    }

    #[test]
    fn times_are_written_in_each_formats_notation() {
        let cues = Cues { header: b"[Script Info]\n".to_vec(), list: vec![cue("Hi")] };
        assert!(cues.to_webvtt().contains("\n00:00:01.500 --> 01:01:01.250\nHi\n"));
        let line = "Dialogue: 0,0:00:01.50,1:01:01.25,Default,,0,0,0,,Hi\n";
        assert!(cues.to_ass(720).contains(line));
    }
}
